"""Everything that some policies tell apart, as a finite space: its atoms are kinds of requests at kinds of instants.

Five dimensions, each cut only where some side makes a difference:

    ground       a kind of place (`grounds`), and whether the address is believed there; or nobody knows any place
    standing     route, tenants, model, purpose, sources of evidence, by what they bring to the law (`standings`)
    declaration  sets of declared data classes, by their effect in the standing
    span         time between two instants at which anything dated begins or ends
    stale        whether the legal events are older than allowed

A request says where its subject is by several sources, which need not agree. Law only narrows: where it may go is
the intersection of where it might go by each of its places alone, those in doubt saying no more than `Space.bars`.
So a region is legal for a request only if it is legal for each of its atoms (`atoms_of`), and two policies
differ for some request only if they differ for some atom.

One kind of event breaks the second half: an order about subjects in one place that takes away a basis of a regime
about another (`Space.crossing`). Where there is one, every pair of places is an atom too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from borderpost.policy.decide import decide
from borderpost.policy.model import Evidence, Facts, Law, Source
from borderpost.policy.regimes import NEVER_US, STALE
from borderpost.proof.declarations import declaration_of, declarations
from borderpost.proof.grounds import Ground, Grounds, Side
from borderpost.proof.standings import (
    BELIEVED,
    Also,
    Asking,
    Doubt,
    Reader,
    Scope,
    askings,
    class_names,
    doubts,
    readers_of,
    said_of,
    standing_of,
    unplaced,
)
from borderpost_base import limits
from borderpost_base.errors import BorderpostError


class Whereabouts(NamedTuple):
    """Where a request's subject is said to be."""

    ground: Ground | None
    """None: nobody says anything."""
    doubt: Doubt = BELIEVED
    beside: Ground | None = None
    """Another place that a header asserts; only where events cross places."""


class Span(NamedTuple):
    """Time in which nothing dated changes."""

    from_us: int
    """First instant, microseconds since 1970."""
    until_us: int
    """First instant no longer; NEVER_US where it has no end."""


class Atom(NamedTuple):
    """One kind of request at one kind of instant."""

    where: Whereabouts
    asking: Asking
    span: Span
    stale: bool


_Kind = tuple[tuple[Scope, ...], tuple[bool, ...] | None]
"""What can matter of data classes to each side, and whether it believes the address; None where there is no place."""


