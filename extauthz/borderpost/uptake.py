"""What was taken up of what lies on the disk, and what was refused: in the log, the metrics and the health checks.

Configuration, events and GeoIP database are taken whole or not at all, and the last good one stays in force. That is
safe, and easily overlooked: so a refusal stands in the health checks until something is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from borderpost.health import Check, Outcome
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.logs import get_logger
from borderpost_base.metrics import BoundedCounter, BoundedGauge, Metrics
from borderpost_base.world import World

ROLLBACKS: Final = frozenset({"BP0606", "BP0610", "BP0611", "BP1012"})
"""Codes of what would bring back older law: somebody may have done it on purpose."""


@dataclass(frozen=True, slots=True)
class UptakeMetrics:
    """Where a process counts what it took up; each instrument's first label says what."""

    reload_total: BoundedCounter
    reload_stale: BoundedGauge
    reload_taken_timestamp_seconds: BoundedGauge
    rollback_refused_total: BoundedCounter | None
    """None where nothing is taken up that could bring back older law."""

    @classmethod
    def of_steward(cls, metrics: Metrics) -> UptakeMetrics:
        """Return those of the steward."""
        return cls(
            metrics.reload_total,
            metrics.reload_stale,
            metrics.reload_taken_timestamp_seconds,
            metrics.rollback_refused_total,
        )

    @classmethod
    def of_limiter(cls, metrics: Metrics) -> UptakeMetrics:
        """Return those of the limiter."""
        return cls(
            metrics.limiter_reload_total,
            metrics.limiter_reload_stale,
            metrics.limiter_reload_taken_timestamp_seconds,
            None,
        )


class Uptake:
    """The one place where a refusal is told. Used on one process's loop."""

    def __init__(self, metrics: UptakeMetrics, world: World) -> None:
        self._metrics = metrics
        self._world = world
        self._refused: dict[str, tuple[BorderpostError, ...]] = {}
        self._log = get_logger("uptake")

    def begins(self, what: str) -> None:
        """Say that the gateway begins with something."""
        self._metrics.reload_taken_timestamp_seconds.set(self._world.clock.wall_us() // 1_000_000, what)
        self._metrics.reload_stale.set(0, what)

    def taken(self, what: str, *, anew: bool = True) -> None:
        """Say that what lies there of `what` (`config`, `events`…) is in force; `anew` if it was not before."""
        if anew:
            self._metrics.reload_total.inc(what, "taken")
            self._metrics.reload_taken_timestamp_seconds.set(self._world.clock.wall_us() // 1_000_000, what)
        self._metrics.reload_stale.set(0, what)
        if self._refused.pop(what, None) is not None:
            self._log.info(f"{what} on the disk and in force are the same again")

    def refused(self, what: str, error: BorderpostError | Problems) -> Sequence[BorderpostError]:
        """Say that what lies there of `what` is refused and the last good one stays; return the single errors."""
        told = error.errors if isinstance(error, Problems) else (error,)
        self._refused[what] = tuple(told)
        self._metrics.reload_total.inc(what, "refused")
        self._metrics.reload_stale.set(1, what)
        for problem in told:
            if problem.code in ROLLBACKS and self._metrics.rollback_refused_total is not None:
                self._metrics.rollback_refused_total.inc(what)
            self._log.error(f"{what} not taken: the last good one stays", **problem.as_dict())
        return told

    def checks(self) -> list[Check]:
        """Return a warning for each thing that is refused."""
        return [
            Check(f"{what}/current", Outcome.WARNING, f"the last good one is in force: {_brief(errors)}")
            for what, errors in sorted(self._refused.items())
        ]


def _brief(errors: tuple[BorderpostError, ...]) -> str:
    first = f"{errors[0].code} {errors[0].detail}"
    return first if len(errors) == 1 else f"{first} (and {len(errors) - 1} more)"
