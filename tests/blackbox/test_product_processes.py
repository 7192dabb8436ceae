"""The whole product while its processes are killed, stopped and frozen under load: legal or refused, never else."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from borderpost.demo.stage import Asked
from borderpost_envoy import Via
from support.client import Observed
from support.clients import AMERICAN, EMIRATI, FRENCH, GERMAN, IRANIAN
from support.gateway import SETTLE_S, Gateway, alive, decision_id, eventually, gateway

pytestmark = pytest.mark.blackbox

CLIENTS = (GERMAN, AMERICAN, FRENCH, IRANIAN, EMIRATI)
ANSWERS = {200, 451, 503, 504}
"""Served, forbidden, and the two ways in which Envoy says that it got no answer."""
SPOOF = [("x-borderpost-cluster", "us-east-1")]


@pytest.fixture(scope="module", params=list(Via))
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("processes"), via=request.param) as gate:
        yield gate


@pytest.fixture
def gate(shared: Gateway) -> Gateway:
    """The gateway with Borderpost at work."""
    if not shared.service.ready():
        shared.kill_service()
        shared.start_service()
    shared.reset()
    return shared


def _check(gate: Gateway, observed: Observed) -> None:
    """Check that clients were told nothing else, and that the log knows of every decision that was answered.

    That no region saw a wrong request is checked for the whole run when the gateway ends.
    """
    assert observed.statuses.keys() <= ANSWERS, observed.statuses
    logged = {decision_id(record): record["out"] for record in gate.decisions()}
    for decision, region, status in observed.decisions:
        out = logged[decision]
        assert (out.get("r"), out.get("status", 200)) == (region, status)
    for region, count in gate.served.items():
        assert observed.regions[region] <= count <= gate.routed()[region]


def _serving(gate: Gateway) -> None:
    eventually(gate.service.ready, "ready again")
    eventually(lambda: [gate.send(client).status for client in CLIENTS] == [200, 200, 200, 451, 200], "serving again")


def test_every_worker_killed_under_load_is_started_again(gate: Gateway) -> None:
    before = gate.worker_pids()

    def kill() -> None:
        time.sleep(0.4)
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)

    observed = gate.load(CLIENTS, seconds=2.0, during=kill, headers=lambda _number: SPOOF)
    assert observed.statuses[200] and observed.statuses[503]
    _check(gate, observed)
    _serving(gate)
    after = gate.worker_pids()
    assert after.keys() == before.keys() == {0, 1}
    assert not set(after.values()) & set(before.values())
    assert gate.metric("borderpost_worker_restarts_total") >= 2


def test_one_worker_of_two_killed_under_load_is_bridged(gate: Gateway) -> None:
    """Envoy tries the other worker, also while the next one gets ready: who notices had a request in the dying one."""
    closed = gate.metric("borderpost_unrecorded_total", code="BP0807")

    def kill() -> None:
        time.sleep(0.4)
        os.kill(gate.worker_pids()[1], signal.SIGKILL)

    observed = gate.load(CLIENTS, seconds=4.0, during=kill, headers=lambda _number: SPOOF)
    _check(gate, observed)
    asked = sum(observed.statuses.values())
    assert observed.statuses[503] + observed.statuses[504] < asked / 2
    assert len({record["log"] for record in gate.decisions()}) == 2
    _serving(gate)
    assert gate.metric("borderpost_unrecorded_total", code="BP0807") <= closed, "none was refused by the next one"


def test_all_of_borderpost_killed_under_load(gate: Gateway) -> None:
    observed = gate.load(CLIENTS, seconds=1.5, headers=lambda _number: SPOOF, during=lambda: _later(gate.kill_service))
    assert observed.statuses[200] and observed.statuses[503]
    served = gate.served
    assert [gate.send(client, SPOOF).status for client in CLIENTS] == [503] * len(CLIENTS)
    assert gate.served == served
    gate.start_service()
    _check(gate, observed)
    _serving(gate)


def test_all_of_borderpost_stopped_under_load(gate: Gateway) -> None:
    codes: list[int] = []
    observed = gate.load(
        CLIENTS,
        seconds=2.0,
        headers=lambda _number: SPOOF,
        during=lambda: _later(lambda: codes.append(gate.service.stop())),
    )
    assert codes == [0]
    assert observed.statuses[200] and observed.statuses[503]
    _check(gate, observed)
    last = [records[-1]["type"] for records in _all_streams(gate)]
    assert last == ["epoch.close", "epoch.close"]
    served = gate.served
    assert [gate.send(client, SPOOF).status for client in CLIENTS] == [503] * len(CLIENTS)
    assert gate.served == served
    gate.start_service()
    _serving(gate)


def _later(act: object) -> None:
    time.sleep(0.4)
    assert callable(act)
    act()


def _all_streams(gate: Gateway) -> list[list[dict[str, object]]]:
    records = gate.records()
    return [[record for record in records if record["log"] == log] for log in sorted({r["log"] for r in records})]


@pytest.mark.parametrize("via", [Via.EXT_PROC, pytest.param(Via.EXT_AUTHZ, marks=pytest.mark.full)])
def test_workers_outlive_the_steward_for_the_age_of_their_snapshot(tmp_path: Path, via: Via) -> None:
    age_s = 2.0
    with gateway(tmp_path, via=via, runtime={"snapshot_max_age_s": age_s}, server={"drain_s": 1.0}) as gate:
        workers = list(gate.worker_pids().values())
        gate.service.process.signal(signal.SIGKILL)
        killed_s = time.monotonic()
        seen: list[tuple[float, Asked]] = []
        while any(map(alive, workers)) or seen[-1][0] < age_s + 2:
            assert time.monotonic() - killed_s < SETTLE_S, "orphans end by themselves"
            seen.append((time.monotonic() - killed_s, gate.send(GERMAN, SPOOF)))
            time.sleep(0.02)
        early = {(asked.status, asked.region) for at_s, asked in seen if at_s < age_s * 0.75}
        late = {(asked.status, asked.region) for at_s, asked in seen if at_s > age_s + 0.5}
        assert (early, late) == ({(200, "eu-central-1")}, {(503, None)})
        assert any(b"BP0807" in asked.reply.body for _, asked in seen), "refused for want of a current policy"
        assert gate.logged('"the steward is gone; deciding on by the last snapshot"') == len(workers)
        gate.start_service()
        assert gate.send(GERMAN).region == "eu-central-1"


BOUND_MS = 400


@pytest.fixture(scope="module", params=list(Via))
def single(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with one worker, and an Envoy that waits for it for a short while only."""
    directory = tmp_path_factory.mktemp("single")
    with gateway(directory, via=request.param, message_timeout_ms=BOUND_MS, server={"workers": 1}) as gate:
        yield gate


