"""Latency at half of peak load, in an open loop: what a durable decision adds to what an empty Go handler takes.

Directly, each server is driven at half of its own peak. Through Envoy all get the same load, half of the product's
peak, and what counts is what each adds to the plain proxy. A decision may take as much longer than the empty handler
as the disk needs: one write with its `fdatasync` at the median, and at the 99th percentile two of the disk's own 99th
percentile, because a request can wait out the flush in progress before its own. The disk is measured in the same
round, with writes of the size that the batches of this load had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from borderpost_bench.arrivals import Pace
from borderpost_bench.disk_pace import sync_pace
from borderpost_bench.experiment import Experiment, Round
from borderpost_bench.latency import Percentiles, new_histogram
from borderpost_bench.load import need
from borderpost_bench.measure import Sample, Settings, measure
from borderpost_bench.rivals import programs
from borderpost_bench.scenarios import BY_NAME, Driver, Scenario, on_engine
from borderpost_bench.targets import Target

_PEAK_S_MAX = 3.0
"""How long a peak is looked for."""


def excess(own: Mapping[str, float], rival: Mapping[str, float], sync: Percentiles) -> dict[str, float]:
    """Return by how much a p50 and a p99 (`p50_ms`, `p99_ms`) are beyond the rival's and the disk's; negative where
    they keep within. `p99_excess_by_median_sync_ms` allows two median syncs only.
    """
    more_p50, more_p99 = own["p50_ms"] - rival["p50_ms"], own["p99_ms"] - rival["p99_ms"]
    return {
        "p50_excess_ms": round(more_p50 - sync.p50_ms, 3),
        "p99_excess_ms": round(more_p99 - 2 * sync.p99_ms, 3),
        "p99_excess_by_median_sync_ms": round(more_p99 - 2 * sync.p50_ms, 3),
    }


def found(figures: Mapping[str, float], verdict: Mapping[str, float], samples: Mapping[str, Sample]) -> Round:
    """Return a round: with its verdict only if no generator was late, and with a fault for each check that failed."""
    late = [name for name, sample in samples.items() if sample.too_late]
    return Round(
        figures=figures if late else {**figures, **verdict},
        faults=tuple(f"a check failed under {name}" for name, sample in samples.items() if not sample.passed),
        details={
            "invalid": f"the generator was late under {', '.join(late)}" if late else None,
            "samples": {name: sample.as_dict() for name, sample in samples.items()},
        },
    )


def _half(sample: Sample, settings: Settings) -> Pace:
    return replace(settings.pace, rate_s=round(sample.requests_s / 2, 1))


def _peak(scenario: Scenario, settings: Settings) -> Sample:
    return measure(scenario, replace(settings, seconds=min(settings.seconds, _PEAK_S_MAX)))


def _batch_bytes(sample: Sample) -> int:
    assert sample.check is not None, "the product's log has been read"
    return max(1, round((sample.records_per_commit or 1) * sample.check.bytes_per_decision))


def _told(prefix: str, sample: Sample) -> dict[str, float]:
    return {f"{prefix}_p50_ms": sample.p50_ms, f"{prefix}_p99_ms": sample.p99_ms}


def _latencies(sample: Sample) -> dict[str, float]:
    return {"p50_ms": sample.p50_ms, "p99_ms": sample.p99_ms}


def _sync(sample: Sample, settings: Settings) -> tuple[Percentiles, dict[str, float]]:
    size = _batch_bytes(sample)
    pace = sync_pace(settings.directory, size)
    return pace, {"sync_p50_ms": round(pace.p50_ms, 3), "sync_p99_ms": round(pace.p99_ms, 3), "sync_bytes": size}


def run_direct(settings: Settings, engine: str) -> Round:
    """Measure without Envoy: each server at half of its own peak."""
    stub, ours = BY_NAME["go-stub-streams"], on_engine(BY_NAME["borderpost-streams"], engine)
    peaks = {"stub_peak": _peak(stub, settings), "peak": _peak(ours, settings)}
    rival = measure(stub, settings, _half(peaks["stub_peak"], settings))
    own = measure(ours, settings, _half(peaks["peak"], settings))
    sync, of_disk = _sync(own, settings)
    figures = {
        "peak_s": peaks["peak"].requests_s, "stub_peak_s": peaks["stub_peak"].requests_s,
        **_told("own", own), **_told("stub", rival), **of_disk, "late_p99_ms": own.late_p99_ms or 0.0,
    }  # fmt: skip
    verdict = excess(_latencies(own), _latencies(rival), sync)
    return found(figures, verdict, {**peaks, "stub": rival, "own": own})


def run_through_envoy(settings: Settings, engine: str) -> Round:
    """Measure through Envoy: all at half of the product's peak, each by what it adds to the plain proxy."""
    ours = on_engine(BY_NAME["ext_proc"], engine)
    peak = _peak(ours, settings)
    pace = _half(peak, settings)
    asked = {"plain": BY_NAME["plain"], "stub": BY_NAME["go-stub"], "own": ours}
    samples = {name: measure(replace(one, driver=Driver.OPEN), settings, pace) for name, one in asked.items()}
    added = {name: _added(samples[name], samples["plain"]) for name in ("stub", "own")}
    sync, of_disk = _sync(samples["own"], settings)
    figures = {
        "rate_s": pace.rate_s, **_told("plain", samples["plain"]),
        "added_p50_ms": added["own"]["p50_ms"], "added_p99_ms": added["own"]["p99_ms"],
        "stub_added_p50_ms": added["stub"]["p50_ms"], "stub_added_p99_ms": added["stub"]["p99_ms"],
        **of_disk, "late_p99_ms": max(sample.late_p99_ms or 0.0 for sample in samples.values()),
    }  # fmt: skip
    return found(figures, excess(added["own"], added["stub"], sync), {"peak": peak, **samples})


def _added(sample: Sample, plain: Sample) -> dict[str, float]:
    return {
        "p50_ms": round(sample.p50_ms - plain.p50_ms, 3),
        "p99_ms": round(sample.p99_ms - plain.p99_ms, 3),
    }


def _need_direct(_settings: Settings, _engine: str) -> None:
    new_histogram()
    programs()


def _need_envoy(_settings: Settings, _engine: str) -> None:
    new_histogram()
    programs()
    need("wrk")


def _targets(where: str) -> tuple[Target, ...]:
    return (
        Target(
            figure="p50_excess_ms", most=0.0,
            what=f"p50 at half of peak, {where}, beyond the zero-work grpc-go server's plus one sync, ms",
        ),
        Target(
            figure="p99_excess_ms", most=0.0,
            what=f"p99 at half of peak, {where}, beyond the zero-work grpc-go server's plus two syncs, ms",
        ),
    )  # fmt: skip


HALF_PEAK_DIRECT = Experiment(
    name="half-peak-direct", title="Latency at half of peak, without Envoy", run=run_direct, need=_need_direct,
    targets=_targets("driven directly"),
)  # fmt: skip
HALF_PEAK = Experiment(
    name="half-peak", title="Latency added at half of peak, through Envoy", run=run_through_envoy, need=_need_envoy,
    targets=_targets("through Envoy"),
)  # fmt: skip
