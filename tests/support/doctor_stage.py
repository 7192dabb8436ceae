"""One Envoy for all failing examples of the doctor and their mended twins: a listener and clusters of its own for each.

What an example is spoiled in concerns its listener and its clusters alone; so that many can live in one Envoy, the
names of its clusters get the example's name before them, and ports and sockets become those of the test.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from borderpost.demo.http_client import Header, Reply, send
from support.client import region_of
from support.doctor_cases import PORTS, Tree, clusters, manager, routes, table
from support.envoy_process import EnvoyProcess
from support.stub_processor import WITHIN_LIMIT, Act, Say, StubProcessor, allow_to, deny, refuse, route_to
from support.upstreams import Behaviour, RegionServers

_MOVED = ("eu-1-leaf", "default", "other", "borderpost", "PassthroughCluster")
"""Names of clusters, where the name of a cluster stands; those of regions are moved wherever they stand."""
_CLUSTER_KEYS = ("cluster", "cluster_name", "clusters", "name")
_SOCKET = "/run/borderpost/worker-0.sock"
_DETAILS: Tree = {
    "mappers": [
        {
            "filter": {
                "status_code_filter": {
                    "comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "doctor.none"}}
                }
            },
            "headers_to_add": [{"header": {"key": "x-details", "value": "%RESPONSE_CODE_DETAILS%"}}],
        }
    ]
}
"""Tells in `x-details` why Envoy answered by itself."""


def with_fallback(tree: Tree) -> None:
    """Give the routes what VirtualServices of others often have: where no decision matches, a cluster all the same.

    So it shows whether a request goes on that should have been stopped; on the rendered routes it would lead nowhere.
    """
    first = routes(tree)[0]
    table(tree).pop("cluster_specifier_plugins", None)
    first["route"].pop("cluster_specifier_plugin", None)
    kept = []
    for region in PORTS:
        one = copy.deepcopy(first)
        one["match"]["headers"] = [{"name": "x-borderpost-cluster", "string_match": {"exact": region}}]
        one["route"]["cluster"] = region
        kept.append(one)
    first["route"]["cluster"] = "us-1"
    routes(tree)[:0] = kept


def moved(tree: Tree, key: str, directory: Path, ports: Mapping[str, int]) -> Tree:
    """Return a bootstrap's listeners and clusters as those of one example among many."""
    tree = copy.deepcopy(tree)
    for one in tree["static_resources"]["listeners"]:
        one["name"] = key if one["name"] == "ingress" else f"{key}/{one['name']}"
    config = manager(tree)
    config["stat_prefix"] = key
    config["local_reply_config"] = _DETAILS
    for log in config.get("access_log", []):
        if "path" in log["typed_config"]:
            log["typed_config"]["path"] = str(directory / f"{key}.log")
    if "other" in json.dumps(tree) and not any(one["name"] == "other" for one in clusters(tree)):
        own = next((one for one in clusters(tree) if one["name"] == "borderpost"), None)
        if own is not None:
            clusters(tree).append({**copy.deepcopy(own), "name": "other"})
    for one in clusters(tree):
        connect(one, directory, ports)
    found: Tree = _renamed(tree, key, "")
    return found


def connect(cluster: Tree, directory: Path, ports: Mapping[str, int]) -> None:
    """Move a cluster's endpoints to the sockets and ports of the test."""
    live = {old: ports[region] for region, old in PORTS.items()}
    for address in _addresses(cluster):
        if "pipe" in address and address["pipe"]["path"] == _SOCKET:
            address["pipe"]["path"] = str(directory / ("other.sock" if cluster["name"] == "other" else "stub.sock"))
        elif "socket_address" in address:
            port = address["socket_address"]["port_value"]
            address["socket_address"]["port_value"] = live.get(port, port)


