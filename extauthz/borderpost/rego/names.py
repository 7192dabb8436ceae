"""Names for what masks stand for: processors, locations, territories."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from borderpost.policy import codes
from borderpost.policy.catalogue import SUFFIXES
from borderpost.policy.events import CompiledEvents
from borderpost.rego.places import Spots

HERE: Final = "@here"
"""This gateway's own place among the processors; no region's id begins so."""


class Names:
    """Names of one policy and its events."""

    def __init__(self, events: CompiledEvents) -> None:
        index = events.policy.index
        self._events = events
        self.spots = Spots(events)
        """The names of places."""
        self.processors = (*index.ids, HERE, *(f"@sink:{name}" for name in index.sinks))
        """The name of each processor, by its bit."""
        catalogue = events.catalogue
        self._blocks = catalogue.everyone.bit_length() // index.width
        self.existing = catalogue.everyone & ~catalogue.nowhere
        """Mask of the locations that are somewhere."""
        self.anywhere = self.existing & ~catalogue.inside_cells(events.places.everywhere)
        """Mask of the locations that may be anywhere."""
        self._territories: dict[str, list[str]] = {}

    def locations(self, mask: int) -> list[str]:
        """Return the names of the locations in a mask that are somewhere, sorted: `eu-1`, `eu-1:retention`."""
        return sorted(name for name, (bit, _, _) in self._located().items() if mask & bit)

    def _located(self) -> dict[str, tuple[int, str, int]]:
        """Return each location's bit, processor and block (0: its own place, 1: retention, 2: telemetry)."""
        width = len(self.processors)
        found = {}
        for block in range(self._blocks):
            for position, processor in enumerate(self.processors):
                bit = 1 << block * width + position
                if self.existing & bit:
                    found[processor + SUFFIXES[block]] = bit, processor, block
        return found

    def location_tables(self) -> dict[str, Any]:
        """Return the tables of locations: whose each is, those of each processor, and which may be at each spot."""
        located = self._located()
        by_processor: dict[str, list[str]] = {processor: [] for processor in self.processors}
        for name, (_, processor, _) in located.items():
            by_processor[processor].append(name)
        at = {}
        for position, spot in enumerate(self.spots.names):
            there = self._events.catalogue.hit_cells(1 << position) & ~self.anywhere
            if there:
                at[spot] = self.locations(there)
        return {
            "locations": {name: {"of": processor, "block": block} for name, (_, processor, block) in located.items()},
            "processors": by_processor,
            "locations_at": at,
            "anywhere": self.locations(self.anywhere),
        }

    def territory(self, refs: Iterable[str], *, widens: bool = False) -> str:
        """Return the name of a set of spots, and keep it for `territories`.

        A group that the policy does not have is everywhere, or, where that widens, nowhere.
        """
        named = sorted({ref for ref in refs if self._is_known(ref) or not widens})
        cells = self._events.cells(named, widens=widens)
        if "*" in named or not all(map(self._is_known, named)):
            named = ["*"]
        key = " ".join(named) or "(nowhere)"  # no group has such a name
        self._territories[key] = self.spots.of(cells)
        return key

    def _is_known(self, ref: str) -> bool:
        return ref == "*" or codes.is_code(ref) or ref in self._events.territory.groups

    def territories(self) -> dict[str, dict[str, bool]]:
        """Return every territory that was named so far, its spots as keys: Rego looks a key up at once."""
        return {key: dict.fromkeys(spots, True) for key, spots in sorted(self._territories.items())}
