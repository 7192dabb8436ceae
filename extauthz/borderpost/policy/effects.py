"""What the legal events in force change between two instants, asked for one request at a time.

An event concerns a request if all conditions of its scope on requests hold (`Effects.concerning`). What it then changes
is of three kinds: it refuses regions outright, it sanctions places, or it changes what a regime says (`Overlay`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from borderpost.policy.places import Place
from borderpost.policy.reasons import Layer
from borderpost.policy.regimes import STALE, CompiledRegime, Overlay, Verdict
from borderpost_base import limits


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

    cells: int
    processors: int
    """Processors there, which serve nobody."""
    label: str


class Effects:
    """Everything that events change in one interval. Filled while they are compiled; then only its memo grows."""

    __slots__ = (
        "_verdicts",
        "always",
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

    def __init__(self, bits: Mapping[str, int]) -> None:
        self.bits = dict(sorted(bits.items()))
        """The bit of each event in force in masks of events, by its id, sorted."""
        self.always = 0
        """Events that concern every request."""
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
        self._verdicts: dict[tuple[int, int, int, int, int], Verdict] = {}

    def close(self) -> None:
        """Work out what follows from the parts, once all of them are there."""
        for changes in (self.revoked, self.granted, self.reached):
            for regime_bit, listed in changes.items():
                self.touched |= regime_bit
                for event_bit, _, _ in listed:
                    self.touching[regime_bit] = self.touching.get(regime_bit, 0) | event_bit
        conditional = {condition.bit for condition in self.conditions}
        events = {bit for bit, _, _ in self.refusals}.union(*(self._bits(bit) for bit in self.touching.values()))
        self.always = sum(events - conditional)

    @staticmethod
    def _bits(mask: int) -> Iterator[int]:
        while mask:
            low = mask & -mask
            yield low
            mask ^= low

    def concerning(self, party: int, subjects: list[Place], classes: int, applying: int, treatment: str) -> int:
        """Return the events that concern a request.

        `party` are the events whose conditions on tenant and model may hold, `subjects` its believed places as events
        tell them apart, `classes` its data classes with all that they imply, `applying` the regimes that apply.
        """
        mask = self.always
        for condition in self.conditions:
            if (
                (condition.classes is None or condition.classes & classes)
                and (condition.regimes is None or condition.regimes & applying)
                and (
                    condition.subjects is None or any(meant(place, condition.subjects, treatment) for place in subjects)
                )
            ):
                mask |= condition.bit
        return mask & party

    def layers(self, concerning: int) -> tuple[Layer, ...]:
        """Return what the events that concern a request refuse outright, in order of event id."""
        return tuple([(mask, label) for bit, mask, label in self.refusals if bit & concerning])

    def took_part(self, concerning: int, applying: int) -> tuple[str, ...]:
        """Return the ids of the events that concern a request and change a regime that applies, or refuse regions."""
        mask = 0
        for bit, processors, _ in self.refusals:
            mask |= bit if processors else 0
        for regime_bit, events in self.touching.items():
            mask |= events if regime_bit & applying else 0
        mask &= concerning
        return tuple(sorted(event_id for event_id, bit in self.bits.items() if bit & mask))

    def sanctioning(self, subjects: list[Place], treatment: str) -> list[Sanction]:
        """Return the sanctions that a subject at any of these places is under."""
        return [s for s in self.sanctions if any(meant(place, s.cells, treatment) for place in subjects)]

    def doubtful(self, places: list[tuple[Place, bool]]) -> bool:
        """Return True if an event is about a part of a place of which only the whole is known.

        Each place comes with whether it is believed: one that is not calls for sanctions alone.
        """
        sanctions = [sanction.cells for sanction in self.sanctions]
        every = sanctions + [condition.subjects for condition in self.conditions if condition.subjects is not None]
        return any(
            place.cells & mask and place.cells & ~mask
            for place, believed in places
            for mask in (every if believed else sanctions)
        )

    def verdict(
        self, regime: CompiledRegime, now_us: int, interval: int, classes: int, flags: int, concerning: int
    ) -> Verdict:
        """Return what a regime that events change says, for the events that concern a request."""
        concerning &= self.touching[regime.bit]
        key = (regime.bit, interval, classes & regime.classes, flags & (regime.flags | STALE), concerning)
        found = self._verdicts.get(key)
        if found is None:
            found = regime.verdict(now_us, classes, flags, self._overlay(regime.bit, concerning))
            if len(self._verdicts) >= limits.REMEMBERED_VERDICTS_MAX:
                self._verdicts.clear()
            self._verdicts[key] = found
        return found

    def _overlay(self, regime_bit: int, concerning: int) -> Overlay:
        reached: dict[str, int] = {}
        for bit, counter, count in self.reached.get(regime_bit, ()):
            if bit & concerning:
                reached[counter] = max(reached.get(counter, 0), count)
        revoked = _by_label(self.revoked.get(regime_bit, ()), concerning)
        return Overlay(revoked, _by_label(self.granted.get(regime_bit, ()), concerning), reached)


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
