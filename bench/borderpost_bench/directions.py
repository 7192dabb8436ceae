"""Which way a figure is better: less latency and cost, more throughput."""

from __future__ import annotations

from borderpost_bench.experiments import EXPERIMENT_BY_NAME

_LESS = ("_ms", "_us", "_mib", "_bytes", "_bytes_s")
"""Endings of costs."""
_MORE = ("_s",)
"""Ending of rates, so many a second."""
_BESIDE = frozenset({
    "foreign_cores", "load_average", "offered_s", "late_p50_ms", "late_p99_ms", "records_per_commit", "rate_s",
    "upstream_cpu_us", "sync_p50_ms", "sync_p99_ms", "sync_bytes",
})  # fmt: skip
"""Figures of the machine, the generator or the load, which are nobody's merit."""


def is_ratio(figure: str) -> bool:
    """Return True for a figure that relates one thing to another of the same run."""
    return "ratio" in figure


def less_is_better(name: str, figure: str) -> bool | None:
    """Return the direction of a figure of a scenario or an experiment, None where neither way is better.

    An experiment's own target decides, then the name of the figure.
    """
    experiment = EXPERIMENT_BY_NAME.get(name.partition("@")[0])
    for target in experiment.targets if experiment is not None else ():
        if target.figure == figure:
            return target.most is not None
    if figure in _BESIDE:
        return None
    if is_ratio(figure):
        return not figure.startswith("throughput")
    if figure.endswith(_LESS):
        return True
    return False if figure.endswith(_MORE) else None
