"""A gateway that istiod configured, between a programmable processor and three regions: the mesh without the product.

It is the wiring of `support.wiring`, but what stands in Envoy went through the control plane as YAML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from borderpost_base.names import EXT_AUTHZ_FILTER, EXT_PROC_FILTER
from borderpost_envoy import EnvoyPlan, RouteStyle, Via, render_bootstrap
from borderpost_envoy.plan import HostPort, RegionCluster
from support.client import Reply
from support.istio_byhand import region_cluster, wired_resources
from support.istio_lab import Lab, istio_lab
from support.stub_processor import StubProcessor, route_to
from support.upstreams import RegionServers
from support.wiring import REGIONS, Wiring, plan_for

OURS = "borderpost.yaml"
OTHERS = "others.yaml"
"""What another team adds."""


class MeshWiring(Wiring):
    """The wiring, and the lab that it came by."""

    def __init__(self, via: Via, style: RouteStyle, lab: Lab, stub: StubProcessor, regions: RegionServers):
        super().__init__(via, style, lab.envoy, stub, regions)
        self.lab = lab
        self.ours: list[dict[str, Any]] = []

    @property
    def filter(self) -> str:
        """The name of our filter."""
        return EXT_PROC_FILTER if self.via is Via.EXT_PROC else EXT_AUTHZ_FILTER

    def reset(self) -> None:
        """Forget what earlier tests did, take away what they added and bring back what we render."""
        super().reset()
        live = self.lab.istiod.live
        if (live / OTHERS).exists():
            self.lab.istiod.remove(OTHERS)
        self.lab.put(OURS, self.ours)

    def go(self, region: str) -> None:
        """Have the processor decide for a region from now on."""
        self.answer(self.route(region_cluster(region)))

    def others(self, *resources: Mapping[str, Any]) -> None:
        """Add what another team has written, in place of what it had before."""
        self.lab.put(OTHERS, list(resources))
        assert self.lab.nacks() == []

    def refused(self, reply: Reply) -> bool:
        """Return whether Envoy answered by itself and no region got the request."""
        return reply.status in (403, 404, 503) and self.served == {}


@contextmanager
def meshed(directory: Path, via: Via, style: RouteStyle, **lab: Any) -> Iterator[MeshWiring]:
    """Start regions, the stub, istiod and its gateway, with what we render."""
    socket = directory / "stub.sock"
    with (
        RegionServers(REGIONS) as regions,
        StubProcessor(socket, lambda _request: route_to("nowhere")) as stub,
        istio_lab(directory, **lab) as running,
    ):
        wiring = MeshWiring(via, style, running, stub, regions)
        bootstrap = render_bootstrap(_plan(socket, regions.ports, via, style))
        wiring.ours = wired_resources(bootstrap, regions.ports)
        running.put(OURS, wiring.ours)
        yield wiring


def _plan(socket: Path, ports: dict[str, int], via: Via, style: RouteStyle) -> EnvoyPlan:
    regions = tuple(
        RegionCluster(name, region_cluster(name), (HostPort("127.0.0.1", port),)) for name, port in ports.items()
    )
    return plan_for(socket, ports, regions=regions, via=via, route_style=style, message_timeout_ms=2000)
