"""A gateway that istiod configured, between a programmable processor and three regions: the mesh without the product.

It is the wiring of `support.wiring`, but what stands in Envoy went through the control plane as YAML.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from borderpost.cli.main import build_command
from borderpost.cli.output import CLEAN, COULD_NOT_RUN, Output
from borderpost.config.istio import IstioVersion
from borderpost.config.load import load_config
from borderpost.demo.istio.scenery import HOST, istio_section
from borderpost.reports.finding import Level
from borderpost_base.names import EXT_AUTHZ_FILTER, EXT_PROC_FILTER
from borderpost_envoy import RouteStyle, Via
from support.client import Reply
from support.istio_lab import Lab, istio_lab
from support.istio_patches import region_cluster
from support.stub_processor import StubProcessor, route_to
from support.upstreams import RegionServers
from support.wiring import REGIONS, Wiring

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

    def __init__(self, rendering: Rendering, config: Path, lab: Lab, stub: StubProcessor, regions: RegionServers):
        super().__init__(rendering.via, rendering.style, lab.envoy, stub, regions)
        self.rendering = rendering
        self.config = config
        self.lab = lab
        self.text = render_istio(config, "--via", str(rendering.via), "--route-style", str(rendering.style))
        """What we render, as it is applied."""

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

    def found(self) -> set[str]:
        """Return the rules that `borderpost doctor` finds broken, in what Envoy has and in what istiod was given.

        Notes are no findings: that Istio lets websockets through the usual filters is one.
        """
        live = ("--admin", f"127.0.0.1:{self.envoy.admin_port}", str(self.lab.istiod.live))
        parser, command = build_command("doctor")
        printed = io.StringIO()
        arguments = parser.parse_args(["--json", "--config", str(self.config), *live])
        code = command.run(arguments, Output("doctor", as_json=True, stdout=printed))
        document = json.loads(printed.getvalue())
        assert code != COULD_NOT_RUN, document
        return {one["rule"] for one in document["findings"] if one["level"] != Level.NOTE}

    def refused(self, reply: Reply) -> bool:
        """Return whether Envoy answered by itself and no region got the request."""
        return reply.status in (403, 404, 503) and self.served == {}


@contextmanager
def meshed(directory: Path, rendering: Rendering, **lab: Any) -> Iterator[MeshWiring]:
    """Start regions, the stub, istiod and its gateway, with what we render."""
    with RegionServers(REGIONS) as regions:
        config = directory / "borderpost.yaml"
        config.write_text(yaml.safe_dump(_configuration(rendering, regions.ports)))
        socket = load_config(config, {}).config.server.socket_of(0)
        socket.parent.mkdir(exist_ok=True)
        with (
            StubProcessor(socket, lambda _request: route_to("nowhere")) as stub,
            istio_lab(directory, **lab) as running,
        ):
            wiring = MeshWiring(rendering, config, running, stub, regions)
            running.put(OURS, wiring.text)
            yield wiring


def render_istio(config: Path, *words: str) -> str:
    """Return what `borderpost render istio --config FILE WORDS` prints, in this process."""
    parser, command = build_command("render")
    printed = io.StringIO()
    arguments = parser.parse_args(["istio", "--config", str(config), *words])
    assert command.run(arguments, Output("render", stdout=printed)) == CLEAN
    return printed.getvalue()


def _configuration(rendering: Rendering, ports: Mapping[str, int]) -> dict[str, Any]:
    return {
        "here": {"country": "DE"},
        "regions": {region: {"country": region[:2].upper().replace("EU", "DE")} for region in ports},
        "server": {"directory": "server", "workers": 1},
        "istio": {**istio_section(ports), "hosts": list(rendering.hosts), "version": rendering.version},
    }
