"""One regime over one catalogue: its entries as masks of locations, its timeline cut at every date.

Everything is read in the restrictive direction: an allow entry needs every cell of a location, a deny entry hits on
any; a zone is all members of its group; a `global` location satisfies no allow entry and is hit by every denial.

Masks of *locations* have a bit for each processor and, above these, the same number of bits for where each retains
and once more for where its telemetry goes (`Catalogue`). A regime allows a processor if it allows all of its
locations, each by whichever entry, so a `Verdict` speaks of processors alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from borderpost.policy.catalogue import Catalogue, Territory
from borderpost.policy.fields import to_us
from borderpost.policy.pack import AllowEntry, DenyEntry, Regime, Threshold
from borderpost.policy.reasons import Layer

NEVER_US = 1 << 63
"""An instant after all instants, microseconds since 1970: the end of what has no end."""

ClassBits = Mapping[str, int]
"""Mask of each data class."""

ANY_DATA = -1
"""Mask of classes that every request meets, also one without any class."""

HYBRID: Final = 1
"""Flag of a question: entries of the mode hybrid count."""
STALE: Final = 2
"""Flag of a question: revocable entries do not count."""


class Verdict(NamedTuple):
    """What one regime says of every processor, between two of its boundaries, for some data classes."""

    passing: int
    """Regions, `here` and sinks that may serve."""
    refusals: tuple[Layer, ...]
    """Why the others may not, the first that fits counts."""
    bases: tuple[Layer, ...]
    """Which bases allow those that may, sorted by name."""


class CompiledEntry(NamedTuple):
    """One entry that does not always hold."""

    start_us: int
    """First instant, -NEVER_US if since ever."""
    end_us: int
    """First instant no longer, NEVER_US if for good."""
    classes: int
    """Allow: classes that switch it off. Deny: classes that it is about, or ANY_DATA."""
    needs: int
    """Flags without which it does not count: HYBRID or 0."""
    lacks: int
    """Flags with which it does not count: STALE or 0."""
    threshold: Threshold | None
    """Allow: what ends it. Deny: what begins it."""
    locations: int
    label: str


class Overlay(NamedTuple):
    """What legal events change in a regime for one request."""

    revoked: Mapping[str, int]
    """Locations for which a label no longer counts."""
    granted: Mapping[str, int]
    """Locations that a label allows besides."""
    reached: Mapping[str, int]
    """Highest threshold that each counter has reached."""


PLAIN: Final = Overlay({}, {}, {})
"""Nothing is changed."""


class CompiledRegime:
    """One regime over one catalogue; immutable once compiled."""

    __slots__ = (
        "allow",
        "bit",
        "boundaries",
        "catalogue",
        "classes",
        "counters",
        "covers",
        "data",
        "deny",
        "embargo",
        "embargoed",
        "end_us",
        "flags",
        "id",
        "labels",
        "lasting_allow",
        "lasting_deny",
        "opens",
        "own_basis",
        "refusing",
        "start_us",
        "subject_refs",
        "subjects",
        "why_not",
    )

    def __init__(
        self, bit: int, regime: Regime, territory: Territory, catalogue: Catalogue, own_bits: ClassBits, child: bool
    ) -> None:
        self.bit = bit
        """The regime's bit in masks of regimes."""
        self.id = regime.id
        self.catalogue = catalogue
        self.start_us, self.end_us = window(regime.from_, regime.until)
        self.opens = regime.default == "allow"
        self.embargo = regime.kind == "embargo"
        self.covers = not self.embargo and not child and (regime.default == "deny" or regime.basis is not None)
        """Whether it counts as the law of its subjects."""
        self.subject_refs = regime.applies_when.subject_in
        self.subjects = territory.cells(regime.applies_when.subject_in)
        self.data = classes_mask(regime.applies_when.data, own_bits)
        self.why_not = f"{regime.id}/no-basis"
        self.refusing = f"{regime.id}/embargo"
        self.embargoed = catalogue.processors_hit(self.subjects) if self.embargo else 0
        """Processors that an embargo keeps everybody out of."""
        self.own_basis = f"{regime.id}/{regime.basis}" if regime.basis else ""
        """The basis of `default: allow`; empty if it has none."""
        everywhere = catalogue.everyone & ~catalogue.nowhere
        self.lasting_allow: dict[str, int] = {self.own_basis: everywhere} if regime.basis else {}
        self.lasting_deny: dict[str, int] = {}
        self.allow: list[CompiledEntry] = []
        self.deny: list[CompiledEntry] = []
        for allow in regime.allow:
            self._file_allow(allow, own_bits)
        for deny in regime.deny:
            self._file_deny(deny, own_bits)
        entries = (*self.allow, *self.deny)
        dates = {at for entry in entries for at in (entry.start_us, entry.end_us) if abs(at) < NEVER_US}
        self.boundaries = (*sorted(dates), NEVER_US)
        """Every instant at which an entry begins or ends, microseconds since 1970, and NEVER_US."""
        self.classes = 0
        """Classes that make a difference inside the regime."""
        self.flags = 0
        """Flags that make a difference inside the regime."""
        for entry in entries:
            self.classes |= entry.classes if entry.classes != ANY_DATA else 0
            self.flags |= entry.needs | entry.lacks
        self.counters = tuple(counter.id for counter in regime.counters)
        self.labels = frozenset([*self.lasting_allow, *(entry.label for entry in self.allow)])
        """Every basis that it gives, as `regime/basis`."""

    def _file_allow(self, allow: AllowEntry, own_bits: ClassBits) -> None:
        reached = allowed_by(allow, self.catalogue)
        excepted = classes_mask(allow.except_data, own_bits)
        needs, lacks = (HYBRID if allow.only_in else 0), (STALE if allow.revocable else 0)
        label = f"{self.id}/{allow.basis}"
        start_us, end_us = window(allow.from_, allow.until)
        if (start_us, end_us) == (-NEVER_US, NEVER_US) and not (excepted or needs or lacks or allow.below):
            self.lasting_allow[label] = self.lasting_allow.get(label, 0) | reached
        else:
            self.allow.append(CompiledEntry(start_us, end_us, excepted, needs, lacks, allow.below, reached, label))

    def _file_deny(self, deny: DenyEntry, own_bits: ClassBits) -> None:
        reached = denied_by(deny, self.catalogue)
        about = classes_mask(deny.data, own_bits)
        label = f"{self.id}/{deny.basis}"
        start_us, end_us = window(deny.from_, deny.until)
        if (start_us, end_us, about) == (-NEVER_US, NEVER_US, ANY_DATA) and not deny.above:
            self.lasting_deny[label] = self.lasting_deny.get(label, 0) | reached
        else:
            self.deny.append(CompiledEntry(start_us, end_us, about, 0, 0, deny.above, reached, label))

    def verdict(self, at_us: int, classes: int, flags: int, overlay: Overlay = PLAIN) -> Verdict:
        """Work out the verdict at an instant for a mask of classes and the flags of a question."""
        allowed = dict(self.lasting_allow)
        denied = dict(self.lasting_deny)
        for entry in self.allow:
            if entry.start_us <= at_us < entry.end_us and not entry.classes & classes:
                if entry.needs & ~flags or entry.lacks & flags or _is_reached(entry.threshold, overlay):
                    continue
                allowed[entry.label] = allowed.get(entry.label, 0) | entry.locations
        for entry in self.deny:
            concerned = entry.classes == ANY_DATA or entry.classes & classes
            if entry.start_us <= at_us < entry.end_us and concerned and _holds_above(entry.threshold, overlay):
                denied[entry.label] = denied.get(entry.label, 0) | entry.locations
        for label, locations in overlay.granted.items() if not flags & STALE else ():
            allowed[label] = allowed.get(label, 0) | locations
        for label, locations in overlay.revoked.items():
            if label in allowed:
                allowed[label] &= ~locations
        # What `default: allow` lets pass is no wider than what is left of its own basis.
        opening = self.catalogue.everyone & ~overlay.revoked.get(self.own_basis, 0) if self.opens else 0
        return self._joined(opening, allowed, denied)

    def _joined(self, opening: int, allowed: Mapping[str, int], denied: Mapping[str, int]) -> Verdict:
        catalogue = self.catalogue
        passing = opening | catalogue.nowhere
        for mask in allowed.values():
            passing |= mask
        refusals: list[Layer] = []
        for label, mask in sorted(denied.items()):
            refusals.extend(catalogue.told(mask, label))
        refusals.extend(catalogue.told(catalogue.everyone & ~passing, self.why_not))
        for mask in denied.values():
            passing &= ~mask
        bases = [layer for label, mask in sorted(allowed.items()) for layer in catalogue.told(mask, label)]
        return Verdict(catalogue.processors_inside(passing), tuple(refusals), tuple(bases))


