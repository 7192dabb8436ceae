"""What must be reached, and whether it was: a bound on the median of a figure, and the verdict on a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from borderpost_bench.spread import Spread

HELD_ENGINES = frozenset({None, "auto", "wire"})
"""Whose figures are held to the targets; another engine's stand beside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bound that the median of a figure is held to. One of `most` and `least` is set."""

    figure: str
    what: str
    """What is promised, in a few words."""
    most: float | None = None
    least: float | None = None
    aim: float | None = None
    """What it would be good to reach beyond the bound."""

    def met(self, value: float) -> bool:
        """Return True if a value keeps to the bound."""
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)

    @property
    def bound(self) -> str:
        """Return the bound as text."""
        return f"≤ {self.most:g}" if self.most is not None else f"≥ {self.least:g}"


def verdict(target: Target, name: str, spread: Spread | None) -> dict[str, Any]:
    """Return the verdict on a target as JSON-ready data; `met` is None where the figure was not measured."""
    return {
        "what": target.what,
        "of": name,
        "figure": target.figure,
        "bound": target.bound,
        "aim": target.aim,
        "value": spread.as_dict() if spread is not None else None,
        "met": target.met(spread.median) if spread is not None else None,
    }


def verdicts(
    name: str, engine: str | None, targets: Iterable[Target], figures: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the verdicts on what was measured under a name; none on an engine that is not held to them.

    `figures` are spreads as JSON-ready data; other entries may stand between them.
    """
    if engine not in HELD_ENGINES:
        return []
    found = []
    for target in targets:
        told = figures.get(target.figure)
        found.append(verdict(target, name, Spread.read(told) if told is not None else None))
    return found
