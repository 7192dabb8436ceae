"""A gateway that istiod configured, between a programmable processor and three regions: the mesh without the product.

It is the wiring of `support.wiring`, but what stands in Envoy went through the control plane as YAML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from borderpost.config.istio import IstioSection, IstioVersion
from borderpost.demo.istio.scenery import HOST, istio_section
from borderpost_base.names import EXT_AUTHZ_FILTER, EXT_PROC_FILTER
from borderpost_envoy import RouteStyle, UnixSocket, Via
from borderpost_istio import IstioPlan, MeshRegion, render_objects, to_stream
from support.client import Reply
from support.istio_lab import Lab, istio_lab
from support.istio_patches import region_cluster
from support.stub_processor import StubProcessor, route_to
from support.upstreams import RegionServers
from support.wiring import HEADERS_READ, REGIONS, Wiring

OURS = "borderpost.yaml"
OTHERS = "others.yaml"
"""What another team adds."""


class Rendering(NamedTuple):
    """One way of what `borderpost render istio` can render."""

    via: Via
    style: RouteStyle
    version: IstioVersion
    hosts: tuple[str, ...]

    def __str__(self) -> str:
        whole = "gateway" if self.hosts == ("*",) else "host"
        return f"{self.via}-{self.style}-{self.version}-{whole}"


RENDERINGS = (
    Rendering(Via.EXT_PROC, RouteStyle.MATCHER, "1.29", (HOST,)),
    Rendering(Via.EXT_PROC, RouteStyle.MATCHER, "1.30", ("*",)),
    Rendering(Via.EXT_PROC, RouteStyle.CLUSTER_HEADER, "1.29", (HOST,)),
    Rendering(Via.EXT_AUTHZ, RouteStyle.MATCHER, "1.29", ("*",)),
    Rendering(Via.EXT_AUTHZ, RouteStyle.CLUSTER_HEADER, "1.27", (HOST,)),
)
"""Both doors, both styles of routes, the allow-list as routes and as a table, one host and the whole gateway."""


class MeshWiring(Wiring):
    """The wiring, and the lab that it came by."""

    def __init__(self, rendering: Rendering, lab: Lab, stub: StubProcessor, regions: RegionServers):
        super().__init__(rendering.via, rendering.style, lab.envoy, stub, regions)
        self.rendering = rendering
        self.lab = lab
        self.text = to_stream(render_objects(_plan(rendering, stub.socket, regions.ports)))
        """What we render, as it is applied."""
        self.ours: list[dict[str, Any]] = list(yaml.safe_load_all(self.text))
        """The same, read."""

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
        self.lab.put(OURS, self.text)

    def go(self, region: str) -> None:
        """Have the processor decide for a region from now on."""
        self.answer(self.route(region_cluster(region)))

    def others(self, *resources: Mapping[str, Any]) -> None:
        """Add what another team has written, in place of what it had before."""
        before = self.lab.nacks()
        self.lab.put(OTHERS, list(resources))
        assert self.lab.nacks() == before

    def refused(self, reply: Reply) -> bool:
        """Return whether Envoy answered by itself and no region got the request."""
        return reply.status in (403, 404, 503) and self.served == {}


@contextmanager
def meshed(directory: Path, rendering: Rendering, **lab: Any) -> Iterator[MeshWiring]:
    """Start regions, the stub, istiod and its gateway, with what we render."""
    socket = directory / "stub.sock"
    with (
        RegionServers(REGIONS) as regions,
        StubProcessor(socket, lambda _request: route_to("nowhere")) as stub,
        istio_lab(directory, **lab) as running,
    ):
        wiring = MeshWiring(rendering, running, stub, regions)
        running.put(OURS, wiring.text)
        yield wiring


def _plan(rendering: Rendering, socket: Path, ports: Mapping[str, int]) -> IstioPlan:
    section = IstioSection.model_validate({**istio_section(ports), "hosts": rendering.hosts})
    regions = tuple(MeshRegion(name, region_cluster(name), section.regions[name]) for name in ports)
    return IstioPlan(
        servers=(UnixSocket(str(socket)),),
        regions=regions,
        headers_read=HEADERS_READ,
        via=rendering.via,
        route_style=rendering.style,
        hosts=rendering.hosts,
        trusted_hops=section.trusted_proxies,
        message_timeout_ms=section.message_timeout_ms,
        version=rendering.version,
        namespace=section.namespace,
        workload=section.workload,
        gateways=section.gateways,
    )
