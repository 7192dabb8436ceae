"""The doctor on what Envoy Gateway delivers: our objects are in order, and what is bent is found by the usual rules."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.cli.main import main
from borderpost_base.names import CLUSTER_HEADER
from borderpost_envoy.doctor import Expected, Source, examine, read_configuration, read_file
from support.envoy_gateway import Variant, bootstrap

PORTS = {"eu-1": 8001, "us-1": 8002, "ae-1": 8003}
EXPECTED = Expected(
    regions={region: region for region in PORTS},
    groups={"pair": frozenset({"eu-1", "us-1"})},
    servers=frozenset({"/run/borderpost/worker-0.sock"}),
)


def found(tmp_path: Path, variant: Variant, bend: Callable[[dict[str, Any]], object] = lambda _tree: None) -> set[str]:
    tree = copy.deepcopy(bootstrap(variant, ports=PORTS, socket=Path("/run/borderpost/worker-0.sock")))
    bend(tree)
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(tree))
    source: Source = read_file(path)
    return {finding.rule.id for finding in examine(read_configuration(source), EXPECTED)}


def test_what_we_render_is_in_order(tmp_path: Path) -> None:
    assert found(tmp_path, "patched") == set()


def test_patches_that_were_not_applied_are_told(tmp_path: Path) -> None:
    assert found(tmp_path, "unpatched") >= {"BPD011", "BPD015", "BPD044"}


def routes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    (listener,) = tree["staticResources"]["listeners"]
    manager = listener["defaultFilterChain"]["filters"][0]["typedConfig"]
    for host in manager["routeConfig"]["virtualHosts"]:
        yield from host["routes"]


def route(tree: dict[str, Any], name: str | None) -> dict[str, Any]:
    """Return the route by our header of this value; without one the route that refuses."""
    for one in routes(tree):
        headers = one["match"].get("headers", [])
        if (headers[0]["stringMatch"]["exact"] if headers else None) == name:
            return one
    raise AssertionError(name)


def cluster(tree: dict[str, Any], name: str) -> dict[str, Any]:
    named = route(tree, name)["route"]["cluster"]
    (one,) = (each for each in tree["staticResources"]["clusters"] if each["name"] == named)
    return dict(one)


def _moved(tree: dict[str, Any]) -> None:
    """The group's second place is a region that is none of it."""
    group = cluster(tree, "pair")["loadAssignment"]["endpoints"]
    group[1]["lbEndpoints"][0]["endpoint"]["address"]["socketAddress"]["portValue"] = PORTS["ae-1"]


def _mixed(tree: dict[str, Any]) -> None:
    cluster(tree, "eu-1")["loadAssignment"]["endpoints"].append(
        {**cluster(tree, "us-1")["loadAssignment"]["endpoints"][0], "priority": 1}
    )


def _retried(tree: dict[str, Any]) -> None:
    route(tree, "eu-1")["route"]["retryPolicy"] = route(tree, "pair")["route"]["retryPolicy"]


def _believed(tree: dict[str, Any]) -> None:
    (listener,) = tree["staticResources"]["listeners"]
    del listener["defaultFilterChain"]["filters"][0]["typedConfig"]["earlyHeaderMutationExtensions"]


BENT: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a rule for one region leads to another": (
        lambda tree: route(tree, "eu-1")["route"].update(cluster=route(tree, "us-1")["route"]["cluster"]),
        "BPD026",
    ),
    "the first route leads somewhere": (
        lambda tree: (route(tree, None).pop("directResponse"), route(tree, None).update(route={"cluster": "x"})),
        "BPD026",
    ),
    "a region has no rule": (
        lambda tree: route(tree, "ae-1")["match"]["headers"][0].update(name="x-other"),
        "BPD036",
    ),
    "a group reaches a region that is none of it": (_moved, "BPD036"),
    "a region has another's endpoints behind its own": (_mixed, "BPD034"),
    "a region's rule retries into the next priority": (_retried, "BPD038"),
    "clients may bring our headers": (_believed, "BPD020"),
}


@pytest.mark.parametrize(("bend", "rule"), BENT.values(), ids=BENT.keys())
def test_what_is_bent_is_found(tmp_path: Path, bend: Callable[[dict[str, Any]], object], rule: str) -> None:
    assert rule in found(tmp_path, "patched", bend)


# The objects


CONFIG = """\
here: {country: DE}
region_defaults: {retention: same, telemetry: same}
regions: {eu-1: {country: DE}, us-1: {country: US}, ae-1: {country: AE}}
failover: {pair: {regions: [eu-1, us-1]}}
server: {directory: /run/borderpost}
"""
OBJECTS = Path(__file__).resolve().parents[2] / "istio/envoy-gateway"


def found_in_objects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bend: Callable[[dict[str, Any]], object] = lambda _named: None
) -> set[str]:
    """Return the rules that are broken in the rendered objects; `bend` is given them by kind and name."""
    documents = [
        document for path in ("rendered/sidecar.yaml", "gateway.yaml")
        for document in yaml.safe_load_all((OBJECTS / path).read_text(encoding="utf-8"))
    ]  # fmt: skip
    bend({f"{each['kind']} {each['metadata']['name']}": each for each in documents})
    (tmp_path / "borderpost.yaml").write_text(CONFIG)
    (tmp_path / "objects.yaml").write_text(yaml.safe_dump_all(documents))
    words = ["doctor", "--config", str(tmp_path / "borderpost.yaml"), str(tmp_path / "objects.yaml"), "--json"]
    assert main(words) in (0, 1)
    return {one["rule"] for one in json.loads(capsys.readouterr().out)["findings"]}


FAILOVER = "HTTPRoute borderpost-failover-pair"
BENT_OBJECTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "the fallback is another region": (
        lambda named: named["Backend borderpost-fallback-us-1"]["spec"].update(
            endpoints=named["Backend borderpost-region-ae-1"]["spec"]["endpoints"]
        ),
        "BPD097",
    ),
    "none is the fallback": (
        lambda named: named["Backend borderpost-fallback-us-1"]["spec"].pop("fallback"),
        "BPD078",
    ),
    "a third backend": (
        lambda named: named[FAILOVER]["spec"]["rules"][0]["backendRefs"].append(
            {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "borderpost-region-ae-1"}
        ),
        "BPD078",
    ),
    "in the other order": (
        lambda named: named[FAILOVER]["spec"]["rules"][0]["backendRefs"].reverse(),
        "BPD097",
    ),
    "the rule of another name": (
        lambda named: named[FAILOVER]["spec"]["rules"][0]["matches"][0]["headers"][0].update(value="eu-1"),
        "BPD097",
    ),
}


def test_the_rendered_objects_are_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert found_in_objects(tmp_path, capsys) == set()


@pytest.mark.parametrize(("bend", "rule"), BENT_OBJECTS.values(), ids=BENT_OBJECTS.keys())
def test_what_is_bent_in_the_objects_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bend: Callable[[dict[str, Any]], object], rule: str
) -> None:
    assert rule in found_in_objects(tmp_path, capsys, bend)


def test_the_header_is_ours() -> None:
    tree = bootstrap("patched", ports=PORTS, socket=Path("/run/borderpost/worker-0.sock"))
    assert {one["match"]["headers"][0]["name"] for one in routes(tree) if "headers" in one["match"]} == {CLUSTER_HEADER}
