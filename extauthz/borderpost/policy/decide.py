"""The law's answer for one set of facts at one instant. Narrowing only.

    subjects      the union of the codes of all evidence that is believed
    regimes       the union, over the subjects, of the regimes about them and about the data
    destinations  the intersection, over those regimes and all embargoes, of what each allows
    less          the regions that legal events refuse

More evidence therefore means more regimes and fewer destinations, whoever brings it. One exception is needed: an
unknown place. GeoIP's answer, or a verified claim where GeoIP has none, makes a subject known; what a client
asserts does not, nor does an answer in doubt. A verified claim never removes what GeoIP or a header added. Evidence in
doubt calls for embargoes and sanctions alone.

Refusals come in this order, the first that fits is the reason: `unknown-code`, `embargo`, `evidence-required:…`,
`unknown-class`, `unknown-subject`, `subdivision-unknown`, `no-regime`, `here-not-allowed` or `sink-not-allowed:…`,
`no-legal-region`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from borderpost.policy.compile import Asked, CompiledPolicy
from borderpost.policy.effects import Effects, meant
from borderpost.policy.events import CompiledEvents, EventsAsked
from borderpost.policy.masks import union
from borderpost.policy.model import Evidence, Facts, Law, Mode, Ruling, Source, Trust
from borderpost.policy.places import Place
from borderpost.policy.reasons import AllBases, FirstReasons, Layer
from borderpost.policy.regimes import HYBRID, NEVER_US, STALE

NO_REGIME = "policy/no-regime"
"""Reason, and under `no_regime: allow` the basis, where no regime is the law of a subject's place and data."""

_FIXED_CONFLICTS = ((Source.TOKEN, Source.MTLS), (Source.TOKEN, Source.GEOIP), (Source.MTLS, Source.GEOIP))
_HEADER_CONFLICTS = ((Source.TOKEN, Source.HEADER), (Source.MTLS, Source.HEADER), (Source.HEADER, Source.GEOIP))


class _Question(NamedTuple):
    """The facts as this policy and these events read them."""

    effective: tuple[str, ...]
    """Codes that count, sorted."""
    subjects: tuple[int, ...]
    """For each believed place that counts, the regimes about it."""
    applying: int
    """Regimes that apply: the active ones about a subject, and embargoes about a place named by evidence in doubt."""
    classes: int
    """Data classes with all that they imply."""
    active: int
    """Regimes in force now whose conditions on data, tenant, model and purpose may hold."""
    sure: int
    """Those whose conditions surely hold."""
    doubtful: bool
    """Whether a regime or an event is about a part of a place of which only the whole is known."""
    mode: Mode
    flags: int
    """HYBRID and STALE."""
    until_us: int
    """Next instant at which a regime that matters comes into force or ends."""


class _Subject(NamedTuple):
    """One place at which the subject may be."""

    place: Place
    """As the policy tells places apart."""
    event_place: Place
    """As the events do."""
    believed: bool


class _Case(NamedTuple):
    """One call of `decide`."""

    facts: Facts
    policy: CompiledPolicy
    events: CompiledEvents
    effects: Effects
    now_us: int
    subjects: list[_Subject]
    question: _Question
    events_until_us: int


class _Weighed(NamedTuple):
    """What regimes say together."""

    passing: int
    refusals: tuple[Layer, ...]
    bases: tuple[Layer, ...]
    own_refused: tuple[str, str] | None
    """Who refuses this gateway's own place or a sink first, and why."""
    until_us: int


def asked(facts: Facts, policy: CompiledPolicy, events: CompiledEvents) -> tuple[Asked, EventsAsked]:
    """Return all of the facts that `decide` can depend on, but for the codes that it is told of (`Law.effective`)."""
    return policy.asked(facts), events.asked(facts)


