"""A figure over several rounds: its median with the least and the greatest."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over several rounds."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up at least one value."""
        return cls(round(statistics.median(values), 3), min(values), max(values))

    @classmethod
    def read(cls, told: dict[str, float]) -> Spread:
        """Read what `as_dict` gave. Raises KeyError."""
        return cls(told["median"], told["min"], told["max"])

    def as_dict(self) -> dict[str, float]:
        """Return it as JSON-ready data."""
        return {"median": self.median, "min": self.least, "max": self.greatest}

    def told(self, decimals: int) -> str:
        """Return it as text: the median, and the ends in brackets where they differ from it."""
        low, mid, high = (f"{value:,.{decimals}f}" for value in (self.least, self.median, self.greatest))
        return mid if low == high else f"{mid} ({low}–{high})"
