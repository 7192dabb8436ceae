"""Differences of single atoms, joined into sentences: whom they expose, with which data, from when until when.

Atoms that show the same change (the same regions, by the same bases or for the same reason) are joined place by place;
places at which the same data, callers and times are concerned are joined into one change. A change has an id made from
all that it says, so that somebody can accept it by name and nothing wider with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from borderpost.policy.compile import CompiledPolicy
from borderpost.policy.regimes import NEVER_US
from borderpost.proof.compare import Comparison, Found, Kind
from borderpost.proof.grounds import Ground
from borderpost.proof.space import Atom, Space, Span, Whereabouts
from borderpost.proof.standings import BELIEVED, Asking

_ID_DIGITS: Final = 16
"""Hexadecimal digits of a change's id: 64 bits, so that nobody makes one on purpose by chance."""


class Data(NamedTuple):
    """Which data is concerned."""

    least: tuple[tuple[str, ...], ...]
    """The sets of classes that suffice, with no smaller one among them, sorted; an empty set is data of no class."""
    never: tuple[str, ...]
    """Classes with which it never happens, though data may have them, sorted."""


class Times(NamedTuple):
    """When: spans that do not touch, in order."""

    spans: tuple[tuple[int | None, int | None], ...]
    """From and until in microseconds since 1970; None for the beginning of what was compared, and for no end."""


class Scope(NamedTuple):
    """What a change is about beside its regions and places."""

    data: Data
    callers: tuple[tuple[str, tuple[str, ...]], ...]
    """For each of route, tenant, header's tenant, model, purpose and sources of evidence that matters: its values."""
    times: Times
    stale: tuple[bool, ...]
    """Whether legal events are stale: one or both."""
    doubts: tuple[str, ...]
    """What is thought of the address: `believed`, `anonymiser`…, sorted."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the law, for people."""

    kind: Kind
    regions: tuple[str, ...]
    """None where it is about the whole request."""
    legal: bool
    """Whether they are legal after."""
    before: tuple[str, ...]
    """By which bases, or for which reasons, before; sorted."""
    after: str
    places: tuple[str, ...]
    """Codes of the subjects' places, sorted; none where nobody knows the place."""
    unplaced: bool
    """Whether it is about subjects whose place nobody knows."""
    vouched: bool
    """Whether it shows only beside a place that a token or certificate vouches for."""
    scope: Scope
    atoms: int
    """Atoms that show it."""
    first: Found
    """The first of them."""

    @property
    def is_harmless(self) -> bool:
        """Return False: whoever fails on a kind of change fails on each."""
        return False

    @property
    def id(self) -> str:
        """Return the change's stable name."""
        said = [
            self.kind, self.regions, self.legal, self.after, self.places, self.unplaced, self.vouched, self.scope,
        ]  # fmt: skip
        written = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return f"{self.kind}-{hashlib.sha256(written.encode()).hexdigest()[:_ID_DIGITS]}"


_Key = tuple[Kind, tuple[str, ...], bool, str, bool]
"""Kind, regions, whether they are legal after and why, and whether it shows only beside a vouched place."""


class _Cell(NamedTuple):
    """The atoms of one place that show one change, by what tells them apart."""

    doubt: str
    asking: Asking
    span: Span
    stale: bool


class _Heap:
    """The atoms that show one change at one place."""

    __slots__ = ("before", "cells", "first", "where")

    def __init__(self, found: Found) -> None:
        self.first = found
        self.where = found.atom.where
        self.before: set[str] = set()
        self.cells: set[_Cell] = set()

    def add(self, found: Found) -> None:
        atom = found.atom
        self.before.add(found.difference.before)
        self.cells.add(_Cell(atom.where.doubt.name, atom.asking, atom.span, atom.stale))


