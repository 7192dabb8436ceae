"""Observing through the real control plane: an operator's own routes stay what they are, whatever becomes of us."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from borderpost.config.istio import IstioSection
from borderpost.demo.istio.scenery import istio_section
from borderpost_base.names import OBSERVE_FILTER
from borderpost_envoy import ObservedRoute, RoutePlan, UnixSocket
from borderpost_istio import IstioPlan, MeshRegion, render_objects, to_stream
from support.istio_lab import GATEWAY, Lab, istio_lab, resource
from support.istio_patches import region_cluster, service_entry
from support.stub_processor import EndCleanly, Fail, Hang, StubProcessor, refuse
from support.upstreams import RegionServers
from support.wiring import HEADERS_READ

pytestmark = pytest.mark.blackbox

OWN_HOST = "llm.example"
_NEW_EACH_TIME = {"x-request-id", "x-b3-traceid", "x-b3-spanid"}
QUICK_S = 2.0
"""A request that waited for us would take the message timeout, three seconds."""


class Mesh(NamedTuple):
    lab: Lab
    stub: StubProcessor
    regions: RegionServers

    def send(self, path: str, **how: Any) -> tuple[int, float]:
        began_s = time.monotonic()
        reply = self.lab.send(path=path, headers=[("host", OWN_HOST)], **how)
        return reply.status, time.monotonic() - began_s

    def heard(self) -> list[dict[str, str]]:
        """Return the attributes of every message so far, once no more come."""
        fields = [one.attributes["envoy.filters.http.ext_proc"].fields for one in self.stub.requests]
        return [{name: value.string_value for name, value in each.items()} for each in fields]


def own_service() -> dict[str, Any]:
    """Return the operator's VirtualService: two routes to one region, and no word of us."""
    to = [{"destination": {"host": region_cluster("us-1").rpartition("|")[2], "port": {"number": 80}}}]
    http = [
        {"name": "chat", "match": [{"uri": {"prefix": "/v1/chat/"}}], "route": to, "timeout": "7s"},
        {"name": "other", "route": to},
    ]
    return resource("VirtualService", "own", {"hosts": [OWN_HOST], "gateways": [GATEWAY], "http": http})


def rendered(mesh_socket: Path, ports: dict[str, int], *, enforcing: bool) -> str:
    section = IstioSection.model_validate(istio_section(ports))
    plan = IstioPlan(
        servers=(UnixSocket(str(mesh_socket)),),
        regions=tuple(MeshRegion(name, region_cluster(name), section.regions[name]) for name in ports),
        headers_read=HEADERS_READ,
        routes=(RoutePlan("rest"),) if enforcing else (),
        observed=(ObservedRoute("chat"),),
        hosts=section.hosts,
        trusted_hops=section.trusted_proxies,
        message_timeout_ms=section.message_timeout_ms,
        version=section.version,
        namespace=section.namespace,
        workload=section.workload,
        gateways=section.gateways,
    )
    return to_stream(render_objects(plan))


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    directory = tmp_path_factory.mktemp("mesh")
    with (
        RegionServers(("eu-1", "us-1")) as regions,
        StubProcessor(directory / "s", lambda _request: EndCleanly()) as stub,
        istio_lab(directory) as lab,
    ):
        lab.put("service.yaml", [service_entry("us-1", regions.ports["us-1"])])
        lab.put("own.yaml", [own_service()])
        yield Mesh(lab, stub, regions)


@pytest.fixture(params=[False, True], ids=["only", "beside"])
def mesh(started: Mesh, request: pytest.FixtureRequest) -> Mesh:
    started.stub.decide = lambda _request: EndCleanly()
    text = rendered(started.stub.socket, started.regions.ports, enforcing=request.param)
    started.lab.put("ours.yaml", text)
    started.regions.forget()
    started.stub.requests.clear()
    return started


def own_routes(lab: Lab) -> dict[str, dict[str, Any]]:
    hosts = lab.delivered().routes[f"http.{lab.port}"]["virtual_hosts"]
    (own,) = [host for host in hosts if OWN_HOST in host["domains"]]
    return {route["name"]: dict(route) for route in own["routes"]}


def test_istio_takes_it_and_the_operators_routes_stay_what_they_are(started: Mesh) -> None:
    lab = started.lab
    lab.remove("ours.yaml") if (lab.istiod.live / "ours.yaml").exists() else None
    before = own_routes(lab)
    text = rendered(started.stub.socket, started.regions.ports, enforcing=False)
    assert lab.validate(text) == []
    lab.put("ours.yaml", text)
    after = own_routes(lab)
    assert lab.nacks() == []
    assert set(after["chat"].pop("typed_per_filter_config")) == {OBSERVE_FILTER}
    assert after == before
    filters = lab.delivered().manager(lab.port)["http_filters"]
    (ours,) = [each for each in filters if each["name"] == OBSERVE_FILTER]
    assert ours["disabled"] is True
    assert (ours["typed_config"]["observability_mode"], ours["typed_config"]["failure_mode_allow"]) == (True, True)
    lab.remove("ours.yaml")
    assert own_routes(lab) == before


def test_not_a_header_of_an_observed_request_changes(started: Mesh) -> None:
    """But those that Envoy makes up for each. Not even headers that clients must not set where law is kept."""
    sent = [("host", OWN_HOST), ("x-borderpost-cluster", "eu-1"), ("x-envoy-max-retries", "3"), ("x-own", "1")]
    seen = []
    for text in (None, rendered(started.stub.socket, started.regions.ports, enforcing=False)):
        started.lab.reset()
        started.lab.put("service.yaml", [service_entry("us-1", started.regions.ports["us-1"])])
        started.lab.put("own.yaml", [own_service()])
        if text is not None:
            started.lab.put("ours.yaml", text)
        started.regions.forget()
        assert started.lab.send(path="/v1/chat/completions", headers=sent).status == 200
        (request,) = started.regions["us-1"].seen
        seen.append([(name, "" if name in _NEW_EACH_TIME else value) for name, value in request.headers])
    assert seen[0] == seen[1]


def test_requests_go_where_they_went_and_we_are_told_of_the_observed_ones(mesh: Mesh) -> None:
    assert mesh.send("/v1/chat/completions")[0] == 200
    assert mesh.send("/v1/models")[0] == 200
    mesh.lab.eventually(lambda: len(mesh.stub.requests) == 1, "told of one")
    (told,) = mesh.heard()
    assert (told["xds.route_name"], told["xds.cluster_name"]) == ("chat", region_cluster("us-1"))
    assert mesh.stub.requests[0].observability_mode
    assert dict(mesh.regions.counts) == {"eu-1": 0, "us-1": 2}
    assert mesh.lab.nacks() == []


@pytest.mark.parametrize("act", [Hang(), Fail(), refuse(451)], ids=["hangs", "fails", "refuses"])
def test_nothing_that_we_do_reaches_an_observed_request(mesh: Mesh, act: Any) -> None:
    mesh.stub.decide = lambda _request: act
    status, took_s = mesh.send("/v1/chat/completions", method="POST", body=b"x" * 100_000)
    assert (status, took_s < QUICK_S) == (200, True)
    mesh.stub.stop()
    try:
        status, took_s = mesh.send("/v1/chat/completions")
        assert (status, took_s < QUICK_S) == (200, True)
    finally:
        mesh.stub.start()
    assert mesh.regions.counts["us-1"] == 2
