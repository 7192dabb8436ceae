"""What the legal events in force change between two instants, asked for one request at a time.

An event concerns a request if all conditions of its scope on requests hold (`Effects.concerning`). What it then changes
is of three kinds: it refuses regions outright, it sanctions places, or it changes what a regime says (`Overlay`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from borderpost.policy.masks import remember, union
from borderpost.policy.places import Place
from borderpost.policy.reasons import Layer
from borderpost.policy.regimes import STALE, CompiledRegime, Overlay, Verdict


class Condition(NamedTuple):
    """Which requests an event concerns, beside tenant and model. None: all."""

    bit: int
    """The event's bit in masks of events."""
    subjects: int | None
    """Cells one of which a subject has to be in."""
    classes: int | None
    """Data classes one of which counts."""
    regimes: int | None
    """Regimes one of which applies."""


class Sanction(NamedTuple):
    """Places under sanctions by an event."""

    bit: int
    """The event's bit in masks of events."""
    cells: int
    processors: int
    """Processors there, which serve nobody."""
    label: str


class _There(NamedTuple):
    """What events say of a place."""

    events: int
    """Events of whose conditions on subjects the place meets one."""
    sanctions: tuple[Sanction, ...]
    """Those that a subject there is under."""
    doubtful: bool
    """Whether an event is about a part of the place and not about all of it."""
    doubtful_sanctions: bool
    """Whether a sanction is."""