def changes(comparison: Comparison, found: Iterable[Found]) -> list[Change]:
    """Join differences into changes; `merged` puts those of several places in order."""
    heaps: dict[tuple[_Key, Ground | None, Ground | None], _Heap] = {}
    for one in found:
        difference, where = one.difference, one.atom.where
        key: _Key = *difference[:3], difference.after, one.company is not None
        heap = heaps.get((key, where.ground, where.beside))
        if heap is None:
            heap = heaps[key, where.ground, where.beside] = _Heap(one)
        heap.add(one)
    scopes = _Scopes(comparison.space)
    joined: dict[tuple[_Key, Scope], list[_Heap]] = {}
    for (key, _, _), heap in heaps.items():
        joined.setdefault((key, scopes.of(heap)), []).append(heap)
    return [_change(key, scope, heaps) for (key, scope), heaps in joined.items()]


def merged(several: Iterable[Sequence[Change]]) -> list[Change]:
    """Join changes found at different places: by kind as in `compare`, then those with most atoms first."""
    found: dict[object, Change] = {}
    for change in (change for part in several for change in part):
        key = change.kind, change.regions, change.legal, change.after, change.vouched, change.scope
        known = found.get(key)
        found[key] = change if known is None else replace(
            known,
            before=tuple(sorted({*known.before, *change.before})),
            places=tuple(sorted({*known.places, *change.places})),
            unplaced=known.unplaced or change.unplaced,
            atoms=known.atoms + change.atoms,
        )  # fmt: skip
    return sorted(found.values(), key=lambda one: (_ORDER.index(one.kind), -one.atoms, one.places, one.regions, one.id))


_ORDER: Final[tuple[Kind, ...]] = ("widened", "region", "narrowed", "basis", "reason")


def _change(key: _Key, scope: Scope, heaps: Sequence[_Heap]) -> Change:
    kind, regions, legal, after, vouched = key
    grounds = [ground for heap in heaps for ground in (heap.where.ground, heap.where.beside) if ground is not None]
    return Change(
        kind=kind,
        regions=regions,
        legal=legal,
        before=tuple(sorted({text for heap in heaps for text in heap.before})),
        after=after,
        places=tuple(sorted({code for ground in grounds for code in ground.codes})),
        unplaced=any(heap.where.ground is None for heap in heaps),
        vouched=vouched,
        scope=scope,
        atoms=sum(len(heap.cells) for heap in heaps),
        first=heaps[0].first,
    )