def _addresses(value: Any) -> Iterator[Tree]:
    if isinstance(value, dict):
        if "pipe" in value or "socket_address" in value:
            yield value
        for inner in value.values():
            yield from _addresses(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _addresses(inner)


def _renamed(value: Any, key: str, at: str) -> Any:
    if isinstance(value, dict):
        return {f"{key}.{name}" if name in PORTS else name: _renamed(inner, key, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, key, at) for inner in value]
    if isinstance(value, str):
        if value in PORTS or (value in _MOVED and at in _CLUSTER_KEYS):
            return f"{key}.{value}"
        return value.replace("'us-1'", f"'{key}.us-1'")
    return value


class Stage:
    """What a test holds in its hands."""

    def __init__(self, envoy: EnvoyProcess, directory: Path, stubs: tuple[StubProcessor, StubProcessor]) -> None:
        self.envoy = envoy
        self.directory = directory
        self.stub, self.other = stubs
        self.regions: RegionServers
        self.ports: dict[str, int] = {}
        self.key = ""
        """The example that is asked now."""
        self.via_authz = False

    def begin(self, key: str, *, via_authz: bool) -> None:
        """Forget what was before, and ask this example from now on."""
        self.key, self.via_authz = key, via_authz
        for stub in (self.stub, self.other):
            stub.requests.clear()
            stub.limits.clear()
            stub.limit_answer = WITHIN_LIMIT
        self.regions.forget()
        for region in self.regions.ports:
            self.regions.behave(region, Behaviour())

    def send(self, headers: Iterable[Header] = (), *, listener: str = "", **how: Any) -> Reply:
        """Send one request to the example's listener."""
        port = self.ports[f"{self.key}/{listener}" if listener else self.key]
        return send(port, headers=headers, **how)

    def cluster(self, name: str) -> str:
        """Return the name that a cluster of the example has in this Envoy."""
        return f"{self.key}.{name}"

    def to(self, region: str) -> Say:
        """Return the answer that routes to a region."""
        name = self.cluster(region)
        told = {"decision": "0" * 32, "region": region}
        return allow_to(name, metadata=told) if self.via_authz else route_to(name, metadata=told)

    def refusal(self) -> Say:
        """Return the answer that refuses as law does."""
        return deny(451) if self.via_authz else refuse(451)

    def answer(self, act: Act | Callable[[Any], Act]) -> None:
        """Set what Borderpost's stand-in does from now on."""
        self.stub.decide = act if callable(act) else lambda _request: act

    @property
    def served(self) -> dict[str, int]:
        """Regions that got requests, with how many."""
        return {region: count for region, count in self.regions.counts.items() if count}

    def served_by(self, region: str, reply: Reply) -> bool:
        """Return True if the region answered."""
        return region_of(reply) == region

    def logged(self, text: str, within_s: float = 10.0) -> str:
        """Return the example's access log once it holds the text."""
        path = self.directory / f"{self.key}.log"
        deadline = time.monotonic() + within_s
        while not path.exists() or text not in path.read_text():
            assert time.monotonic() < deadline, f"no {text} in the access log"
            time.sleep(0.02)
        return path.read_text()


@contextmanager
def staged(directory: Path, trees: Mapping[str, Tree]) -> Iterator[Stage]:
    """Start regions, two stand-ins and one Envoy with all the examples."""
    with ExitStack() as undo:
        regions = undo.enter_context(RegionServers(PORTS))
        stub = undo.enter_context(StubProcessor(directory / "stub.sock", lambda _request: refuse(451)))
        other = undo.enter_context(StubProcessor(directory / "other.sock", lambda _request: refuse(451)))
        bootstrap = together({key: moved(tree, key, directory, regions.ports) for key, tree in trees.items()})
        envoy = undo.enter_context(EnvoyProcess(bootstrap, directory))
        stage = Stage(envoy, directory, (stub, other))
        stage.regions = regions
        listeners = json.loads(envoy.admin("/listeners?format=json"))["listener_statuses"]
        stage.ports = {one["name"]: one["local_address"]["socket_address"]["port_value"] for one in listeners}
        yield stage


def together(trees: Mapping[str, Tree]) -> Tree:
    """Return one bootstrap with the listeners and clusters of all."""
    parts = ("listeners", "clusters")
    return {
        "static_resources": {
            part: [one for tree in trees.values() for one in tree["static_resources"][part]] for part in parts
        },
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
    }
