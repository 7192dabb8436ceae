"""What observed routes and shadows would have changed: the decisions of a log summed up, without deciding anew.

A record says itself what would have been done (`out` and `observed` where the route is only observed, `shadow` where a
candidate differs), so millions are summed in one pass, in memory that is bounded by what can be told apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from borderpost_base import limits

OTHER: Final = "other"
"""Stands for every value beyond the bound."""
NONE: Final = "-"
"""Stands for a value that a request does not have."""
BY_RANKING: Final = "ranking"
"""Why a request would have moved that might have stayed: another region ranks before."""
DIMENSIONS: Final = ("route", "regime", "tenant", "class", "country")


class Move(NamedTuple):
    """From one region to another, and why."""

    origin: str
    """Region, or where that is not known `cluster NAME`, or `-`."""
    target: str
    why: str
    """Why the law does not allow it where it went, or `ranking`."""


class Refused(NamedTuple):
    """How a request would have been refused."""

    status: int
    """0 where only the reason is known, of a shadow."""
    code: str
    reason: str


@dataclass(slots=True)
class Group:
    """Requests with which the same would have been done, counted by what they have."""

    requests: int = 0
    by: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in DIMENSIONS})

    def add(self, record: Mapping[str, Any]) -> None:
        """Count a decision. One with two regimes, classes or countries counts once for each."""
        self.requests += 1
        jurisdiction = record["jur"]
        for name, found in (
            ("route", [record.get("observed", {}).get("route", NONE)]),
            ("regime", jurisdiction["regimes"]),
            ("tenant", [record.get("tenant", NONE)]),
            ("class", record["class"]),
            ("country", jurisdiction["effective"]),
        ):
            for value in found or [NONE]:
                add(self.by[name], value)


@dataclass(slots=True)
class Changes:
    """What would have changed for some requests: the same for observed routes and for a shadow."""

    requests: int = 0
    """All that were asked about, those for which nothing changes included."""
    refused: Group = field(default_factory=Group)
    reasons: Counter[Refused] = field(default_factory=Counter)
    """Those refused, by how."""
    moved: Group = field(default_factory=Group)
    moves: Counter[Move] = field(default_factory=Counter)

    def refuse(self, record: Mapping[str, Any], how: Refused) -> None:
        """Count a request that would have been refused."""
        self.refused.add(record)
        add(self.reasons, how, Refused(0, NONE, OTHER))

    def move(self, record: Mapping[str, Any], move: Move) -> None:
        """Count a request that would have gone elsewhere."""
        self.moved.add(record)
        add(self.moves, move, Move(OTHER, OTHER, OTHER))


@dataclass(slots=True)
class ObservedChanges(Changes):
    """Of observed routes."""

    stayed: Counter[str] = field(default_factory=Counter)
    """Requests that would have gone where they went, by region."""
    unplaced: Counter[Move] = field(default_factory=Counter)
    """Requests of which nobody knows where they went, so not whether they would have moved."""
    unenforced: int = 0
    """Requests on routes that were to be enforced, and which Envoy only observed."""
    body_unseen: int = 0
    """Requests whose bodies would have counted too."""

    @property
    def changing(self) -> int:
        """Return how many requests would not surely have gone where they went."""
        return self.refused.requests + self.moved.requests + sum(self.unplaced.values())

    def take(self, record: Mapping[str, Any]) -> None:
        """Count the decision of an observed request."""
        self.requests += 1
        observed, out = record.get("observed", {}), record["out"]
        self.unenforced += observed.get("unenforced", False)
        self.body_unseen += observed.get("body_unseen", False)
        if out["action"] == "refuse":
            self.refuse(record, Refused(out["status"], out["code"], out["reason"]))
        elif "r" not in observed:
            origin = f"cluster {observed['cluster']}" if "cluster" in observed else NONE
            add(self.unplaced, Move(origin, out["r"], NONE), Move(OTHER, OTHER, NONE))
        elif observed["r"] == out["r"]:
            add(self.stayed, out["r"])
        else:
            self.move(record, Move(observed["r"], out["r"], observed.get("unlawful", BY_RANKING)))


@dataclass(slots=True)
class ShadowChanges(Changes):
    """Of one candidate, by its digest; what it is compared with is the law that was in force."""

    admitted: Group = field(default_factory=Group)
    """Requests that the law refused, and that it would have let go."""
    admissions: Counter[Move] = field(default_factory=Counter)
    """Where those would have gone; `why` is the reason for which the law refused."""
    otherwise: Counter[str] = field(default_factory=Counter)
    """Requests with which it would have done the same for other reasons, by kind of divergence."""

    @property
    def changing(self) -> int:
        """Return on how many requests it differs."""
        parts = (self.refused, self.moved, self.admitted)
        return sum(group.requests for group in parts) + sum(self.otherwise.values())

    def take(self, record: Mapping[str, Any]) -> None:
        """Count a decision that was made while the candidate was on."""
        self.requests += 1
        said, out = record.get("shadow"), record["out"]
        if said is None:
            return
        kind = said["kind"]
        if kind == "narrowed":
            self.refuse(record, Refused(0, NONE, said.get("reason", NONE)))
        elif kind == "region":
            self.move(record, Move(out["r"], said.get("r", NONE), said.get("basis", NONE)))
        elif kind == "widened":
            self.admitted.add(record)
            move = Move(NONE, said.get("r", NONE), out["reason"])
            add(self.admissions, move, Move(OTHER, OTHER, OTHER))
        else:
            add(self.otherwise, kind)


@dataclass(slots=True)
class Summary:
    """What a log says of what would have changed."""

    decisions: int = 0
    """All decisions that were looked at."""
    observed: ObservedChanges = field(default_factory=ObservedChanges)
    shadows: dict[str, ShadowChanges] = field(default_factory=dict)
    """By digest of the candidate, in order of their first decision."""
    first_us: int | None = None
    last_us: int | None = None

    @property
    def found(self) -> bool:
        """Return whether there is anything to sum up."""
        return bool(self.observed.requests or self.shadows)

    @property
    def changing(self) -> int:
        """Return how many requests would not surely have been treated as they were."""
        return self.observed.changing + sum(each.changing for each in self.shadows.values())


def summarise(records: Iterable[tuple[Mapping[str, Any], int]]) -> Summary:
    """Return the summary of decision records, each with its instant."""
    summary = Summary()
    for record, at_us in records:
        summary.decisions += 1
        summary.first_us = at_us if summary.first_us is None else min(summary.first_us, at_us)
        summary.last_us = at_us if summary.last_us is None else max(summary.last_us, at_us)
        if record["mode"] == "observe":
            summary.observed.take(record)
        digest = record["inputs"].get("shadow")
        if digest is not None and "table" in record:  # else it was refused before any law was asked
            summary.shadows.setdefault(digest, ShadowChanges()).take(record)
    return summary


def add(counts: Counter[Any], value: Any, beyond: Any = OTHER) -> None:
    """Count a value, or what stands for all beyond the bound."""
    counts[value if value in counts or len(counts) < limits.SUMMARY_VALUES_MAX else beyond] += 1
