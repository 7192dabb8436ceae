"""Places by the rules of docs/reference/policy.md, as sets of spots: the geography of the naive evaluator.

A spot is the smallest place that anybody tells apart: a country, one of its subdivisions that somebody names (or none
of them), and one of its jurisdictions that somebody names (or none of them).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, NamedTuple

from borderpost.policy.codes import COUNTRIES, OWN_CODE
from borderpost.policy.pack import Group
from borderpost.policy.schema import Processor, RegionSpec

Spot = tuple[str, str, str]
"""Country, subdivision's suffix or "", jurisdiction's suffix or ""."""
Spots = frozenset[Spot]
NOWHERE: Spots = frozenset()


class Location(NamedTuple):
    """Where a processor works, retains or tells (rule 5)."""

    suffix: str
    """What is put behind a label that is about this location only."""
    spots: Spots | None
    """None: anywhere."""
    operated: Processor
    """Whose operator, contracts and so on count here."""


class NaivePlaces:
    """The places that some texts tell apart."""

    def __init__(self, texts: Iterable[Any], groups: Mapping[str, Group]) -> None:
        """Cut the world by whatever looks like a code with a suffix, anywhere in `texts` (plain data)."""
        self._suffixes: dict[str, set[str]] = {country: {""} for country in COUNTRIES}
        for text in texts:
            self._note(text)
        self._groups = groups
        self._spots = {country: self._cut(country, None) for country in COUNTRIES}
        named = [(country, suffix) for country, all_of in self._suffixes.items() for suffix in all_of if suffix]
        self._spots |= {f"{country}-{suffix}": self._cut(country, suffix) for country, suffix in named}
        self.world: Spots = frozenset().union(*self._spots.values())

    def _note(self, data: Any) -> None:
        if isinstance(data, dict):
            for value in data.values():
                self._note(value)
        elif isinstance(data, list):
            for value in data:
                self._note(value)
        elif isinstance(data, str) and data[:2] in COUNTRIES and data[2:3] == "-" and data not in OWN_CODE:
            self._suffixes[data[:2]].add(data[3:])

    def of(self, code: str) -> Spots | None:
        """Return every spot that a code may mean, None for one that is malformed or of no country (rule 1)."""
        code = OWN_CODE.get(code, code)
        if code not in self._spots:
            country, _, suffix = code.partition("-")
            if country not in COUNTRIES or not re.fullmatch("[A-Z]{2}-[A-Z0-9]{1,8}", code):
                return None
            return self._cut(country, suffix)
        return self._spots[code]

    def _cut(self, country: str, suffix: str | None) -> Spots:
        """Pair the subdivisions and jurisdictions of a country that a code (without suffix: the country's) may mean."""
        named = self._suffixes[country]
        subdivisions = [one for one in named if len(one) <= 3]
        jurisdictions = [one for one in named if not one or len(one) > 3]
        if suffix and len(suffix) <= 3:
            subdivisions = [suffix if suffix in named else ""]
        elif suffix:
            jurisdictions = [suffix if suffix in named else ""]
        return frozenset(product([country], subdivisions, jurisdictions))

    def known(self, code: str) -> Spots:
        """Return the spots of a code that must be well formed."""
        return self.of(code) or NOWHERE

    def group(self, name: str) -> Spots:
        """Return the spots of a group."""
        group = self._groups[name]
        if isinstance(group, tuple):
            return self.refs(group)
        parts = frozenset[Spot]().union(*(self.group(part) for part in group.all_of))
        return (parts | self.refs(group.plus)) - self.refs(group.minus)

    def refs(self, refs: Iterable[str]) -> Spots:
        """Return the spots of codes, groups and `*` together."""
        found: set[Spot] = set()
        for ref in refs:
            if ref == "*":
                return self.world
            found |= self.group(ref) if ref in self._groups else self.known(ref)
        return frozenset(found)

    def plain(self, spots: Spots) -> Spot:
        """Return the spot that lies in none of the parts that the code of these spots does not itself name."""
        country = next(iter(spots))[0]
        subdivisions, jurisdictions = {spot[1] for spot in spots}, {spot[2] for spot in spots}
        subdivision = subdivisions.pop() if len(subdivisions) == 1 else ""
        return country, subdivision, jurisdictions.pop() if len(jurisdictions) == 1 else ""

    def own(self, processor: Processor) -> list[Location]:
        """Return the one location of `here` or a sink."""
        return [Location("", self.known(processor.place), processor)]

    def locations(self, region: RegionSpec) -> list[Location]:
        """Return the one to three locations of a region."""
        spots: Spots | None = None
        if region.processing_scope != "global":
            spots = self.known(region.place) | (self.group(region.zone) if region.zone else NOWHERE)
        found = [Location("", spots, region)]
        for suffix, elsewhere in ((":retention", region.retention), (":telemetry", region.telemetry)):
            if isinstance(elsewhere, Processor):
                named = elsewhere.model_copy(update={"country": "DE", "subdivision": None}) != Processor(country="DE")
                found.append(Location(suffix, self.known(elsewhere.place), elsewhere if named else region))
            elif elsewhere == "same":
                found.append(Location(suffix, spots, region))
            elif elsewhere.startswith("zone:"):
                found.append(Location(suffix, self.group(elsewhere.removeprefix("zone:")) or None, region))
            elif elsewhere != "none":  # global, or unknown
                found.append(Location(suffix, None, region))
        return found