def test_socket_that_is_not_there(single: Gateway) -> None:
    """Where the worker cannot be asked, nobody is served on the strength of that."""
    socket = single.directory / "server" / "worker-0.sock"
    aside = socket.with_name("aside")
    # Envoy keeps a connection once it has one; this one has none yet, so this test comes first.
    for spoil, mend in (
        (lambda: socket.rename(aside), lambda: aside.rename(socket)),
        (lambda: (socket.rename(aside), socket.write_bytes(b"")), lambda: aside.replace(socket)),
        (lambda: (socket.rename(aside), socket.mkdir()), lambda: (socket.rmdir(), aside.rename(socket))),
    ):
        spoil()
        assert [single.send(client, SPOOF).status for client in CLIENTS] == [503] * len(CLIENTS)
        assert single.served == {}
        mend()
    eventually(lambda: single.send(GERMAN).region == "eu-central-1", "served by the socket in its place")


def test_frozen_worker_holds_nobody_longer_than_envoy_s_bound(single: Gateway) -> None:
    eventually(lambda: single.send(GERMAN).status == 200, "serving")
    (pid,) = single.worker_pids().values()
    single.reset()
    os.kill(pid, signal.SIGSTOP)
    try:
        started_s = time.monotonic()
        observed = single.load(CLIENTS, count=16, concurrency=16, headers=lambda _number: SPOOF)
        took_s = time.monotonic() - started_s
        assert observed.statuses.keys() <= {503, 504}
        assert took_s < 10 * BOUND_MS / 1000
        assert single.served == {}
        eventually(single.unready, "readiness taken away")
        assert "no sign of life" in single.service.admin("/readyz")[1]
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(single.service.ready, "ready again")
    eventually(lambda: single.send(GERMAN).region == "eu-central-1", "serving again")
    assert single.worker_pids() == {0: pid}
