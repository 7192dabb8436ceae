"""The section `istio`: names that break things, and what must agree with the rest of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.config.istio import IstioSection, subset_name
from borderpost.config.load import Loaded, load_config
from borderpost.config.mesh_fields import split_endpoint
from borderpost_base.errors import BorderpostError, Problems

BASE: dict[str, Any] = {
    "here": {"country": "DE"},
    "regions": {"eu-1": {"country": "DE"}, "us-1": {"country": "US"}},
    "istio": {
        "namespace": "istio-ingress",
        "workload": {"istio": "ai-gateway"},
        "gateways": ["ai-gateway"],
        "hosts": ["inference.example.com"],
        "regions": {"eu-1": {"host": "eu-1.example.com"}, "us-1": {"host": "us-1.example.com", "port": 8443}},
    },
}
LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
"""A host name of 253 characters, as long as DNS has them."""


def load(directory: Path, istio: dict[str, Any] | None = None, **changes: Any) -> Loaded:
    data = {**BASE, **changes, "istio": {**BASE["istio"], **(istio or {})}}
    file = directory / "borderpost.yaml"
    file.write_text(yaml.safe_dump(data, allow_unicode=True))
    return load_config(file, environ={})


def refused(directory: Path, istio: dict[str, Any] | None = None, **changes: Any) -> list[BorderpostError]:
    with pytest.raises(Problems) as caught:
        load(directory, istio, **changes)
    return caught.value.errors


def region(**changes: Any) -> dict[str, Any]:
    return {"regions": {**BASE["istio"]["regions"], "eu-1": {"host": "eu-1.example.com", **changes}}}


def test_clusters_are_named_as_istiod_names_them(tmp_path: Path) -> None:
    clusters = {name: spec.cluster for name, spec in load(tmp_path).regions.items()}
    assert clusters == {"eu-1": "outbound|443||eu-1.example.com", "us-1": "outbound|8443||us-1.example.com"}


def test_without_the_section_nothing_changes(tmp_path: Path) -> None:
    file = tmp_path / "borderpost.yaml"
    file.write_text(yaml.safe_dump({key: value for key, value in BASE.items() if key != "istio"}))
    loaded = load_config(file, environ={})
    assert loaded.config.istio is None
    assert {spec.cluster for spec in loaded.regions.values()} == {"eu-1", "us-1"}


def test_a_cluster_may_be_said_if_it_is_the_same(tmp_path: Path) -> None:
    regions = {**BASE["regions"], "eu-1": {"country": "DE", "cluster": "outbound|443||eu-1.example.com"}}
    assert load(tmp_path, regions=regions).regions["eu-1"].cluster == "outbound|443||eu-1.example.com"
    regions["eu-1"]["cluster"] = "eu-1"
    (error,) = refused(tmp_path, regions=regions)
    assert (error.code, error.place.key) == ("BP1403", "regions.eu-1.cluster")


def test_each_region_needs_a_host_and_each_host_a_region(tmp_path: Path) -> None:
    (error,) = refused(tmp_path, {"regions": {"eu-1": {"host": "eu-1.example.com"}}})
    assert error.code == "BP1402" and "us-1" in error.detail
    (error,) = refused(tmp_path, {"regions": {**BASE["istio"]["regions"], "eu-9": {"host": "eu-9.example.com"}}})
    assert error.code == "BP1402" and error.place.key == "istio.regions.eu-9"


def test_one_host_is_one_region(tmp_path: Path) -> None:
    (error,) = refused(tmp_path, region(host="us-1.example.com"))
    assert error.code == "BP1404" and error.place.line is not None


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ({"cluster": "a"}, {"cluster": "b"}, True),
        ({"cluster": "a", "v": "1"}, {"cluster": "b", "v": "1"}, True),
        ({"cluster": "a"}, {"cluster": "a"}, False),
        ({"cluster": "a"}, {"version": "b"}, False),  # a pod may have both
        ({"cluster": "a"}, None, False),  # the whole host holds the part
    ],
)
def test_one_host_is_two_regions_only_if_no_pod_can_be_both(
    tmp_path: Path, one: dict[str, str], other: dict[str, str] | None, apart: bool
) -> None:
    shared = {"host": "vllm.models.svc.cluster.local", "in_mesh": True, "port": 80}
    regions = {"eu-1": {**shared, "labels": one}, "us-1": {**shared, **({"labels": other} if other else {})}}
    if apart:
        clusters = {spec.cluster for spec in load(tmp_path, {"regions": regions}).regions.values()}
        assert clusters == {f"outbound|80|{name}|vllm.models.svc.cluster.local" for name in regions}
    else:
        assert {error.code for error in refused(tmp_path, {"regions": regions})} == {"BP1404"}


def test_ids_that_would_be_the_same_subset_are_refused(tmp_path: Path) -> None:
    shared = {"host": "vllm.models.svc.cluster.local", "in_mesh": True}
    regions = {"eu.1": {**shared, "labels": {"c": "a"}}, "eu_1": {**shared, "labels": {"c": "b"}}}
    found = refused(tmp_path, {"regions": regions}, regions={name: {"country": "DE"} for name in regions})
    assert "BP1404" in {error.code for error in found}


@pytest.mark.parametrize("region_id", ["eu-1", "eu.central_1", "9.", "a" * 64, "-".join("abc") + "."])
def test_a_subset_s_name_is_a_label(region_id: str) -> None:
    assert subset_name(region_id).replace("-", "a").isalnum()
    assert len(subset_name(region_id)) <= 63


@pytest.mark.parametrize("host", ["eu-1.example.com", "a.b", "xn--bcher-kva.example", "1.example.com", LONGEST])
def test_host_names_that_are_taken(tmp_path: Path, host: str) -> None:
    cluster = load(tmp_path, region(host=host)).regions["eu-1"].cluster
    assert cluster == f"outbound|443||{host}"


def test_capitals_are_as_good_as_small_letters(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"hosts": ["Inference.EXAMPLE.com"], **region(host="EU-1.Example.COM")})
    assert loaded.regions["eu-1"].cluster == "outbound|443||eu-1.example.com"
    assert loaded.config.istio is not None and loaded.config.istio.hosts == ("inference.example.com",)


@pytest.mark.parametrize(
    "host",
    [
        *("", ".", "a..b", "-a.example", "a-.example", "a_b.example", "a b.example", "a.example.", "a|b.example"),
        *("192.0.2.1", "a" * 64 + ".example", LONGEST + "d", "*.example.com", "*", "http://a.example", "a.example:443"),
    ],
)
def test_host_names_that_break_things(tmp_path: Path, host: str) -> None:
    assert [error.code for error in refused(tmp_path, region(host=host))] == ["BP1401"]


def test_a_unicode_name_is_not_guessed_at(tmp_path: Path) -> None:
    (error,) = refused(tmp_path, {"hosts": ["bücher.example"]})
    assert error.code == "BP1401" and "xn--bcher-kva.example" in (error.mend or "")
    (error,) = refused(tmp_path, {"hosts": ["\u2024\u2024.example"]})
    assert error.code == "BP1401"


@pytest.mark.parametrize("hosts", [["*"], ["*.example.com"], ["a.example.com", "*.b.example.com"]])
def test_served_hosts_may_have_a_star(tmp_path: Path, hosts: list[str]) -> None:
    section = load(tmp_path, {"hosts": hosts}).config.istio
    assert section is not None and section.whole_gateway == (hosts == ["*"])


@pytest.mark.parametrize("hosts", [["*", "a.example"], ["a.example", "A.example"], ["a.*.example"], ["**"], []])
def test_served_hosts_that_mean_nothing(tmp_path: Path, hosts: list[str]) -> None:
    assert {error.code for error in refused(tmp_path, {"hosts": hosts})} <= {"BP0104", "BP1401"}


@pytest.mark.parametrize("name", ["", "a/b/c", "/", "a/", "Ai", "a b", "../x", "my.gateway", "a" * 64])
def test_names_of_gateways_that_nothing_has(tmp_path: Path, name: str) -> None:
    assert [error.code for error in refused(tmp_path, {"gateways": [name]})] == ["BP1401"]


def test_a_release_is_quoted(tmp_path: Path) -> None:
    (error,) = refused(tmp_path, {"version": 1.30})
    assert error.code == "BP0104" and "Quote" in (error.mend or "")


@pytest.mark.parametrize(
    "spec",
    [
        {"in_mesh": True, "endpoints": ["192.0.2.1"]},
        {"labels": {"a": "b"}},
        {"in_mesh": True, "pods": {"a": "b"}},
        {"tls": {"mode": "mesh"}},
        {"tls": {"mode": "mutual"}},
        {"tls": {"certificate": "/a", "key": "/b"}},
        {"tls": {"mode": "off", "ca": "/a"}},
        {"tls": {"credential": "a", "ca": "/b"}},
        {"tls": {"mode": "mutual", "credential": ""}},
        {"networks": ["192.0.2.1/24"]},
        {"port": 0},
    ],
)
def test_what_a_region_cannot_be(tmp_path: Path, spec: dict[str, Any]) -> None:
    assert {error.code for error in refused(tmp_path, region(**spec))} <= {"BP0104", "BP1401"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.0.2.1", ("192.0.2.1", None)),
        ("192.0.2.1:8443", ("192.0.2.1", 8443)),
        ("2001:DB8::1", ("2001:db8::1", None)),
        ("[2001:db8:0::1]:8443", ("2001:db8::1", 8443)),
        ("[2001:db8::1]", ("2001:db8::1", None)),
        ("Pod-0.EXAMPLE.com:80", ("pod-0.example.com", 80)),
    ],
)
def test_endpoints_in_their_forms(tmp_path: Path, text: str, found: tuple[str, int | None]) -> None:
    assert split_endpoint(text) == found
    section = load(tmp_path, region(endpoints=[text])).config.istio
    assert section is not None
    (kept,) = section.regions["eu-1"].endpoints
    assert split_endpoint(kept) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.0.2.1:",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "a:b",
        "[a",
        "[::1]x",
        "::1:8443:x",
        "192.0.2.256",
        "a b",
        "*",
    ],
)
def test_endpoints_that_nobody_reaches(tmp_path: Path, text: str) -> None:
    assert [error.code for error in refused(tmp_path, region(endpoints=[text]))] == ["BP1401"]


def test_routes_have_a_path_and_law(tmp_path: Path) -> None:
    routes: dict[str, Any] = {"chat": {}, "files": {}}
    (error,) = refused(tmp_path, routes=routes)
    assert error.code == "BP1405"
    (error,) = refused(tmp_path, {"routes": [{"name": "chat"}]}, routes=routes)
    assert error.code == "BP1405" and "files" in error.detail
    both = [{"name": "chat", "prefix": "/v1/chat/"}, {"name": "files"}]
    assert load(tmp_path, {"routes": both}, routes=routes).config.istio is not None
    found = refused(tmp_path, {"routes": [*both, {"name": "chat"}, {"name": "other"}]}, routes=routes)
    assert [error.code for error in found] == ["BP1405", "BP1405"]


def test_every_key_says_what_it_is() -> None:
    for name, field in IstioSection.model_fields.items():
        assert field.description, name
