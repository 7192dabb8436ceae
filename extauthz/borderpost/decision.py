"""One decision: facts, then law, then rank, then what to answer. The same function live, in `explain` and in replay.

Law first: ranking sees only the legal set and can only choose inside it. Nothing here does I/O or reads a
clock: the instant, the policy, the events and the signals are handed in by `View`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from borderpost.answers import Answer, Refusal, Route
from borderpost.decision_record import fixed_fields
from borderpost.engine_identity import engine_identity
from borderpost.facts import Extractor, RawRequest, Rejected
from borderpost.geoip import Anonymisers, Belief, Flags, GeoDatabase, Locator
from borderpost.lawful_answer import CompiledLaw
from borderpost.policy.events import CompiledEvents, EventList, compile_events
from borderpost.policy.model import Facts, Law
from borderpost.policy.pack import Counter
from borderpost.policy.schema import GeoipSource
from borderpost.regions.rank import Ranking
from borderpost.regions.signals import Signals
from borderpost.remembered_law import RememberedLaw
from borderpost.requests import Reading
from borderpost.shadow import Opinion, Shadow
from borderpost.shared_fields import SharedFields
from borderpost_base import limits
from borderpost_base.memo import Remembered


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What was decided for some facts, and everything that explains it. Two are equal only if they are one."""

    answer: Answer
    facts: Facts
    law: Law | None
    """None where the request was refused before law was asked."""
    ranking: Ranking | None
    """None where there was nothing to rank."""
    record: Mapping[str, Any]
    """Fields of its record but for those that belong to one request."""
    until_us: float
    """First instant at which a dated entry or event may change it, or what the shadow says to it; infinite if none."""
    counts: tuple[Counter, ...] = ()
    """Counters that a request so decided counts on."""
    opinion: Opinion | None = None
    """What the shadow says to it; None where there is no shadow or law was not asked."""

    def holds_at(self, now_us: int) -> bool:
        """Return True while no dated entry or event can have changed the law; a refused reading is asked anew."""
        return self.law is not None and now_us < self.until_us


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """Everything that decides, at one generation, with its memory of answers.

    The memory has two levels: law (`RememberedLaw`), for this policy and these events; and the whole decision by facts,
    for these signals. Both are bounded, and a new View (or new signals) starts with an empty memory, so nothing
    remembered outlives what it was made from.
    """

    compiled: CompiledLaw
    event_list: EventList
    events: CompiledEvents
    signals: Signals
    geo: GeoDatabase
    anonymisers: Anonymisers
    locator: Locator
    extractor: Extractor
    reading: Reading
    inputs: Mapping[str, str]
    """Digests by part (`policy`, `events`, `catalog`, `signals`, `geoip`, `anonymisers`, `engine`), as records name
    them."""
    parts: Mapping[str, str]
    """Digests by part of the snapshot this view was made from."""
    shadow: Shadow | None
    """What is asked beside the law, and binds nobody; None where nothing is."""
    _law: RememberedLaw
    _shared: SharedFields
    _decisions: Remembered[Facts, Decision] = field(default_factory=lambda: Remembered(limits.REMEMBERED_FACTS_MAX))

    @classmethod
    def of(
        cls, compiled: CompiledLaw, event_list: EventList, signals: Signals, geo: GeoDatabase,
        parts: Mapping[str, str], *, anonymisers: Anonymisers | None = None,
        remembered_addresses: int = limits.REMEMBERED_ADDRESSES_MAX, shadow: Shadow | None = None,
    ) -> View:  # fmt: skip
        """Join the parts."""
        bundle = compiled.bundle
        anonymisers = anonymisers or Anonymisers()
        belief = _belief(bundle.evidence.geoip)
        locator = Locator(geo, anonymisers, belief, remembered_addresses=remembered_addresses)
        extractor = Extractor(bundle.evidence, bundle.tenants, bundle.routes, locator, mode=bundle.inline.mode)
        inputs = {part: parts[part] for part in ("policy", "events", "catalog", "signals")}
        inputs |= {"geoip": geo.digest, "engine": engine_identity()}
        if anonymisers:
            inputs["anonymisers"] = anonymisers.digest
        if shadow is not None:
            inputs["shadow"] = shadow.digest
        events = compile_events(event_list, compiled.policy)
        return cls(
            compiled=compiled,
            event_list=event_list,
            events=events,
            signals=signals,
            geo=geo,
            anonymisers=anonymisers,
            locator=locator,
            extractor=extractor,
            reading=Reading(extractor.headers, bundle.evidence.token),
            inputs=inputs,
            parts=parts,
            shadow=shadow,
            _law=RememberedLaw(compiled.policy, events),
            _shared=_shared(compiled, inputs, signals),
        )

    @property
    def stale(self) -> bool:
        """Return True where the events are taken to be older than allowed, so that no revocable basis counts."""
        return self._law.stale

    def turned(self, *, stale: bool) -> View:
        """Return the same view with the events taken for stale or fresh. It remembers no decision yet."""
        return replace(
            self,
            shadow=self.shadow.turned(stale=stale) if self.shadow is not None else None,
            _law=self._law.turned(stale=stale),
            _decisions=Remembered(limits.REMEMBERED_FACTS_MAX),
        )

    def answer(self, raw: RawRequest, now_us: int) -> Decision:
        """Return the decision for a request as Envoy sent it: facts first, then law, then rank."""
        extracted = self.extractor.extract(raw)
        if isinstance(extracted, Rejected):
            refusal = Refusal(extracted.status, extracted.code, extracted.reason)
            return self._decision(refusal, extracted.facts, None, None)
        return self.decide(extracted.facts, now_us)

    def decide(self, facts: Facts, now_us: int) -> Decision:
        """Return the decision for these facts at this instant (microseconds since the epoch, UTC)."""
        decision = self._decisions.get(facts)
        if decision is not None and decision.holds_at(now_us):
            return decision
        law = self._law.of(facts, now_us)
        answer, ranking = self.compiled.answer(facts, law, self.signals)
        opinion = self.shadow.opinion(facts, answer, self.signals, now_us) if self.shadow is not None else None
        decision = self._decision(answer, facts, law, ranking, opinion)
        self._decisions.put(facts, decision)
        return decision

    def with_signals(self, signals: Signals, parts: Mapping[str, str]) -> View:
        """Return a view with other signals that keeps the memory of law and forgets the ranking."""
        inputs = {**self.inputs, "signals": signals.digest}
        return replace(
            self,
            signals=signals,
            inputs=inputs,
            parts=parts,
            _decisions=Remembered(limits.REMEMBERED_FACTS_MAX),
            _shared=_shared(self.compiled, inputs, signals),
        )

    def _decision(
        self, answer: Answer, facts: Facts, law: Law | None, ranking: Ranking | None, opinion: Opinion | None = None
    ) -> Decision:
        record = fixed_fields(
            answer, facts, law, ranking, opinion, shared=self._shared, places=self.compiled.places
        )  # fmt: skip
        until_us = math.inf if law is None or law.valid_until_us is None else law.valid_until_us
        if opinion is not None:
            until_us = min(until_us, opinion.until_us)
        policy = self.compiled.policy
        # A retry is a use of its region's bases too, and nobody tells us of it: it counts from the start.
        counted = policy.counted(answer.rules) if isinstance(answer, Route) else ()
        counts = tuple(policy.counters[counter] for counter in counted)
        return Decision(answer, facts, law, ranking, record, until_us, counts, opinion)


def _belief(source: GeoipSource) -> Belief:
    """Return what a policy believes of addresses."""
    disbelieved = Flags.NONE
    if source.anonymiser == "unknown":
        disbelieved |= Flags.ANONYMISER
    if source.hosting == "unknown":
        disbelieved |= Flags.HOSTING
    return Belief(min_confidence=source.min_confidence, disbelieved=disbelieved)


def _shared(compiled: CompiledLaw, inputs: Mapping[str, str], signals: Signals) -> SharedFields:
    return SharedFields(inputs=inputs, seed=signals.seed, here=compiled.bundle.here.place)
