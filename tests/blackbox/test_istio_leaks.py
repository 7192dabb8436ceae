"""The leak catalogue (docs/guide/leaks.md) on configuration that the real istiod delivered.

Each test is named after its row. Where a row says `impossible`, what others do leads nowhere; where it says `doctor`,
the test shows that it really leaks. Whatever others add, `borderpost doctor` finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.demo.children import free_port
from borderpost.demo.istio.scenery import HOST, gateway, region_host
from borderpost_envoy import RouteStyle, Via
from support.client import Header, send
from support.h2_client import send_h2
from support.istio_lab import GATEWAY, resource
from support.istio_patches import (
    added,
    added_host,
    added_listener,
    at_filter,
    bare_manager,
    before_the_router,
    first_route,
    on_every_host,
    on_every_route,
    on_every_table,
    patch_of,
    region_cluster,
    replaced_manager,
    service_entry,
)
from support.istio_wiring import OTHERS, OURS, RENDERINGS, MeshWiring, meshed
from support.leak_rows import OF_OTHERS, leak_rows
from support.stub_processor import EndCleanly, StubProcessor, route_to
from support.upstreams import Behaviour

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

VARIANTS = [each for each in RENDERINGS if each != (Via.EXT_AUTHZ, RouteStyle.MATCHER, "1.29", ("*",))]
"""Of the five, one differs from the others only in what two of them have: it is delivered elsewhere, and not tried."""
EXT_PROC = [each for each in VARIANTS if each.via is Via.EXT_PROC]
ROWS = {row.test: row for row in leak_rows().values()}
TO_HOST: list[Header] = [("host", HOST)]
SPOOF: list[Header] = [*TO_HOST, ("x-borderpost-cluster", region_cluster("us-1"))]
US = "us-1"
EU = "eu-1"


@pytest.fixture(scope="module", params=VARIANTS, ids=str)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshWiring]:
    with meshed(tmp_path_factory.mktemp("leaks"), request.param) as wiring:
        yield wiring


@pytest.fixture
def mesh(shared: MeshWiring) -> MeshWiring:
    """The variant's mesh as we rendered it, with a decision for the European region."""
    shared.reset()
    shared.go(EU)
    return shared


@pytest.fixture(scope="module")
def clean(shared: MeshWiring) -> set[str]:
    """What the doctor finds in what we rendered, where nobody has added anything."""
    shared.reset()
    return shared.found()


@pytest.fixture(autouse=True)
def _found_by_the_doctor(request: pytest.FixtureRequest, clean: set[str], mesh: MeshWiring) -> Iterator[None]:
    """After each test: what others added is found by a rule that the row names, and that is silent without it."""
    yield
    row = ROWS.get(request.node.originalname)
    if row is not None and row.heading == OF_OTHERS:
        found = mesh.found()
        assert row.rules & (found - clean), (row, sorted(found))


def served(mesh: MeshWiring, headers: list[Header] = TO_HOST, **how: Any) -> dict[str, int]:
    """Send one request; return which regions have got how many since the test began."""
    mesh.send(headers, **how)
    return mesh.served


# Clients


def test_it_is_served_where_it_was_decided(mesh: MeshWiring, clean: set[str]) -> None:
    assert mesh.lab.nacks() == []
    assert clean == {"BPD079"}, "regions of the lab are reached in clear, which the doctor tells, and nothing else"
    assert served(mesh) == {EU: 1}
    mesh.go(US)
    assert served(mesh) == {EU: 1, US: 1}


