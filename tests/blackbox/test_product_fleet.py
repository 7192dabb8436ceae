"""A fleet that shares a list of legal events in Redis: every replica at the same microsecond, and no basis after it.

Two gateways, each with a real Envoy, a steward and two workers, follow one stream of a real redis-server. Germans are
sent to the United States, which is nearest here, by the adequacy decision for certified operators alone.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from borderpost.config.redis import EventsRedisSpec
from borderpost.events_redis import RedisStore
from support.clients import GERMAN, LEGAL_OF_PLACE, UNION, Client
from support.gateway import Gateway, eventually, gateway
from support.redis_server import RedisServer, redis_server
from support.signed_lists import ListWriter

pytestmark = pytest.mark.blackbox

DPF = "eu-gdpr/art45-dpf"
"""The basis that is taken away."""
AMERICA = "us-east-1"
TRAVELLER = Client(GERMAN.address, UNION | {AMERICA})
CLOCK_ERROR_MS = 20
SAMPLES = 8
"""Revocations without notice; the bench makes many more."""
WITHIN_S = 2.0
"""Generous: this machine may be busy. The bench says how long it takes."""


class Fleet:
    """The gateways, the server they share and the list in it."""

    def __init__(self, server: RedisServer, writer: ListWriter, gates: list[Gateway]) -> None:
        self.server = server
        self.gates = gates
        self._writer = writer
        self._store = RedisStore(EventsRedisSpec(url=server.url, sink="fleet"))

    def append(self, name: str, *by: str, **fields: Any) -> datetime:
        """Publish an event, signed by `ada` or those who are named; return when it was handed to the server."""
        head, now = self._writer.head, datetime.now(UTC)
        line = self._writer.add(name, *by, **{"at": now, "effective_from": now - timedelta(seconds=5), **fields})
        handed = datetime.now(UTC)
        self._store.append(line, head)
        return handed

    def revoke(self, name: str, **fields: Any) -> datetime:
        """Publish that the basis is gone, at once unless told otherwise."""
        scope = {"regimes": ["eu-gdpr"], "bases": ["art45-dpf"]}
        return self.append(name, type="adequacy_revoke", scope=scope, **fields)

    def lift(self, name: str) -> datetime:
        """Publish, signed by two, that an event is over."""
        return self.append(f"{name}-over", "ada", "bo", type="lift", ends=name, scope={})

    def vouch(self, at: datetime | None = None) -> None:
        """Sign a heartbeat."""
        self._store.put_heartbeat(self._writer.heartbeat(at or datetime.now(UTC)))

    def lines(self) -> list[bytes]:
        """Return the list as the server holds it."""
        return self._store.read()

    def restore(self, lines: list[bytes]) -> None:
        """Put other lines in place of those that the server holds."""
        with self.server.client as client:
            together = client.pipeline(transaction=True)
            together.delete("borderpost:events")
            for line in lines:
                together.xadd("borderpost:events", {"line": line})
            together.execute()

    def forget_heartbeat(self) -> None:
        """Take the heartbeat away."""
        with self.server.client as client:
            client.delete("borderpost:events:heartbeat")

    def routes(self) -> dict[str, list[tuple[str, str]]]:
        """Return by worker (of every gateway) the instant and basis of each route, in order."""
        return {
            f"{number}/{stream}": [(each["ts"], each["out"]["basis"]) for each in records if "basis" in each["out"]]
            for number, gate in enumerate(self.gates)
            for stream, records in gate.streams().items()
        }

    @contextmanager
    def under_load(self) -> Iterator[None]:
        """Keep all workers of all gateways busy, but not more than a test on a shared machine may."""
        done = threading.Event()
        loads = [threading.Thread(target=self._load, args=(gate, done)) for gate in self.gates]
        for load in loads:
            load.start()
        try:
            yield
        finally:
            done.set()
            for load in loads:
                load.join()

    @staticmethod
    def _load(gate: Gateway, done: threading.Event) -> None:
        observed = gate.load([TRAVELLER], concurrency=4, pause_s=0.02, during=lambda: done.wait(60) and None)
        assert observed.statuses.keys() == {200}, observed.statuses


@contextmanager
def fleet(directory: Path, count: int = 2, **events: Any) -> Iterator[Fleet]:
    """Start a server whose list is empty and vouched for, and gateways that follow it."""
    writer = ListWriter()
    with ExitStack() as undo:
        server = undo.enter_context(redis_server(directory))
        gates: list[Gateway] = []
        found = Fleet(server, writer, gates)
        found.vouch()
        for number in range(count):
            folder = directory / f"gateway-{number}"
            folder.mkdir()
            gate = undo.enter_context(
                gateway(
                    folder,
                    regions={AMERICA: {"operator": {"certifications": ["apec-cbpr", "eu-us-dpf"]}}},
                    ranking={"latency_ms": {"DE": {AMERICA: 1}}},
                    sinks={"fleet": {"country": "DE"}},
                    events={
                        "file": None,
                        "redis": {"url": server.url, "sink": "fleet"},
                        "signers": writer.config(),
                        "clock_error_ms": CLOCK_ERROR_MS,
                        **events,
                    },
                )
            )
            gate.legal_of_place = {**LEGAL_OF_PLACE, "DE": TRAVELLER.legal}
            gates.append(gate)
        yield found


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_schrems_no_worker_uses_a_basis_after_it_is_gone(tmp_path: Path) -> None:
    with fleet(tmp_path) as shared:
        with shared.under_load():
            time.sleep(1.0)
            announced_revocation(shared)
            for number in range(SAMPLES):
                revocation_without_notice(shared, f"now-{number}")
        assert all(gate.logged("not taken") == 0 for gate in shared.gates)


def announced_revocation(shared: Fleet) -> None:
    """One that is known before it holds: used up to its microsecond (less ε), and from then on nowhere."""
    gone = datetime.now(UTC) + timedelta(seconds=1.5)
    shared.revoke("announced", effective_from=gone)
    time.sleep((gone - datetime.now(UTC)).total_seconds() + 0.5)
    early = stamp(gone - timedelta(milliseconds=CLOCK_ERROR_MS))
    routes = shared.routes()
    assert len(routes) == 4
    for worker, told in routes.items():
        assert {basis for at, basis in told if at < early} == {DPF}, worker
        assert [at for at, basis in told if at >= early and basis == DPF] == [], worker
        assert [at for at, _ in told if at >= early], worker
        last_ms = (gone - datetime.fromisoformat(max(at for at, basis in told if basis == DPF))).total_seconds() * 1e3
        assert last_ms < 1000, f"{worker} gave it up {last_ms:.0f} ms early"
    shared.lift("announced")
    await_use(shared)


def revocation_without_notice(shared: Fleet, name: str) -> None:
    """One that holds already when it is published: after a moment no worker uses the basis."""
    handed = shared.revoke(name)
    late = stamp(handed + timedelta(seconds=WITHIN_S))
    eventually(
        lambda: all(basis != DPF for told in last_of(shared) for basis in told), "no worker uses it", within_s=WITHIN_S
    )
    time.sleep(0.2)
    for worker, told in shared.routes().items():
        assert [at for at, basis in told if at >= late and basis == DPF] == [], worker
    shared.lift(name)
    await_use(shared)


def last_of(shared: Fleet) -> list[list[str]]:
    """Return the bases of each worker's last few routes."""
    return [[basis for _, basis in told[-3:]] for told in shared.routes().values()]


