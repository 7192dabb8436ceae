"""The rate-limit filter through the real istiod: it is asked, and what holds where nobody answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from borderpost.config.rate_limit import Descriptor, DescriptorEntry, RateLimitSpec
from borderpost.demo.istio.gateway_node import LABELS, NAMESPACE
from borderpost_envoy import RouteStyle, UnixSocket
from borderpost_istio import render_objects, to_stream
from borderpost_proto.rate_limit_pb2 import RateLimitRequest
from support.gateway import eventually
from support.istio_lab import Lab, istio_lab
from support.istio_plans import plan, region
from support.stub_processor import OVER_LIMIT, WITHIN_LIMIT, StubProcessor, route_to
from support.upstreams import RegionServers

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

HOST = "inference.example.com"
DECISION = "ab" * 16


class Limited:
    """A gateway, and a stub that can be asked about limits too."""

    def __init__(self, lab: Lab, socket: Path, port: int) -> None:
        self.lab = lab
        self.socket = socket
        self.stub: StubProcessor
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


def asking(socket: Path) -> RateLimitSpec:
    return RateLimitSpec(
        domain="inference",
        socket=str(socket),
        when_unreachable="refuse",
        timeout_ms=3000,
        descriptors=(
            Descriptor(keys=(DescriptorEntry(key="gateway", value="inference"),)),
            Descriptor(keys=(DescriptorEntry(key="id", header="x-id"),)),
        ),
    )


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    directory = tmp_path_factory.mktemp("limited")
    socket = directory / "stub.sock"
    with RegionServers(["eu-1"]) as servers, istio_lab(directory) as lab:
        found = Limited(lab, socket, servers.ports["eu-1"])
        told = {"decision": DECISION, "region": "eu-1", "tenant": "acme"}
        with StubProcessor(socket, lambda _request: route_to(found.region.cluster, metadata=told)) as found.stub:
            yield found


@pytest.mark.parametrize("hosts", [(HOST,), ("*",)], ids=["host", "gateway"])
@pytest.mark.parametrize("style", RouteStyle)
def test_what_an_unreachable_service_means_is_as_configured(
    limited: Limited, hosts: tuple[str, ...], style: RouteStyle, tmp_path: Path
) -> None:
    nobody = asking(tmp_path / "nobody.sock")
    limited.put(None, hosts, style)
    assert limited.status() == 200
    limited.put(nobody, hosts, style)
    assert limited.status() == 500
    limited.put(nobody.model_copy(update={"when_unreachable": "admit"}), hosts, style)
    assert limited.status() == 200
    assert limited.status("elsewhere.example.com") == (200 if hosts == ("*",) else 404)


@pytest.mark.parametrize("hosts", [(HOST,), ("*",)], ids=["host", "gateway"])
@pytest.mark.parametrize("style", RouteStyle)
def test_what_is_over_the_limit_is_429_and_no_region_sees_it(
    limited: Limited, hosts: tuple[str, ...], style: RouteStyle
) -> None:
    limited.put(asking(limited.socket), hosts, style)
    limited.stub.limits.clear()
    assert limited.status() == 200
    limited.stub.limit_answer = OVER_LIMIT
    try:
        assert limited.lab.send(headers=[("host", HOST), ("x-id", "me")]).status == 429
    finally:
        limited.stub.limit_answer = WITHIN_LIMIT
    first, second = limited.stub.limits
    assert b"inference" in first and b"me" not in first.replace(b"inference", b"")
    assert b"x-id" not in second and b"id" in second and second.endswith(b"me")


@pytest.mark.parametrize("hosts", [(HOST,), ("*",)], ids=["host", "gateway"])
@pytest.mark.parametrize("style", RouteStyle)
def test_what_a_response_says_is_charged_at_its_end_and_a_lease_given_back(
    limited: Limited, hosts: tuple[str, ...], style: RouteStyle
) -> None:
    tenant = DescriptorEntry(key="tenant", fact="tenant")
    spec = asking(limited.socket).model_copy(
        update={
            "service": "borderpost",
            "descriptors": (
                Descriptor(keys=(tenant,), charge="usage.total_tokens"),
                Descriptor(keys=(tenant, DescriptorEntry(key="class", fact="class")), release=True),
            ),
        }
    )
    limited.put(spec, hosts, style)
    limited.stub.limits.clear()
    assert limited.status() == 200
    eventually(lambda: len(limited.stub.limits) == 2, "asked, and told of the end")
    asked, told = (RateLimitRequest.FromString(message).descriptors for message in limited.stub.limits)
    name = ("borderpost.request", DECISION.encode())
    keys = [("tenant", b"acme"), name], [("tenant", b"acme"), ("class", b"-"), name]
    assert [[(entry.key, entry.value) for entry in each.entries] for each in asked] == list(keys)
    done = ("borderpost.phase", b"done")
    assert [[(entry.key, entry.value) for entry in each.entries] for each in told] == [[*each, done] for each in keys]
    assert [each.hits_addend.value for each in told] == [7, 0]
    assert not any(each.HasField("hits_addend") for each in asked)
