"""An experiment: what is measured with more than one server under one load, with figures and targets of its own.

    def run(settings: Settings, engine: str) -> Round: ...          # one round; sets everything up and tears it down

    IDLE = Experiment(name="idle", title="10,000 idle streams", run=run, targets=(
        Target(figure="slowdown", what="decisions slow by ≤ 5 %", most=1.05),
    ))

It is run when it stands in `experiments.EXPERIMENTS`; the report, the verdicts on its targets, the plots of its
curves and the comparison of two results come from the values here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from borderpost_bench.measure import Settings
from borderpost_bench.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """How a figure depends on something, for a plot; in each round of an experiment at the same places."""

    x: str
    """What was varied, as the label of the axis, with its unit."""
    y: str
    points: tuple[tuple[float, float], ...]
    """Value of x, value of y, in order of x."""
    logarithmic: bool = False
    """Whether x is drawn on a logarithmic scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round of an experiment found."""

    figures: Mapping[str, float]
    """By name; a name ends in its unit (`p99_ms`, `memory_mib`), that of a ratio in none."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    """What must not happen and did, a sentence each: the whole run has failed."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else belongs into the result, JSON-ready."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data, without its curves: those are summed up over all rounds."""
        told = asdict(self)
        del told["curves"]
        return told


def _nothing_needed(_settings: Settings, _engine: str) -> None:
    """Let it be run anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One thing to measure that is not one server under one load."""

    name: str
    title: str
    run: Callable[[Settings, str], Round]
    """Measures once, on an engine (as in `server.engine`)."""
    need: Callable[[Settings, str], None] = _nothing_needed
    """Raises Unavailable or EngineUnavailable where it cannot be run, with the reason in one line."""
    targets: tuple[Target, ...] = ()
    rounds_max: int | None = None
    """For one that takes minutes: it is left out of later rounds."""
    by_default: bool = True
    """Whether it is measured when nothing is named."""
