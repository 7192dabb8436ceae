"""The rows of the leak catalogue, read from the page that tells them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/guide/leaks.md"
OF_OTHERS = "What others configure"
"""Heading of the rows whose rules the doctor finds as they stand."""


@dataclass(frozen=True, slots=True)
class LeakRow:
    """One way in which a request might leave its law."""

    id: str
    heading: str
    holds: str
    """What holds, as the page says it: it begins with `impossible`, `refused` or `doctor`."""
    rules: frozenset[str]
    """Rules of the doctor, of which one at least finds it."""

    @property
    def test(self) -> str:
        """The name of its test."""
        return f"test_{self.id.replace('-', '_')}"


def leak_rows() -> dict[str, LeakRow]:
    """Return every row of the page by its id."""
    return {row.id: row for row in _rows()}


def _rows() -> Iterator[LeakRow]:
    heading = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| `"):
            rules = frozenset(re.findall(r"BPD\d{3}", cells[3])) if len(cells) > 3 else frozenset()
            yield LeakRow(cells[0].strip("`"), heading, cells[2], rules)
