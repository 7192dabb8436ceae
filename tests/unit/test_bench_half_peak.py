"""Latency at half of peak and under rising load: what is counted beyond the rival and the disk, and when nothing is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from borderpost_bench import half_peak, offered_load
from borderpost_bench.arrivals import Pace
from borderpost_bench.check import Check
from borderpost_bench.disk_pace import sync_pace
from borderpost_bench.experiments import EXPERIMENT_BY_NAME
from borderpost_bench.judge import Judgement
from borderpost_bench.latency import Percentiles
from borderpost_bench.load import Load
from borderpost_bench.measure import Sample, Settings
from borderpost_bench.scenarios import Driver, Scenario

SYNC = Percentiles(p50_ms=0.2, p90_ms=0.3, p99_ms=0.5, p999_ms=1.0, greatest_ms=2.0)
CHECK = Check(
    illegal=0, unlogged=0, over_refused=0, refused_by_envoy=0, repeated=0, unheard=0, unheard_max=8, decisions=10,
    bytes_per_decision=1000.0, routed={}, refused={},
)  # fmt: skip


def sample(**changes: Any) -> Sample:
    figures: dict[str, Any] = {
        "requests_s": 1000.0, "p50_ms": 1.0, "p99_ms": 2.0, "answered": 10, "refused": 0, "failed": 0,
        "server_cpu_us": None, "worker_cpu_us": None, "envoy_cpu_us": None, "upstream_cpu_us": 10.0,
        "server_memory_mib": None, "records_per_commit": 4.0, "commit_ms": None, "load_average": 0.5,
        "foreign_cores": 0.1, "check": CHECK,
    }  # fmt: skip
    return Sample(**{**figures, **changes})


@pytest.mark.parametrize(
    ("own", "beyond_p50", "beyond_p99", "by_median"),
    [
        ({"p50_ms": 0.3, "p99_ms": 1.4}, 0.0, 0.0, 0.6),  # as much as is allowed
        ({"p50_ms": 0.35, "p99_ms": 1.5}, 0.05, 0.1, 0.7),
        ({"p50_ms": 0.1, "p99_ms": 0.4}, -0.2, -1.0, -0.4),  # as the rival
    ],
)
def test_one_sync_is_allowed_at_the_median_and_two_at_the_99th(
    own: dict[str, float], beyond_p50: float, beyond_p99: float, by_median: float
) -> None:
    assert half_peak.excess(own, {"p50_ms": 0.1, "p99_ms": 0.4}, SYNC) == {
        "p50_excess_ms": pytest.approx(beyond_p50), "p99_excess_ms": pytest.approx(beyond_p99),
        "p99_excess_by_median_sync_ms": pytest.approx(by_median),
    }  # fmt: skip


def test_a_round_in_which_the_generator_was_late_has_no_verdict() -> None:
    good = half_peak.found({"a": 1.0}, {"p50_excess_ms": 0.0}, {"own": sample(late_p50_ms=0.1, late_p99_ms=1.0)})
    assert good.figures == {"a": 1.0, "p50_excess_ms": 0.0}
    assert good.details["invalid"] is None
    for late in ({"late_p50_ms": 1.5}, {"late_p99_ms": 20.0}):
        made = half_peak.found({"a": 1.0}, {"p50_excess_ms": 0.0}, {"own": sample(**late), "plain": sample()})
        assert made.figures == {"a": 1.0}
        assert made.details["invalid"] == "the generator was late under own"
        assert json.dumps(made.as_dict())


def test_a_check_that_fails_is_a_fault() -> None:
    for wrong in ({"failed": 1}, {"judgement": Judgement(illegal=1)}):
        assert half_peak.found({}, {}, {"own": sample(**wrong)}).faults == ("a check failed under own",)
    assert half_peak.found({}, {}, {"own": sample(judgement=Judgement(answers=5))}).faults == ()


def test_each_is_asked_at_the_pace_that_belongs_to_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, Driver, float | None]] = []

    def measured(scenario: Scenario, settings: Settings, pace: Pace | None = None) -> Sample:
        asked.append((scenario.name, scenario.driver, pace.rate_s if pace else None))
        return sample(requests_s=3000.0 if "stub" in scenario.name else 2000.0, p50_ms=float(len(asked)))

    monkeypatch.setattr(half_peak, "measure", measured)
    monkeypatch.setattr(half_peak, "sync_pace", lambda _directory, size: SYNC if size == 4000 else None)
    direct = half_peak.run_direct(Settings(directory=tmp_path), "wire")
    assert asked == [
        ("go-stub-streams", Driver.STREAMS, None), ("borderpost-streams@wire", Driver.STREAMS, None),
        ("go-stub-streams", Driver.STREAMS, 1500.0), ("borderpost-streams@wire", Driver.STREAMS, 1000.0),
    ]  # fmt: skip
    assert direct.figures["p50_excess_ms"] == pytest.approx(4 - 3 - 0.2)
    asked.clear()
    through = half_peak.run_through_envoy(Settings(directory=tmp_path), "wire")
    assert asked == [
        ("ext_proc@wire", Driver.WRK, None), ("plain", Driver.OPEN, 1000.0), ("go-stub", Driver.OPEN, 1000.0),
        ("ext_proc@wire", Driver.OPEN, 1000.0),
    ]  # fmt: skip
    assert (through.figures["added_p50_ms"], through.figures["stub_added_p50_ms"]) == (2.0, 1.0)
    assert through.figures["p50_excess_ms"] == pytest.approx(0.8)
    for name, made in (("half-peak-direct", direct), ("half-peak", through)):
        assert {target.figure for target in EXPERIMENT_BY_NAME[name].targets} <= made.figures.keys()


def test_the_disk_s_pace_is_measured_by_real_syncs(tmp_path: Path) -> None:
    told = sync_pace(tmp_path, 3000, count=5)
    assert 0 < told.p50_ms <= told.p99_ms <= told.greatest_ms
    assert list(tmp_path.iterdir()) == []


def test_curves_are_over_the_offered_load_in_order() -> None:
    loads = {
        share: Load(
            answered=share * 10,
            refused=0,
            failed=0,
            seconds=2.0,
            p50_ms=share / 10,
            p99_ms=float(share),
            p90_ms=0,
            p999_ms=0,
        )
        for share in (60, 20)
    }
    made = offered_load.curves_of(loads)
    assert made["throughput_s"].points == ((20, 100.0), (60, 300.0))
    assert made["p50_ms"].points == ((20, 2.0), (60, 6.0))
    assert made["p99_ms"].points == ((20, 20.0), (60, 60.0))