def decide(facts: Facts, policy: CompiledPolicy, events: CompiledEvents, now_us: int, *, stale: bool = False) -> Law:
    """Decide where a request may go.

    `now_us` is microseconds since 1970; `stale` says that the events are older than the deployment allows, so that no
    revocable basis counts. The same arguments give the same Law in any process. Raises ValueError if the events were
    compiled over another policy, which is a mistake of the caller.
    """
    if policy is not events.policy:
        raise ValueError("the events were compiled over another policy")
    effects, events_until = events.at(now_us)
    subjects = _subjects(facts, policy, events)
    if subjects is None:
        mode = policy.mode_of(facts)
        return _without_law("unknown-code", effective_codes(facts, policy), False, mode, stale, NEVER_US)
    question = _read(facts, policy, subjects, effects, now_us, stale)
    case = _Case(facts, policy, events, effects, now_us, subjects, question, events_until)
    if embargoes := _embargoes(case):
        sanctions = tuple([label.removeprefix("event/") for _, label in embargoes if label.startswith("event/")])
        return _forbid(case, "embargo", embargoes, NEVER_US, sanctions)
    if refusal := _unread(case):
        until = min(question.until_us, events_until)
        return _without_law(refusal, question.effective, question.doubtful, question.mode, stale, until)
    uncovered = _uncovered(facts, policy, question)
    if uncovered and policy.no_regime_refuses and question.mode is not Mode.PERFORMANCE_FIRST:
        return _forbid(case, "no-regime", ((policy.everyone, NO_REGIME),), NEVER_US)
    concerning = _concerning(case, subjects, question)
    weighed = _weigh(case, question, concerning)
    if weighed.own_refused is not None:
        refuser, reason = weighed.own_refused
        own: Layer = (policy.everyone, f"{refuser}/{reason}")
        took_part = effects.took_part(concerning, question.applying)
        return _forbid(case, reason, (*weighed.refusals, own), weighed.until_us, took_part)
    refused, orders = effects.orders(concerning)
    legal = weighed.passing & ~refused & policy.index.everyone
    bases = (*weighed.bases, (policy.everyone, NO_REGIME)) if uncovered else weighed.bases
    conflict, _ = _conflict(case, legal)  # what it depends on is part of what the law depends on
    return Law(
        ruling=Ruling.LEGAL if legal else Ruling.FORBIDDEN,
        reason="ok" if legal else "no-legal-region",
        legal=policy.legal(legal),
        effective=question.effective,
        regimes=tuple(regime.id for regime in policy.named(question.applying)),
        bases=AllBases(policy.index, legal, bases),
        refused=FirstReasons(policy.index, ~legal, (*weighed.refusals, *orders)),
        conflict=conflict,
        subdivision_unknown=question.doubtful,
        valid_until_us=_dated(min(question.until_us, weighed.until_us, events_until)),
        mode=question.mode,
        stale=stale,
        events=effects.took_part(concerning, question.applying) if effects.bits else (),
    )


def effective_codes(facts: Facts, policy: CompiledPolicy) -> tuple[str, ...]:
    """Return the codes that count, sorted: `Law.effective`.

    Facts for which `asked` gives the same have laws that differ in this alone.
    """
    codes = {evidence.code for evidence in facts.evidence if evidence.doubt is None}
    everything_known = all(policy.places.find(evidence.code) for evidence in facts.evidence)
    if policy.treat_as and not _is_placed(facts.evidence) and everything_known:
        codes.update(policy.treat_as)  # but not where a code is unknown: then the law is not read
    return tuple(sorted(codes))


def _subjects(facts: Facts, policy: CompiledPolicy, events: CompiledEvents) -> list[_Subject] | None:
    """Return every place at which the subject may be; None where a code is unknown."""
    named = [(evidence.code, evidence.doubt is None) for evidence in facts.evidence]
    if policy.treat_as and not _is_placed(facts.evidence):
        named += [(code, True) for code in policy.treat_as]
    same = events.places is policy.places
    subjects = []
    for code, believed in named:
        place = policy.places.find(code)
        if place is None:
            return None
        subjects.append(_Subject(place, place if same else events.places[code], believed))
    return subjects


