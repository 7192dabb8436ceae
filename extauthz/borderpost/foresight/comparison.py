"""The same traffic before and after a change: who loses service, who moves where and at what latency, who stays.

Counts and rates are added exactly, as integers. What is told apart (tenants, places, classes) is bounded; beyond the
bound it is counted together, and the totals stay exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from borderpost.foresight.scenario import Verdict
from borderpost.policy.model import Facts
from borderpost_base import limits

OTHERS: Final = "…"
"""Stands for tenant, places and classes of what is counted together."""


class Who(NamedTuple):
    """Whose requests they are, as they are listed."""

    workload: str | None
    tenant: str | None
    places: tuple[str, ...]
    """Codes of the evidence, believed or not, sorted."""
    classes: tuple[str, ...]

    @classmethod
    def of(cls, facts: Facts, workload: str | None = None) -> Who:
        """Return whose requests these facts are."""
        places = tuple(sorted({piece.code for piece in facts.evidence}))
        return cls(workload, facts.tenant, places, facts.classes)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        lists = {"places": list(self.places), "classes": list(self.classes)}
        return {"workload": self.workload, "tenant": self.tenant, **lists}


EVERYBODY_ELSE: Final = Who(None, OTHERS, (OTHERS,), (OTHERS,))


class Losing(NamedTuple):
    """Requests that lose service, alike in what is listed of them."""

    who: Who
    region: str
    """Where they are served now."""
    reason: str
    """Why they would be refused."""


@dataclass(slots=True)
class Move:
    """Requests that would be served by another region."""

    weight: int = 0
    known: int = 0
    """Those of them whose latency is known before and after."""
    added_us: int = 0
    """Sum of what the move adds to the latency of each of those; below 0 where it becomes shorter."""
    least_us: int | None = None
    most_us: int | None = None

    def add(self, weight: int, before_us: int | None, after_us: int | None) -> None:
        """Count requests that move."""
        self.weight += weight
        if before_us is None or after_us is None:
            return
        added_us = after_us - before_us
        self.known += weight
        self.added_us += weight * added_us
        self.least_us = added_us if self.least_us is None else min(self.least_us, added_us)
        self.most_us = added_us if self.most_us is None else max(self.most_us, added_us)

    @property
    def mean_us(self) -> float | None:
        """Return what the move adds on average, where it is known; None where it never is."""
        return self.added_us / self.known if self.known else None

    def as_dict(self, told: Callable[[int], float]) -> dict[str, Any]:
        """Return it as JSON-ready data; `told` turns a weight into what is shown."""
        return {
            "requests": told(self.weight),
            "latency_known": told(self.known),
            "added_us_mean": None if self.mean_us is None else round(self.mean_us),
            "added_us_least": self.least_us,
            "added_us_most": self.most_us,
        }


@dataclass(slots=True)
class Comparison:
    """What becomes of traffic by a change. Weights are counts, or rates in thousandths."""

    total: int = 0
    served: int = 0
    """Served before."""
    lost: int = 0
    """Served before, refused after."""
    moved: int = 0
    """Served by another region after."""
    stayed: int = 0
    gained: int = 0
    """Refused before, served after."""
    refused: int = 0
    """Refused before and after."""
    losing: Counter[Losing] = field(default_factory=Counter)
    gaining: Counter[tuple[Who, str]] = field(default_factory=Counter)
    """Who gains service, and where."""
    moves: dict[tuple[str, str], Move] = field(default_factory=dict)
    staying: Counter[str] = field(default_factory=Counter)
    """Those who stay, by region."""
    load_before: Counter[str] = field(default_factory=Counter)
    load_after: Counter[str] = field(default_factory=Counter)
    drawn: int = 0
    """Weight of what is served after by one of several equals, which a seed drew."""
    together: int = 0
    """Weight of what was counted together, since too much was told apart."""

    def add(
        self, who: Who, weight: int, before: Verdict, after: Verdict, latencies_us: tuple[int | None, int | None],
        *, margin_us: int = 0,
    ) -> None:  # fmt: skip
        """Count requests that are alike; `latencies_us` are those of the regions before and after, if known.

        Regions within `margin_us` of each other are equals, as they are for the ranking.
        """
        self.total += weight
        if before.region is not None:
            self.served += weight
            self.load_before[before.region] += weight
        if after.region is not None:
            self.load_after[after.region] += weight
            self.drawn += weight if after.has_equals(margin_us) else 0
        if before.region is None and after.region is None:
            self.refused += weight
        elif before.region is None:
            self.gained += weight
            self._count(self.gaining, (who, after.region or ""), (EVERYBODY_ELSE, OTHERS), weight)
        elif after.region is None:
            self.lost += weight
            losing = Losing(who, before.region, reason_of(after))
            self._count(self.losing, losing, Losing(EVERYBODY_ELSE, OTHERS, OTHERS), weight)
        elif after.region == before.region:
            self.stayed += weight
            self.staying[before.region] += weight
        else:
            self.moved += weight
            self.moves.setdefault((before.region, after.region), Move()).add(weight, *latencies_us)

    def _count(self, counter: Counter[Any], key: object, others: object, weight: int) -> None:
        if key not in counter and len(counter) >= limits.FORESIGHT_KINDS_MAX:
            self.together += weight
            key = others
        counter[key] += weight

    @property
    def all_moves(self) -> Move:
        """Return every move together."""
        joined = Move()
        for move in self.moves.values():
            joined.weight += move.weight
            joined.known += move.known
            joined.added_us += move.added_us
            if move.least_us is not None and move.most_us is not None:
                joined.least_us = move.least_us if joined.least_us is None else min(joined.least_us, move.least_us)
                joined.most_us = move.most_us if joined.most_us is None else max(joined.most_us, move.most_us)
        return joined

    def share(self, weight: int) -> float:
        """Return a weight as a share of what is served before, in percent; 0 where nothing is."""
        return 100 * weight / self.served if self.served else 0.0


def reason_of(verdict: Verdict) -> str:
    """Return why a request is refused, and where no region is left, what most of them are refused by."""
    law = verdict.law
    if law is None or verdict.reason != "no-legal-region":
        return verdict.reason
    counts = Counter(law.refused.values())
    told = [f"{reason} in {counts[reason]}" for reason in sorted(counts, key=lambda name: (-counts[name], name))[:2]]
    return f"{verdict.reason}: {', '.join(told)}" if told else verdict.reason
