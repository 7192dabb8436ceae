"""What a decision costs against the size of the configuration, while facts repeat: it should not depend on it.

One worker, driven directly, its log durable; from 3 to 300 regions and from 10 to 10,000 policy entries. The law is
the same at every size (sizes.py), so the same questions get the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from borderpost_bench.alone import Alone, faults_of, need_driver
from borderpost_bench.experiment import Curve, Experiment, Round
from borderpost_bench.measure import WARM_UP_S, Settings
from borderpost_bench.sizes import ENTRIES_MIN, REGIONS_MIN, Size
from borderpost_bench.stage import ADDRESSES
from borderpost_bench.streams import messages
from borderpost_bench.targets import Target
from borderpost_bench.traffic import requests_of
from borderpost_envoy import Via

REGIONS = (REGIONS_MIN, 10, 30, 100, 300)
ENTRIES = (ENTRIES_MIN, 100, 1000, 10_000)
MEDIUM = Size(30, 100)
"""What stays while the other number grows."""
BY_REGIONS = tuple(Size(regions, MEDIUM.entries) for regions in REGIONS)
BY_ENTRIES = tuple(Size(MEDIUM.regions, entries) for entries in ENTRIES)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one size cost."""

    cpu_us: float
    """Of the worker, per decision."""
    p50_ms: float
    log_bytes: float
    memory_mib: float
    faults: tuple[str, ...]


def measure_size(size: Size, settings: Settings, engine: str) -> Cost:
    """Measure one size. Raises BorderpostError if something cannot be started or driven."""
    with Alone(settings, engine=engine, size=size) as alone:
        questions = alone.questions(messages(requests_of("sized", ADDRESSES), Via.EXT_PROC))
        warm = alone.drive(questions, seconds=WARM_UP_S)
        before = alone.usage()
        load = alone.drive(questions, seconds=settings.seconds)
        after = alone.usage()
        alone.end()
        log = alone.count()
    return Cost(
        cpu_us=(after.cpu_s - before.cpu_s) * 1e6 / max(1, load.answered),
        p50_ms=load.p50_ms,
        log_bytes=log.size_bytes / max(1, log.decisions),
        memory_mib=after.memory_bytes / (1 << 20),
        faults=faults_of(log, [warm, load]),
    )


def summed_up(costs: Mapping[Size, Cost]) -> Round:
    """Return what all sizes say together: each growth is the largest cost as a ratio of the smallest size's."""
    figures: dict[str, float] = {}
    curves: dict[str, Curve] = {}
    for name, sizes, what in (("regions", BY_REGIONS, "regions"), ("entries", BY_ENTRIES, "policy entries")):
        places = [float(getattr(size, name)) for size in sizes]
        for figure in ("cpu_us", "p50_ms"):
            values = [float(getattr(costs[size], figure)) for size in sizes]
            quantity = figure.partition("_")[0]
            figures[f"{quantity}_growth_by_{name}"] = growth(values)
            curves[f"{figure}_by_{name}"] = Curve(
                x=what, y=_LABELS[figure], points=tuple(zip(places, values, strict=True)), logarithmic=True
            )
        figures[f"log_bytes_growth_by_{name}"] = growth([costs[size].log_bytes for size in sizes])
    figures["memory_mib"] = round(max(cost.memory_mib for cost in costs.values()), 1)
    return Round(
        figures=figures,
        curves=curves,
        faults=tuple(f"{fault} with {size}" for size, cost in costs.items() for fault in cost.faults),
    )


_LABELS = {"cpu_us": "worker CPU per decision, µs", "p50_ms": "p50, ms"}


def growth(values: Sequence[float]) -> float:
    """Return the greatest value as a ratio of the first; 0 where there is nothing to relate to."""
    return round(max(values) / values[0], 3) if values[0] else 0.0


def _run(settings: Settings, engine: str) -> Round:
    sizes = dict.fromkeys((*BY_REGIONS, *BY_ENTRIES))
    return summed_up({size: measure_size(size, settings, engine) for size in sizes})


_FLAT = 1.1
SCALING = Experiment(
    name="scaling",
    title="cost against regions and policy entries",
    run=_run,
    need=need_driver,
    targets=(
        Target(figure="cpu_growth_by_regions", most=_FLAT, what="CPU per decision from 3 to 300 regions, facts repeat"),
        Target(figure="p50_growth_by_regions", most=_FLAT, what="p50 from 3 to 300 regions, facts repeat"),
        Target(figure="cpu_growth_by_entries", most=_FLAT, what="CPU per decision from 10 to 10,000 policy entries"),
        Target(figure="p50_growth_by_entries", most=_FLAT, what="p50 from 10 to 10,000 policy entries"),
    ),
)
