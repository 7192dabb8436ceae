"""Throughput and latency against offered load: an open loop through Envoy from a fifth of peak load to beyond it.

Loads are shares of the peak that a closed loop reached in the same round, so that rounds can be summed up. Beyond
the peak an open loop shows what a closed one cannot: answers get later and later, and Envoy refuses what it had no
decision for in time; nothing may be illegal or unlogged there either.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from borderpost_bench.experiment import Curve, Experiment, Round
from borderpost_bench.latency import new_histogram
from borderpost_bench.load import Load, need
from borderpost_bench.measure import WARM_UP_S, Settings, measure
from borderpost_bench.scenarios import BY_NAME, Driver, on_engine
from borderpost_bench.stage import Stage

SHARES_PERCENT = (20, 40, 60, 80, 95, 110)
_SECONDS_MAX = 3.0
_X = "offered load, % of closed-loop peak"


def run(settings: Settings, engine: str) -> Round:
    """Measure one round: the peak, then each share of it on one stage."""
    brief = replace(settings, seconds=min(settings.seconds, _SECONDS_MAX))
    scenario = on_engine(BY_NAME["ext_proc"], engine)
    peak_s = measure(scenario, brief).requests_s
    directory = Path(tempfile.mkdtemp(prefix="borderpost-bench-", dir=settings.directory))
    loads: dict[int, Load] = {}
    try:
        with Stage(replace(scenario, driver=Driver.OPEN, traffic="mixed"), directory, settings.features) as stage:
            pace = replace(settings.pace, rate_s=peak_s / 2)
            stage.drive(seconds=WARM_UP_S, connections=settings.connections, pace=pace)
            for share in SHARES_PERCENT:
                pace = replace(settings.pace, rate_s=peak_s * share / 100)
                loads[share] = stage.drive(seconds=brief.seconds, connections=settings.connections, pace=pace)
            stage.end_server()
            judgement = stage.judged()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    assert judgement is not None, "the product was asked in an open loop"
    return Round(
        figures={"peak_s": peak_s},
        curves=curves_of(loads),
        faults=() if judgement.passed else (f"of {judgement.answers} answers: {'; '.join(judgement.wrong)}",),
        details={"judgement": judgement.as_dict(), "late_p99_ms": [one.late_p99_ms for one in loads.values()]},
    )


def curves_of(loads: dict[int, Load]) -> dict[str, Curve]:
    """Return what loads, by their share of the peak, say of throughput and latency."""

    def curve(y: str, values: dict[int, float]) -> Curve:
        return Curve(x=_X, y=y, points=tuple((share, round(value, 3)) for share, value in sorted(values.items())))

    return {
        "throughput_s": curve("answers a second", {share: one.requests_s for share, one in loads.items()}),
        "p50_ms": curve("p50, ms", {share: one.p50_ms for share, one in loads.items()}),
        "p99_ms": curve("p99, ms", {share: one.p99_ms for share, one in loads.items()}),
    }


def _need(_settings: Settings, _engine: str) -> None:
    new_histogram()
    need("wrk")


OFFERED_LOAD = Experiment(
    name="offered-load", title="Throughput and latency against offered load", run=run, need=_need, rounds_max=3
)
