"""What a policy says to no effect, and whom it leaves without a choice.

dead         regimes that apply to no request, and entries that do not hold at any time that is looked at
shadowed     entries without which nothing would change, whatever regions there were
idle         entries that concern no region of this catalogue; another catalogue may need them
unreachable  regions that no request may reach
scarce       subjects and data with no legal region, with one, or with one operator only
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Literal, NamedTuple

from borderpost.policy.catalogue import Catalogue, Territory
from borderpost.policy.compile import CompiledPolicy
from borderpost.policy.pack import AllowEntry, DenyEntry, Regime, Require
from borderpost.policy.reasons import RegionIndex
from borderpost.policy.regimes import HYBRID, NEVER_US, STALE, CompiledRegime, Overlay, window
from borderpost.policy.schema import Here, Operator, RegionSpec
from borderpost.proof.grounds import Ground
from borderpost.proof.space import Atom, Space, Span, Whereabouts
from borderpost.proof.standings import BELIEVED, Asking
from borderpost_base import limits

Kind = Literal["dead", "shadowed", "idle", "unreachable", "no-region", "one-region", "one-operator"]


class Leftover(NamedTuple):
    """A rule or a region that is of no use."""

    kind: Kind
    what: str
    """`eu-gdpr` for a regime, `eu-gdpr.allow[3]` for an entry, or a region's id."""
    why: str
    pack: str | None
    """The pack that says it; None for rules of the configuration's own, and for regions."""


class Scarcity(NamedTuple):
    """Subjects and data that have no choice."""

    kind: Kind
    asking: Asking
    span: Span
    grounds: tuple[Ground, ...]
    region: str | None
    """The only region, or one of those of the only operator; None where there is none."""
    why: str
    """The reason where there is none, else the only operator's name."""


def leftovers(space: Space) -> list[Leftover]:
    """Return what the first side of a space says to no effect, in the order of packs and rules."""
    policy = space.sides[0].policy
    span = Span(space.spans[0].from_us, space.spans[-1].until_us)
    applied, reached = _touched(space)
    found: list[Leftover] = []
    compiled = {regime.id: regime for regime in policy.regimes}
    for pack, regime in _said(policy):
        if regime.id not in applied:
            found.append(Leftover("dead", regime.id, _why_dead(compiled[regime.id], span), pack))
        else:
            found += _entries(policy, regime, span, pack)
    found += [
        Leftover("unreachable", region, "no request may reach it", None)
        for region in policy.region_ids
        if region not in reached
    ]
    return found


def scarcities(space: Space) -> list[Scarcity]:
    """Return whose requests have no legal region, one, or one operator only, at each time; by single declarations.

    A request with more data or more places has no more.
    """
    found: dict[tuple[Kind, str | None, str, Asking, Span], list[Ground]] = {}
    policy = space.sides[0].policy
    for span in space.spans:
        for where in _believed(space):
            if where.ground is None:
                continue
            for asking, facts in space.asked(where):
                if facts[0] is None or len(asking.declared) > 1:
                    continue
                law = space.law(Atom(where, asking, span, False))
                if law is None or (scarce := _scarce(law.legal, law.reason, policy)) is None:
                    continue
                found.setdefault((*scarce, asking, span), []).append(where.ground)
    return [
        Scarcity(kind, asking, span, tuple(grounds), region, why)
        for (kind, region, why, asking, span), grounds in found.items()
    ]


def _scarce(legal: Sequence[str], reason: str, policy: CompiledPolicy) -> tuple[Kind, str | None, str] | None:
    operators = {policy.specs[region].operator.entity for region in legal}
    if not legal:
        return "no-region", None, reason
    if len(legal) == 1:
        return "one-region", legal[0], policy.specs[legal[0]].operator.entity or ""
    if len(operators) == 1 and None not in operators:
        return "one-operator", None, str(operators.pop())
    return None


def _touched(space: Space) -> tuple[set[str], set[str]]:
    """Return the regimes that apply to some atom, and the regions that some atom may reach."""
    applied: set[str] = set()
    reached: set[str] = set()
    for span in space.spans:
        for where in _believed(space):
            for asking, _ in space.asked(where):
                law = space.law(Atom(where, asking, span, False))
                if law is not None:
                    applied.update(law.regimes)
                    reached.update(law.legal)
    return applied, reached


def _believed(space: Space) -> Iterator[Whereabouts]:
    """Yield the places that are believed, and nobody's: doubt and staleness add neither regimes nor regions."""
    for where in space.where:
        if where.doubt is BELIEVED and where.beside is None:
            yield where


def _said(policy: CompiledPolicy) -> Iterator[tuple[str | None, Regime]]:
    for pack in policy.bundle.packs:
        for regime in pack.regimes:
            yield pack.metadata.id, regime
    for regime in policy.bundle.inline.regimes:
        yield None, regime


def _why_dead(regime: CompiledRegime, span: Span) -> str:
    if regime.end_us <= span.from_us:
        return "its time is over"
    if regime.start_us >= span.until_us:
        return "its time has not come"
    if not regime.subjects:
        return "nobody is its subject"
    return "it applies to no request that this configuration lets happen"


