"""Checks of health: what must hold for this instance to serve, and what somebody should look at while it does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What came of a check."""

    PASSED = "passed"
    WARNING = "warning"
    """Somebody should look; the instance serves, by the last good input where the newest is refused."""
    FAILED = "failed"
    """The instance must not be asked."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check."""

    name: str
    """Stable, such as `steward/serving`."""
    outcome: Outcome
    detail: str
    """What was seen, for a person."""

    @classmethod
    def that(cls, name: str, holds: bool, detail: str) -> Check:
        """Return a check that fails unless something holds."""
        return cls(name, Outcome.PASSED if holds else Outcome.FAILED, detail)

    @property
    def holds(self) -> bool:
        """Return True unless it failed."""
        return self.outcome is not Outcome.FAILED