def await_use(shared: Fleet) -> None:
    """Wait until every worker uses the basis again, so that the next revocation takes something away."""
    eventually(lambda: all(told and set(told) == {DPF} for told in last_of(shared)), "every worker uses it again")


@pytest.mark.full
def test_a_list_that_nobody_vouches_for_loses_its_revocable_bases(tmp_path: Path) -> None:
    with fleet(tmp_path, count=1, max_age_s=3) as shared:
        (gate,) = shared.gates
        shared.vouch()
        eventually(lambda: gate.send(TRAVELLER).region == AMERICA, "vouched for")
        shared.server.pause()
        eventually(lambda: gate.send(TRAVELLER).region == "eu-central-1", "stale by itself", within_s=10)
        assert gate.metric("borderpost_events_stale") == 1
        assert "warning: events/fresh" in gate.service.admin("/readyz")[1]
        shared.server.go_on()
        shared.vouch()
        eventually(lambda: gate.send(TRAVELLER).region == AMERICA, "vouched for again")
        gate.service.process.signal(signal.SIGSTOP)  # a steward that hangs says nothing, and need not
        eventually(lambda: gate.send(TRAVELLER).region == "eu-central-1", "stale without a steward", within_s=10)
        gate.service.process.signal(signal.SIGCONT)
        asked = gate.send(TRAVELLER)
        record = gate.record(asked)
        assert record["out"]["r"] == "eu-central-1"
        assert gate.logged("BP0622") >= 1


@pytest.mark.full
def test_law_survives_the_server_the_steward_and_the_workers(tmp_path: Path) -> None:
    """Whatever of it ends, in whatever order, what was known stays law; what was missed is caught up with."""
    with fleet(tmp_path, count=1) as shared:
        (gate,) = shared.gates
        assert gate.send(TRAVELLER).region == AMERICA
        shared.revoke("gone")
        eventually(lambda: gate.send(TRAVELLER).region == "eu-central-1", "revoked")
        held = shared.lines()

        shared.server.kill()
        for pid in gate.worker_pids().values():
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: gate.send(TRAVELLER).status == 200, "workers are back")
        assert gate.send(TRAVELLER).region == "eu-central-1"
        assert gate.metric("borderpost_events_stream_connected") == 0

        gate.kill_service()
        gate.start_service()  # with nobody to ask, by what the log says was law
        assert gate.send(TRAVELLER).region == "eu-central-1"
        assert "warning: events/stream" in gate.service.admin("/readyz")[1]

        shared.server.start()  # empty
        eventually(lambda: gate.logged("BP1012") + gate.logged("BP0606") >= 1, "an empty list is told")
        assert gate.send(TRAVELLER).region == "eu-central-1"
        assert gate.metric("borderpost_reload_total", what="events", result="refused") >= 1
        assert not gate.unready()

        shared.restore([*held, b"junk"])
        eventually(lambda: gate.logged("BP1001") >= 1, "an entry that is no line is told")
        shared.restore(held)
        shared.lift("gone")
        eventually(lambda: gate.send(TRAVELLER).region == AMERICA, "caught up")


def test_a_gateway_that_never_knew_the_law_does_not_begin_without_it(tmp_path: Path) -> None:
    with fleet(tmp_path, count=1) as shared:
        (gate,) = shared.gates
        shared.revoke("gone")
        eventually(lambda: gate.send(TRAVELLER).region == "eu-central-1", "revoked")
        gate.service.stop()
        held = shared.lines()
        shared.restore([])
        shared.forget_heartbeat()
        gate.audit.rename(tmp_path / "elsewhere")  # as in a new pod
        gate.launch_service()
        eventually(lambda: gate.logged("BP0621") >= 1, "a missing list is told")
        assert gate.unready()
        assert gate.send(TRAVELLER, legal=()).status == 503
        shared.restore(held)
        gate.await_service()
        assert gate.send(TRAVELLER).region == "eu-central-1"
