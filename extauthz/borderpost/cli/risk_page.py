"""What `risk` found: the workloads to hedge first with the reason, the matrix by jurisdictions, and what would help."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from borderpost.cli.foreseeing import Foreseen, log_notes, tell_rest
from borderpost.cli.output import Output
from borderpost.foresight.hedges import Hedge, needed
from borderpost.foresight.losses import Loss
from borderpost.foresight.risk import PERIL_KINDS, Exposure, Exposures, Peril, kind_of

_HEDGES_SHOWN: Final = 3
_PERILS_SHOWN: Final = 4
_MATRIX: Final = {"country": "in", "jurisdiction": "under"}
"""Kinds of loss that are jurisdictions, and how a column of each is headed."""
FORMULA: Final = (
    "score = criticality (1-5) x (1 + sensitivity (0-9)) x fragility; fragility = mean over the kinds of loss of the "
    "worst share of the workload that one loss takes"
)


@dataclass(frozen=True, slots=True)
class RiskReport:
    """What was found, for people and programs."""

    seen: Foreseen
    exposures: Exposures
    found: list[Exposure]
    hedges: dict[str, list[Hedge]]

    def score(self, exposure: Exposure) -> Fraction:
        """Return a workload's score."""
        return exposure.score(self.exposures.possible)

    def concentration(self) -> list[tuple[Peril, Fraction, list[str]]]:
        """Return each loss that takes anything: how much of everything it takes, weighed by criticality and
        sensitivity, and the workloads that it ends; the gravest first."""
        stakes = {each.name: each.criticality * (1 + each.sensitivity) for each in self.found if each.served}
        whole = sum(stakes.values())
        rows = []
        for peril in self.exposures.perils:
            taken = sum((each.share(peril) * stakes[each.name] for each in self.found if each.served), Fraction(0))
            if taken:
                ended = [each.name for each in self.found if peril in each.ends_with]
                rows.append((peril, taken / whole, ended))
        return sorted(rows, key=lambda row: (-row[1], PERIL_KINDS.index(kind_of(row[0])), str(row[0])))

    def matrix(self) -> Iterator[tuple[Exposure, dict[Loss, tuple[Fraction, Fraction]]]]:
        """Yield for each workload, by country and by jurisdiction of operators: the share served there now, and the
        share that is lost without it."""
        columns = [peril for peril in self.exposures.perils if isinstance(peril, Loss) and peril.kind in _MATRIX]
        members = {peril: self._members(peril) for peril in columns}
        for exposure in self.found:
            if exposure.served:
                yield (
                    exposure,
                    {
                        peril: (
                            Fraction(sum(exposure.routed.get(name, 0) for name in members[peril]), exposure.served),
                            exposure.share(peril),
                        )
                        for peril in columns
                    },
                )

    def _members(self, peril: Loss) -> frozenset[str]:
        from borderpost.foresight.losses import lost_with

        return lost_with(peril, self.exposures.scenario).sure

    def notes(self) -> list[str]:
        """Return what a reader should know."""
        notes = [*log_notes(self.seen), *self.seen.notes]
        specs = self.exposures.scenario.regions
        silent = sorted(name for name, spec in specs.items() if spec.operator.entity is None)
        if silent:
            notes.append(f"{', '.join(silent)}: nobody says who runs them, so they go with every operator")
        guessed = [each.name for each in self.found if not each.stated]
        if guessed:
            notes.append(f"criticality is not stated, and taken as 3: {', '.join(guessed[:10])}")
        return notes

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready data."""
        from borderpost.audit.kinds import format_stamp

        return {
            "at": format_stamp(self.seen.scenario.at_us),
            "traffic": self.seen.source_as_dict(),
            "formula": FORMULA,
            "kinds_of_loss": list(self.exposures.possible),
            "workloads": [self._workload(each) for each in self.found],
            "concentration": [
                {**peril_as_dict(peril), "stake": number(share), "ends": ended}
                for peril, share, ended in self.concentration()
            ],
            "matrix": [
                {
                    "workload": exposure.name,
                    "cells": [
                        {**peril_as_dict(peril), "served": number(now), "lost": number(lost)}
                        for peril, (now, lost) in cells.items()
                    ],
                }
                for exposure, cells in self.matrix()
            ],
            "notes": self.notes(),
        }

    def _workload(self, exposure: Exposure) -> dict[str, Any]:
        worst = {kind: exposure.worst(kind) for kind in self.exposures.possible}
        choice = exposure.choice
        return {
            "workload": exposure.name,
            "score": number(self.score(exposure)),
            "criticality": exposure.criticality,
            "criticality_stated": exposure.stated,
            "sensitivity": exposure.sensitivity,
            "fragility": number(exposure.fragility(self.exposures.possible)),
            "classes": sorted(exposure.classes),
            "requests": self.seen.number(exposure.total),
            "served": self.seen.number(exposure.served),
            "fewest": None if choice is None else choice._asdict(),
            "worst": {
                kind: {"share": number(share), "losses": [peril_as_dict(peril) for peril in perils]}
                for kind, (share, perils) in worst.items()
            },
            "ends_with": [peril_as_dict(peril) for peril in exposure.ends_with],
            "hedges": [
                {
                    "region": hedge.region,
                    "requirement": hedge.requirement.model_dump(mode="json", exclude_none=True),
                    "opens": self.seen.number(hedge.opens),
                    "score_then": number(hedge.score),
                    "spares": [peril_as_dict(peril) for peril in hedge.spares],
                }
                for hedge in self.hedges.get(exposure.name, [])
            ],
        }


def peril_as_dict(peril: Peril) -> dict[str, str]:
    """Return a loss as JSON-ready data."""
    name = peril.name if isinstance(peril, Loss) else "/".join(peril) if kind_of(peril) == "basis" else "stale"
    return {"kind": kind_of(peril), "name": name}


def number(share: Fraction) -> float:
    """Return an exact figure as a number with four places."""
    return round(float(share), 4)


def tell(report: RiskReport, output: Output, rows_max: int) -> None:
    """Print the report; of each list no more than some rows."""
    _tell_ranking(report, output, rows_max)
    _tell_matrix(report, output, rows_max)
    _tell_concentration(report, output, rows_max)
    _tell_hedges(report, output, rows_max)
    output.data("")
    output.data(FORMULA)
    for note in report.notes():
        output.data(f"note: {note}")


def _tell_ranking(report: RiskReport, output: Output, rows_max: int) -> None:
    rows = []
    for exposure in report.found[:rows_max]:
        choice = exposure.choice
        fewest = ("-",) * 4 if choice is None else tuple("?" if each is None else str(each) for each in choice)
        fragility = f"{float(exposure.fragility(report.exposures.possible)):.2f}"
        rows.append((
            f"{float(report.score(exposure)):.1f}", exposure.name, str(exposure.criticality),
            str(exposure.sensitivity), fragility, *fewest, _why(exposure),
        ))  # fmt: skip
    headings = (
        "score", "workload", "criticality", "sensitivity", "fragility", "regions", "operators", "compelled in",
        "countries", "one loss that ends it",
    )  # fmt: skip
    output.table(headings, rows, title="What to hedge first (the fewest that any of its requests may choose among)")
    tell_rest(len(report.found) - rows_max, output)


def _why(exposure: Exposure) -> str:
    """Return what ends a workload, or what hurts it most."""
    if not exposure.served:
        return "nothing of it is served now"
    if exposure.ends_with:
        return _listed([peril_words(peril) for peril in exposure.ends_with])
    worst = max(exposure.lost.values(), default=0)
    if not worst:
        return "none"
    named = [peril_words(peril) for peril, weight in exposure.lost.items() if weight == worst]
    return f"none; {100 * worst / exposure.served:.1f} % is lost with {_listed(named)}"


def peril_words(peril: Peril) -> str:
    """Return a loss in words, with its kind where two kinds are named alike."""
    return f"country {peril.name}" if isinstance(peril, Loss) and peril.kind == "country" else str(peril)


def _listed(names: list[str]) -> str:
    more = len(names) - _PERILS_SHOWN
    return "; ".join(names[:_PERILS_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _tell_matrix(report: RiskReport, output: Output, rows_max: int) -> None:
    rows = []
    columns: list[Loss] = []
    for exposure, cells in report.matrix():
        columns = list(cells)
        rows.append((exposure.name, *(f"{_percent(now)} | {_percent(lost)}" for now, lost in cells.values())))
    if not rows:
        return
    output.data("")
    headings = ("workload", *(f"{_MATRIX[peril.kind]} {peril.name}" for peril in columns))
    title = (
        "Workloads by jurisdiction: served there now | lost without it (in: country, under: who can compel operators)"
    )
    output.table(headings, rows[:rows_max], title=title)
    tell_rest(len(rows) - rows_max, output)


def _percent(share: Fraction) -> str:
    return f"{float(100 * share):.0f} %" if share else "-"


def _tell_concentration(report: RiskReport, output: Output, rows_max: int) -> None:
    found = report.concentration()
    if not found:
        return
    rows = [(f"{float(100 * share):.1f} %", peril_words(peril), _listed(ended) or "-") for peril, share, ended in found]
    output.data("")
    title = "What single losses take, weighed by criticality and sensitivity"
    output.table(("at stake", "loss", "ends"), rows[:rows_max], title=title)
    tell_rest(len(rows) - rows_max, output)


def _tell_hedges(report: RiskReport, output: Output, rows_max: int) -> None:
    rows = []
    for exposure in report.found:
        for hedge in report.hedges.get(exposure.name, [])[:_HEDGES_SHOWN]:
            change = f"{float(report.score(exposure)):.1f} to {float(hedge.score):.1f}"
            spared = _listed([peril_words(peril) for peril in hedge.spares]) or "-"
            rows.append((exposure.name, hedge.region, needed(hedge.requirement), change, spared))
    if rows:
        output.data("")
        title = "What would help: regions that are illegal now only for lack of it"
        headings = ("workload", "region", "needs", "score", "would no longer end it")
        output.table(headings, rows[:rows_max], title=title)
        tell_rest(len(rows) - rows_max, output)
