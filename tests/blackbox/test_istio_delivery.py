"""Everything that `borderpost render istio` can write goes through the real istiod, and arrives as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.demo.istio.scenery import HOST, istio_section, region_host
from borderpost_envoy import RouteStyle, Via
from borderpost_istio.versions import RELEASES
from support.borderpost_process import merged
from support.envoy_process import find_all
from support.istio_comparing import not_delivered
from support.istio_lab import Lab, istio_lab
from support.istio_patches import region_cluster
from support.istio_wiring import render_istio

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

REGIONS = {"eu-1": "DE", "eu-2": "IE", "us-1": "US"}
PORTS = {region: 18001 + number for number, region in enumerate(REGIONS)}
PLAIN: dict[str, Any] = {
    "here": {"country": "DE"},
    "regions": {region: {"country": country} for region, country in REGIONS.items()},
    "server": {"directory": "server", "workers": 2},
    "istio": {**istio_section(PORTS), "access_log": "/dev/null"},
}
VARIANTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "the least": ({}, ()),
    "the whole gateway": ({"istio": {"hosts": ["*"]}}, ()),
    "by header": ({}, ("--route-style", "cluster_header")),
    "ext_authz": ({}, ("--via", "ext_authz")),
    "ext_authz of the whole gateway by header": (
        {"istio": {"hosts": ["*"]}},
        ("--via", "ext_authz", "--route-style", "cluster_header"),
    ),
    "several hosts and routes": (
        {
            "routes": {"chat": {}, "embed": {}},
            "istio": {
                "hosts": [HOST, f"*.eu.{HOST}", "xn--bcher-kva.example"],
                "routes": [
                    {"name": "embed", "prefix": "/v1/embeddings", "timeout_ms": 30_000},
                    {"name": "chat", "prefix": "/v1/", "connect_retries": 0},
                ],
            },
        },
        (),
    ),
    "bodies": ({"payload": {"read": True, "hash_key_file": "payload.key"}}, ()),
    "bodies by ext_authz": ({"payload": {"read": True, "hash_key_file": "payload.key"}}, ("--via", "ext_authz")),
    "client certificates": ({"istio": {"client_certificates": True, "ports": [8443]}}, ()),
    "no network policy, no log": ({"istio": {"egress": None, "access_log": None}}, ()),
}
"""Changes of the configuration, and words of the command."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with istio_lab(tmp_path_factory.mktemp("delivery")) as running:
        yield running


@pytest.fixture
def lab(shared: Lab) -> Lab:
    shared.reset()
    return shared


def rendered(directory: Path, changes: dict[str, Any], *words: str) -> str:
    config = directory / "borderpost.yaml"
    (directory / "payload.key").write_text("0" * 64)
    (directory / "payload.key").chmod(0o600)
    config.write_text(yaml.safe_dump(merged(PLAIN, changes)))
    return render_istio(config, *words)


def arrives(lab: Lab, text: str) -> None:
    """Put what was rendered through Istio's tools and its control plane, and compare what Envoy has with it."""
    assert lab.validate(text) == []
    assert lab.analyze(text) == []
    lab.put("ours.yaml", text)
    assert lab.nacks() == []
    delivered = lab.delivered()
    filters = [one for one in yaml.safe_load_all(text) if one["kind"] == "EnvoyFilter"]
    assert not_delivered(filters, delivered, lab.port) == []
    assert delivered.clusters.keys() >= {region_cluster(region) for region in REGIONS}
    assert delivered.manager(lab.port)["http_filters"][-1]["name"] == "envoy.filters.http.router"


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_rendered_arrives_as_it_was_rendered(lab: Lab, variant: str, tmp_path: Path) -> None:
    changes, words = VARIANTS[variant]
    arrives(lab, rendered(tmp_path, changes, *words))


@pytest.mark.parametrize("version", RELEASES)
@pytest.mark.parametrize("via", Via)
def test_what_is_rendered_for_each_release_arrives(lab: Lab, via: Via, version: str, tmp_path: Path) -> None:
    """istiod is of one release: what is rendered for older ones works, and it knows the fields of newer ones."""
    style = list(RouteStyle)[list(RELEASES).index(version) % 2]
    arrives(lab, rendered(tmp_path, {"istio": {"version": version}}, "--via", via, "--route-style", style))


@pytest.mark.parametrize(
    ("tls", "names", "secrets"),
    [
        ({"ca": "/tls/ca.pem"}, [region_host("eu-1")], {"file-root:/tls/ca.pem"}),
        (
            {"mode": "mutual", "ca": "/tls/ca.pem", "certificate": "/tls/cert.pem", "key": "/tls/key.pem"},
            [region_host("eu-1")],
            {"file-root:/tls/ca.pem", "file-cert:/tls/cert.pem~/tls/key.pem"},
        ),
        (
            {"ca": "/tls/ca.pem", "names": ["spiffe://example/ns/models/sa/eu"], "sni": "models.example"},
            ["spiffe://example/ns/models/sa/eu"],
            {"file-root:/tls/ca.pem"},
        ),
    ],
    ids=["simple", "mutual", "pinned"],
)
def test_tls_to_a_region_arrives(
    lab: Lab, tls: dict[str, Any], names: list[str], secrets: set[str], tmp_path: Path
) -> None:
    """The cluster waits for certificates of the proxy's files, which Istio's agent would bring."""
    text = rendered(tmp_path, {"istio": {"regions": {"eu-1": {"tls": {"mode": "simple", **tls}}}}})
    assert lab.validate(text) == lab.analyze(text) == []
    lab.put("ours.yaml", text)
    assert lab.nacks() == []
    context = lab.delivered().warming[region_cluster("eu-1")]["transport_socket"]["typed_config"]
    assert context["sni"] == tls.get("sni", region_host("eu-1"))
    validation = context["common_tls_context"]["combined_validation_context"]
    assert validation["default_validation_context"]["match_subject_alt_names"] == [{"exact": name} for name in names]
    assert {one["name"] for one in find_all(context, "sds_config")} == secrets


def test_what_did_not_arrive_would_be_told(lab: Lab, tmp_path: Path) -> None:
    text = rendered(tmp_path, {})
    lab.put("ours.yaml", text)
    filters = [one for one in yaml.safe_load_all(text) if one["kind"] == "EnvoyFilter"]
    for patch in filters[0]["spec"]["configPatches"]:
        if patch["applyTo"] == "HTTP_FILTER":
            patch["patch"]["value"]["typed_config"]["message_timeout"] = "0.123s"
    (told,) = not_delivered(filters[:1], lab.delivered(), lab.port)
    assert "message_timeout" in told
    lab.remove("ours.yaml")
    assert not_delivered(filters, lab.delivered(), lab.port) != []
