"""Where two laws differ: exhaustively, over the atoms that either tells apart.

    widened        a region becomes legal that was not
    narrowed       a region is no longer legal
    region         both at once: other regions than before; or a region of the same name that stands elsewhere now
    basis          the same regions, by other bases
    reason         the same regions, others refused for another reason, or all of them

A request names several places at most, and a region is legal for it only if it is legal for each (`space`). So whatever
differs for any request differs for one place alone, with one exception: an address that is not believed says nothing by
itself but whether law bars it. What that changes shows only beside a place that somebody else vouches for; such pairs
are asked as they are (`_in_company`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from borderpost.policy.compile import CompiledPolicy
from borderpost.policy.decide import decide
from borderpost.policy.model import Evidence, Facts, Law, Source
from borderpost.policy.reasons import RegionTexts
from borderpost.proof.grounds import Ground, Side
from borderpost.proof.space import Atom, Space, Whereabouts
from borderpost.proof.standings import BELIEVED

Kind = Literal["widened", "region", "narrowed", "basis", "reason"]

REJECTED: Final = "rejected before the law is asked"
"""Reason of a request that one side refuses as malformed, such as one that names a tenant it does not know."""
NO_SUCH_REGION: Final = "no such region"


class Difference(NamedTuple):
    """One difference between the two laws of one request."""

    kind: Kind
    regions: tuple[str, ...]
    """The regions that it is about, sorted; none where it is about the whole request."""
    legal: bool
    """Whether the regions are legal after."""
    before: str
    """By which bases, or for which reason, before."""
    after: str


class Found(NamedTuple):
    """A difference with the atom that shows it."""

    atom: Atom
    difference: Difference
    company: Ground | None = None
    """The place that a token or a certificate vouches for beside an address in doubt; None for most."""


class Comparison:
    """Two sides of one space, compared."""

    def __init__(self, space: Space) -> None:
        """Prepare. `space` has the law before as its first side and the law after as its second."""
        self.space = space
        before, after = space.sides
        self._moved = _moved(before.policy, after.policy)
        self._unlike = _unlike(space)
        self._known: dict[object, tuple[Difference, ...]] = {}
        self._ids = frozenset(before.policy.region_ids), frozenset(after.policy.region_ids)
        self._is_comparable = self._ids[0] == self._ids[1] and not self._moved
        """Whether equal masks mean equal regions, in equal places."""

    @property
    def _source(self) -> Source | None:
        """Return who can vouch for a place besides the address; None where nobody can."""
        readers = self.space.readers
        return next((one for one in (Source.TOKEN, Source.MTLS) if any(r.reads(one) for r in readers)), None)

    @property
    def places(self) -> tuple[Whereabouts, ...]:
        """Return the places at which anything can differ; at all others both laws are the same rules."""
        return tuple(where for where in self.space.where if self._may_differ(where))

    def found(self, places: Iterable[Whereabouts]) -> Iterator[Found]:
        """Yield every difference at some of `places`."""
        for where in places:
            for atom, (before, after) in self.space.laws(where=(where,)):
                for difference in self._differences(before, after):
                    yield Found(atom, difference)
                if where.doubt is not BELIEVED and where.ground is not None:
                    yield from self._in_company(atom, before, after)

    def _may_differ(self, where: Whereabouts) -> bool:
        if self._unlike is None:
            return True
        grounds = [ground.code for ground in (where.ground, where.beside) if ground is not None]
        doubtful = where.ground is None or where.doubt is not BELIEVED
        return any(
            _about(side.policy, code) & self._unlike or _about(side.policy, code) != _about(other.policy, code)
            for side, other in (self.space.sides, self.space.sides[::-1])
            for code in (*grounds, *(side.policy.treat_as if doubtful else ()))
        )

    def _differences(self, before: Law | None, after: Law | None) -> tuple[Difference, ...]:
        key = _said(before), _said(after)
        if key[0] == key[1] and self._is_comparable:
            return ()
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = tuple(differences(before, after, self._moved, self._ids))
        return known

    def _in_company(self, atom: Atom, before: Law | None, after: Law | None) -> Iterator[Found]:
        """Yield what an address in doubt changes beside places that are vouched for, and these do not change alone.

        Each region once: the first such place shows it.
        """
        source = self._source
        if source is None:
            return
        had, has = (self._passed(atom, law, side) for side, law in enumerate((before, after)))
        left: dict[Kind, frozenset[str]] = {"widened": has - had, "narrowed": had - has}
        for ground in self.space.grounds.grounds:
            if not any(left.values()):
                return
            alone = self._changed(self._laws_beside(atom, ground, source, with_address=False))
            laws = self._laws_beside(atom, ground, source)
            changed = self._changed(laws)
            for kind, regions in left.items():
                shown = regions & changed[kind] - alone[kind]
                left[kind] = regions - shown
                for difference in _told(kind, shown, *laws, self._ids):
                    yield Found(atom, difference, ground)

    def _passed(self, atom: Atom, law: Law | None, side: int) -> frozenset[str]:
        """Return the regions that an address lets pass beside a place that is vouched for."""
        if self.space.readers[side].believes(atom.where.doubt):
            return frozenset(_legal(law))
        return frozenset() if self.space.bars(atom, side) else self._ids[side]

    def _changed(self, laws: tuple[Law | None, Law | None]) -> dict[Kind, frozenset[str]]:
        had, has = map(_legal, laws)
        return {"widened": frozenset(has - had), "narrowed": frozenset(had - has)}

    def facts(self, found: Found) -> tuple[Facts | None, Facts | None]:
        """Return the facts of the request that shows a difference, as each side reads them; None where it refuses."""
        if found.company is not None:
            return self._facts_beside(found.atom, found.company, self._source)
        return self.space.facts(found.atom, 0), self.space.facts(found.atom, 1)

    def _laws_beside(
        self, atom: Atom, ground: Ground, source: Source, *, with_address: bool = True
    ) -> tuple[Law | None, Law | None]:
        """Return both laws of an atom's request with another place vouched for by a source."""
        before, after = self._facts_beside(atom, ground, source, with_address=with_address)
        sides = self.space.sides
        return _law(sides[0], before, atom), _law(sides[1], after, atom)

    def _facts_beside(
        self, atom: Atom, ground: Ground, source: Source | None, *, with_address: bool = True
    ) -> tuple[Facts | None, Facts | None]:
        assert atom.where.ground is not None
        found: list[Facts | None] = []
        for reader in self.space.readers:
            doubted = not reader.believes(atom.where.doubt)
            sources = tuple(one for one in Source if one is source or one is Source.GEOIP)
            facts = reader.facts(atom.asking._replace(sources=sources), doubted=doubted)
            if facts is not None:
                facts = _beside(facts, atom.where.ground.code, ground.code, with_address=with_address)
            found.append(facts)
        return found[0], found[1]


