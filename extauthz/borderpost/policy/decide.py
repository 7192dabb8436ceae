"""The law's answer for one set of facts at one instant. Narrowing only.

    subjects      the union of the codes of all evidence
    regimes       the union, over the subjects, of the regimes about them and about the data
    destinations  the intersection, over those regimes and all embargoes, of what each allows
    less          the regions that an event suspends

More evidence therefore means more regimes and fewer destinations, whoever brings it. One exception is needed: an
unknown place. GeoIP's answer, or a verified claim where GeoIP has none, makes a subject known; what a client
asserts does not. A verified claim never removes what GeoIP or a header added.

Refusals come in this order, the first that fits is the reason: `unknown-code`, `embargo`, `evidence-required:…`,
`unknown-class`, `unknown-subject`, `subdivision-unknown`, `no-regime`, `here-not-allowed`, `no-legal-region`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import NamedTuple

from borderpost.policy.compile import CompiledPolicy
from borderpost.policy.events import CompiledEvents
from borderpost.policy.model import Evidence, Facts, Law, Ruling, Source, Trust
from borderpost.policy.places import Place
from borderpost.policy.reasons import AllBases, FirstReasons, Layer
from borderpost.policy.regimes import NEVER_US

NO_REGIME = "policy/no-regime"
"""Reason, and under `no_regime: allow` the basis, where no regime is the law of a subject's place and data."""

_FIXED_CONFLICTS = ((Source.TOKEN, Source.MTLS), (Source.TOKEN, Source.GEOIP), (Source.MTLS, Source.GEOIP))
_HEADER_CONFLICTS = ((Source.TOKEN, Source.HEADER), (Source.MTLS, Source.HEADER), (Source.HEADER, Source.GEOIP))


class _Question(NamedTuple):
    """The facts as this policy reads them."""

    effective: tuple[str, ...]
    """Codes that count, sorted."""
    subjects: tuple[int, ...]
    """For each place that counts, the regimes about it."""
    classes: int
    """Data classes with all that they imply."""
    active: int
    """Regimes in force now whose conditions on data, tenant and model hold."""
    doubtful: bool
    """Whether a regime is about a part of a place of which only the whole is known."""
    until_us: int
    """Next instant at which a regime that matters comes into force or ends."""


class _Case(NamedTuple):
    """One call of `decide`."""

    facts: Facts
    policy: CompiledPolicy
    events: CompiledEvents
    now_us: int
    places: list[Place]
    """One for each piece of evidence."""
    question: _Question


class _Weighed(NamedTuple):
    """What regimes say together."""

    passing: int
    refusals: tuple[Layer, ...]
    bases: tuple[Layer, ...]
    here_refused_by: str | None
    until_us: int


def decide(facts: Facts, policy: CompiledPolicy, events: CompiledEvents, now_us: int) -> Law:
    """Decide where a request may go.

    `now_us` is microseconds since 1970. The same arguments give the same Law in any process. Raises ValueError if
    policy and events were compiled over different regions, which is a mistake of the caller.
    """
    if policy.region_ids is not events.index.ids and policy.region_ids != events.index.ids:
        raise ValueError("policy and events were compiled over different regions")
    places = [policy.places.find(evidence.code) for evidence in facts.evidence]
    known = [place for place in places if place is not None]
    if len(known) < len(places):
        return _without_law("unknown-code", effective_codes(facts, policy), False, NEVER_US)
    question = _read(facts, policy, known, now_us)
    case = _Case(facts, policy, events, now_us, known, question)
    applying = question.active & _union(question.subjects)
    if embargoed := applying & policy.embargoes:
        layers = tuple((policy.everyone, regime.refusing) for regime in policy.named(embargoed))
        return _forbid(case, "embargo", layers, NEVER_US)
    if refusal := _unread(facts, policy, question):
        return _without_law(refusal, question.effective, question.doubtful, question.until_us)
    uncovered = _uncovered(facts, policy, question)
    if uncovered and policy.no_regime_refuses:
        return _forbid(case, "no-regime", ((policy.everyone, NO_REGIME),), NEVER_US)
    weighed = _weigh(policy, applying, question, now_us)
    if weighed.here_refused_by is not None:
        here: Layer = (policy.everyone, f"{weighed.here_refused_by}/here-not-allowed")
        return _forbid(case, "here-not-allowed", (*weighed.refusals, here), weighed.until_us)
    suspensions, events_until = events.suspended(now_us)
    legal = weighed.passing & ~_union(mask for mask, _ in suspensions) & policy.index.everyone
    bases = (*weighed.bases, (policy.everyone, NO_REGIME)) if uncovered else weighed.bases
    conflict, _ = _conflict(case, legal)  # what it depends on is part of what the law depends on
    return Law(
        ruling=Ruling.LEGAL if legal else Ruling.FORBIDDEN,
        reason="ok" if legal else "no-legal-region",
        legal=policy.legal(legal),
        effective=question.effective,
        regimes=tuple(regime.id for regime in policy.named(applying)),
        bases=AllBases(policy.index, legal, bases),
        refused=FirstReasons(policy.index, ~legal, (*weighed.refusals, *suspensions)),
        conflict=conflict,
        subdivision_unknown=question.doubtful,
        valid_until_us=_dated(min(question.until_us, weighed.until_us, events_until)),
    )