@pytest.mark.parametrize("value", [region_cluster(US), "us-1", "PassthroughCluster", "borderpost"])
def test_spoofed_header(mesh: MeshWiring, value: str) -> None:
    names = ("x-borderpost-cluster", "X-Borderpost-Cluster")
    spoof: list[Header] = [(name, value) for name in names]
    assert served(mesh, [*TO_HOST, *spoof]) == {EU: 1}
    assert send_h2(mesh.lab.port, headers=spoof[:1]).status == 200
    assert mesh.served == {EU: 2}
    mesh.regions.forget()
    mesh.answer(EndCleanly())
    assert mesh.refused(mesh.send([*TO_HOST, *spoof]))
    assert mesh.refused(send_h2(mesh.lab.port, headers=spoof[:1]))


def test_clean_close(mesh: MeshWiring) -> None:
    mesh.answer(EndCleanly())
    assert mesh.refused(mesh.send(TO_HOST))
    assert len(mesh.stub.requests) == 1


def test_socket_gone(mesh: MeshWiring) -> None:
    mesh.stub.stop()
    try:
        assert mesh.refused(mesh.send(SPOOF))
    finally:
        mesh.stub.start()


def test_connect(mesh: MeshWiring) -> None:
    for target in (f"{HOST}:80", f"{region_host(US)}:80", f"127.0.0.1:{mesh.regions.ports[US]}"):
        reply = mesh.send([("host", target)], method="CONNECT", path=target, body=b"")
        assert reply.status in (400, 403, 404, 405, 503)
    assert mesh.served == {}


def test_extended_connect(mesh: MeshWiring) -> None:
    """The CONNECT of HTTP/2 that names a protocol (RFC 8441): istiod has Envoy allow none."""
    try:
        reply = send_h2(mesh.lab.port, method="CONNECT", headers=[(":protocol", "websocket"), *SPOOF[1:]])
    except ConnectionError:
        pass  # the stream was reset
    else:
        assert reply.status in (400, 403, 404, 405, 503)
    assert mesh.served == {}