def allowed_by(allow: AllowEntry, catalogue: Catalogue) -> int:
    """Return the locations that an allow entry is about: those surely in its places that bring what it requires."""
    return catalogue.inside(allow.to) & catalogue.bringing(allow.require)


def denied_by(deny: DenyEntry, catalogue: Catalogue) -> int:
    """Return the locations that a deny entry is about: those that may be in its places, less those that escape it."""
    reached = catalogue.hit(deny.to)
    if deny.operator_in is not None:
        reached &= catalogue.perhaps_operated_in(deny.operator_in)
    if deny.unless is not None:
        reached &= ~catalogue.bringing(deny.unless)
    return reached


def _holds_above(threshold: Threshold | None, overlay: Overlay) -> bool:
    return threshold is None or _is_reached(threshold, overlay)


def _is_reached(threshold: Threshold | None, overlay: Overlay) -> bool:
    return threshold is not None and overlay.reached.get(threshold.counter, 0) >= threshold.count


def classes_mask(names: Iterable[str], own_bits: ClassBits) -> int:
    """Return the mask of the classes that a rule names, ANY_DATA for `*`."""
    mask = 0
    for name in names:
        if name == "*":
            return ANY_DATA
        mask |= own_bits[name]
    return mask


def window(start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """Return the microseconds since 1970 between which something holds, ±NEVER_US where it has no date."""
    return to_us(start) if start else -NEVER_US, to_us(end) if end else NEVER_US