def effective_codes(facts: Facts, policy: CompiledPolicy) -> tuple[str, ...]:
    """Return the codes that count, sorted: `Law.effective`.

    Facts for which `CompiledPolicy.asked` gives the same have laws that differ in this alone.
    """
    codes = {evidence.code for evidence in facts.evidence}
    if policy.treat_as and not _is_placed(facts.evidence) and all(map(policy.places.find, codes)):
        codes.update(policy.treat_as)  # but not where a code is unknown: then the law is not read
    return tuple(sorted(codes))


def _read(facts: Facts, policy: CompiledPolicy, places: list[Place], now_us: int) -> _Question:
    if not _is_placed(facts.evidence):
        places = [*places, *(policy.places[code] for code in policy.treat_as)]
    classes = 0
    for name in facts.classes:
        classes |= policy.classes.get(name, 0)
    subjects = tuple(_about(policy, place) for place in places)
    partly = _union(policy.applicable(place).partly for place in places)
    about = policy.about_data(classes) & policy.about_party(facts)
    active = about
    until = NEVER_US
    for regime in policy.named(about & policy.windowed & (_union(subjects) | partly | policy.embargoes)):
        if now_us < regime.start_us:
            active &= ~regime.bit
            until = min(until, regime.start_us)
        elif now_us >= regime.end_us:
            active &= ~regime.bit
        else:
            until = min(until, regime.end_us)
    return _Question(effective_codes(facts, policy), subjects, classes, active, bool(partly & active), until)


def _is_placed(evidence: Iterable[Evidence]) -> bool:
    """Say whether the subject's place is known: by GeoIP, or by a verified claim. An assertion does not count."""
    return any(item.source is Source.GEOIP or item.trust is Trust.VERIFIED for item in evidence)


def _about(policy: CompiledPolicy, place: Place) -> int:
    """Return the regimes taken to be about a place, by the treatment of unknown subdivisions."""
    found = policy.applicable(place)
    if policy.treatment == "strictest":
        return found.sure | found.partly
    return found.sure | found.plain if policy.treatment == "country-only" else found.sure


def _unread(facts: Facts, policy: CompiledPolicy, question: _Question) -> str | None:
    """Return why the law cannot be read for these facts, None if it can."""
    if facts.missing is not None:
        return f"evidence-required:{facts.missing}"
    if any(name not in policy.classes for name in facts.classes):
        return "unknown-class"
    if not question.subjects or (not policy.treat_as and not _is_placed(facts.evidence)):
        return "unknown-subject"
    return "subdivision-unknown" if question.doubtful and policy.treatment == "refuse" else None


