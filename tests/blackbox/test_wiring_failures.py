"""The rendered wiring when the processor fails in every way it can: refused, never routed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from borderpost_envoy import RouteStyle, Via
from borderpost_proto import ext_proc_pb2 as proc
from support.client import region_of
from support.envoy_process import patched
from support.stub_processor import Act, Crash, EndCleanly, Fail, Hang, Say, StubProcessor, allow_to, route_to
from support.upstreams import Behaviour
from support.wiring import Wiring, wired

pytestmark = pytest.mark.blackbox

SPOOF = [("x-borderpost-cluster", "us-1")]
FAILURES: dict[str, Act] = {
    "clean end": EndCleanly(),
    "internal": Fail(grpc.StatusCode.INTERNAL),
    "unavailable": Fail(grpc.StatusCode.UNAVAILABLE),
    "unimplemented": Fail(grpc.StatusCode.UNIMPLEMENTED),
    "crash": Crash(),
}


def _other_kind() -> proc.ProcessingResponse:
    response = proc.ProcessingResponse()
    option = response.response_headers.response.header_mutation.set_headers.add()
    option.header.key = "x-borderpost-cluster"
    option.header.raw_value = b"us-1"
    return response


def _without_status() -> proc.ProcessingResponse:
    response = proc.ProcessingResponse()
    response.immediate_response.body = b"no"
    return response


def _with_value_only() -> proc.ProcessingResponse:
    response = proc.ProcessingResponse()
    option = response.request_headers.response.header_mutation.set_headers.add()
    option.header.key = "x-borderpost-cluster"
    option.header.value = "us-1"
    return response


PROC_ANSWERS: dict[str, Act] = {
    "empty message": Say((proc.ProcessingResponse(),)),
    "another kind": Say((_other_kind(),)),
    "headers response without a header": Say(
        (proc.ProcessingResponse(request_headers=proc.HeadersResponse(response=proc.CommonResponse())),)
    ),
    "value in the field Envoy does not read": Say((_with_value_only(),)),
}
FORBIDDEN_HEADERS = ["x-forwarded-for", ":path", "host", "authorization", "x-envoy-retry-on", "x-cluster"]


@pytest.mark.parametrize("act", FAILURES.values(), ids=FAILURES.keys())
def test_failed_call_is_refused(wiring: Wiring, act: Act) -> None:
    wiring.answer(act)
    assert wiring.send(SPOOF).status == 503
    assert wiring.served == {}


def test_silence_is_refused_within_the_timeout(wiring: Wiring) -> None:
    wiring.answer(Hang())
    started = time.monotonic()
    reply = wiring.send(SPOOF)
    assert reply.status in (503, 504)
    assert time.monotonic() - started < 2
    assert wiring.served == {}


@pytest.mark.parametrize("act", PROC_ANSWERS.values(), ids=PROC_ANSWERS.keys())
def test_wrong_answer_is_refused(tmp_path_factory: pytest.TempPathFactory, wiring: Wiring, act: Act) -> None:
    if wiring.via is Via.EXT_AUTHZ:
        act = EndCleanly()  # an empty CheckResponse says OK without a header, this door's wrong answer
    wiring.answer(act)
    reply = wiring.send(SPOOF)
    assert reply.status in (500, 503)
    assert wiring.served == {}


@pytest.mark.parametrize("header", FORBIDDEN_HEADERS)
def test_processor_may_set_only_our_headers(wiring: Wiring, header: str) -> None:
    act = route_to("us-1", header=header) if wiring.via is Via.EXT_PROC else allow_to("us-1", header=header)
    wiring.answer(act)
    reply = wiring.send(SPOOF)
    assert reply.status in (500, 503)
    assert wiring.served == {}


def test_gone_and_back(wiring: Wiring) -> None:
    wiring.answer(wiring.route("eu-1"))
    assert wiring.send(SPOOF).status == 200
    wiring.stub.stop()
    try:
        assert [wiring.send(SPOOF).status for _ in range(3)] == [503] * 3
        assert wiring.served == {"eu-1": 1}
    finally:
        wiring.stub.start()
    deadline = time.monotonic() + 10
    while (status := wiring.send(SPOOF).status) != 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert status == 200
    assert set(wiring.served) == {"eu-1"}


@pytest.mark.parametrize("via", list(Via))
@pytest.mark.parametrize("state", ["missing", "a plain file", "a directory", "nobody listens"])
def test_bad_socket_is_refused(tmp_path: Path, via: Via, state: str) -> None:
    with wired(tmp_path, via=via) as wiring:
        wiring.stub.stop()
        path = wiring.stub.socket
        if state == "a plain file":
            path.write_bytes(b"")
        elif state == "a directory":
            path.mkdir()
        elif state == "nobody listens":
            import socket

            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(str(path))
        assert wiring.send(SPOOF).status == 503
        assert wiring.served == {}


@pytest.mark.parametrize("via", list(Via))
def test_one_of_two_workers_gone_is_bridged(tmp_path: Path, via: Via) -> None:
    """Envoy's own retry, with a back-off of milliseconds, goes to the other worker within the message timeout."""
    from borderpost_envoy import UnixSocket

    other = tmp_path / "other.sock"
    servers = (UnixSocket(str(tmp_path / "stub.sock")), UnixSocket(str(other)))
    with (
        wired(tmp_path, via=via, servers=servers) as wiring,
        StubProcessor(other, lambda _r: wiring.route("us-1")) as second,
    ):
        wiring.answer(wiring.route("eu-1"))
        second.stop()
        statuses = [wiring.send().status for _ in range(20)]
    assert statuses == [200] * 20


