"""A rendered Envoy between a programmable processor and three regions: the wiring without the product."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from borderpost_base.names import CLIENT_HEADER
from borderpost_envoy import EnvoyPlan, HostPort, RegionCluster, RouteStyle, UnixSocket, Via, render_bootstrap
from support.client import Header, Reply, send
from support.envoy_process import EnvoyProcess
from support.stub_processor import Act, Say, StubProcessor, allow_to, deny, refuse, route_to
from support.upstreams import Behaviour, RegionServers

REGIONS = ("eu-1", "us-1", "ae-1")
HEADERS_READ = ("x-request-id", "x-data-class", "x-data-residency")
DECISION = "0123456789abcdef0123456789abcdef"
LOOPBACK_ANY = HostPort("127.0.0.1", 0)


def plan_for(socket: Path, ports: dict[str, int], **changes: Any) -> EnvoyPlan:
    """Return the plan of the wiring tests: every port chosen by the system."""
    regions = tuple(RegionCluster(name, name, (HostPort("127.0.0.1", port),)) for name, port in ports.items())
    settings: dict[str, Any] = {
        "listen": LOOPBACK_ANY,
        "admin": LOOPBACK_ANY,
        "servers": (UnixSocket(str(socket)),),
        "regions": regions,
        "headers_read": HEADERS_READ,
        "message_timeout_ms": 400,
        **changes,
    }
    return EnvoyPlan(**settings)


class Wiring:
    """What a test of the wiring holds in its hands."""

    def __init__(self, via: Via, style: RouteStyle, envoy: EnvoyProcess, stub: StubProcessor, regions: RegionServers):
        self.via = via
        self.style = style
        self.envoy = envoy
        self.stub = stub
        self.regions = regions

    def reset(self) -> None:
        """Forget what earlier tests did."""
        self.stub.requests.clear()
        self.regions.forget()
        for region in self.regions.ports:
            self.regions.behave(region, Behaviour())
            self.regions.revive(region)

    def send(self, headers: list[Header] | None = None, **how: Any) -> Reply:
        """Send one request through Envoy."""
        return send(self.envoy.port, headers=headers or [], **how)

    def answer(self, act: Act | Callable[[Any], Act]) -> None:
        """Set what the processor does from now on."""
        self.stub.decide = act if callable(act) else lambda _request: act

    def route(self, cluster: str, **metadata: str) -> Say:
        """Return the answer that names a cluster, in this door's protocol."""
        told = metadata or {"decision": DECISION, "region": cluster, "jurisdiction": "DE", "rule": "gdpr/adequacy"}
        return route_to(cluster, metadata=told) if self.via is Via.EXT_PROC else allow_to(cluster, metadata=told)

    def refuse(self, status: int, headers: dict[str, str] | None = None) -> Say:
        """Return the answer that refuses, in this door's protocol."""
        return refuse(status, headers=headers) if self.via is Via.EXT_PROC else deny(status, headers=headers)

    @property
    def served(self) -> dict[str, int]:
        """Regions that got requests, with how many."""
        return {region: count for region, count in self.regions.counts.items() if count}


@contextmanager
def wired(
    directory: Path,
    *,
    via: Via = Via.EXT_PROC,
    style: RouteStyle = RouteStyle.MATCHER,
    patch: Callable[[dict[str, Any]], dict[str, Any]] = lambda rendered: rendered,
    **plan: Any,
) -> Iterator[Wiring]:
    """Start regions, the stub and a rendered Envoy; `patch` may spoil the bootstrap on purpose."""
    socket = directory / "stub.sock"
    with RegionServers(REGIONS) as regions, StubProcessor(socket, lambda _request: route_to("eu-1")) as stub:
        settings = {"via": via, "route_style": style, **plan}
        bootstrap = patch(render_bootstrap(plan_for(socket, regions.ports, **settings)))
        with EnvoyProcess(bootstrap, directory) as envoy:
            yield Wiring(via, style, envoy, stub, regions)


def headers_told(request: Any) -> dict[str, list[bytes]]:
    """Return the request headers that Envoy told the processor, by name, whichever the door."""
    if hasattr(request, "request_headers"):
        found = request.request_headers.headers.headers
    else:
        found = request.attributes.request.http.header_map.headers
    told: dict[str, list[bytes]] = {}
    for header in found:
        told.setdefault(header.key, []).append(header.raw_value or header.value.encode())
    return told


def address_told(request: Any) -> str:
    """Return the client address that Envoy told the processor, without its port."""
    if hasattr(request, "request_headers"):
        attributes = request.attributes["envoy.filters.http.ext_proc"].fields
        text: str = attributes["source.address"].string_value
        return text.rpartition(":")[0].strip("[]")
    (address,) = headers_told(request)[CLIENT_HEADER]
    return address.decode()
