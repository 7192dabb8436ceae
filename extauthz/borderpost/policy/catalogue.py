"""Where processors are and what they bring, as masks of locations.

A processor (a region, `here`, a sink) works on a request, retains of it, and sends telemetry about it: three
locations. A mask of locations has three blocks of `RegionIndex.width` bits, in this order; a processor's bit stands at
the same place in each. Where no region retains or tells anything elsewhere, there is one block.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from borderpost.policy.pack import Require
from borderpost.policy.places import Places
from borderpost.policy.reasons import Layer, RegionIndex
from borderpost.policy.schema import Elsewhere, Here, Processor, RegionSpec, Sink

SUFFIXES: Final = ("", ":retention", ":telemetry")
"""What is put behind a reason or a basis to name the location that it is about."""


class Territory:
    """What places named in rules cover."""

    def __init__(self, places: Places, groups: Mapping[str, int]) -> None:
        self._places = places
        self.groups = groups
        """Cells of each group."""

    def cells(self, refs: tuple[str, ...]) -> int:
        """Return the cells of codes, groups and `*` together."""
        mask = 0
        for ref in refs:
            if ref == "*":
                return self._places.everywhere
            mask |= self.groups[ref] if ref in self.groups else self._places[ref].cells
        return mask


class Catalogue:
    """The processors of a deployment over a territory. Immutable after construction."""

    def __init__(
        self, index: RegionIndex, here: Here, sinks: Mapping[str, Sink], regions: Mapping[str, RegionSpec],
        territory: Territory,
    ) -> None:  # fmt: skip
        self._width = index.width
        self._low = (1 << index.width) - 1
        self._territory = territory
        self._at: dict[int, int] = {}
        self._global = 0
        self._brought: dict[tuple[str, str], int] = {}
        self._operated: dict[int, int] = {}
        self._operator_unknown = 0
        self._entities: dict[str | None, int] = {}
        self.nowhere = 0
        """Locations that are none: nothing is retained, nothing told."""
        self._blocks = 3 if any(_is_elsewhere(region) for region in regions.values()) else 1
        self.everyone = (1 << index.width * self._blocks) - 1
        """Every location of every processor."""
        self._place_own(index.here, here)
        for name, sink in sinks.items():
            self._place_own(index.sinks[name], sink)
        for region_id, region in regions.items():
            self._place_region(index.bits[region_id], region)

    def _place_own(self, bit: int, processor: Processor) -> None:
        self._put(bit, self._territory.cells((processor.place,)))
        self._note(bit, processor)
        self._entities[processor.operator.entity] = self._entities.get(processor.operator.entity, 0) | bit
        for block in range(1, self._blocks):
            self.nowhere |= bit << block * self._width

    def _place_region(self, bit: int, region: RegionSpec) -> None:
        self._put(bit, self._cells_of_scope(region))
        self._note(bit, region)
        self._entities[region.operator.entity] = self._entities.get(region.operator.entity, 0) | bit
        for block, location in ((1, region.retention), (2, region.telemetry)):
            if block < self._blocks:
                self._place_elsewhere(bit << block * self._width, region, location)

    def _place_elsewhere(self, bit: int, region: RegionSpec, location: Elsewhere) -> None:
        if isinstance(location, Processor):
            self._put(bit, self._territory.cells((location.place,)))
            self._note(bit, location if _says_who(location) else region)
            return
        self._note(bit, region)
        if location == "none":
            self.nowhere |= bit
        elif location == "same":
            self._put(bit, self._cells_of_scope(region))
        elif location.startswith("zone:"):
            # A group without places says nothing: then it may be anywhere.
            self._put(bit, self._territory.groups[location.removeprefix("zone:")] or None)
        else:  # global, or unknown, which may be anywhere
            self._global |= bit

    def _cells_of_scope(self, region: RegionSpec) -> int | None:
        if region.processing_scope == "global":
            return None
        cells = self._territory.cells((region.place,))
        return cells if region.zone is None else cells | self._territory.groups[region.zone]

    def _put(self, bit: int, cells: int | None) -> None:
        if cells is None:
            self._global |= bit
        else:
            self._at[cells] = self._at.get(cells, 0) | bit

    def _note(self, bit: int, processor: Processor) -> None:
        brought = [("operator_certified", name) for name in processor.operator.certifications]
        brought += [("contract", name) for name in processor.contracts]
        brought += [("attestation", name) for name in processor.attestations]
        brought += [("encryption", name) for name in processor.encryption]
        if processor.tia is not None:
            brought.append(("tia", processor.tia))
        for what in brought:
            self._brought[what] = self._brought.get(what, 0) | bit
        if processor.operator.jurisdiction is None:
            self._operator_unknown |= bit
        else:
            cells = self._territory.cells((processor.operator.jurisdiction,))
            self._operated[cells] = self._operated.get(cells, 0) | bit

    def inside(self, refs: tuple[str, ...]) -> int:
        """Return the locations of which every cell is in the places; never a global one."""
        return self.inside_cells(self._territory.cells(refs))

    def inside_cells(self, target: int) -> int:
        """Return the locations of which every cell is among these; never a global one."""
        return sum(bits for cells, bits in self._at.items() if not cells & ~target)

    def hit(self, refs: tuple[str, ...]) -> int:
        """Return the locations of which some cell is in the places; every global one."""
        return self.hit_cells(self._territory.cells(refs))

    def hit_cells(self, target: int) -> int:
        """Return the locations of which some cell is among these; every global one if there are any."""
        if not target:
            return 0
        return self._global | sum(bits for cells, bits in self._at.items() if cells & target)

    def processors_hit(self, target: int) -> int:
        """Return the processors any of whose locations has a cell among these."""
        return self.anywhere(self.hit_cells(target))

    def bringing(self, require: Require | None) -> int:
        """Return the locations that bring all that is required."""
        mask = self.everyone
        if require is None:
            return mask
        for name in ("operator_certified", "contract", "tia", "attestation", "encryption"):
            wanted = getattr(require, name)
            if wanted is not None:
                mask &= self._brought.get((name, wanted), 0)
        if require.operator_in is not None:
            target = self._territory.cells(require.operator_in)
            mask &= sum(bits for cells, bits in self._operated.items() if not cells & ~target)
        return mask

    def perhaps_operated_in(self, refs: tuple[str, ...]) -> int:
        """Return the locations whose operator's jurisdiction may be in the places; an unknown one may be anywhere."""
        target = self._territory.cells(refs)
        return self._operator_unknown | sum(bits for cells, bits in self._operated.items() if cells & target)

    def operated_by(self, entities: tuple[str, ...]) -> int:
        """Return the processors that these legal persons run, and those of which nobody says who does."""
        mask = self._entities.get(None, 0)
        for entity in entities:
            mask |= self._entities.get(entity, 0)
        return mask

    def processors_inside(self, locations: int) -> int:
        """Return the processors all of whose locations are in a mask."""
        if self._blocks > 1:
            locations &= locations >> self._width & locations >> 2 * self._width
        return locations & self._low

    def anywhere(self, locations: int) -> int:
        """Return the processors any of whose locations is in a mask."""
        if self._blocks > 1:
            locations |= locations >> self._width | locations >> 2 * self._width
        return locations & self._low

    def everywhere(self, processors: int) -> int:
        """Return all locations of these processors."""
        return sum(processors << block * self._width for block in range(self._blocks))

    def told(self, locations: int, label: str) -> list[Layer]:
        """Return what a label is said of: processors by their own place, else by the location that is meant."""
        own = locations & self._low
        layers: list[Layer] = [(own, label)] if own else []
        seen = own
        for block in range(1, self._blocks):
            elsewhere = locations >> block * self._width & self._low & ~seen
            if elsewhere:
                layers.append((elsewhere, label + SUFFIXES[block]))
                seen |= elsewhere
        return layers


def _is_elsewhere(region: RegionSpec) -> bool:
    """Return True if a region retains or tells anything outside its own place."""
    return any(
        isinstance(where, Processor) or where not in ("same", "none") for where in (region.retention, region.telemetry)
    )


def _says_who(location: Processor) -> bool:
    """Return True if a location has an operator, contracts or anything else of its own."""
    return location.model_copy(update={"country": "DE", "subdivision": None}) != Processor(country="DE")
