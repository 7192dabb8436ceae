"""Assertions over every atom of a policy: each holds for all of them, or there is a request for which it does not.

`never` is decided for one place at a time, which is exhaustive because more evidence only narrows (`space`): a request
with further evidence reaches no region that one of its places alone does not. `always` speaks of requests whose
evidence agrees on one place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from borderpost.policy.catalogue import SUFFIXES, Catalogue
from borderpost.policy.compile import CompiledPolicy
from borderpost.policy.fields import to_us
from borderpost.policy.masks import union
from borderpost.policy.model import Facts, Law
from borderpost.policy.pack import Require
from borderpost.policy.regimes import NEVER_US
from borderpost.proof.assertions import Always, Assertion, Never
from borderpost.proof.grounds import Ground
from borderpost.proof.space import Atom, Space, Span, Whereabouts
from borderpost.proof.standings import Also, Asking

GROUPS_KEPT_MAX: Final = 50
"""Kinds of counterexamples that one assertion keeps; the others are counted."""


@dataclass(slots=True)
class Breach:
    """Requests for which an assertion does not hold, alike but for their places and times."""

    region: str | None
    """The region that they reach and must not; None where they lack what they must have."""
    bases: str
    """Why it is legal, `regime/basis` joined by a comma; what is lacking where there is no region."""
    asking: Asking
    stale: bool
    first: Atom
    """The first of them."""
    grounds: dict[str, Ground] = field(default_factory=dict)
    """Their kinds of places, by code."""
    spans: dict[Span, None] = field(default_factory=dict)

    @property
    def span(self) -> Span:
        """Return the time from the first to the last of them."""
        return Span(min(span.from_us for span in self.spans), max(span.until_us for span in self.spans))


@dataclass(slots=True)
class Proof:
    """What became of one assertion."""

    assertion: Assertion
    atoms: int = 0
    """Atoms that the assertion is about."""
    failed: int = 0
    """Those for which it does not hold."""
    breaches: dict[object, Breach] = field(default_factory=dict)
    """Kinds of counterexamples, the smallest declarations first."""

    @property
    def holds(self) -> bool:
        """Return True if it holds for every atom that it is about, and there is one."""
        return self.atoms > 0 and self.failed == 0


def also_of(assertions: Iterable[Assertion]) -> Also:
    """Return what assertions ask about, to be told apart in the space."""
    places: set[str] = set()
    classes: set[str] = set()
    tenants: set[str] = set()
    models: set[str] = set()
    purposes: set[str] = set()
    for assertion in assertions:
        when, never = assertion.when, assertion.never
        places.update(when.subject_in)
        if never is not None:
            for refs in (never.outside, never.inside, never.operator_outside, never.operator_in):
                places.update(refs or ())
        classes.update(when.data or ())
        tenants.update(when.tenant or ())
        models.update(when.model or ())
        purposes.update(when.purpose or ())
    return Also(*(tuple(sorted(names - {"*"})) for names in (places, classes, tenants, models, purposes)))


class Claim:
    """One assertion over the first side of a space."""

    def __init__(self, assertion: Assertion, space: Space) -> None:
        self.proof = Proof(assertion)
        self._policy = space.sides[0].policy
        self._when = when = assertion.when
        from_us = to_us(assertion.from_) if assertion.from_ is not None else -NEVER_US
        until_us = to_us(assertion.until) if assertion.until is not None else NEVER_US
        self.spans = frozenset(one for one in space.spans if one.from_us < until_us and from_us < one.until_us)
        """The spans in which it must hold at some instant."""
        anywhere = "*" in when.subject_in
        meant = {one.code for one in space.grounds.grounds if space.grounds.covers(when.subject_in, one.code)}
        self.where = frozenset(one for one in space.where if anywhere or self._is_meant(one, meant, space))
        """The places that it is about."""
        self._never = _forbidden(assertion.never, space) if assertion.never is not None else frozenset()
        self._bases = frozenset((assertion.never and assertion.never.basis) or ())
        self._classes = self._wanted_classes()
        self._within = self._widest_classes()
        self._about: dict[Asking, bool] = {}

    def _is_meant(self, where: Whereabouts, meant: set[str], space: Space) -> bool:
        """Return True where a place that is believed is meant: a place in doubt is not said to be the subject's."""
        if where.ground is None or not space.readers[0].believes(where.doubt):
            return False
        return where.ground.code in meant or (where.beside is not None and where.beside.code in meant)

    def _wanted_classes(self) -> int | None:
        """Return the mask of classes of which one has to count, None for any request."""
        policy, data = self._policy, self._when.data
        if data is None:
            return sum(bit for name, bit in policy.own_bits.items() if name not in policy.free)
        return None if "*" in data else sum(policy.own_bits[name] for name in set(data))

    def _widest_classes(self) -> int:
        """Return the mask of classes beside which none may count: for `always` those named with all that they imply,
        since data of further classes may have less."""
        data = self._when.data
        if self.proof.assertion.always is None or data is None or "*" in data:
            return -1
        return union(self._policy.classes[name] for name in data)

    def is_about(self, asking: Asking, facts: Facts) -> bool:
        """Return True if a request and its facts, but for the place, are meant."""
        known = self._about.get(asking)
        if known is None:
            known = self._about[asking] = self._meets(facts)
        return known

    def _meets(self, facts: Facts) -> bool:
        when = self._when
        if self._classes is not None:
            mask = 0
            for name in facts.classes:
                mask |= self._policy.classes.get(name, 0)
            if not mask & self._classes or mask & ~self._within:
                return False
        model = facts.model if self._policy.trust_model else None
        wanted = ((when.tenant, facts.tenant), (when.model, model), (when.purpose, facts.purpose))
        return all(names is None or value in names for names, value in wanted)

    def weigh(self, atom: Atom, law: Law) -> None:
        """Hold the assertion against an atom that it is about."""
        self.proof.atoms += 1
        found = self._reached(law) if self.proof.assertion.never is not None else self._lacking(law)
        self.proof.failed += bool(found)
        for region, bases in found:
            self._note(atom, region, bases)

    def _reached(self, law: Law) -> list[tuple[str | None, str]]:
        reached: list[tuple[str | None, str]] = []
        for region in law.legal:
            if region in self._never and (not self._bases or self._bases & _names_of(law.bases[region])):
                reached.append((region, law.bases[region]))
        return reached

    def _lacking(self, law: Law) -> list[tuple[str | None, str]]:
        always = self.proof.assertion.always
        assert always is not None
        lacking = list(_missing(always, law, self._policy))
        return [(None, "; ".join(lacking))] if lacking else []

    def _note(self, atom: Atom, region: str | None, bases: str) -> None:
        breaches = self.proof.breaches
        key = region, bases, atom.asking, atom.stale
        breach = breaches.get(key)
        if breach is None:
            if len(breaches) >= GROUPS_KEPT_MAX:
                return
            breach = breaches[key] = Breach(region, bases, atom.asking, atom.stale, atom)
        if atom.where.ground is not None:
            breach.grounds[atom.where.ground.code] = atom.where.ground
        breach.spans[atom.span] = None


