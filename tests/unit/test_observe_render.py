"""Rendering of observed routes: they lead where they led, and no enforced route loses a request to one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.cli.main import main
from borderpost_base.errors import BorderpostError
from borderpost_base.names import EXT_AUTHZ_FILTER, EXT_PROC_FILTER, OBSERVE_FILTER
from borderpost_envoy import EnvoyPlan, HostPort, OwnRoute, RegionCluster, RoutePlan, UnixSocket, Via, render_bootstrap
from support.borderpost_process import merged
from support.envoy_process import connection_manager

REGION = RegionCluster("eu-1", "eu-1", (HostPort("192.0.2.1", 80),))
OWN = (HostPort("192.0.2.9", 80),)
CONFIG: dict[str, Any] = {
    "here": {"country": "DE"},
    "region_defaults": {"retention": "same", "telemetry": "same"},
    "regions": {"eu-1": {"country": "DE"}, "us-1": {"country": "US"}},
    "routes": {"chat": {}, "rest": {}},
    "observe": {"routes": {"chat": {}}},
}
UPSTREAMS = ("--upstream", "eu-1=192.0.2.1:80", "--upstream", "us-1=192.0.2.2:80")
SEEN = ("--observe", "chat=/v1/", "--observed-upstream", "chat=192.0.2.9:80")


def plan(enforced: list[str], watched: list[str], **changes: Any) -> EnvoyPlan:
    """Return a plan of routes with these prefixes, each named by its own."""
    settings: dict[str, Any] = {
        "listen": HostPort("127.0.0.1", 0), "servers": (UnixSocket("/run/s"),), "regions": (REGION,),
        "headers_read": ("x-request-id",), "routes": tuple(RoutePlan(prefix, prefix) for prefix in enforced),
        "observed": tuple(OwnRoute(f"o{prefix}", prefix, f"own-{prefix}", OWN) for prefix in watched), **changes,
    }  # fmt: skip
    return EnvoyPlan(**settings)


def routes_of(bootstrap: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = connection_manager(bootstrap)["route_config"]["virtual_hosts"][0]["routes"]
    return found


@pytest.mark.parametrize(
    ("enforced", "observed", "order"),
    [
        (["/"], ["/v1/"], ["o/v1/", "/"]),
        (["/"], ["/v1/", "/v1/chat/", "/a"], ["o/a", "o/v1/chat/", "o/v1/", "/"]),
        (["/v1/chat/"], ["/v1/"], ["/v1/chat/", "o/v1/"]),
        (["/a", "/"], ["/b", "/ab"], ["o/ab", "/a", "o/b", "/"]),
        ([], ["/"], ["o/"]),
        (["/x", "/"], [], ["/x", "/"]),
    ],
)
def test_the_more_particular_comes_first_and_enforced_routes_keep_their_order(
    enforced: list[str], observed: list[str], order: list[str]
) -> None:
    assert [one.name for one in plan(enforced, observed).ordered_routes()] == order


@pytest.mark.parametrize(
    ("enforced", "observed", "code"),
    [
        (["/"], ["/"], "BP1442"),
        (["/v1/"], ["/v1/"], "BP1442"),
        (["/", "/v1/chat/"], ["/v1/"], "BP1442"),
        (["/a"], ["/v", "/v"], "BP0902"),
        ([], [], "BP0902"),
    ],
)
def test_no_enforced_route_loses_a_request(enforced: list[str], observed: list[str], code: str) -> None:
    with pytest.raises(BorderpostError) as raised:
        plan(enforced, observed)
    assert raised.value.code in {code, "BP0902"} and raised.value.code == code


def test_a_name_is_enforced_or_observed_and_a_cluster_has_an_endpoint() -> None:
    twice = OwnRoute("/", "/v1/", "own", OWN)
    nowhere = OwnRoute("o", "/v1/", "own")
    for observed, code in ((twice, "BP1442"), (nowhere, "BP0902"), (OwnRoute("o", "/v1/", "eu-1", OWN), "BP0902")):
        with pytest.raises(BorderpostError) as raised:
            plan(["/"], [], observed=(observed,))
        assert raised.value.code == code


@pytest.mark.parametrize(("via", "door"), [(Via.EXT_PROC, EXT_PROC_FILTER), (Via.EXT_AUTHZ, EXT_AUTHZ_FILTER)])
def test_what_observes_is_on_there_alone_and_what_enforces_is_off_there_alone(via: Via, door: str) -> None:
    bootstrap = render_bootstrap(plan(["/"], ["/v1/"], via=via))
    filters = {each["name"]: each for each in connection_manager(bootstrap)["http_filters"]}
    observing = filters[OBSERVE_FILTER]
    assert observing["disabled"] is True and "disabled" not in filters[door]
    assert observing["typed_config"]["@type"].endswith("ExternalProcessor")
    assert observing["typed_config"]["observability_mode"] is True
    assert observing["typed_config"]["failure_mode_allow"] is True
    assert "mutation_rules" not in observing["typed_config"], "nothing that we say is taken"
    assert filters[door]["typed_config"]["failure_mode_allow"] is False
    own, enforced = routes_of(bootstrap)
    assert own["route"]["cluster"] == "own-/v1/"
    assert own["typed_per_filter_config"][door]["disabled"] is True
    assert own["typed_per_filter_config"][OBSERVE_FILTER]["overrides"] == {}
    assert own["metadata"]["filter_metadata"]["borderpost"] == {"route": "o/v1/", "observe": True}
    assert "typed_per_filter_config" not in enforced
    assert "observe" not in json.dumps(enforced)


def test_without_an_enforced_route_there_is_no_filter_that_enforces() -> None:
    bootstrap = render_bootstrap(plan([], ["/"], regions=()))
    names = [each["name"] for each in connection_manager(bootstrap)["http_filters"]]
    assert names == [OBSERVE_FILTER, "envoy.filters.http.router"]


def test_without_an_observed_route_nothing_of_it_is_rendered() -> None:
    assert "observe" not in json.dumps(render_bootstrap(plan(["/"], [])))


def write(directory: Path, **changes: Any) -> str:
    file = directory / "borderpost.yaml"
    file.write_text(json.dumps(merged(CONFIG, changes)))
    return str(file)


def rendered(config: str, capsys: pytest.CaptureFixture[str], *words: str, kind: str = "envoy") -> tuple[int, Any]:
    code = main(["render", kind, "--config", config, *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_an_observed_route_leads_to_its_own_servers_or_to_its_region(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, own = rendered(write(tmp_path), capsys, *UPSTREAMS, *SEEN, "--observed-upstream-tls", "chat=llm.example")
    assert code == 0
    first, second = routes_of(own)
    assert (first["route"]["cluster"], first["route"]["auto_host_rewrite"]) == ("own-chat", True)
    assert second["name"] == "rest"
    config = write(tmp_path, observe={"routes": {"chat": {"region": "us-1"}}})
    region = routes_of(rendered(config, capsys, *UPSTREAMS, "--observe", "chat=/v1/")[1])[0]
    assert (region["route"]["cluster"], "auto_host_rewrite" in region["route"]) == ("us-1", False)


def test_where_all_is_observed_no_region_needs_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "borderpost.yaml"
    config.write_text(json.dumps({**CONFIG, "routes": {"chat": {}}}))
    words = ("--observe", "chat=/", "--observed-upstream", "chat=192.0.2.9:80")
    code, found = rendered(str(config), capsys, *words)
    assert code == 0
    assert [each["name"] for each in found["static_resources"]["clusters"]] == ["borderpost", "own-chat"]
    assert [each["name"] for each in routes_of(found)] == ["chat"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--route", "rest=/"), "BP0004"),
        (("--route", "chat=/", *SEEN), "BP1442"),
        (("--observe", "rest=/x", *SEEN), "BP1442"),
        (("--observe", "chat=/", "--observed-upstream", "chat=192.0.2.9:80", "--route", "rest=/"), "BP1442"),
        (("--observe", "chat=/v1/"), "BP0004"),
        ((*SEEN, "--observed-upstream-tls", "rest=llm.example"), "BP0004"),
        ((*SEEN, "--observed-upstream", "rest=192.0.2.9:80"), "BP0004"),
    ],
)
def test_options_that_disagree_with_the_configuration_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: str
) -> None:
    exit_code, found = rendered(write(tmp_path), capsys, *UPSTREAMS, *words)
    assert (exit_code, found["errors"][0]["code"]) == (2, code)


def test_bodies_of_an_observed_route_are_not_collected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "key"
    key.write_text("0" * 32)
    payload = {"read": True, "hash_key_file": str(key)}
    first = routes_of(rendered(write(tmp_path, payload=payload), capsys, *UPSTREAMS, *SEEN)[1])[0]
    assert first["typed_per_filter_config"]["borderpost.body"] == {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute", "disabled": True,
    }  # fmt: skip
    only = write(tmp_path, payload={**payload, "routes": ["chat"]})
    assert "borderpost.body" not in json.dumps(rendered(only, capsys, *UPSTREAMS, *SEEN)[1])


ISTIO: dict[str, Any] = {
    "namespace": "ingress", "workload": {"istio": "gateway"}, "gateways": ["public"], "hosts": ["ai.example.com"],
    "egress": None,
    "regions": {"eu-1": {"host": "eu.example.com", "port": 443}, "us-1": {"host": "us.example.com", "port": 443}},
}  # fmt: skip


def test_on_istio_observing_is_one_object_that_changes_no_route(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = rendered(write(tmp_path, istio=ISTIO), capsys, "--observe", kind="istio")
    (only,) = found["objects"]
    assert (code, only["kind"], only["metadata"]["name"]) == (0, "EnvoyFilter", "borderpost-observe")
    patches = [(each["applyTo"], each["patch"]["operation"]) for each in only["spec"]["configPatches"]]
    assert patches == [("CLUSTER", "ADD"), ("HTTP_FILTER", "INSERT_BEFORE"), ("HTTP_ROUTE", "MERGE")]
    merge = only["spec"]["configPatches"][-1]
    assert set(merge["patch"]["value"]) == {"typed_per_filter_config"}
    assert merge["match"]["routeConfiguration"]["vhost"] == {"route": {"name": "chat"}}


@pytest.mark.slow
def test_on_istio_many_routes_are_split_into_objects_that_kubernetes_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {f"route-{number}.v1": {} for number in range(1500)}
    code, found = rendered(
        write(tmp_path, istio=ISTIO, routes=names, observe={"routes": names}), capsys, "--observe", kind="istio"
    )
    assert code == 0 and len(found["objects"]) > 1
    assert [each["metadata"]["name"] for each in found["objects"]][:2] == ["borderpost-observe", "borderpost-observe-2"]
    assert all(len(json.dumps(each, separators=(",", ":"))) < 256 << 10 for each in found["objects"])
    patched = [patch for each in found["objects"] for patch in each["spec"]["configPatches"]]
    assert len([patch for patch in patched if patch["applyTo"] == "HTTP_ROUTE"]) == 1501


def test_on_istio_it_stands_beside_what_enforces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(tmp_path, istio=ISTIO)
    code, found = rendered(config, capsys, kind="istio")
    assert code == 0
    named = {each["metadata"]["name"]: each for each in found["objects"] if each["kind"] == "EnvoyFilter"}
    observing = named.pop("borderpost-observe")
    assert [each["applyTo"] for each in observing["spec"]["configPatches"]] == ["HTTP_FILTER", "HTTP_ROUTE"]
    assert OBSERVE_FILTER not in json.dumps(named), "no enforced route turns it on"
    assert main(["render", "istio", "--config", config, "--observe"]) == 0
    text = capsys.readouterr().out
    assert "No answer, no route" not in text and "No law is kept" in text
    assert yaml.safe_load(text)["kind"] == "EnvoyFilter"


@pytest.mark.parametrize(
    "changes", [{"hosts": ["*"]}, {"routes": [{"name": "chat", "prefix": "/"}, {"name": "rest", "prefix": "/r"}]}]
)
def test_on_istio_a_route_is_one_or_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    code, found = rendered(write(tmp_path, istio=merged(ISTIO, changes)), capsys, kind="istio")
    assert code == 2 and "BP1442" in {error["code"] for error in found["errors"]}


def test_on_istio_hosts_are_not_enforced_while_each_route_is_observed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "borderpost.yaml"
    config.write_text(json.dumps({**CONFIG, "routes": {"chat": {}}, "istio": ISTIO}))
    code, found = rendered(str(config), capsys, kind="istio")
    assert (code, found["errors"][0]["code"]) == (2, "BP1442")
    assert "--observe" in found["errors"][0]["mend"]
    assert rendered(str(config), capsys, "--observe", kind="istio")[0] == 0


def test_on_istio_with_nothing_to_observe_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "borderpost.yaml"
    config.write_text(json.dumps({**CONFIG, "routes": {}, "observe": {}, "istio": ISTIO}))
    code, found = rendered(str(config), capsys, "--observe", kind="istio")
    assert (code, found["errors"][0]["code"]) == (2, "BP1442")


def test_where_people_look_at_a_configuration_they_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(tmp_path)
    assert main(["check-config", "--config", config, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["observed_routes"] == ["chat"]
    assert "BP1440" in [warning["code"] for warning in told["warnings"]]
    assert main(["explain", "--config", config, "--country", "FR", "--route", "chat", "--json"]) == 0
    assert "the route is observed" in json.loads(capsys.readouterr().out)["notes"][0]
    assert main(["explain", "--config", config, "--country", "FR", "--route", "rest", "--json"]) == 0
    assert "observed" not in str(json.loads(capsys.readouterr().out)["notes"])
