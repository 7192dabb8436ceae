"""The rate-limit filter through the real istiod: it is asked, and what holds where nobody answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from borderpost.config.rate_limit import DescriptorEntry, RateLimitSpec
from borderpost.demo.istio.gateway_node import LABELS, NAMESPACE
from borderpost_envoy import RouteStyle, UnixSocket
from borderpost_istio import render_objects, to_stream
from support.istio_lab import Lab, istio_lab
from support.istio_plans import plan, region
from support.stub_processor import StubProcessor, route_to
from support.upstreams import RegionServers

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

HOST = "inference.example.com"


class Limited:
    """A gateway whose rate-limit service nobody has started."""

    def __init__(self, lab: Lab, socket: Path, port: int) -> None:
        self.lab = lab
        self.socket = socket
        self.region = region("eu-1", host="eu-1.example.com", endpoints=[f"127.0.0.1:{port}"], tls={"mode": "off"})

    def put(self, spec: RateLimitSpec | None, hosts: tuple[str, ...], style: RouteStyle) -> None:
        made = plan(
            servers=(UnixSocket(str(self.socket)),), server_tls=None, regions=(self.region,), hosts=hosts,
            route_style=style, rate_limit=spec, namespace=NAMESPACE, workload=dict(LABELS), gateways=("ingress",),
            message_timeout_ms=3000,
        )  # fmt: skip
        self.lab.put("ours.yaml", to_stream(render_objects(made)))
        assert self.lab.nacks() == []

    def status(self, host: str = HOST) -> int:
        return self.lab.send(headers=[("host", host)]).status


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    directory = tmp_path_factory.mktemp("limited")
    socket = directory / "stub.sock"
    with RegionServers(["eu-1"]) as servers, istio_lab(directory) as lab:
        found = Limited(lab, socket, servers.ports["eu-1"])
        with StubProcessor(socket, lambda _request: route_to(found.region.cluster)):
            yield found


@pytest.mark.parametrize("hosts", [(HOST,), ("*",)], ids=["host", "gateway"])
@pytest.mark.parametrize("style", RouteStyle)
def test_what_an_unreachable_service_means_is_as_configured(
    limited: Limited, hosts: tuple[str, ...], style: RouteStyle, tmp_path: Path
) -> None:
    nobody = RateLimitSpec(
        domain="inference",
        socket=str(tmp_path / "nobody.sock"),
        when_unreachable="refuse",
        descriptors=((DescriptorEntry(key="gateway", value="inference"),),),
    )
    limited.put(None, hosts, style)
    assert limited.status() == 200
    limited.put(nobody, hosts, style)
    assert limited.status() == 500
    limited.put(nobody.model_copy(update={"when_unreachable": "admit"}), hosts, style)
    assert limited.status() == 200
    assert limited.status("elsewhere.example.com") == (200 if hosts == ("*",) else 404)
