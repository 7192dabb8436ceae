"""One regime over one catalogue: its entries as masks of regions, its timeline cut at every date.

Everything is read in the restrictive direction: an allow entry needs every cell of a region, a deny entry hits on
any; a zone is all members of its group; a `global` region satisfies no allow entry and is hit by every denial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from borderpost.policy.fields import to_us
from borderpost.policy.pack import AllowEntry, DenyEntry, Regime, Require
from borderpost.policy.places import Places
from borderpost.policy.reasons import Layer, RegionIndex
from borderpost.policy.schema import Here, Processor, RegionSpec

NEVER_US = 1 << 63
"""An instant after all instants, microseconds since 1970: the end of what has no end."""

ClassBits = Mapping[str, int]
"""Mask of each data class."""

ANY_DATA = -1
"""Mask of classes that every request meets, also one without any class."""


class Verdict(NamedTuple):
    """What one regime says of every region, between two of its boundaries, for some data classes."""

    passing: int
    """Regions (and `here`) that may serve."""
    refusals: tuple[Layer, ...]
    """Why the others may not, the first that fits counts."""
    bases: tuple[Layer, ...]
    """Which bases allow those that may, sorted by name."""


class CompiledEntry(NamedTuple):
    """One dated or conditional entry."""

    start_us: int
    """First instant, -NEVER_US if since ever."""
    end_us: int
    """First instant no longer, NEVER_US if for good."""
    classes: int
    """Allow: classes that switch it off. Deny: classes that it is about, or ANY_DATA."""
    regions: int
    label: str


class CompiledRegime:
    """One regime over one catalogue; immutable once compiled."""

    __slots__ = (
        "allow",
        "bit",
        "boundaries",
        "classes",
        "covers",
        "data",
        "deny",
        "embargo",
        "embargoed",
        "end_us",
        "id",
        "lasting_allow",
        "lasting_deny",
        "opens",
        "refusing",
        "start_us",
        "subjects",
        "why_not",
    )

    def __init__(
        self, bit: int, regime: Regime, territory: Territory, catalogue: Catalogue, own_bits: ClassBits
    ) -> None:
        self.bit = bit
        """The regime's bit in masks of regimes."""
        self.id = regime.id
        self.start_us, self.end_us = _window(regime)
        self.opens = regime.default == "allow"
        self.embargo = regime.kind == "embargo"
        self.covers = not self.embargo and (regime.default == "deny" or regime.basis is not None)
        """Whether it counts as the law of its subjects."""
        self.subjects = territory.cells(regime.applies_when.subject_in)
        self.data = classes_mask(regime.applies_when.data, own_bits)
        self.why_not = f"{regime.id}/no-basis"
        self.refusing = f"{regime.id}/embargo"
        self.embargoed = catalogue.hit(regime.applies_when.subject_in) if self.embargo else 0
        """Regions (and `here`) that an embargo keeps everybody out of."""
        self.lasting_allow: dict[str, int] = {f"{regime.id}/{regime.basis}": catalogue.everyone} if regime.basis else {}
        self.lasting_deny: dict[str, int] = {}
        self.allow: list[CompiledEntry] = []
        self.deny: list[CompiledEntry] = []
        for allow in regime.allow:
            reached = catalogue.inside(allow.to) & catalogue.bringing(allow.require)
            excepted = classes_mask(allow.except_data, own_bits)
            entry = CompiledEntry(*_window(allow), excepted, reached, f"{regime.id}/{allow.basis}")
            _file(entry, 0, self.lasting_allow, self.allow)
        for deny in regime.deny:
            reached = catalogue.hit(deny.to)
            if deny.unless is not None:
                reached &= ~catalogue.bringing(deny.unless)
            about = classes_mask(deny.data, own_bits)
            entry = CompiledEntry(*_window(deny), about, reached, f"{regime.id}/{deny.basis}")
            _file(entry, ANY_DATA, self.lasting_deny, self.deny)
        entries = (*self.allow, *self.deny)
        dates = {at for entry in entries for at in (entry.start_us, entry.end_us) if abs(at) < NEVER_US}
        self.boundaries = (*sorted(dates), NEVER_US)
        """Every instant at which an entry begins or ends, microseconds since 1970, and NEVER_US."""
        self.classes = 0
        """Classes that make a difference inside the regime."""
        for entry in entries:
            self.classes |= entry.classes if entry.classes != ANY_DATA else 0

    def verdict(self, at_us: int, classes: int, everyone: int) -> Verdict:
        """Work out the verdict at an instant for a mask of classes; `everyone` includes `here`."""
        allowed = dict(self.lasting_allow)
        denied = dict(self.lasting_deny)
        for entry in self.allow:
            if entry.start_us <= at_us < entry.end_us and not entry.classes & classes:
                allowed[entry.label] = allowed.get(entry.label, 0) | entry.regions
        for entry in self.deny:
            if entry.start_us <= at_us < entry.end_us and (entry.classes == ANY_DATA or entry.classes & classes):
                denied[entry.label] = denied.get(entry.label, 0) | entry.regions
        passing = everyone if self.opens else 0
        for mask in allowed.values():
            passing |= mask
        refusals = [(mask, label) for label, mask in sorted(denied.items())]
        if not self.opens:
            refusals.append((everyone & ~passing, self.why_not))
        for mask in denied.values():
            passing &= ~mask
        return Verdict(passing, tuple(refusals), tuple((mask, label) for label, mask in sorted(allowed.items())))


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
    """Where the regions (and `here`) are and what they bring, as masks of regions."""

    def __init__(self, index: RegionIndex, here: Here, regions: Mapping[str, RegionSpec], territory: Territory) -> None:
        self.everyone = index.everyone | index.here
        self._territory = territory
        self._at: dict[int, int] = {territory.cells((here.place,)): index.here}
        self._global = 0
        self._brought: dict[tuple[str, str], int] = {}
        for region_id, region in regions.items():
            bit = index.bits[region_id]
            self._note_brought(bit, region)
            if region.processing_scope == "global":
                self._global |= bit
                continue
            cells = territory.cells((region.place,))
            if region.zone is not None:
                cells |= territory.groups[region.zone]
            self._at[cells] = self._at.get(cells, 0) | bit
        self._note_brought(index.here, here)

    def _note_brought(self, bit: int, processor: Processor) -> None:
        brought = [("operator_certified", name) for name in processor.operator.certifications]
        brought += [("contract", name) for name in processor.contracts]
        if processor.tia is not None:
            brought.append(("tia", processor.tia))
        for what in brought:
            self._brought[what] = self._brought.get(what, 0) | bit

    def inside(self, refs: tuple[str, ...]) -> int:
        """Return the regions of which every cell is in the places; never a global one."""
        target = self._territory.cells(refs)
        return sum(bits for cells, bits in self._at.items() if not cells & ~target)

    def hit(self, refs: tuple[str, ...]) -> int:
        """Return the regions of which some cell is in the places; every global one."""
        target = self._territory.cells(refs)
        return self._global | sum(bits for cells, bits in self._at.items() if cells & target)

    def bringing(self, require: Require | None) -> int:
        """Return the regions that bring all that is required."""
        mask = self.everyone
        for name in ("operator_certified", "contract", "tia") if require is not None else ():
            wanted = getattr(require, name)
            if wanted is not None:
                mask &= self._brought.get((name, wanted), 0)
        return mask


def classes_mask(names: tuple[str, ...], own_bits: ClassBits) -> int:
    """Return the mask of the classes that a rule names, ANY_DATA for `*`."""
    if "*" in names:
        return ANY_DATA
    mask = 0
    for name in names:
        mask |= own_bits[name]
    return mask


def _window(dated: AllowEntry | DenyEntry | Regime) -> tuple[int, int]:
    return to_us(dated.from_) if dated.from_ else -NEVER_US, to_us(dated.until) if dated.until else NEVER_US


def _file(entry: CompiledEntry, always: int, lasting: dict[str, int], others: list[CompiledEntry]) -> None:
    """Fold an entry that holds at all times for all data into one mask a label; keep the others apart."""
    if (entry.start_us, entry.end_us, entry.classes) == (-NEVER_US, NEVER_US, always):
        lasting[entry.label] = lasting.get(entry.label, 0) | entry.regions
    else:
        others.append(entry)