class Space:
    """The atoms of one or more sides. Iterating gives each once, in an order that never differs."""

    def __init__(
        self,
        sides: Sequence[Side],
        *,
        from_us: int,
        until_us: int = NEVER_US,
        also: Also | None = None,
        may_be_stale: bool = True,
    ) -> None:
        """Cut the space for `from_us` ≤ time < `until_us`. Raises BorderpostError BP1202 if there are too many atoms.

        `also` is told apart besides, wherever a side has it. With `may_be_stale` false the legal events are never older
        than allowed, as where a deployment sets no such bound.
        """
        also = also or Also()
        self.sides = tuple(sides)
        self.readers: tuple[Reader, ...] = readers_of(sides, also)
        self.grounds = Grounds(sides, also.places)
        self.classes = class_names(self.readers)
        """Every data class of any side."""
        self.spans = _spans(sides, from_us, until_us)
        revocable = any(regime.flags & STALE for side in sides for regime in side.policy.regimes)
        self.stale = (False, True) if may_be_stale and revocable else (False,)
        self.crossing = any(_crosses(side) for side in sides)
        """Whether some event crosses places, so that pairs of places are atoms too."""
        self.doubts = doubts(self.readers)
        self.where = tuple(self._whereabouts())
        self._bare = askings(self.readers, also)
        self._declared: dict[_Kind, tuple[tuple[Asking, tuple[Facts | None, ...]], ...]] = {}
        self._known: dict[tuple[Scope, ...], dict[object, Asking]] = {}
        self._size = sum(len(self.asked(where)) for where in self.where) * len(self.spans) * len(self.stale)
        if self._size > limits.PROOF_ATOMS_MAX:
            raise BorderpostError("BP1202", f"{self._size:,} atoms; the most is {limits.PROOF_ATOMS_MAX:,}")

    def __len__(self) -> int:
        """Return the number of atoms."""
        return self._size

    def __iter__(self) -> Iterator[Atom]:
        for span in self.spans:
            for stale in self.stale:
                for where in self.where:
                    for asking, _ in self.asked(where):
                        yield Atom(where, asking, span, stale)

    def laws(
        self, spans: Iterable[Span] | None = None, where: Sequence[Whereabouts] | None = None
    ) -> Iterator[tuple[Atom, tuple[Law | None, ...]]]:
        """Yield each atom (of some spans, at some places) with each side's law; None where that refuses before the law
        is asked."""
        places = self.where if where is None else where
        for span in self.spans if spans is None else spans:
            for stale in self.stale:
                for place in places:
                    for asking, facts in self.asked(place):
                        yield Atom(place, asking, span, stale), self._laws(facts, place, span, stale)

    def law(self, atom: Atom, side: int = 0) -> Law | None:
        """Return the law of one side for an atom."""
        facts = self.facts(atom, side)
        if facts is None:
            return None
        policy, events = self.sides[side]
        return decide(facts, policy, events, atom.span.from_us, stale=atom.stale)

    def bars(self, atom: Atom, side: int = 0) -> bool:
        """Return True where an atom's place refuses whatever else is known of the subject's place: all that a place in
        doubt can do, by an embargo on it, or because evidence that is required must not be in doubt."""
        facts = self.facts(atom, side)
        if facts is None or facts.missing is not None:
            return True
        law = self.law(atom._replace(where=atom.where._replace(doubt=BELIEVED)), side)
        return law is None or law.reason == "embargo"

    def facts(self, atom: Atom, side: int = 0) -> Facts | None:
        """Return the facts of an atom as one side reads them; None where it refuses to."""
        reader = self.readers[side]
        bare = _bare(reader, atom.asking, atom.where)
        return None if bare is None else _placed(bare, atom.where)

    def atoms_of(
        self, asking: Asking, places: Iterable[tuple[str, Doubt]], at_us: int, *, stale: bool = False
    ) -> tuple[Atom, ...]:
        """Return the atoms of a request: one for each place that some source names, one if none does.

        Raises KeyError for a place code that is none, ValueError for an instant outside the space, and for a request
        that every side refuses before the law is asked.
        """
        span = next((span for span in self.spans if span.from_us <= at_us < span.until_us), None)
        if span is None:
            raise ValueError("the instant is outside the space")
        where = [Whereabouts(self.grounds.of(code), self._known_doubt(doubt)) for code, doubt in places]
        stale = stale and len(self.stale) > 1
        return tuple(Atom(one, self._known_asking(asking, one), span, stale) for one in where or [Whereabouts(None)])

    def asked(self, where: Whereabouts) -> tuple[tuple[Asking, tuple[Facts | None, ...]], ...]:
        """Return each request that is told apart at a place, with the facts that each side reads at a sample place."""
        scopes = self._scopes(where)
        believing = tuple(reader.believes(where.doubt) for reader in self.readers)
        kind = scopes, None if where.ground is None else believing
        found = self._declared.get(kind)
        if found is None:
            every = [
                bare._replace(declared=declared)
                for bare in self._bare
                for declared in declarations(self.readers, bare, self.classes, scopes)
            ]
            found = tuple((one, tuple(_bare(reader, one, where) for reader in self.readers)) for one in every)
            self._declared[kind] = found
        return found

    def _scopes(self, where: Whereabouts) -> tuple[Scope, ...]:
        codes = [ground.code for ground in (where.ground, where.beside) if ground is not None]
        doubtful = where.ground is None or where.doubt is not BELIEVED
        return tuple(reader.scope((*codes, *(reader.treated_as if doubtful else ()))) for reader in self.readers)

    def _known_asking(self, asking: Asking, where: Whereabouts) -> Asking:
        scopes = self._scopes(where)
        known = self._known.get(scopes)
        if known is None:
            known = self._known[scopes] = {self._key(one, scopes): one for one, _ in self.asked(where)}
        found = known.get(self._key(asking, scopes))
        if found is None:
            raise ValueError("no side asks the law about this request")
        return found

    def _key(self, asking: Asking, scopes: tuple[Scope, ...]) -> object:
        return standing_of(self.readers, asking), declaration_of(self.readers, asking, asking.declared, scopes)

    def _known_doubt(self, doubt: Doubt) -> Doubt:
        believed = [reader.believes(doubt) for reader in self.readers]
        if all(believed):
            return BELIEVED
        return next(one for one in self.doubts if [reader.believes(one) for reader in self.readers] == believed)

    def _laws(
        self, bare: Sequence[Facts | None], where: Whereabouts, span: Span, stale: bool
    ) -> tuple[Law | None, ...]:
        found: list[Law | None] = []
        for side, facts in zip(self.sides, bare, strict=True):
            if facts is None:
                found.append(None)
            else:
                placed = _placed(facts, where)
                found.append(decide(placed, side.policy, side.events, span.from_us, stale=stale))
        return tuple(found)

    def _whereabouts(self) -> Iterator[Whereabouts]:
        yield Whereabouts(None)
        for ground in self.grounds.grounds:
            yield Whereabouts(ground)
        for doubt in self.doubts:
            for ground in self.grounds.grounds:
                yield Whereabouts(ground, doubt)
        if self.crossing:
            for ground in self.grounds.grounds:
                for beside in self.grounds.grounds:
                    if beside is not ground:
                        yield Whereabouts(ground, BELIEVED, beside)


def _bare(reader: Reader, asking: Asking, where: Whereabouts) -> Facts | None:
    """Return the facts that a side reads from a request, at a sample place wherever it is."""
    if where.ground is None:
        return reader.facts(unplaced(asking))
    return reader.facts(asking, doubted=not reader.believes(where.doubt))


def _placed(bare: Facts, where: Whereabouts) -> Facts:
    """Return facts with the subject at a place."""
    if where.ground is None:
        return replace(bare, evidence=())
    facts = said_of(bare, where.ground.code)
    if where.beside is None:
        return facts
    evidence = {one.source: one for one in facts.evidence}
    evidence[Source.HEADER] = Evidence(Source.HEADER, where.beside.code)
    return replace(facts, evidence=tuple(evidence[source] for source in Source if source in evidence))


def _spans(sides: Sequence[Side], from_us: int, until_us: int) -> tuple[Span, ...]:
    """Cut time at every instant at which a regime, an entry or an event begins or ends."""
    dates = {from_us}
    for side in sides:
        dates.update(side.events.boundaries)
        for regime in side.policy.regimes:
            dates.update((*regime.boundaries, regime.start_us, regime.end_us))
    inside = sorted(at for at in dates if from_us <= at < until_us and at < NEVER_US)
    return tuple(Span(at, following) for at, following in zip(inside, [*inside[1:], until_us], strict=True))


def _crosses(side: Side) -> bool:
    """Return True where an event about some subjects changes what a regime says, which may be about others."""
    return any(
        event.scope.subjects and (event.scope.bases or event.scope.regimes)
        for event in side.events.counted
        if event.type in ("injunction", "regulator_order")
    )