def test_upgrade(mesh: MeshWiring) -> None:
    """A websocket is asked about like any request, goes where it was decided, and nowhere without a decision."""
    upgrade: list[Header] = [
        *SPOOF,
        *(("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    assert served(mesh, upgrade, method="GET", body=b"") == {EU: 1}
    mesh.regions.forget()
    mesh.answer(EndCleanly())
    assert mesh.refused(mesh.send(upgrade, method="GET", body=b""))


def test_region_s_own_host(mesh: MeshWiring) -> None:
    """The host of a region is no host of the gateway, also where it has a cluster."""
    mesh.answer(EndCleanly())
    assert mesh.refused(mesh.send([("host", region_host(US)), *SPOOF[1:]]))


# What Envoy does after the decision


def test_retry(mesh: MeshWiring) -> None:
    """Whatever retries others put on our routes, remote localities too: the cluster has no endpoint elsewhere."""
    remote = {
        "@type": "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
        "update_frequency": 1,
    }
    policy = {
        "retry_on": "5xx,reset,connect-failure,refused-stream,retriable-4xx",
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.001s"},
        "retry_priority": {"name": "envoy.retry_priorities.previous_priorities", "typed_config": remote},
    }
    mesh.others(patch_of("retries", *everywhere({"retry_policy": policy})))
    mesh.regions.behave(EU, Behaviour(status=503))
    assert served(mesh).keys() == {EU}
    mesh.regions.kill(EU)
    assert served(mesh).keys() == {EU}


def everywhere(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Return patches that merge something wherever routing takes it from: routes, virtual hosts."""
    return [on_every_route({"route": value}), on_every_host(value)]


def test_internal_redirect(mesh: MeshWiring) -> None:
    """A patch of routes comes before ours are there, so Envoy follows no redirect: the caller gets it."""
    mesh.others(patch_of("redirects", on_every_route({"route": {"internal_redirect_policy": {}}})))
    mesh.regions.behave(EU, Behaviour(status=302, headers=(("location", f"http://{HOST}/elsewhere"),)))
    assert mesh.send(TO_HOST).status == 302
    assert mesh.served == {EU: 1}


@pytest.mark.parametrize("patch", [on_every_host, on_every_table], ids=["hosts", "tables"])
def test_mirror(mesh: MeshWiring, patch: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    mesh.others(patch_of("mirror", patch({"request_mirror_policies": [{"cluster": region_cluster(US)}]})))
    mesh.send(TO_HOST)
    mesh.lab.eventually(lambda: mesh.served == {EU: 1, US: 1}, "the mirrored request has reached the other region")


def test_mirror_of_a_route(mesh: MeshWiring) -> None:
    """A patch of routes comes before ours are there, so it mirrors nothing of ours."""
    mirrors = {"route": {"request_mirror_policies": [{"cluster": region_cluster(US)}]}}
    mesh.others(catch_all(f"other.{HOST}"), patch_of("mirror", on_every_route(mirrors)))
    assert "request_mirror_policies" in str(mesh.lab.delivered().routes), "it is in force, for others"
    for _ in range(3):
        mesh.send(TO_HOST)
    assert mesh.served == {EU: 3}


def test_locality_failover(mesh: MeshWiring) -> None:
    """One host with endpoints of two regions, and outlier detection: the other region serves when the first is down."""
    ports = [mesh.regions.ports[region] for region in (EU, US)]
    both = service_entry(EU, *ports, localities=("eu-central-1", "us-east-1"))
    outliers = {"outlierDetection": {"consecutive5xxErrors": 1, "maxEjectionPercent": 100}}
    rule = resource("DestinationRule", EU, {"host": region_host(EU), "trafficPolicy": outliers})
    ours = [one for one in yaml.safe_load_all(mesh.text) if not one["metadata"]["name"].endswith(EU)]
    mesh.lab.put(OURS, ours)
    mesh.others(both, rule)
    assert served(mesh) == {EU: 1}
    mesh.regions.kill(EU)
    mesh.lab.eventually(lambda: served(mesh).get(US, 0) > 0, "the other region serves")


def test_mixed_host(mesh: MeshWiring) -> None:
    """Another team's ServiceEntry for the host of our region adds its endpoints to ours."""
    mesh.others(service_entry(EU, mesh.regions.ports[US], name="spare"))
    mesh.lab.eventually(lambda: served(mesh).get(US, 0) > 0, "the other region serves")


# What other teams add


def catch_all(host: str, **metadata: str) -> dict[str, Any]:
    """Return another team's VirtualService that sends everything to the American region."""
    http = [{"route": [{"destination": {"host": region_host(US), "port": {"number": 80}}}]}]
    made = resource("VirtualService", "everything", {"hosts": [host], "gateways": [GATEWAY], "http": http})
    made["metadata"].update(metadata)
    return made


def test_catch_all_of_other_hosts(mesh: MeshWiring) -> None:
    """A VirtualService for every host takes nothing of ours: the host that is named wins."""
    mesh.others(catch_all("*"))
    assert served(mesh) == {EU: 1}
    mesh.regions.forget()
    mesh.answer(EndCleanly())
    assert mesh.refused(mesh.send(SPOOF))


@pytest.mark.parametrize("created", ["2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z"], ids=["before", "after"])
def test_catch_all_of_our_host(mesh: MeshWiring, created: str) -> None:
    """One for our host adds its route, without a name, to ours: behind them, whoever was there first."""
    mesh.others(catch_all(HOST, creationTimestamp=created))
    assert region_cluster(US) in str(mesh.lab.delivered().routes_of(mesh.lab.port)), "its route is there"
    assert served(mesh) == {EU: 1}
    mesh.regions.forget()
    mesh.answer(EndCleanly())
    assert mesh.refused(mesh.send(SPOOF))


def test_unnamed_route(mesh: MeshWiring) -> None:
    """The operator's own route of before, which no patch could name: ours are put before it all the same."""
    theirs = catch_all(HOST)
    assert "name" not in theirs["spec"]["http"][0]
    mesh.others(theirs)
    names = [route.get("name", "") for route in mesh.lab.delivered().routes_of(mesh.lab.port)]
    assert "" in names[1:]
    assert served(mesh) == {EU: 1}
    mesh.go(US)
    assert served(mesh) == {EU: 1, US: 1}


def test_inserted_route(mesh: MeshWiring) -> None:
    """A patch that puts a route before ours takes every request."""
    route = {"name": "theirs", "match": {"prefix": "/"}, "route": {"cluster": region_cluster(US)}}
    mesh.others(patch_of("first", first_route(route)))
    mesh.answer(EndCleanly())
    assert served(mesh) == {US: 1}


def test_added_host(mesh: MeshWiring) -> None:
    """A virtual host that a patch adds has no routes of ours: Envoy refuses it for a host that we name, only."""
    everything = {"match": {"prefix": "/"}, "route": {"cluster": region_cluster(US)}}
    patch = patch_of("adds", added_host({"name": "theirs", "domains": [HOST], "routes": [everything]}))
    mesh.answer(EndCleanly())
    if mesh.rendering.hosts == ("*",):
        mesh.others(patch)
        assert served(mesh) == {US: 1}
    else:
        mesh.lab.put(OTHERS, [patch], settle=False)
        mesh.lab.eventually(lambda: any("values for domains" in line for line in mesh.lab.nacks()), "Envoy refuses it")
        assert mesh.refused(mesh.send(SPOOF))


def test_added_listener(mesh: MeshWiring) -> None:
    port = free_port()
    mesh.others(patch_of("listens", added_listener(port, bare_manager(region_cluster(US)))))
    mesh.lab.eventually(lambda: "theirs" in mesh.lab.delivered().listeners, "it listens")
    assert send(port, headers=TO_HOST).status == 200
    assert mesh.served.keys() == {US}


def test_replaced_manager(mesh: MeshWiring) -> None:
    mesh.others(patch_of("replaces", replaced_manager(bare_manager(region_cluster(US)))))
    mesh.answer(EndCleanly())
    mesh.lab.eventually(lambda: served(mesh).get(US, 0) > 0, "another region serves what nobody decided")


def test_second_gateway(mesh: MeshWiring) -> None:
    """A further port of the same pods: where only hosts of one gateway are ours, its routes are not."""
    port = free_port()
    theirs = catch_all(HOST)
    theirs["spec"]["gateways"] = ["theirs"]
    mesh.others(gateway(port, name="theirs"), theirs)
    mesh.lab.eventually(lambda: f"0.0.0.0_{port}" in mesh.lab.delivered().listeners, "it listens")
    mesh.answer(EndCleanly())
    send(port, headers=TO_HOST)
    assert mesh.served == ({} if mesh.rendering.hosts == ("*",) else {US: 1})


def test_second_processor(mesh: MeshWiring, tmp_path: Path) -> None:
    """Another ext_proc filter after ours may set our header, and so decide."""
    path = tmp_path / "second.sock"
    with StubProcessor(path, lambda _request: route_to(region_cluster(US), clear=True)):
        mesh.others(patch_of("zz-second", second_cluster(path), before_the_router(second_filter())))
        assert served(mesh) == {US: 1}


def test_header_filter(mesh: MeshWiring) -> None:
    """A filter after ours that writes our header."""
    header = {"header": {"key": "x-borderpost-cluster", "value": region_cluster(US)}}
    mutation = {"append": {**header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
    config = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        "mutations": {"request_mutations": [mutation]},
    }
    mesh.others(patch_of("writes", before_the_router({"name": "theirs", "typed_config": config})))
    assert served(mesh) == {US: 1}


def second_cluster(path: Path) -> dict[str, Any]:
    """Return a patch that adds another team's processor."""
    options = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    cluster = {
        "name": "second",
        "type": "STATIC",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "load_assignment": {
            "cluster_name": "second",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(path)}}}}]}],
        },
    }
    return added(cluster)