class _Scopes:
    """What heaps of atoms have in common, against all that could be at their places."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._policy: CompiledPolicy = space.sides[1].policy
        self._classes: dict[tuple[Asking, str], frozenset[str]] = {}
        self._universe: dict[Whereabouts, tuple[frozenset[str], frozenset[Asking]]] = {}

    def of(self, heap: _Heap) -> Scope:
        """Return what a heap is about."""
        askings = {cell.asking for cell in heap.cells}
        classes, callers = self._possible(heap)
        return Scope(
            data=self._data(heap, askings, classes),
            callers=_callers({_bare(asking) for asking in askings}, callers),
            times=self._times({cell.span for cell in heap.cells}),
            stale=tuple(sorted({cell.stale for cell in heap.cells})),
            doubts=tuple(sorted({cell.doubt for cell in heap.cells})),
        )

    def _possible(self, heap: _Heap) -> tuple[frozenset[str], frozenset[Asking]]:
        """Return every data class and every caller that requests at a heap's place can have."""
        where = heap.where
        known = self._universe.get(where)
        if known is None:
            askings = [asking for asking, _ in self._space.asked(where)]
            classes = frozenset(name for asking in askings for name in self._classes_of(asking, where))
            known = self._universe[where] = classes, frozenset(_bare(asking) for asking in askings)
        return known

    def _classes_of(self, asking: Asking, where: Whereabouts) -> frozenset[str]:
        """Return the data classes that count for a request: those of the law after, else those of the law before."""
        key = asking, where.doubt.name
        known = self._classes.get(key)
        if known is None:
            atom = Atom(where, asking, self._space.spans[0], False)
            facts = self._space.facts(atom, 1) or self._space.facts(atom, 0)
            known = self._classes[key] = frozenset(facts.classes if facts is not None else asking.declared)
        return known

    def _data(self, heap: _Heap, askings: Iterable[Asking], possible: frozenset[str]) -> Data:
        sets = {self._classes_of(asking, heap.where) for asking in askings}
        masks = {names: self._mask(names) for names in sets}
        by_size = sorted(sets, key=lambda names: (masks[names].bit_count(), len(names), sorted(names)))
        least: list[frozenset[str]] = []
        for names in by_size:
            if not any(not masks[one] & ~masks[names] and self._unknown(one) <= names for one in least):
                least.append(names)
        present = 0
        for mask in masks.values():
            present |= mask
        never = {name for name in possible if self._mask((name,)) & ~present}
        smallest = {
            name for name in never
            if not any(other != name and self._mask((other,)) & ~self._mask((name,)) == 0 for other in never)
        }  # fmt: skip
        return Data(tuple(sorted(tuple(sorted(names)) for names in least)), tuple(sorted(smallest)))

    def _mask(self, names: Iterable[str]) -> int:
        mask = 0
        for name in names:
            mask |= self._policy.classes.get(name, 0)
        return mask

    def _unknown(self, names: Iterable[str]) -> set[str]:
        return {name for name in names if name not in self._policy.classes}

    def _times(self, spans: Iterable[Span]) -> Times:
        found: list[list[int]] = []
        for span in sorted(spans):
            if found and found[-1][1] == span.from_us:
                found[-1][1] = span.until_us
            else:
                found.append([span.from_us, span.until_us])
        first = self._space.spans[0].from_us
        last = self._space.spans[-1].until_us
        return Times(tuple(
            (None if start == first else start, None if end in (last, NEVER_US) else end) for start, end in found
        ))  # fmt: skip


def _bare(asking: Asking) -> Asking:
    return asking._replace(declared=())


_CALLER: Final = ("route", "tenant", "named", "model", "purpose")


def _callers(
    concerned: set[Asking], possible: Iterable[Asking]
) -> tuple[tuple[str, tuple[str, ...]], ...]:  # fmt: skip
    """Return the values of each part in which those concerned are fewer than all; nothing where everybody is."""
    everybody = set(possible)
    if concerned >= everybody:
        return ()
    found: list[tuple[str, tuple[str, ...]]] = []
    for name in _CALLER:
        values = {getattr(asking, name) for asking in concerned}
        if values != {getattr(asking, name) for asking in everybody}:
            found.append((name, tuple(sorted(value or "" for value in values))))
    sources = {asking.sources for asking in concerned}
    if sources != {asking.sources for asking in everybody}:
        found.append(("evidence", tuple(sorted("+".join(one) for one in sources))))
    return tuple(found)


def group_of(space: Space, places: Sequence[str]) -> str | None:
    """Return the name of a group that is exactly these places, on the side after, or else before; None without one."""
    wanted = 0
    for code in places:
        wanted |= space.grounds.places[code].cells
    for territory in reversed(space.grounds.territories):
        for name in sorted(territory.groups):
            if territory.groups[name] == wanted:
                return name
    return None


def as_dict(change: Change) -> dict[str, Any]:
    """Return a change as JSON-ready data, without its example and its sentence."""
    scope = change.scope
    return {
        "id": change.id,
        "kind": change.kind,
        "regions": list(change.regions),
        "legal": change.legal,
        "before": list(change.before),
        "after": change.after,
        "places": list(change.places),
        "place_unknown": change.unplaced,
        "beside_vouched_place": change.vouched,
        "data": {"least": [list(one) for one in scope.data.least], "never": list(scope.data.never)},
        "callers": {name: list(values) for name, values in scope.callers},
        "times_us": [list(span) for span in scope.times.spans],
        "stale": list(scope.stale),
        "doubts": [doubt for doubt in scope.doubts if doubt != BELIEVED.name],
        "atoms": change.atoms,
    }