def _law(side: Side, facts: Facts | None, atom: Atom) -> Law | None:
    if facts is None:
        return None
    return decide(facts, side.policy, side.events, atom.span.from_us, stale=atom.stale)


def _beside(facts: Facts, address: str, vouched: str, *, with_address: bool) -> Facts:
    """Return facts with the address in one place and everybody else's word on another."""
    evidence = [
        Evidence(one.source, address if one.source is Source.GEOIP else vouched, "-" not in one.code, one.doubt)
        for one in facts.evidence
        if with_address or one.source is not Source.GEOIP
    ]
    return replace(facts, evidence=tuple(evidence))


def differences(
    before: Law | None, after: Law | None, moved: Collection[str], known: tuple[Collection[str], Collection[str]]
) -> Iterator[Difference]:
    """Yield how two laws of one request differ. `moved` are regions that stand elsewhere, `known` each side's ids."""
    had, has = _legal(before), _legal(after)
    gained, lost = has - had, had - has
    if gained or lost:
        both = bool(gained and lost)
        yield from _told("region" if both else "widened", gained, before, after, known)
        yield from _told("region" if both else "narrowed", lost, before, after, known)
        return
    yield from _told("region", had & set(moved), before, after, known)
    bases = [dict(law.bases) if law is not None else {} for law in (before, after)]
    yield from _told("basis", {region for region in had if bases[0][region] != bases[1][region]}, before, after, known)
    if not had and _reason(before) != _reason(after):
        yield Difference("reason", (), False, _reason(before), _reason(after))
    elif before is not None and after is not None:
        common = (set(before.refused) & set(after.refused)) - had
        changed = {region for region in common if before.refused[region] != after.refused[region]}
        yield from _told("reason", changed, before, after, known)