def second_filter() -> dict[str, Any]:
    """Return another team's filter, as open as the defaults leave it."""
    return {
        "name": "envoy.filters.http.ext_proc",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
            "grpc_service": {"envoy_grpc": {"cluster_name": "second"}},
            "message_timeout": "2s",
            "processing_mode": {"request_header_mode": "SEND", "response_header_mode": "SKIP"},
        },
    }


def per_route(mesh: MeshWiring, settings: dict[str, Any]) -> dict[str, Any]:
    """Return patches that set something for our filter wherever there is a place for it."""
    kind = "ext_proc.v3.ExtProcPerRoute" if mesh.via is Via.EXT_PROC else "ext_authz.v3.ExtAuthzPerRoute"
    config = {"@type": f"type.googleapis.com/envoy.extensions.filters.http.{kind}", **settings}
    value = {"typed_per_filter_config": {mesh.filter: config}}
    return patch_of("off", on_every_route(value), on_every_host(value), on_every_table(value))


def test_filter_disabled(mesh: MeshWiring) -> None:
    """On hosts that are all ours it is off, and nobody names a cluster; else our routes turn it on for themselves."""
    mesh.others(per_route(mesh, {"disabled": True}))
    assert "'disabled': True" in str(mesh.lab.delivered().routes)
    assert served(mesh, SPOOF) == ({} if mesh.rendering.hosts == ("*",) else {EU: 1})
    mesh.regions.forget()
    mesh.answer(EndCleanly())
    assert mesh.refused(mesh.send(SPOOF))


