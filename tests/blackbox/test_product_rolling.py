"""Workers replaced one after another, and law replaced, under load: on a real Envoy not one request fails."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from borderpost.audit.verify import verify
from borderpost_envoy import Via
from support.borderpost_process import merged
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


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("via", list(Via))
def test_workers_replaced_under_load_fail_no_request(tmp_path: Path, via: Via, workers: int) -> None:
    with small_gate(tmp_path, workers=workers, via=via, server={"drain_s": 2.0}) as gate:
        before = set(gate.worker_pids().values())

        def during() -> None:
            eventually(lambda: sum(gate.served.values()) > 50, "requests are served")
            gate.reload(merged(gate.config, {"answers": {"retry_after_s": 9}}))
            eventually(lambda: replaced(gate, 1), "workers replaced for another configuration")
            gate.service.process.signal(signal.SIGUSR2)
            eventually(lambda: replaced(gate, 2), "workers replaced for nothing")
            assert gate.service.ready()

        observed = gate.load([GERMAN], during=during)
        all_served(gate, observed)
        after = set(gate.worker_pids().values())
        assert len(after) == workers
        assert not after & before
        assert not log_lines(gate, level="error")
        assert gate.service.stop() == 0
        report = verify(gate.audit)
        assert report.findings == []
        assert sum(stream.unclean_epochs for stream in report.streams) == 0
        assert len(report.streams) == workers + 1
