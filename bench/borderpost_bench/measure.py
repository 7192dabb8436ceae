"""One measurement: a stage of its own, a warm-up, the load, the costs, the check."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from borderpost_bench import cpu
from borderpost_bench.arrivals import Pace
from borderpost_bench.check import Asking, Check, compare
from borderpost_bench.features import DEFAULTS, Features
from borderpost_bench.judge import Judgement
from borderpost_bench.load import Load
from borderpost_bench.machine import load_average
from borderpost_bench.scenarios import Driver, Scenario
from borderpost_bench.stage import Stage, StageUsage

WARM_UP_S = 1.0
LATE_P50_MS_MAX, LATE_P99_MS_MAX = 0.5, 5.0
"""A generator that is later than this is what is measured."""
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a run is made."""

    runs: int = 5
    seconds: float = 3.0
    connections: int = 32
    directory: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    """Where each measurement makes a directory of its own; it must lie on a disk."""
    pace: Pace = field(default_factory=lambda: Pace(500.0))
    """Of the open loop, where a scenario has no other."""
    features: Features = DEFAULTS
    """Of the product."""

    def as_dict(self) -> dict[str, Any]:
        """Return what another machine could repeat, as JSON-ready data: all but the directory."""
        return {
            "runs": self.runs, "seconds": self.seconds, "connections": self.connections, "pace": asdict(self.pace),
            "features": self.features.as_dict(),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measurement. Costs are per answer, in microseconds of CPU; None where there is no such part."""

    requests_s: float
    p50_ms: float
    p99_ms: float
    answered: int
    refused: int
    failed: int
    server_cpu_us: float | None
    """Steward and workers together, or the constant answer's server."""
    worker_cpu_us: float | None
    envoy_cpu_us: float | None
    upstream_cpu_us: float
    server_memory_mib: float | None
    """Of all the server's processes, at the end of the load."""
    records_per_commit: float | None
    commit_ms: float | None
    """Mean time from the hand-over of a batch to its acknowledgement."""
    load_average: float
    """Before the measurement."""
    foreign_cores: float
    """How many cores processes that are not part of this were busy on during the load."""
    check: Check | None
    """None where nothing is decided."""
    p90_ms: float | None = None
    p999_ms: float | None = None
    """99.9 %; both None where the load generator does not tell."""
    offered_s: float | None = None
    """Requests a second that were due, in an open loop; latencies count from when each was due."""
    late_p50_ms: float | None = None
    late_p99_ms: float | None = None
    """How late the generator itself was, in an open loop."""
    server_cores: tuple[int, ...] = ()
    """On which the server's processes could run."""
    judgement: Judgement | None = None
    """On each answer by itself, where an open loop asked the product through Envoy."""

    @property
    def too_late(self) -> bool:
        """Return True if the generator was so late that it is what was measured: the sample says nothing."""
        return (self.late_p50_ms or 0) > LATE_P50_MS_MAX or (self.late_p99_ms or 0) > LATE_P99_MS_MAX

    @property
    def passed(self) -> bool:
        """Return True if every request was answered and all checks hold."""
        held = self.check is None or self.check.passed
        return held and not self.failed and (self.judgement is None or self.judgement.passed)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        return {**asdict(self), "too_late": self.too_late}


def measure(scenario: Scenario, settings: Settings, pace: Pace | None = None) -> Sample:
    """Measure a scenario once. With a pace, a driver of streams asks in an open loop too.

    Raises BorderpostError if something cannot be started or driven.
    """
    if pace is None and scenario.driver is Driver.OPEN:
        pace = settings.pace
    directory = Path(tempfile.mkdtemp(prefix="borderpost-bench-", dir=settings.directory))
    try:
        before = load_average()
        with Stage(scenario, directory, settings.features) as stage:
            return _measure(stage, scenario, settings, pace, before)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _measure(stage: Stage, scenario: Scenario, settings: Settings, pace: Pace | None, load_before: float) -> Sample:
    warm = stage.drive(seconds=WARM_UP_S, connections=settings.connections, pace=pace)
    metrics_before = stage.metrics()
    before, machine, own = stage.usage(), cpu.machine_cpu_s(), cpu.own_cpu_s()
    load = stage.drive(seconds=settings.seconds, connections=settings.connections, pace=pace)
    after, machine_after, own_after = stage.usage(), cpu.machine_cpu_s(), cpu.own_cpu_s()
    metrics_after = stage.metrics()
    ours_s = _total_s(after) - _total_s(before) + own_after - own
    # Before the server ends, while Envoy's and the regions' counts can be asked for; nothing is in flight any more.
    regions = _by_region(stage, scenario, [warm, load])
    asking, server_cores = stage.asking(), stage.server_cores()
    stage.end_server()

    def per_answer_us(used: float) -> float:
        return round(used * 1e6 / max(1, load.answered), 1)

    def grown(name: str) -> float:
        return metrics_after.get(name, 0.0) - metrics_before.get(name, 0.0)

    commits = grown("borderpost_audit_commit_seconds_count")
    served = after.workers.memory_bytes > 0
    asked = not scenario.direct
    workers_s = after.workers.cpu_s - before.workers.cpu_s
    steward_s = after.steward.cpu_s - before.steward.cpu_s
    return Sample(
        requests_s=round(load.requests_s, 1),
        p50_ms=round(load.p50_ms, 3),
        p90_ms=round(load.p90_ms, 3),
        p99_ms=round(load.p99_ms, 3),
        p999_ms=round(load.p999_ms, 3),
        answered=load.answered,
        refused=load.refused,
        failed=load.failed,
        server_cpu_us=per_answer_us(workers_s + steward_s) if served else None,
        worker_cpu_us=per_answer_us(workers_s) if served else None,
        envoy_cpu_us=per_answer_us(after.envoy.cpu_s - before.envoy.cpu_s) if asked else None,
        upstream_cpu_us=per_answer_us(after.upstream.cpu_s - before.upstream.cpu_s),
        server_memory_mib=round((after.workers + after.steward).memory_bytes / _MIB, 1) if served else None,
        records_per_commit=round(grown("borderpost_audit_batch_records_sum") / commits, 1) if commits else None,
        commit_ms=round(grown("borderpost_audit_commit_seconds_sum") / commits * 1000, 3) if commits else None,
        load_average=load_before,
        foreign_cores=round(max(0.0, machine_after - machine - ours_s) / load.seconds, 2),
        check=_check(stage, [warm, load], regions, asking, scenario, settings),
        offered_s=_rounded(load.offered_s, 1),
        late_p50_ms=_rounded(load.late_p50_ms, 3),
        late_p99_ms=_rounded(load.late_p99_ms, 3),
        server_cores=server_cores,
        judgement=stage.judged(),
    )


def _by_region(stage: Stage, scenario: Scenario, loads: Sequence[Load]) -> Mapping[str, int]:
    """Return what the regions got, or what the driver was told, or nothing where neither is known."""
    if not scenario.direct:
        return stage.region_counts()
    told: Counter[str] = Counter()
    for load in loads:
        told.update(load.by_cluster or {})
    return told


def _check(
    stage: Stage,
    loads: Sequence[Load],
    regions: Mapping[str, int],
    asking: Asking,
    scenario: Scenario,
    settings: Settings,
) -> Check | None:
    log = stage.log_count()
    if log is None:
        return None
    in_flight = scenario.in_flight or settings.connections
    refused = sum(load.refused for load in loads)
    return compare(
        log,
        client_routed=sum(load.answered for load in loads) - refused,
        client_refused=refused,
        regions=regions,
        asking=asking,
        cut_off=in_flight * len(loads),
    )


def _rounded(value: float | None, decimals: int) -> float | None:
    return None if value is None else round(value, decimals)


def _total_s(usage: StageUsage) -> float:
    return (usage.steward + usage.workers + usage.envoy + usage.upstream).cpu_s