@pytest.mark.parametrize("shared", EXT_PROC, indirect=True, ids=str)
def test_failure_mode_of_a_route(mesh: MeshWiring) -> None:
    """Only ext_proc has such an override."""
    mesh.others(per_route(mesh, {"overrides": {"failure_mode_allow": True}}))
    assert "'failure_mode_allow': True" in str(mesh.lab.delivered().routes)
    mesh.stub.stop()
    try:
        assert mesh.refused(mesh.send(SPOOF))
    finally:
        mesh.stub.start()


def test_failure_mode_of_the_filter(mesh: MeshWiring) -> None:
    kind = "ext_proc.v3.ExternalProcessor" if mesh.via is Via.EXT_PROC else "ext_authz.v3.ExtAuthz"
    allow = {"@type": f"type.googleapis.com/envoy.extensions.filters.http.{kind}", "failure_mode_allow": True}
    patch = at_filter(mesh.filter, "MERGE", {"name": mesh.filter, "typed_config": allow})
    mesh.others(patch_of("zz-allow", patch))
    filters = mesh.lab.delivered().manager(mesh.lab.port)["http_filters"]
    (ours,) = (one["typed_config"] for one in filters if one["name"] == mesh.filter)
    assert ours["failure_mode_allow"] is True
    mesh.stub.stop()
    try:
        assert mesh.refused(mesh.send(SPOOF))
    finally:
        mesh.stub.start()


def test_filter_removed(mesh: MeshWiring) -> None:
    mesh.others(patch_of("zz-remove", {**at_filter(mesh.filter, "REMOVE", {})}))
    filters = mesh.lab.delivered().manager(mesh.lab.port)["http_filters"]
    assert mesh.filter not in [one["name"] for one in filters]
    assert mesh.refused(mesh.send(SPOOF))
    assert mesh.stub.requests == []


def test_header_of_a_host(mesh: MeshWiring) -> None:
    """What a virtual host adds to requests is added after the route is chosen."""
    header = {"header": {"key": "x-borderpost-cluster", "value": region_cluster(US)}}
    mesh.others(patch_of("header", on_every_host({"request_headers_to_add": [header]})))
    assert served(mesh) == {EU: 1}
    mesh.regions.forget()
    mesh.answer(EndCleanly())
    assert mesh.refused(mesh.send(TO_HOST))