def _entries(policy: CompiledPolicy, regime: Regime, span: Span, pack: str | None) -> Iterator[Leftover]:
    """Yield the entries of one regime that are of no use."""
    entries: list[tuple[str, int, AllowEntry | DenyEntry]] = []
    entries += [("allow", index, allow) for index, allow in enumerate(regime.allow)]
    entries += [("deny", index, deny) for index, deny in enumerate(regime.deny)]
    if not entries:
        return
    anywhere = _Anywhere(policy, regime)
    whole = anywhere.verdicts(regime, span)
    for kind, index, entry in entries:
        what = f"{regime.id}.{kind}[{index}]"
        start_us, end_us = window(entry.from_, entry.until)
        if end_us <= span.from_us or start_us >= span.until_us:
            yield Leftover("dead", what, f"its time {'is over' if end_us <= span.from_us else 'has not come'}", pack)
        elif anywhere.verdicts(_without(regime, kind, index), span) == whole:
            yield Leftover("shadowed", what, "without it the regime would say the same of every place", pack)
        elif not _concerned(policy, entry, denies=kind == "deny"):
            yield Leftover("idle", what, "it concerns no region of this catalogue", pack)


def _concerned(policy: CompiledPolicy, entry: AllowEntry | DenyEntry, *, denies: bool) -> int:
    catalogue = policy.catalogue
    if denies:
        return catalogue.hit(entry.to)
    require = entry.require if isinstance(entry, AllowEntry) else None
    return catalogue.inside(entry.to) & catalogue.bringing(require)


def _without(regime: Regime, kind: str, index: int) -> Regime:
    """Return a regime without one of its entries; not validated again, since counters may then count on nothing."""
    entries = getattr(regime, kind)
    return regime.model_copy(update={kind: (*entries[:index], *entries[index + 1 :])})


class _Anywhere:
    """One regime over every region that there might be: in each place that it tells apart, bringing each set of what
    it requires, run from each place that it tells operators by."""

    def __init__(self, policy: CompiledPolicy, regime: Regime) -> None:
        self._policy = policy
        places = sorted({*_one_each(policy, regime)})
        required = [entry.require for entry in regime.allow] + [entry.unless for entry in regime.deny]
        brought = {_brings(one) for one in required if one is not None} | {_brings(Require(tia="approved"))}
        brought |= {frozenset(), frozenset().union(*brought)}
        operators = sorted({ref for one in required if one is not None for ref in one.operator_in or ()})
        operators += sorted({ref for deny in regime.deny for ref in deny.operator_in or ()})
        runs = {None, *(_place_in(policy, ref) for ref in operators), *(places[:1] if operators else ())}
        specs = {
            f"r{number}": _spec(place, brings, run)
            for number, (place, brings, run) in enumerate(
                product(places, sorted(brought, key=sorted), sorted(runs, key=str))
            )
        }
        index = RegionIndex(tuple(sorted(specs)), ())
        self._catalogue = Catalogue(index, Here(country="DE"), {}, specs, policy.territory)
        self._territory: Territory = policy.territory

    def verdicts(self, regime: Regime, span: Span) -> list[int]:
        """Return what a regime lets pass, in each interval, for each kind of data, question and count."""
        policy = self._policy
        compiled = CompiledRegime(1, regime, self._territory, self._catalogue, policy.own_bits, False)
        instants = sorted({span.from_us, *(at for at in compiled.boundaries if span.from_us <= at < span.until_us)})
        reached: list[dict[str, int]] = [{}] + [
            {counter: count} for counter, counts in policy.thresholds.items() for count in counts
            if counter in compiled.counters
        ]  # fmt: skip
        return [
            compiled.verdict(at_us, classes, flags, Overlay({}, {}, counts)).passing
            for at_us in instants
            if at_us < NEVER_US
            for classes in _class_masks(policy, compiled.classes)
            for flags in (0, HYBRID, STALE, HYBRID | STALE)
            for counts in reached
        ]


def _one_each(policy: CompiledPolicy, regime: Regime) -> Iterator[str]:
    """Yield one code for each kind of place that a regime's entries tell apart."""
    sets = [policy.territory.cells(entry.to) for entry in (*regime.allow, *regime.deny)]
    seen: dict[tuple[tuple[bool, bool], ...], str] = {}
    for code in policy.mentioned + tuple(sorted({one[:2] for one in policy.mentioned})) + ("AQ",):
        cells = policy.places[code].cells
        seen.setdefault(tuple((not cells & ~mask, bool(cells & mask)) for mask in sets), code)
    yield from seen.values()


def _brings(require: Require) -> frozenset[tuple[str, str]]:
    names = ("operator_certified", "contract", "tia", "attestation", "encryption")
    return frozenset((name, value) for name in names if (value := getattr(require, name)) is not None)


def _place_in(policy: CompiledPolicy, ref: str) -> str | None:
    """Return a code that lies surely in a place or group, None if there is none."""
    cells = policy.territory.cells((ref,))
    return next((code for code in policy.mentioned if not policy.places[code].cells & ~cells), None)


def _spec(place: str, brings: frozenset[tuple[str, str]], run: str | None) -> RegionSpec:
    def of(kind: str) -> tuple[str, ...]:
        return tuple(sorted(value for name, value in brings if name == kind))

    return RegionSpec(
        country=place[:2],
        subdivision=place if len(place) > 2 else None,
        operator=Operator(jurisdiction=run, certifications=of("operator_certified")),
        contracts=of("contract"),
        tia="approved" if of("tia") else None,
        attestations=of("attestation"),
        encryption=of("encryption"),
        retention="same",
        telemetry="same",
    )


def _class_masks(policy: CompiledPolicy, relevant: int) -> Iterable[int]:
    """Return every mask that data classes can make of those that matter, in the order of their making."""
    found = {0: None}
    for closure in policy.classes.values():
        for mask in tuple(found):
            found.setdefault(mask | closure & relevant, None)
            if len(found) >= limits.PROOF_DECLARATIONS_MAX:
                return found
    return found