def prove(space: Space, assertions: Sequence[Assertion]) -> list[Proof]:
    """Hold each assertion against every atom that it is about, of the space's first side.

    What is stale only narrows, so `never` is asked of fresh events alone and `always` of stale ones too.
    """
    claims = [Claim(assertion, space) for assertion in assertions]
    for span in space.spans:
        asked = [claim for claim in claims if span in claim.spans]
        for where in space.where:
            about = [claim for claim in asked if where in claim.where]
            if about:
                _prove_at(space, span, where, about)
    return [claim.proof for claim in claims]


def _prove_at(space: Space, span: Span, where: Whereabouts, claims: Sequence[Claim]) -> None:
    for stale in space.stale:
        for asking, facts in space.asked(where):
            bare = facts[0]
            about = [
                claim
                for claim in claims
                if bare is not None and not (stale and claim.proof.assertion.never) and claim.is_about(asking, bare)
            ]
            if about:
                atom = Atom(where, asking, span, stale)
                law = space.law(atom)
                if law is not None:
                    for claim in about:
                        claim.weigh(atom, law)


def _forbidden(never: Never, space: Space) -> frozenset[str]:
    """Return the regions that `never` is about, bases apart."""
    policy = space.sides[0].policy
    bundle = policy.bundle
    catalogue = Catalogue(policy.index, bundle.here, bundle.sinks, policy.specs, space.grounds.territories[0])
    mask = policy.index.everyone
    if never.outside is not None:
        mask &= ~catalogue.processors_inside(catalogue.inside(never.outside) | catalogue.nowhere)
    if never.inside is not None:
        mask &= catalogue.anywhere(catalogue.hit(never.inside))
    if never.operator_outside is not None:
        surely = catalogue.bringing(Require(operator_in=never.operator_outside)) | catalogue.nowhere
        mask &= ~catalogue.processors_inside(surely)
    if never.operator_in is not None:
        mask &= catalogue.anywhere(catalogue.perhaps_operated_in(never.operator_in))
    found = frozenset(policy.index.named(mask))
    return found if never.regions is None else found & frozenset(never.regions)


def _names_of(bases: str) -> frozenset[str]:
    """Return each basis of a joined text, with its regime and without, location apart."""
    names = set()
    for label in bases.split(","):
        for suffix in SUFFIXES[1:]:
            label = label.removesuffix(suffix)
        names |= {label, label.partition("/")[2]}
    return frozenset(names)


def _missing(always: Always, law: Law, policy: CompiledPolicy) -> Iterable[str]:
    """Yield what a law lacks of what it must have."""
    legal = law.legal
    why = f" ({law.reason})" if not legal else ""
    if always.regions is not None and len(legal) < always.regions:
        yield f"{len(legal)} legal regions of {always.regions}{why}"
    operators = {policy.specs[region].operator.entity for region in legal}
    if always.operators is not None and len(operators) < always.operators:
        yield f"{len(operators)} operators of {always.operators}{why}"
    for region in always.reaches or ():
        if region not in legal:
            yield f"{region} is not legal ({law.refused.get(region, law.reason)})"