@pytest.mark.parametrize("via", list(Via))
def test_internal_redirect_where_someone_allows_it_asks_again(tmp_path: Path, via: Via) -> None:
    """An operator's mistake: the second question has its own answer, and the first answer is not reused."""

    def spoil(rendered: dict[str, Any]) -> dict[str, Any]:
        return patched(
            rendered,
            internal_redirect_policy={"max_internal_redirects": 2, "redirect_response_codes": [302, 307]},
        )

    with wired(tmp_path, via=via, patch=spoil) as wiring:
        location = "http://inference.example/elsewhere"
        wiring.regions.behave("eu-1", Behaviour(status=302, headers=(("location", location),)))
        answers = iter([wiring.route("eu-1"), wiring.route("ae-1")])
        wiring.answer(lambda _request: next(answers))
        reply = wiring.send(method="GET", body=b"")
        assert (reply.status, region_of(reply)) == (200, "ae-1")
        assert wiring.served == {"eu-1": 1, "ae-1": 1}
        assert len(wiring.stub.requests) == 2
        wiring.regions.forget()
        again = iter([wiring.route("eu-1"), EndCleanly()])
        wiring.answer(lambda _request: next(again))
        assert wiring.send(method="GET", body=b"").status == 503
        assert wiring.served == {"eu-1": 1}


@pytest.mark.parametrize("style", list(RouteStyle))
def test_retry_stays_in_the_region(tmp_path: Path, style: RouteStyle) -> None:
    """One of the region's two endpoints is dead: the other serves, and no other region ever does."""
    from borderpost.demo.children import free_port
    from borderpost_envoy import HostPort, RegionCluster
    from support.upstreams import RegionServers
    from support.wiring import LOOPBACK_ANY

    with RegionServers(["eu-1", "us-1"]) as regions:
        clusters = (
            RegionCluster(
                "eu-1", "eu-1", (HostPort("127.0.0.1", free_port()), HostPort("127.0.0.1", regions.ports["eu-1"]))
            ),
            RegionCluster("us-1", "us-1", (HostPort("127.0.0.1", regions.ports["us-1"]),)),
        )
        with wired(tmp_path, style=style, regions=clusters, listen=LOOPBACK_ANY) as wiring:
            wiring.answer(wiring.route("eu-1"))
            statuses = [wiring.send().status for _ in range(20)]
            assert statuses == [200] * 20
            assert regions.counts == {"eu-1": 20, "us-1": 0}
            retried = wiring.envoy.stats("cluster.eu-1.upstream_rq_retry$")
            assert sum(retried.values()) > 0