def _read(
    facts: Facts, policy: CompiledPolicy, subjects: list[_Subject], effects: Effects, now_us: int, stale: bool
) -> _Question:
    classes = 0
    for name in facts.classes:
        classes |= policy.classes.get(name, 0)
    about_each: list[int] = []
    suspected = partly = 0
    for subject in subjects:
        about = _about(policy, subject, effects)
        unsure = _unsure(policy.applicable(subject.place).partly, subject.event_place, effects)
        if subject.believed:
            about_each.append(about)
            partly |= unsure
        else:
            suspected |= about & policy.embargoes
            partly |= unsure & policy.embargoes
    possible, sure = policy.about_party(facts)
    about_data = policy.about_data(classes) & possible
    active = about_data
    until = NEVER_US
    for regime in policy.named(
        about_data & policy.windowed & (union(about_each) | suspected | partly | policy.embargoes)
    ):
        if now_us < regime.start_us:
            active &= ~regime.bit
            until = min(until, regime.start_us)
        elif now_us >= regime.end_us:
            active &= ~regime.bit
        else:
            until = min(until, regime.end_us)
    doubtful = bool(partly & active)
    if not doubtful:
        doubtful = any(effects.doubtful(subject.event_place, believed=subject.believed) for subject in subjects)
    mode = policy.mode_of(facts)
    flags = (HYBRID if mode.width else 0) | (STALE if stale else 0)
    applying = active & (union(about_each) | suspected)
    return _Question(
        effective_codes(facts, policy), tuple(about_each), applying, classes, active, active & sure, doubtful, mode,
        flags, until,
    )  # fmt: skip


def _is_placed(evidence: Iterable[Evidence]) -> bool:
    """Say whether the subject's place is known: by GeoIP, or by a verified claim, and not in doubt.

    An assertion does not count.
    """
    return any(
        item.doubt is None and (item.source is Source.GEOIP or item.trust is Trust.VERIFIED) for item in evidence
    )


def _about(policy: CompiledPolicy, subject: _Subject, effects: Effects) -> int:
    """Return the regimes taken to be about a place, by the treatment of unknown subdivisions."""
    found = policy.applicable(subject.place)
    if policy.treatment == "strictest":
        about = found.sure | found.partly
    else:
        about = found.sure | found.plain if policy.treatment == "country-only" else found.sure
    for bit, cells in effects.remaining.items():
        if about & bit and not meant(subject.event_place, cells, policy.treatment):
            about &= ~bit
    return about


def _unsure(partly: int, place: Place, effects: Effects) -> int:
    """Return which regimes are about a part of a place, for `partly` before events lifted parts of embargoes."""
    for bit, cells in effects.remaining.items():
        partly = partly | bit if place.cells & cells and place.cells & ~cells else partly & ~bit
    return partly


def _embargoes(case: _Case) -> tuple[Layer, ...]:
    """Return what embargoes the subject is under, by regimes and by events."""
    policy, effects = case.policy, case.effects
    embargoed = case.question.applying & policy.embargoes
    layers = [(policy.everyone, regime.refusing) for regime in policy.named(embargoed)]
    sanctions = effects.sanctioning(subject.event_place for subject in case.subjects)
    layers += [(policy.everyone, sanction.label) for sanction in sanctions]
    return tuple(layers)


def _unread(case: _Case) -> str | None:
    """Return why the law cannot be read for these facts, None if it can."""
    facts, policy, question = case.facts, case.policy, case.question
    if facts.missing is not None:
        return f"evidence-required:{facts.missing}"
    if any(name not in policy.classes for name in facts.classes):
        return "unknown-class"
    if not question.subjects or (not policy.treat_as and not _is_placed(facts.evidence)):
        return "unknown-subject"
    return "subdivision-unknown" if question.doubtful and policy.treatment == "refuse" else None


def _uncovered(facts: Facts, policy: CompiledPolicy, question: _Question) -> bool:
    """Say whether some protected class of some subject has no regime that surely is its law.

    Each subject and each class needs its own: else one more subject or class, which anybody may assert, would open
    what was closed.
    """
    for name in facts.classes:
        if name in policy.classes and name not in policy.free:  # an unknown class is refused by `_unread`
            laws = question.sure & policy.covering & policy.about_data(policy.classes[name])
            for regimes in question.subjects:
                if not laws & regimes:
                    return True
    return False


def _concerning(case: _Case, subjects: Iterable[_Subject], question: _Question) -> int:
    """Return the events that concern the request."""
    places = [subject.event_place for subject in subjects if subject.believed]
    party = case.events.party(case.facts)
    return case.effects.concerning(party, places, question.classes, question.applying)