def _told(
    kind: Kind, regions: Iterable[str], before: Law | None, after: Law | None,
    known: tuple[Collection[str], Collection[str]],
) -> Iterator[Difference]:  # fmt: skip
    """Yield one difference for each text that regions have after, and where legality stays, for each pair of texts."""
    stays = kind in ("basis", "reason")
    by_texts: dict[tuple[str, str], dict[str, str]] = {}
    for region in sorted(regions):
        was, now = _text(before, region, known[0]), _text(after, region, known[1])
        by_texts.setdefault((was if stays else "", now), {})[region] = was
    for (_, now), named in by_texts.items():
        was = "; ".join(dict.fromkeys(named.values()))
        yield Difference(kind, tuple(named), next(iter(named)) in _legal(after), was, now)


def _text(law: Law | None, region: str, known: Collection[str]) -> str:
    if region not in known:
        return NO_SUCH_REGION
    if law is None:
        return REJECTED
    return law.bases[region] if region in law.bases else law.refused.get(region, law.reason)


def _legal(law: Law | None) -> set[str]:
    return set(law.legal) if law is not None else set()


def _reason(law: Law | None) -> str:
    return law.reason if law is not None else REJECTED


def _said(law: Law | None) -> object:
    """Return a value that is equal for laws that say the same of every region of the same regions."""
    if law is None:
        return None
    return law.reason, law.legal, _parts(law.bases), _parts(law.refused)


def _parts(texts: object) -> object:
    return texts.key if isinstance(texts, RegionTexts) else None


def _moved(before: CompiledPolicy, after: CompiledPolicy) -> frozenset[str]:
    """Return the regions of both sides that process, retain or tell elsewhere than before, or by other operators."""
    return frozenset(
        region
        for region, spec in before.specs.items()
        if region in after.specs and _where(spec) != _where(after.specs[region])
    )


def _where(spec: object) -> tuple[object, ...]:
    names = ("country", "subdivision", "processing_scope", "retention", "telemetry")
    operator = getattr(spec, "operator")  # noqa: B009 - the fields are named as text
    return (*(getattr(spec, name) for name in names), operator.entity, operator.jurisdiction)


def _about(policy: CompiledPolicy, code: str) -> frozenset[tuple[str, str]]:
    """Return the ids of the regimes that may be about a place, and how."""
    found = policy.applicable(policy.places[code])
    return frozenset(
        (regime.id, how) for how in ("sure", "partly", "plain") for regime in policy.named(getattr(found, how))
    )


def _unlike(space: Space) -> frozenset[tuple[str, str]] | None:
    """Return the regimes that the sides do not have alike; None where anything else differs, so that any place may."""
    before, after = (side.policy for side in space.sides)
    if _frame(space.sides[0]) != _frame(space.sides[1]):
        return None
    old, new = _contents(before), _contents(after)
    changed = {regime for regime in old.keys() | new.keys() if old.get(regime) != new.get(regime)}
    embargoes = {regime.id for regime in (*before.regimes, *after.regimes) if regime.embargo}
    if changed & embargoes:
        return None  # an embargo keeps everybody out of its places
    return frozenset((regime, how) for regime in changed for how in ("sure", "partly", "plain"))


def _frame(side: Side) -> tuple[object, ...]:
    """Return everything beside regimes that the law of a place is made from."""
    policy, bundle = side.policy, side.policy.bundle
    events = [event.model_dump_json() for event in side.events.counted]
    return (
        bundle.here, bundle.sinks, bundle.evidence, bundle.tenants, bundle.routes, dict(policy.specs),
        policy.mode, policy.no_regime_refuses, policy.own_bits, policy.classes, policy.free, policy.class_modes,
        policy.index.ids, policy.places.everywhere if events else 0,
        bundle.vocabulary.groups if events else {}, events,
    )  # fmt: skip


def _contents(policy: CompiledPolicy) -> dict[str, tuple[object, ...]]:
    """Return all that each compiled regime decides by, but for whom it is about."""
    found: dict[str, tuple[object, ...]] = {}
    for regime, spec in zip(policy.regimes, policy.bundle.regimes, strict=True):
        applies = spec.applies_when
        found[regime.id] = (
            regime.start_us, regime.end_us, regime.opens, regime.embargo, regime.covers, regime.data, regime.own_basis,
            regime.embargoed, regime.lasting_allow, regime.lasting_deny, tuple(regime.allow), tuple(regime.deny),
            applies.tenant, applies.model, applies.purpose,
        )  # fmt: skip
    return found
