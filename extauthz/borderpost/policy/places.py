"""Sets of places as bit masks: exact set algebra, and three-valued membership read off it.

The world is cut into the finest cells that the policy and the regions tell apart. A country whose subdivisions
nobody mentions is one cell; otherwise it has a cell for each subdivision mentioned and one for the rest. ISO
subdivisions and other jurisdictions (`AE-DU`, `AE-DIFC`) may overlap, so a country's cells are the product of both.
A code covers a set of cells, a group is a set of cells, and then

    surely in    every cell that the code covers is in the group
    possibly in  some cell that the code covers is in the group

`minus` needs no rule of its own: it takes cells away, which turns "surely" into "possibly" where it must.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from borderpost.policy import codes
from borderpost.policy.pack import Group, GroupRule
from borderpost_base import limits
from borderpost_base.errors import BorderpostError


class Place(NamedTuple):
    """What a code covers."""

    key: str
    """Equal for codes that no rule tells apart; the number of keys is bounded by the policy."""
    cells: int
    """Mask of every cell that the code may mean."""
    plain: int
    """Mask of the one cell that it means if it lies in none of the parts that it does not itself name."""


class Places:
    """Every cell of one policy and its regions. Immutable after construction."""

    __slots__ = ("_known", "_unnamed", "everywhere")

    def __init__(self, mentioned: Iterable[str]) -> None:
        """Cut the world by the codes mentioned. Raises BorderpostError BP0217 if the cells are too many."""
        divided: dict[str, tuple[set[str], set[str]]] = {country: (set(), set()) for country in codes.COUNTRIES}
        for code in mentioned:
            country, suffix = codes.split_code(code)
            if suffix is not None:
                divided[country][0 if codes.is_iso_suffix(suffix) else 1].add(code)
        self._known: dict[str, Place] = {}
        self._unnamed: dict[tuple[str, bool], Place] = {}
        base = 0
        for country in sorted(divided):
            base += self._cut(country, sorted(divided[country][0]), sorted(divided[country][1]), base)
        self.everywhere: int = (1 << base) - 1
        """Mask of all cells."""

    def _cut(self, country: str, subdivisions: list[str], jurisdictions: list[str], base: int) -> int:
        """Lay out a country's cells from bit `base`: a row a subdivision (0: none named), a column a jurisdiction."""
        rows, columns = len(subdivisions) + 1, len(jurisdictions) + 1
        if base + rows * columns > limits.POLICY_PLACES_MAX:
            raise BorderpostError("BP0217", f"more than {limits.POLICY_PLACES_MAX} places, counted up to {country}")
        all_rows = range(rows)

        def row(index: int) -> int:
            return ((1 << columns) - 1) << (base + index * columns)

        def column(index: int) -> int:
            return sum(1 << (base + at * columns + index) for at in all_rows)

        whole = ((1 << rows * columns) - 1) << base
        plain = 1 << base
        self._known[country] = Place(country, whole, plain)
        self._unnamed[country, True] = Place(f"{country}-*", row(0), plain)
        self._unnamed[country, False] = Place(f"{country}-****", column(0), plain)
        for index, code in enumerate(subdivisions, 1):
            self._known[code] = Place(code, row(index), 1 << (base + index * columns))
        for index, code in enumerate(jurisdictions, 1):
            self._known[code] = Place(code, column(index), 1 << (base + index))
        return rows * columns

    def find(self, code: str) -> Place | None:
        """Return what a code covers, None if it is malformed or its country unknown.

        Evidence may say `FR-NC` for `NC`; rules may not.
        """
        known = self._known.get(code)
        if known is not None:
            return known
        if code in codes.OWN_CODE:
            return self._known[codes.OWN_CODE[code]]
        if not codes.is_code(code):
            return None
        return self._unnamed[code[:2], codes.is_iso_suffix(code[3:])]

    def is_cut(self, code: str) -> bool:
        """Return True if the code has cells of its own, because it is a country or was mentioned."""
        return code in self._known

    def __getitem__(self, code: str) -> Place:
        found = self.find(code)
        if found is None:
            raise KeyError(code)
        return found


def mentioned_in(groups: Iterable[Group]) -> Iterable[str]:
    """Yield every code that group definitions mention."""
    for group in groups:
        if isinstance(group, GroupRule):
            yield from group.plus
            yield from group.minus
        else:
            yield from group


def group_cells(groups: Mapping[str, Group], places: Places) -> dict[str, int]:
    """Return the cells of each group. The definitions are free of circles and of unknown names."""
    order = graphlib.TopologicalSorter(
        {name: group.all_of if isinstance(group, GroupRule) else () for name, group in groups.items()}
    ).static_order()
    cells: dict[str, int] = {}
    for name in order:
        group = groups[name]
        mask = 0
        for code in group.plus if isinstance(group, GroupRule) else group:
            mask |= places[code].cells
        if isinstance(group, GroupRule):
            for part in group.all_of:
                mask |= cells[part]
            for code in group.minus:
                mask &= ~places[code].cells
        cells[name] = mask
    return cells