def _weigh(case: _Case, question: _Question, concerning: int) -> _Weighed:
    """Intersect what the applying regimes allow, in order of regime id, and take out what embargoes keep from all."""
    policy, effects, now_us = case.policy, case.effects, case.now_us
    index = policy.index
    passing = policy.everyone
    refusals: list[Layer] = []
    bases: list[Layer] = []
    own_refused: tuple[str, str] | None = None
    until = NEVER_US
    for regime in policy.named(question.applying | (question.active & policy.embargoes)):
        if regime.embargo:
            embargoed = effects.embargoed.get(regime.bit, regime.embargoed)
            passing &= ~embargoed
            refusals.append((embargoed, regime.refusing))
        else:
            verdict, following = policy.verdict(regime, now_us, question.classes, question.flags)
            if effects.touched & regime.bit:
                interval = bisect_right(regime.boundaries, now_us)
                verdict = effects.verdict(regime, now_us, interval, question.classes, question.flags, concerning)
            passing &= verdict.passing
            refusals.extend(verdict.refusals)
            bases.extend(verdict.bases)
            if following < until:
                until = following
        if own_refused is None and index.own & ~passing:
            own_refused = regime.id, index.own_reason(index.own & ~passing)
    for sanction in effects.barring:
        passing &= ~sanction.processors
        refusals.append((sanction.processors, sanction.label))
        if own_refused is None and index.own & ~passing:
            own_refused = sanction.label, index.own_reason(index.own & ~passing)
    return _Weighed(passing, tuple(refusals), tuple(bases), own_refused, until)


def _conflict(case: _Case, legal: int) -> tuple[str | None, int]:
    """Name the disagreement between believed sources that matters most, and when that may change."""
    facts, policy = case.facts, case.policy
    said = {
        evidence.source: subject
        for evidence, subject in zip(facts.evidence, case.subjects, strict=False)  # behind them stands `treat_as`
        if subject.believed
    }
    if len(said) < 2:
        return None, NEVER_US
    asserted = _disagreeing(said, _HEADER_CONFLICTS)
    fixed = _disagreeing(said, _FIXED_CONFLICTS)
    if fixed is not None or asserted is None:
        return fixed, NEVER_US
    header = said[Source.HEADER]
    about = _about(policy, header, case.effects)
    alone = case.question._replace(subjects=(about,), applying=case.question.active & about)
    if alone.applying & policy.embargoes or case.effects.sanctioning([header.event_place]):
        return asserted, NEVER_US
    refuses = policy.no_regime_refuses and alone.mode is not Mode.PERFORMANCE_FIRST
    if refuses and _uncovered(facts, policy, alone):
        return asserted, NEVER_US
    concerning = _concerning(case, (header,), alone)
    weighed = _weigh(case, alone, concerning)
    refused, _ = case.effects.orders(concerning)
    wished = weighed.passing & ~refused & policy.index.everyone
    widens = weighed.own_refused is None and wished & ~legal
    return "header-widen" if widens else asserted, min(weighed.until_us, case.events_until_us)


def _disagreeing(said: dict[Source, _Subject], pairs: tuple[tuple[Source, Source], ...]) -> str | None:
    for first, second in pairs:
        if first in said and second in said and not said[first].event_place.cells & said[second].event_place.cells:
            return f"{first}-vs-{second}"
    return None


def _forbid(case: _Case, reason: str, layers: tuple[Layer, ...], until_us: int, events: tuple[str, ...] = ()) -> Law:
    """Refuse every region for a reason that is not about regions."""
    policy, question = case.policy, case.question
    conflict, conflict_until = _conflict(case, 0)
    return Law(
        ruling=Ruling.FORBIDDEN,
        reason=reason,
        legal=(),
        effective=question.effective,
        regimes=tuple(regime.id for regime in policy.named(question.applying)),
        bases={},
        refused=FirstReasons(policy.index, policy.index.everyone, layers),
        conflict=conflict,
        subdivision_unknown=question.doubtful,
        valid_until_us=_dated(min(question.until_us, until_us, conflict_until, case.events_until_us)),
        mode=question.mode,
        stale=bool(question.flags & STALE),
        events=events,
    )


def _without_law(
    reason: str, effective: tuple[str, ...], doubtful: bool, mode: Mode, stale: bool, until_us: int
) -> Law:
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
        mode=mode,
        stale=stale,
    )


def _dated(until_us: int) -> int | None:
    return until_us if until_us < NEVER_US else None