class Effects:
    """Everything that events change in one interval. Filled while they are compiled; then only its memos grow."""

    __slots__ = (
        "_checked",
        "_layers",
        "_places",
        "_refusing",
        "_subjects",
        "_told",
        "_treatment",
        "_unconditional",
        "_verdicts",
        "_wherever",
        "barring",
        "bits",
        "conditions",
        "embargoed",
        "granted",
        "reached",
        "refusals",
        "remaining",
        "revoked",
        "sanctions",
        "touched",
        "touching",
    )

    def __init__(self, bits: Mapping[str, int], treatment: str) -> None:
        self.bits = dict(sorted(bits.items()))
        """The bit of each event in force in masks of events, by its id, sorted."""
        self._treatment = treatment
        self.conditions: list[Condition] = []
        self.refusals: list[tuple[int, int, str]] = []
        """Event, regions that it refuses, reason; in order of event id."""
        self.sanctions: list[Sanction] = []
        self.remaining: dict[int, int] = {}
        """Cells that are left of an embargo regime of which events have lifted a part, by its bit."""
        self.embargoed: dict[int, int] = {}
        """The same as processors."""
        self.revoked: dict[int, list[tuple[int, str, int]]] = {}
        """By regime: event, basis, and the locations for which it no longer counts."""
        self.granted: dict[int, list[tuple[int, str, int]]] = {}
        """By regime: event, basis, and the locations that it allows."""
        self.reached: dict[int, list[tuple[int, str, int]]] = {}
        """By regime: event, counter, and the count that it has reached."""
        self.touching: dict[int, int] = {}
        """By regime: the events that change what it says."""
        self.touched = 0
        """Regimes that some event changes."""
        self.barring: tuple[Sanction, ...] = ()
        """Sanctions that keep some processor from serving anybody."""
        self._verdicts: dict[tuple[int, int, int, int, int], Verdict] = {}
        self._places: dict[str, _There] = {}
        self._layers: dict[int, tuple[int, tuple[Layer, ...]]] = {}
        self._told: dict[int, tuple[str, ...]] = {}

    def close(self) -> None:
        """Work out what follows from the parts, once all of them are there."""
        for changes in (self.revoked, self.granted, self.reached):
            for regime_bit, listed in changes.items():
                self.touched |= regime_bit
                for event_bit, _, _ in listed:
                    self.touching[regime_bit] = self.touching.get(regime_bit, 0) | event_bit
        self.barring = tuple(sanction for sanction in self.sanctions if sanction.processors)
        self._refusing = union(bit for bit, processors, _ in self.refusals if processors)
        self._refusing |= union(sanction.bit for sanction in self.barring)
        conditional = union(condition.bit for condition in self.conditions)
        self._unconditional = ~conditional & union((self._refusing, *self.touching.values()))
        self._subjects = [(one.bit, one.subjects) for one in self.conditions if one.subjects is not None]
        self._wherever = conditional & ~union(bit for bit, _ in self._subjects)
        checked: dict[tuple[int | None, int | None], int] = {}
        for one in self.conditions:
            if one.classes is not None or one.regimes is not None:
                checked[one.classes, one.regimes] = checked.get((one.classes, one.regimes), 0) | one.bit
        self._checked = [(*about, bits) for about, bits in checked.items()]

    def _there(self, place: Place) -> _There:
        """Return what events say of a place: as many are kept as policy and events tell places apart."""
        found = self._places.get(place.key)
        if found is None:
            events = union(bit for bit, cells in self._subjects if meant(place, cells, self._treatment))
            under = tuple(one for one in self.sanctions if meant(place, one.cells, self._treatment))
            sanctions = any(_is_partly_in(place, one.cells) for one in self.sanctions)
            doubtful = sanctions or any(_is_partly_in(place, cells) for _, cells in self._subjects)
            found = self._places[place.key] = _There(events, under, doubtful, sanctions)
        return found

    def concerning(self, party: int, subjects: Iterable[Place], classes: int, applying: int) -> int:
        """Return the events that concern a request.

        `party` are the events whose conditions on tenant and model may hold, `subjects` its believed places as events
        tell them apart, `classes` its data classes with all that they imply, `applying` the regimes that apply.
        """
        mask = self._unconditional
        if self.conditions:
            mask |= self._wherever
            for place in subjects:
                mask |= self._there(place).events
            for about, regimes, bits in self._checked:
                if (about is not None and not about & classes) or (regimes is not None and not regimes & applying):
                    mask &= ~bits
        return mask & party

    def orders(self, concerning: int) -> tuple[int, tuple[Layer, ...]]:
        """Return the regions that the events refuse outright that concern a request, and each of these events' reason,
        in order of event id."""
        concerning &= self._refusing
        found = self._layers.get(concerning)
        if found is None:
            layers = tuple([(mask, label) for bit, mask, label in self.refusals if bit & concerning])
            found = union(mask for mask, _ in layers), layers
            remember(self._layers, concerning, found)
        return found

    def took_part(self, concerning: int, applying: int) -> tuple[str, ...]:
        """Return the ids of the events that concern a request and change a regime that applies, or refuse regions."""
        mask = self._refusing
        left = applying & self.touched
        while left:
            low = left & -left
            mask |= self.touching[low]
            left ^= low
        mask &= concerning
        found = self._told.get(mask)
        if found is None:
            found = tuple([event_id for event_id, bit in self.bits.items() if bit & mask])
            remember(self._told, mask, found)
        return found

    def sanctioning(self, subjects: Iterable[Place]) -> list[Sanction]:
        """Return the sanctions that a subject at any of these places is under, in order of event id."""
        if not self.sanctions:
            return []
        found = {one.label: one for place in subjects for one in self._there(place).sanctions}
        return [found[label] for label in sorted(found)]

    def doubtful(self, place: Place, *, believed: bool) -> bool:
        """Return True if an event is about a part of a place of which only the whole is known.

        A place that is not believed calls for sanctions alone.
        """
        if not (self._subjects or self.sanctions):
            return False
        there = self._there(place)
        return there.doubtful if believed else there.doubtful_sanctions

    def verdict(
        self, regime: CompiledRegime, now_us: int, interval: int, classes: int, flags: int, concerning: int
    ) -> Verdict:
        """Return what a regime that events change says, for the events that concern a request."""
        concerning &= self.touching[regime.bit]
        key = (regime.bit, interval, classes & regime.classes, flags & (regime.flags | STALE), concerning)
        found = self._verdicts.get(key)
        if found is None:
            found = regime.verdict(now_us, classes, flags, self._overlay(regime.bit, concerning))
            remember(self._verdicts, key, found)
        return found

    def _overlay(self, regime_bit: int, concerning: int) -> Overlay:
        reached: dict[str, int] = {}
        for bit, counter, count in self.reached.get(regime_bit, ()):
            if bit & concerning:
                reached[counter] = max(reached.get(counter, 0), count)
        revoked = _by_label(self.revoked.get(regime_bit, ()), concerning)
        return Overlay(revoked, _by_label(self.granted.get(regime_bit, ()), concerning), reached)


def _is_partly_in(place: Place, cells: int) -> bool:
    return bool(place.cells & cells and place.cells & ~cells)


def _by_label(changes: Iterable[tuple[int, str, int]], concerning: int) -> dict[str, int]:
    joined: dict[str, int] = {}
    for bit, label, locations in changes:
        if bit & concerning:
            joined[label] = joined.get(label, 0) | locations
    return joined


def meant(place: Place, cells: int, treatment: str) -> bool:
    """Say whether a place is taken to be in these cells, by the treatment of unknown subdivisions."""
    if treatment == "strictest":
        return bool(place.cells & cells)
    if not place.cells & ~cells:
        return True
    return treatment == "country-only" and bool(place.plain & cells)
