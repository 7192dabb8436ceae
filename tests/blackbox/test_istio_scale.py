"""300 regions and 1,000 hosts through the real istiod: what is rendered, how large, how fast, and that it serves."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from borderpost.demo.istio.gateway_node import LABELS, NAMESPACE
from borderpost_envoy import RouteStyle, UnixSocket
from borderpost_istio import render_objects, to_stream
from borderpost_istio.sizes import bytes_of
from support.istio_lab import istio_lab
from support.istio_plans import plan, region
from support.stub_processor import StubProcessor, route_to
from support.upstreams import RegionServers

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

REGIONS = 300
HOSTS = tuple(f"tenant-{number:04}.inference.example.com" for number in range(1000))
ANNOTATION_BYTES_MAX = 256 << 10
"""What `kubectl apply` may keep of an object in an annotation."""


@pytest.mark.parametrize(
    ("version", "style"),
    [("1.29", RouteStyle.MATCHER), ("1.30", RouteStyle.MATCHER), ("1.29", RouteStyle.CLUSTER_HEADER)],
    ids=["routes", "table", "cluster_header"],
)
def test_many_regions_and_hosts(tmp_path: Path, version: str, style: RouteStyle) -> None:
    socket = tmp_path / "stub.sock"
    with RegionServers(["eu-1"]) as servers, istio_lab(tmp_path) as lab:
        endpoint = f"127.0.0.1:{servers.ports['eu-1']}"
        regions = tuple(
            region(
                f"region-{number:03}",
                host=f"region-{number:03}.example.com",
                endpoints=[endpoint],
                tls={"mode": "off"},
            )
            for number in range(REGIONS)
        )
        began = time.monotonic()
        objects = render_objects(
            plan(
                servers=(UnixSocket(str(socket)),),
                server_tls=None,
                regions=regions,
                hosts=HOSTS,
                version=version,
                route_style=style,
                namespace=NAMESPACE,
                workload=dict(LABELS),
                gateways=("ingress",),
                message_timeout_ms=3000,
            )
        )
        text = to_stream(objects)
        rendered = time.monotonic()
        lab.put("ours.yaml", text)
        delivered = time.monotonic()
        print(f"{len(objects)} objects, {len(text):,} bytes in {rendered - began:.1f} s")
        print(f"in Envoy after {delivered - rendered:.1f} s")
        assert max(map(bytes_of, objects)) < ANNOTATION_BYTES_MAX
        assert lab.nacks() == []
        assert len(json.dumps(lab.delivered().routes)) < 2 << 20, "hosts share their routes"
        chosen = regions[-1].cluster
        with StubProcessor(socket, lambda _request: route_to(chosen)):
            assert [lab.send(headers=[("host", host)]).status for host in (HOSTS[0], HOSTS[-1])] == [200, 200]
            assert lab.send(headers=[("host", "elsewhere.example.com")]).status == 404
