"""The bench of enforcement measures what it says: each event of each kind, in every worker's log."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from borderpost_bench.enforcement import KINDS, measure_enforcement
from borderpost_bench.measure import Settings
from borderpost_bench.shared_list import GATEWAYS, WORKERS

pytestmark = [
    pytest.mark.blackbox,
    pytest.mark.full,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server"),
]


def test_every_kind_of_event_is_seen_to_be_enforced_by_every_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("borderpost_bench.enforcement.RATE_S", 100.0)
    monkeypatch.setattr("borderpost_bench.enforcement.HOLDS_S", 1.0)  # for a machine that is busy with other tests
    found = measure_enforcement(Settings(directory=tmp_path), "auto", events=len(KINDS))
    assert found.faults == ()
    assert found.figures["samples"] == len(KINDS) * GATEWAYS * WORKERS
    assert 0 < found.figures["p50_ms"] <= found.figures["p99_ms"]
