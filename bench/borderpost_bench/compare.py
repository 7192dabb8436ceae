"""Two recorded results, before and after: each figure better, worse, or within what the rounds spread anyway.

A figure has changed if no round of one result reaches the range of the other's. That asks for several rounds: of one
round there is no spread, and nothing is said. Ratios inside a run hold from machine to machine and day to day;
absolute figures only say something if both results come from the same machine at the same pace.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from borderpost_base.errors import BorderpostError, Place
from borderpost_bench.directions import is_ratio, less_is_better
from borderpost_bench.report import SCHEMA_VERSION
from borderpost_bench.spread import Spread

_OF_MACHINE = ("cores", "cpu", "kernel", "file_system", "python", "compiled")
_OF_SETTINGS = ("seconds", "connections", "pace", "features")


class Verdict(enum.StrEnum):
    """What became of a figure."""

    BETTER = "better"
    WORSE = "worse"
    WITHIN = "within spread"
    UNKNOWN = "one round only"


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure in two results."""

    of: str
    """The scenario or experiment."""
    figure: str
    before: Spread
    after: Spread
    verdict: Verdict

    @property
    def change_percent(self) -> float | None:
        """Return by how much the median has changed, None if it was 0."""
        return round(100 * (self.after.median / self.before.median - 1), 1) if self.before.median else None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        return {
            "of": self.of, "figure": self.figure, "before": self.before.as_dict(), "after": self.after.as_dict(),
            "change_percent": self.change_percent, "verdict": self.verdict.value,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two results compared."""

    differences: Sequence[Difference]
    unlike: Sequence[str]
    """What makes absolute figures incomparable, in words."""
    only_before: Sequence[str]
    only_after: Sequence[str]

    @property
    def worse(self) -> bool:
        """Return True if any figure is worse."""
        return any(one.verdict is Verdict.WORSE for one in self.differences)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        return {
            "worse": self.worse,
            "unlike": list(self.unlike),
            "only_before": list(self.only_before),
            "only_after": list(self.only_after),
            "differences": [one.as_dict() for one in self.differences],
        }


def read_result(path: Path) -> dict[str, Any]:
    """Return a recorded result. Raises BorderpostError BP0924 for what is none of this version."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BorderpostError("BP0924", str(error), place=Place(str(path))) from error
    version = document.get("bench_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise BorderpostError("BP0924", f"bench_version is {version}, not {SCHEMA_VERSION}", place=Place(str(path)))
    return dict(document)


def compare(before: Mapping[str, Any], after: Mapping[str, Any], *, ratios_only: bool = False) -> Comparison:
    """Compare what two results both measured."""
    first, second = _records(before), _records(after)
    differences = []
    for name in first:
        for figure, spread in _figures(first[name]) if name in second else ():
            less = less_is_better(name, figure)
            other = dict(_figures(second[name])).get(figure)
            if less is None or other is None or (ratios_only and not is_ratio(figure)):
                continue
            several = _rounds(first[name]) > 1 and _rounds(second[name]) > 1
            verdict = _verdict(spread, other, less) if several else Verdict.UNKNOWN
            differences.append(Difference(name, figure, spread, other, verdict))
    return Comparison(
        differences,
        [*_unlike(before["machine"], after["machine"], _OF_MACHINE),
         *_unlike(before["settings"], after["settings"], _OF_SETTINGS)],
        [name for name in first if name not in second],
        [name for name in second if name not in first],
    )  # fmt: skip


def _verdict(before: Spread, after: Spread, less: bool) -> Verdict:
    if before.least <= after.greatest and after.least <= before.greatest:
        return Verdict.WITHIN
    return Verdict.BETTER if (after.median < before.median) == less else Verdict.WORSE


def _records(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {one["name"]: one for one in (*document["scenarios"], *document["experiments"])}


def _rounds(record: Mapping[str, Any]) -> int:
    return len(record.get("samples") or record.get("rounds") or ())


def _figures(record: Mapping[str, Any]) -> Iterator[tuple[str, Spread]]:
    """Yield each figure of a record: its ratios, then its summary."""
    for name, told in record.items():
        if is_ratio(name):
            yield name, Spread.read(told)
    for name, told in record["summary"].items():
        yield name, Spread.read(told)


def _unlike(before: Mapping[str, Any], after: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if before.get(name) != after.get(name):
            yield f"{name} was {before.get(name)}, is {after.get(name)}"
