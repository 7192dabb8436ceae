"""Rendering for Envoy Gateway: what is said, what cannot be said, and that its own schemas take it."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from pathlib import Path
from typing import Any

import envoy_gateway_recording
import jsonschema
import pytest
import yaml
from generate_envoy_gateway import PLANS

from borderpost.cli.main import main
from borderpost_base.errors import BorderpostError
from borderpost_envoy import (
    BodyPlan,
    FailoverCluster,
    HostPort,
    RegionCluster,
    RoutePlan,
    RouteStyle,
    UnixSocket,
    UpstreamTls,
    Via,
)
from borderpost_istio.envoy_gateway import EnvoyGatewayPlan, render_objects, to_yaml
from borderpost_istio.kinds import as_data
from borderpost_istio.kinds.gateway_api import ROUTE_MATCHES_MAX, ROUTE_RULES_MAX, duration

CONFIG = """\
here: {country: DE}
region_defaults: {retention: same, telemetry: same}
regions:
  eu-1: {country: DE}
  us-1: {country: US}
failover: {pair: {regions: [eu-1, us-1]}}
server: {directory: /run/borderpost}
runtime: {directory: /run/borderpost-state}
audit: {directory: /var/lib/borderpost, log: example/gateway}
"""
WORDS = ("--gateway", "ai/ai", "--listener", "http", "--upstream", "eu-1=192.0.2.1:8000")
WHOLE = (*WORDS, "--upstream", "us-1=us.example.com:443", "--upstream-tls", "us-1=us.example.com")


def objects(plan: EnvoyGatewayPlan) -> list[dict[str, Any]]:
    return [as_data(each) for each, _ in render_objects(plan)]


def of_kind(plan: EnvoyGatewayPlan, kind: str) -> list[dict[str, Any]]:
    return [each for each in objects(plan) if each["kind"] == kind]


def run(tmp_path: Path, *words: str, config: str = CONFIG) -> int:
    (tmp_path / "borderpost.yaml").write_text(config)
    (tmp_path / "payload.key").write_text("0123456789abcdef" * 4)
    return main(["render", "envoy-gateway", "--config", str(tmp_path / "borderpost.yaml"), *words])


def test_every_route_but_the_first_needs_the_answer() -> None:
    for plan in PLANS.values():
        nowhere, *others = of_kind(plan, "HTTPRoute")
        (rule,) = nowhere["spec"]["rules"]
        assert "backendRefs" not in rule
        (refused,) = (each for each in of_kind(plan, "HTTPRouteFilter") if "directResponse" in each["spec"])
        assert rule["filters"][0]["extensionRef"]["name"] == refused["metadata"]["name"]
        assert refused["spec"]["directResponse"] == {"statusCode": 503}
        clusters = []
        for each in others:
            for rule in each["spec"]["rules"]:
                told = [match["headers"] for match in rule["matches"]]
                (header,) = {(one["type"], one["name"], one["value"]) for headers in told for one in headers}
                assert header[:2] == ("Exact", "x-borderpost-cluster")
                clusters.append(header[2])
        expected = [region.cluster for region in plan.regions] + [group.cluster for group in plan.failover]
        assert sorted(clusters) == sorted(expected)


def test_three_hundred_regions_and_names_that_break_things() -> None:
    names = [f"region-{number}" for number in range(297)] + ["r_1", "r-1", "r" + "x" * 63]
    regions = tuple(
        RegionCluster(name, f"outbound|443||{name}.example.com", (HostPort("192.0.2.1", 8000 + number),))
        for number, name in enumerate(names)
    )
    paths = tuple(RoutePlan(prefix, prefix) for prefix in ("/v1/chat", "/v1/embeddings", "/v1/files", "/v2"))
    hosts = tuple(f"h{number}.example.com" for number in range(40))
    plan = dataclasses.replace(PLANS["sidecar"], regions=regions, failover=(), routes=paths, hosts=hosts)
    found = objects(plan)
    named = [(each["kind"], each["metadata"]["name"]) for each in found]
    assert len(set(named)) == len(named)
    routes = [each["spec"] for each in found if each["kind"] == "HTTPRoute"]
    assert sum(len(spec["rules"]) for spec in routes) == 3 * (1 + len(regions))
    for spec in routes:
        assert len(spec["hostnames"]) <= 16
        assert len(spec["rules"]) <= ROUTE_RULES_MAX
        assert sum(len(rule["matches"]) for rule in spec["rules"]) <= ROUTE_MATCHES_MAX
    assert max(len(json.dumps(each)) for each in found) < 256 << 10  # etcd takes 1.5 MiB an object


def test_what_is_written_is_the_same_each_time_and_says_why() -> None:
    for name, plan in PLANS.items():
        text = to_yaml(render_objects(plan))
        assert text == to_yaml(render_objects(plan))
        assert list(yaml.safe_load_all(text)) == objects(plan), name
        assert text.count("# No answer, no route.\n") == 1
        assert "enableEnvoyPatchPolicy" in text


IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "ext_authz": ({"via": Via.EXT_AUTHZ}, "no client address"),
    "by name": ({"route_style": RouteStyle.CLUSTER_HEADER}, "matched by our header"),
    "no listener": ({"listeners": ()}, "without listeners"),
    "bodies": ({"bodies": BodyPlan(1024)}, "bodies"),
    "seventeen workers": ({"servers": tuple(UnixSocket(f"/run/{n}.sock") for n in range(17))}, "at most 16"),
    "two kinds of socket": (
        {"servers": (UnixSocket("/run/0.sock"), HostPort("192.0.2.1", 1)), "sidecar": None},
        "all on Unix sockets",
    ),
    "a sidecar on TCP": ({"servers": (HostPort("192.0.2.1", 1),)}, "reached by its Unix socket"),
    "names and addresses": (
        {
            "regions": (RegionCluster("a", "a", (HostPort("a.example", 1), HostPort("192.0.2.1", 1))),),
            "failover": (),
        },
        "names and addresses",
    ),
    "three in a group": ({"failover": (FailoverCluster("x", ("eu-1", "us-1", "ae-1")),)}, "one fallback"),
    "two bounds": ({"routes": (RoutePlan("a", "/a"), RoutePlan("b", "/b", timeout_ms=5))}, "same bounds"),
}


@pytest.mark.parametrize(("changes", "told"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_what_envoy_gateway_cannot_keep_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(BorderpostError, match=told) as raised:
        dataclasses.replace(PLANS["sidecar"], **changes)
    assert raised.value.code == "BP1422"


@pytest.mark.parametrize(
    ("words", "config", "told"),
    [
        (WHOLE, CONFIG + "routes: {chat: {}}\n", "names routes by itself"),
        (WHOLE, CONFIG + "payload: {read: true, hash_key_file: payload.key}\n", "bodies are read"),
        (WHOLE, CONFIG.replace("/run/borderpost}", "run/server}"), "lies beside the configuration file"),
        ((*WHOLE, "--image", "x"), CONFIG, "where is the record of decisions kept"),
        (
            (*WHOLE, "--image", "x", "--evidence-claim", "e", "--evidence-dies-with-pod"),
            CONFIG,
            "where is the record of decisions kept",
        ),
        (
            (*WHOLE, "--image", "x", "--evidence-claim", "e"),
            CONFIG.replace("/run/borderpost-state", "state"),
            "lies beside the configuration file",
        ),
        (WORDS, CONFIG, "no --upstream for: us-1"),
        (("--gateway", "ai", *WHOLE[2:]), CONFIG, "not NAMESPACE/NAME"),
    ],
)
def test_a_command_that_cannot_be_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], config: str, told: str
) -> None:
    assert run(tmp_path, *words, config=config) == 2
    assert told in capsys.readouterr().err


def test_the_command_renders_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, *WHOLE, "--image", "x", "--evidence-dies-with-pod", "--host", "a.example") == 0
    text = capsys.readouterr().out
    assert "# The record of every decision dies with its pod: you asked for that.\n" in text
    found = list(yaml.safe_load_all(text))
    proxy = next(each for each in found if each["kind"] == "EnvoyProxy")
    (container,) = proxy["spec"]["provider"]["kubernetes"]["envoyDeployment"]["initContainers"]
    assert container["restartPolicy"] == "Always"
    assert {"name": "BORDERPOST_AUDIT__LOG", "value": "example/gateway/$(POD_NAME)"} in container["env"]
    policy = next(each for each in found if each["kind"] == "BackendTLSPolicy")
    assert policy["spec"]["validation"] == {"wellKnownCACertificates": "System", "hostname": "us.example.com"}
    assert run(tmp_path, *WHOLE, "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["kind"] == "List"
    assert {each["kind"] for each in listed["items"]} == {each["kind"] for each in found} - {"EnvoyProxy"}


def test_a_region_s_certificate_must_have_its_name() -> None:
    region = RegionCluster("a", "a", (HostPort("a.example", 443),), UpstreamTls("b.example"))
    plan = dataclasses.replace(PLANS["sidecar"], regions=(region,), failover=())
    (policy,) = of_kind(plan, "BackendTLSPolicy")
    assert policy["spec"]["validation"]["hostname"] == "b.example"
    assert policy["spec"]["targetRefs"][0]["name"] == "borderpost-region-a"


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [(0, "0s"), (250, "250ms"), (1000, "1s"), (1500, "1s500ms"), (300_000, "300s"), (86_400_000, "86400s")],
)
def test_durations(milliseconds: int, told: str) -> None:
    assert duration(milliseconds) == told


# Envoy Gateway's own word


@pytest.mark.full
def test_the_recording_is_what_envoy_gateway_makes_of_it_today() -> None:
    egctl = envoy_gateway_recording.cached_egctl()
    if egctl is None:
        pytest.skip("needs egctl in the cache (`python tools/envoy_gateway_recording.py` builds it)")
    recorded = envoy_gateway_recording.ROOT / envoy_gateway_recording.RECORDING
    assert recorded.read_text(encoding="utf-8") == envoy_gateway_recording.recording(egctl)


@functools.cache
def schemas() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the schema of each kind and version, by Envoy Gateway's own release."""
    if shutil.which("go") is None:
        pytest.skip("needs Go to fetch Envoy Gateway's definitions")
    source = envoy_gateway_recording.module_source()
    assert source is not None
    found = {}
    for path in sorted((source / "charts/gateway-helm/charts/crds/crds").rglob("*.yaml")):
        for document in yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader):
            if document and document["kind"] == "CustomResourceDefinition":
                spec = document["spec"]
                for version in spec["versions"]:
                    api = f"{spec['group']}/{version['name']}"
                    found[api, spec["names"]["kind"]] = _closed(version["schema"]["openAPIV3Schema"])
    return found


def _closed(schema: Any) -> Any:
    """Return a schema of Kubernetes as JSON Schema that takes no field that it does not know."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return {}
    closed = {key: _closed(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed


@pytest.mark.full
@pytest.mark.parametrize("name", PLANS)
def test_envoy_gateway_s_schemas_take_every_object(name: str) -> None:
    for each in objects(PLANS[name]):
        schema = schemas()[each["apiVersion"], each["kind"]]
        schema["properties"]["metadata"] = {}  # Kubernetes' own, which the definition leaves open
        jsonschema.validate(each, schema)
        each["spec"]["borderpost"] = True
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(each, schema)
