"""Workers replaced one after another, and law replaced, under load: on a real Envoy not one request fails."""

from __future__ import annotations

import signal
from itertools import groupby
from pathlib import Path

import pytest

from borderpost.audit.verify import verify
from borderpost.runtime_directory import ReloadOutcome
from borderpost_envoy import Via
from support.borderpost_process import ENGINE, merged
from support.client import Observed
from support.clients import GERMAN
from support.faults import acknowledged_in_log, log_lines, small_gate
from support.gateway import Gateway, eventually

pytestmark = pytest.mark.blackbox


def all_served(gate: Gateway, observed: Observed, *, at_least: int = 200) -> None:
    assert observed.statuses.keys() == {200}, observed.statuses
    assert observed.statuses[200] >= at_least
    acknowledged_in_log(gate, observed)


def replaced(gate: Gateway, times: int) -> bool:
    assert not log_lines(gate, code="BP0607")
    return len(log_lines(gate, event="reloaded", workers="replaced")) == times


def engines(gate: Gateway) -> set[str]:
    """Return the engines that workers have said they run on."""
    return {line["engine"] for line in log_lines(gate, event="listening")}


@pytest.mark.parametrize(
    ("via", "workers", "again"),
    [
        (Via.EXT_PROC, 1, True),
        pytest.param(Via.EXT_PROC, 2, False, marks=pytest.mark.full),
        pytest.param(Via.EXT_AUTHZ, 1, False, marks=pytest.mark.full),
    ],
)
def test_workers_replaced_under_load_fail_no_request(tmp_path: Path, via: Via, workers: int, again: bool) -> None:
    with small_gate(tmp_path, workers=workers, via=via, server={"drain_s": 2.0}) as gate:
        before = set(gate.worker_pids().values())

        def during() -> None:
            eventually(lambda: sum(gate.served.values()) > 50, "requests are served")
            gate.reload(merged(gate.config, {"answers": {"retry_after_s": 9}}))
            eventually(lambda: replaced(gate, 1), "workers replaced for another configuration")
            if again:
                gate.service.process.signal(signal.SIGUSR2)
                eventually(lambda: replaced(gate, 2), "workers replaced for nothing")
            assert gate.service.ready()

        observed = gate.load([GERMAN], during=during)
        all_served(gate, observed)
        assert engines(gate) == {"wire" if ENGINE == "auto" else ENGINE}
        after = set(gate.worker_pids().values())
        assert len(after) == workers
        assert not after & before
        assert not log_lines(gate, level="error")
        assert gate.service.stop() == 0
        report = verify(gate.audit)
        assert report.findings == []
        assert sum(stream.unclean_epochs for stream in report.streams) == 0
        assert len(report.streams) == workers + 1


def test_law_replaced_under_load_fails_no_request_and_starts_no_worker(tmp_path: Path) -> None:
    """The generation that all processes share is enough: each worker takes the snapshot between two batches."""
    with small_gate(tmp_path, workers=2) as gate:
        before = gate.worker_pids()
        nearer = merged(gate.config, {"ranking": {"latency_ms": {"DE": {"eu-west-1": 1}}}})

        def during() -> None:
            for config, region in ((nearer, "eu-west-1"), (gate.config, "eu-central-1"), (nearer, "eu-west-1")):
                gate.regions.forget()
                gate.reload(config)
                eventually(lambda region=region: gate.served.get(region, 0) > 20, f"requests go to {region}")  # type: ignore[misc]

        observed = gate.load([GERMAN], during=during)
        all_served(gate, observed)
        assert observed.regions.keys() == {"eu-central-1", "eu-west-1"}
        assert gate.worker_pids() == before
        # Each worker's records name the law that was in force, in the order in which it was published.
        for records in gate.streams().values():
            laws = [law for law, _ in groupby(record["inputs"]["catalog"] for record in records)]
            assert 2 <= len(laws) <= 4
            assert len(set(laws)) == 2


def test_a_worker_that_does_not_get_ready_leaves_the_one_before_it_serving(tmp_path: Path) -> None:
    with small_gate(tmp_path) as gate:
        before = gate.worker_pids()

        def during() -> None:
            eventually(lambda: sum(gate.served.values()) > 50, "requests are served")
            gate.reload(merged(gate.config, {"server": {"group": "no-such-group"}}))
            eventually(lambda: bool(log_lines(gate, event="reloaded")), "the reload has an outcome")

        observed = gate.load([GERMAN], during=during)
        all_served(gate, observed)
        assert gate.worker_pids() == before
        assert gate.service.ready()
        outcome = ReloadOutcome.read(gate.directory / gate.config["runtime"]["directory"])
        assert outcome is not None
        assert (outcome.configuration, outcome.workers) == ("taken", "not replaced")
        assert [problem["code"] for problem in outcome.problems] == ["BP0607"]
        assert log_lines(gate, event="worker cannot run", code="BP0501")
        gate.reload(merged(gate.config, {"answers": {"retry_after_s": 9}}))
        eventually(lambda: gate.worker_pids().keys() == {1}, "mended, it is replaced")
        assert gate.send(GERMAN).status == 200
