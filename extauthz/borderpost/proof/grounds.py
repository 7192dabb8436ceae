"""The places that some policies, their events and some assertions tell apart: one representative code for each.

Everything that law says of a place it says by sets of places: who is a regime's subject, whom a sanction hits, whom an
assertion is about. Two cells of the world that are in exactly the same of these sets are one to all of them, so a code
is told apart from another only by which kinds of cells it covers, and by the kind of its plain cell (`Place.plain`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from borderpost.policy import codes
from borderpost.policy.catalogue import Territory
from borderpost.policy.compile import CompiledPolicy
from borderpost.policy.event_schema import LegalEvent
from borderpost.policy.events import CompiledEvents
from borderpost.policy.places import Place, Places, group_cells

_UNNAMED_ISO: Final = ("ZZ", "QQ", "XX", "QZZ")
_UNNAMED_OTHER: Final = ("ZZZZ", "QQQQ")


class Side(NamedTuple):
    """One law: a policy over its regions, and the events over it."""

    policy: CompiledPolicy
    events: CompiledEvents


class Ground(NamedTuple):
    """One kind of place."""

    code: str
    """A code that stands for all of its kind."""
    codes: tuple[str, ...]
    """Every code of the kind that was looked at, sorted: countries, codes that rules name, and one code that none
    names for each country of which rules name parts."""


Pattern = tuple[frozenset[int], int]


class Grounds:
    """The kinds of places, by the codes that stand for them."""

    def __init__(self, sides: Sequence[Side], also: Iterable[str] = ()) -> None:
        """Cut the world by all that the sides mention, and by `also`: codes and groups, each told apart.

        A group is that of each side that has it.
        """
        refs = tuple(also)
        mentioned = {code for code in refs if codes.is_code(code)}
        for side in sides:
            mentioned.update(side.policy.mentioned)
            for event in side.events.counted:
                named = (*event.scope.subjects, *event.scope.countries)
                mentioned.update(code for code in named if codes.is_code(code))
        self.places = Places(sorted(mentioned))
        """Every cell that anybody tells apart."""
        self.territories = tuple(_territory(side.policy, self.places) for side in sides)
        """What each side's groups cover in these cells."""
        sets = [mask for side, ground in zip(sides, self.territories, strict=True) for mask in _sets(side, ground)]
        sets += [cells_of(ref, ground) for ref in refs for ground in self.territories if _is_known(ref, ground)]
        self._kinds = _kinds(self.places.everywhere, sets)
        others = any(side.policy.bundle.evidence.token or side.policy.bundle.evidence.mtls for side in sides)
        members: dict[Pattern, list[str]] = {}
        for code in _candidates(mentioned, others=others):
            members.setdefault(self._pattern(code), []).append(code)
        self.grounds = tuple(Ground(found[0], tuple(sorted(found))) for found in members.values())
        """Every kind of place, countries first."""
        self._by_pattern = {self._pattern(ground.code): ground for ground in self.grounds}

    def of(self, code: str) -> Ground:
        """Return the kind of a place. Raises KeyError for what is no code."""
        return self._by_pattern[self._pattern(code)]

    def covers(self, refs: Iterable[str], code: str, side: int = 0) -> bool:
        """Return True if all that a code covers is in these places and groups."""
        wanted = 0
        for ref in refs:
            wanted |= cells_of(ref, self.territories[side])
        return not self.places[code].cells & ~wanted

    def _pattern(self, code: str) -> Pattern:
        place: Place = self.places[code]
        return frozenset(self._kinds[cell] for cell in _bits(place.cells)), self._kinds[place.plain.bit_length() - 1]


def cells_of(ref: str, territory: Territory) -> int:
    """Return the cells of a code, a group or `*`; of a group that the territory does not have, none."""
    return territory.cells((ref,)) if _is_known(ref, territory) else 0


def _is_known(ref: str, territory: Territory) -> bool:
    return ref == "*" or codes.is_code(ref) or ref in territory.groups


def _territory(policy: CompiledPolicy, places: Places) -> Territory:
    return Territory(places, group_cells(policy.bundle.vocabulary.groups, places))


def _sets(side: Side, territory: Territory) -> list[int]:
    """Return every set of places by which a side tells subjects apart."""
    found = [territory.cells(regime.subject_refs) for regime in side.policy.regimes]
    for event in side.events.counted:
        found += [cells_of(ref, territory) for ref in _subjects(event)]
    return found


def _subjects(event: LegalEvent) -> tuple[str, ...]:
    return event.scope.subjects


def _kinds(everywhere: int, sets: Iterable[int]) -> list[int]:
    """Return for each cell the number of its kind: cells of one kind are in the same sets."""
    distinct = sorted(set(sets))
    memberships: dict[tuple[bool, ...], int] = {}
    kinds = []
    for cell in range(everywhere.bit_length()):
        bit = 1 << cell
        kinds.append(memberships.setdefault(tuple([bool(mask & bit) for mask in distinct]), len(memberships)))
    return kinds


def _candidates(mentioned: Iterable[str], *, others: bool) -> list[str]:
    """Return every code worth asking about: countries, codes mentioned, and for a country that is cut a part that
    nobody named. Jurisdictions that ISO does not know come from claims alone: only where `others`."""
    named = sorted(code for code in set(mentioned) if "-" in code)
    found = sorted(codes.COUNTRIES)
    found += [code for code in named if others or codes.is_iso_suffix(code[3:])]
    for iso, suffixes in ((True, _UNNAMED_ISO), (False, _UNNAMED_OTHER if others else ())):
        for country in sorted({code[:2] for code in named if codes.is_iso_suffix(code[3:]) == iso}):
            free = (f"{country}-{suffix}" for suffix in suffixes)
            found += next(([code] for code in free if code not in named and code not in codes.OWN_CODE), [])
    return found


def _bits(mask: int) -> list[int]:
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found
