"""What Envoy Gateway makes of our objects, on a real Envoy: its recorded translation as a bootstrap.

The recording (`tools/envoy_gateway_recording.py`) is of Envoy Gateway's own translator. What it delivers by xDS stands
in the bootstrap here, the addresses are those of the test, and a decision may take as long as on a busy machine;
nothing else is changed.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from borderpost_envoy import RouteStyle, Via
from support.envoy_process import EnvoyProcess
from support.stub_processor import StubProcessor, route_to
from support.upstreams import RegionServers
from support.wiring import REGIONS, Wiring

RECORDING = Path(__file__).resolve().parents[2] / "istio/envoy-gateway/translated.json"
_READINESS = "envoy-gateway-proxy-ready"
"""How the name of the listener begins that the kubelet asks."""
_BOUND = "1s"

Variant = Literal["patched", "unpatched"]


def recorded(variant: Variant) -> dict[str, list[Any]]:
    """Return what Envoy Gateway delivers, with our EnvoyPatchPolicy or without it."""
    resources: dict[str, list[Any]] = json.loads(RECORDING.read_text(encoding="utf-8"))[variant]
    return resources


def bootstrap(variant: Variant, *, ports: dict[str, int], socket: Path) -> dict[str, Any]:
    """Return a bootstrap of the recorded resources; region N of the wiring tests stands for 192.0.2.N."""
    resources = copy.deepcopy(recorded(variant))
    routes = {each["name"]: each for each in resources["Routes"]}
    endpoints = {each["clusterName"]: each for each in resources["Endpoints"]}
    (listener,) = (each for each in resources["Listeners"] if not each["name"].startswith(_READINESS))
    listener["address"]["socketAddress"] = {"address": "127.0.0.1", "portValue": 0}
    for manager in _holders(listener, "rds"):
        manager["routeConfig"] = routes[manager.pop("rds")["routeConfigName"]]
    for filter in _holders(listener, "messageTimeout"):
        filter["messageTimeout"] = _BOUND
    clusters = [each for each in resources["Clusters"] if each.get("type") == "EDS" and each["name"] in endpoints]
    for cluster in clusters:
        cluster["type"] = "STATIC"
        del cluster["edsClusterConfig"]
        cluster["loadAssignment"] = endpoints[cluster["name"]]
    numbered = dict(enumerate(REGIONS, 1))
    for holder in _holders(clusters, "socketAddress"):
        number = int(holder["socketAddress"]["address"].rpartition(".")[2])
        holder["socketAddress"] = {"address": "127.0.0.1", "portValue": ports[numbered[number]]}
    for holder in _holders(clusters, "pipe"):
        holder["pipe"]["path"] = str(socket)
    return {
        "admin": {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": 0}}},
        "staticResources": {"listeners": [listener], "clusters": clusters},
    }


@contextmanager
def gateway_wiring(directory: Path, variant: Variant) -> Iterator[Wiring]:
    """Start regions, the stub and Envoy with what Envoy Gateway delivers."""
    socket = directory / "stub.sock"
    with (
        RegionServers(REGIONS) as regions,
        StubProcessor(socket, lambda _request: route_to("eu-1")) as stub,
        EnvoyProcess(bootstrap(variant, ports=regions.ports, socket=socket), directory) as envoy,
    ):
        yield Wiring(Via.EXT_PROC, RouteStyle.MATCHER, envoy, stub, regions)


def _holders(tree: Any, key: str) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        if key in tree:
            yield tree
        for value in list(tree.values()):
            yield from _holders(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from _holders(value, key)
