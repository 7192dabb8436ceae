"""One decision: facts, then law, then rank, then what to answer. The same function live, in `explain` and in replay.

Law first: ranking sees only the legal set and can only choose inside it. Nothing here does I/O or reads a
clock: the instant, the policy, the events and the signals are handed in by `View`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from borderpost.answers import Answer, Refusal, Route
from borderpost.catalog import Catalog
from borderpost.decision_record import fixed_fields
from borderpost.engine_identity import engine_identity
from borderpost.facts import Extractor, RawRequest, Rejected
from borderpost.geoip import Anonymisers, Belief, Flags, GeoDatabase, Locator
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.compile import Asked, CompiledPolicy, compile_policy
from borderpost.policy.decide import asked, decide, effective_codes
from borderpost.policy.events import CompiledEvents, EventList, EventsAsked, compile_events
from borderpost.policy.model import Facts, Law, Ruling
from borderpost.policy.schema import GeoipSource
from borderpost.regions.rank import LatencyTable, Ranking, areas_of, rank
from borderpost.regions.signals import Signals
from borderpost.requests import Reading
from borderpost.shared_fields import SharedFields
from borderpost_base import limits
from borderpost_base.memo import Remembered

_CODE_OF_REASON = {
    "embargo": "BP0802",
    "here-not-allowed": "BP0803",
    "evidence-required": "BP0804",
    "unknown-code": "BP0805",
    "unknown-subject": "BP0805",
    "subdivision-unknown": "BP0805",
    "unknown-class": "BP0811",
}
"""Error code of a law's reason (the part before a colon); any other refusal by law is BP0801."""

_STATUS_OF_RULING = {Ruling.FORBIDDEN: 451, Ruling.EVIDENCE: 403}


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

    def holds_at(self, now_us: int) -> bool:
        """Return True while no dated entry or event can have changed the law; a refused reading is asked anew."""
        law = self.law
        return law is not None and (law.valid_until_us is None or now_us < law.valid_until_us)


@dataclass(frozen=True, slots=True)
class CompiledLaw:
    """Policy and catalogue, compiled for each other: what takes time to build and seldom changes."""

    bundle: PolicyBundle
    catalog: Catalog
    policy: CompiledPolicy
    table: LatencyTable
    clusters: Mapping[str, str]
    """Region id to Envoy cluster name."""
    places: Mapping[str, str]
    """Region id to ISO code."""

    @classmethod
    def of(cls, bundle: PolicyBundle, catalog: Catalog) -> CompiledLaw:
        """Compile. Raises Problems or BorderpostError where the two do not fit each other."""
        policy = compile_policy(bundle, catalog.regions)
        return cls(bundle, catalog, policy, catalog.latency_table(bundle), catalog.clusters, catalog.places)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """Everything that decides, at one generation, with its memory of answers.

    The memory has two levels. Law is remembered by what this policy asks of facts until its own `valid_until_us`,
    for this policy and these events; the whole decision by facts, for these signals. Both are bounded, and a new
    View (or new signals) starts with an empty memory, so nothing remembered outlives what it was made from.
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
    _shared: SharedFields
    _laws: Remembered[tuple[Asked, EventsAsked], Law] = field(default_factory=lambda: Remembered(limits.REMEMBERED_FACTS_MAX))
    _decisions: Remembered[Facts, Decision] = field(default_factory=lambda: Remembered(limits.REMEMBERED_FACTS_MAX))

    @classmethod
    def of(
        cls, compiled: CompiledLaw, event_list: EventList, signals: Signals, geo: GeoDatabase,
        parts: Mapping[str, str], *, anonymisers: Anonymisers | None = None,
        remembered_addresses: int = limits.REMEMBERED_ADDRESSES_MAX,
    ) -> View:  # fmt: skip
        """Join the parts. Raises Problems for an event about a region that the catalogue does not have."""
        bundle = compiled.bundle
        anonymisers = anonymisers or Anonymisers()
        belief = _belief(bundle.evidence.geoip)
        locator = Locator(geo, anonymisers, belief, remembered_addresses=remembered_addresses)
        extractor = Extractor(bundle.evidence, bundle.tenants, bundle.routes, locator, mode=bundle.inline.mode)
        inputs = {part: parts[part] for part in ("policy", "events", "catalog", "signals")}
        inputs |= {"geoip": geo.digest, "engine": engine_identity()}
        if anonymisers:
            inputs["anonymisers"] = anonymisers.digest
        return cls(
            compiled=compiled,
            event_list=event_list,
            events=compile_events(event_list, compiled.policy),
            signals=signals,
            geo=geo,
            anonymisers=anonymisers,
            locator=locator,
            extractor=extractor,
            reading=Reading(extractor.headers, bundle.evidence.token),
            inputs=inputs,
            parts=parts,
            _shared=_shared(compiled, inputs, signals),
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
        policy = self.compiled.policy
        question = asked(facts, policy, self.events)
        law = self._laws.get(question)
        if law is None or (law.valid_until_us is not None and now_us >= law.valid_until_us):
            law = decide(facts, policy, self.events, now_us)
            self._laws.put(question, law)
        elif law.effective != (effective := effective_codes(facts, policy)):
            law = replace(law, effective=effective)
        decision = self._rank(facts, law)
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

    def _rank(self, facts: Facts, law: Law) -> Decision:
        jurisdiction = ",".join(law.effective) or "-"
        if law.ruling is not Ruling.LEGAL:
            code = _CODE_OF_REASON.get(law.reason.partition(":")[0], "BP0801")
            refusal = Refusal(_STATUS_OF_RULING[law.ruling], code, law.reason, jurisdiction, law.regimes)
            return self._decision(refusal, facts, law, None)
        ranking = rank(law.legal, areas_of(facts.evidence), self.compiled.table, self.signals)
        if ranking.chosen is None:
            refusal = Refusal(503, "BP0806", "no-legal-region-up", jurisdiction, law.regimes)
            return self._decision(refusal, facts, law, ranking)
        region = ranking.chosen
        route = Route(region, self.compiled.clusters[region], jurisdiction, law.bases[region])
        return self._decision(route, facts, law, ranking)

    def _decision(self, answer: Answer, facts: Facts, law: Law | None, ranking: Ranking | None) -> Decision:
        record = fixed_fields(
            answer, facts, law, ranking, shared=self._shared, places=self.compiled.places
        )  # fmt: skip
        return Decision(answer, facts, law, ranking, record)


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