def _uncovered(facts: Facts, policy: CompiledPolicy, question: _Question) -> bool:
    """Say whether some protected class of some subject has no regime that is its law.

    Each subject and each class needs its own: else one more subject or class, which anybody may assert, would open
    what was closed.
    """
    for name in facts.classes:
        if name in policy.classes and name not in policy.free:  # an unknown class is refused by `_unread`
            laws = question.active & policy.covering & policy.about_data(policy.classes[name])
            if any(not laws & regimes for regimes in question.subjects):
                return True
    return False


def _weigh(policy: CompiledPolicy, applying: int, question: _Question, now_us: int) -> _Weighed:
    """Intersect what the applying regimes allow, in order of regime id, and take out what embargoes keep from all."""
    passing = policy.everyone
    refusals: list[Layer] = []
    bases: list[Layer] = []
    here_refused_by: str | None = None
    until = NEVER_US
    for regime in policy.named(applying | (question.active & policy.embargoes)):
        if regime.embargo:
            passing &= ~regime.embargoed
            refusals.append((regime.embargoed, regime.refusing))
        else:
            verdict, following = policy.verdict(regime, now_us, question.classes)
            passing &= verdict.passing
            refusals.extend(verdict.refusals)
            bases.extend(verdict.bases)
            if following < until:
                until = following
        if here_refused_by is None and not passing & policy.index.here:
            here_refused_by = regime.id
    return _Weighed(passing, tuple(refusals), tuple(bases), here_refused_by, until)


def _conflict(case: _Case, legal: int) -> tuple[str | None, int]:
    """Name the disagreement between sources that matters most, and when that may change."""
    if len(case.places) < 2:
        return None, NEVER_US
    policy = case.policy
    said = {evidence.source: place for evidence, place in zip(case.facts.evidence, case.places, strict=True)}
    asserted = _disagreeing(said, _HEADER_CONFLICTS)
    fixed = _disagreeing(said, _FIXED_CONFLICTS)
    if fixed is not None or asserted is None:
        return fixed, NEVER_US
    about = _about(policy, said[Source.HEADER])
    alone = case.question._replace(subjects=(about,))
    embargoed = about & case.question.active & policy.embargoes
    if embargoed or (policy.no_regime_refuses and _uncovered(case.facts, policy, alone)):
        return asserted, NEVER_US
    weighed = _weigh(policy, about & case.question.active, alone, case.now_us)
    suspensions, events_until = case.events.suspended(case.now_us)
    wished = weighed.passing & ~_union(mask for mask, _ in suspensions) & policy.index.everyone
    widens = weighed.here_refused_by is None and wished & ~legal
    return "header-widen" if widens else asserted, min(weighed.until_us, events_until)


def _disagreeing(said: dict[Source, Place], pairs: tuple[tuple[Source, Source], ...]) -> str | None:
    for first, second in pairs:
        if first in said and second in said and not said[first].cells & said[second].cells:
            return f"{first}-vs-{second}"
    return None


def _forbid(case: _Case, reason: str, layers: tuple[Layer, ...], until_us: int) -> Law:
    """Refuse every region for a reason that is not about regions."""
    policy, question = case.policy, case.question
    applying = question.active & _union(question.subjects)
    conflict, conflict_until = _conflict(case, 0)
    return Law(
        ruling=Ruling.FORBIDDEN,
        reason=reason,
        legal=(),
        effective=question.effective,
        regimes=tuple(regime.id for regime in policy.named(applying)),
        bases={},
        refused=FirstReasons(policy.index, policy.index.everyone, layers),
        conflict=conflict,
        subdivision_unknown=question.doubtful,
        valid_until_us=_dated(min(question.until_us, until_us, conflict_until)),
    )


def _without_law(reason: str, effective: tuple[str, ...], doubtful: bool, until_us: int) -> Law:
    """Refuse before the law is read: nothing is said of any region."""
    return Law(
        ruling=Ruling.EVIDENCE,
        reason=reason,
        legal=(),
        effective=effective,
        regimes=(),
        bases={},
        refused={},
        conflict=None,
        subdivision_unknown=doubtful,
        valid_until_us=_dated(until_us),
    )


def _union(masks: Iterable[int]) -> int:
    return reduce(or_, masks, 0)


def _dated(until_us: int) -> int | None:
    return until_us if until_us < NEVER_US else None
