"""The law's own answer to each question: the place becomes a region beside the configured ones, and is decided upon.

A place that the configuration knows by its region id is judged as that region, with its contracts, retention and
telemetry. Any other is a region of its own: there, run by the cloud's legal person, keeping what it is sent in the same
place, with nothing that opens a way. What a gateway's own place or its sinks may see is not asked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from borderpost.manifests import rules
from borderpost.manifests.clouds import known_clouds
from borderpost.manifests.labels import Handled
from borderpost.manifests.locations import Location
from borderpost.manifests.questions import Question
from borderpost.policy import codes
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.compile import CompiledPolicy, compile_policy
from borderpost.policy.decide import decide
from borderpost.policy.events import CompiledEvents, EventList, compile_events
from borderpost.policy.model import Evidence, Facts, Law, Ruling, Source
from borderpost.policy.schema import Here, Operator, Processor, RegionSpec
from borderpost.reports.finding import Finding, Level, Rule
from borderpost_base import limits

_OWN_PLACES = ("here-not-allowed", "sink-not-allowed:")
_TOLD_MAX = 3
"""How many places of people a message names."""


class _Candidate(NamedTuple):
    """One region as which a location is judged."""

    id: str
    spec: RegionSpec


class _Compiled(NamedTuple):
    """A policy over some regions, with its events."""

    policy: CompiledPolicy
    events: CompiledEvents


class Refusal(NamedTuple):
    """Why something may not be somewhere, for some of the people whose data it is."""

    reason: str
    """As the law gives it: `eu-gdpr/no-basis`."""
    subjects: tuple[str, ...]
    spec: RegionSpec


class PlaceLaw:
    """One policy with its events at one instant, asked about places."""

    def __init__(
        self,
        bundle: PolicyBundle,
        regions: Mapping[str, RegionSpec],
        events: EventList,
        at_us: int,
        source_of: Callable[[str], str | None],
        unknown_level: Level,
    ) -> None:
        self._bundle = bundle.model_copy(update={"sinks": {}})
        self._regions = dict(regions)
        self._events = events
        self._at_us = at_us
        self._source_of = source_of
        self._unknown_level = unknown_level
        self._told_reasons: dict[str, str] = {}
        self._titles = {regime.id: regime.title for regime in bundle.regimes}

    def findings(self, questions: Sequence[Question]) -> Iterator[Finding]:
        """Yield what is wrong, in the order of the questions."""
        regions_max = limits.REGIONS_MAX - len(self._regions)
        batch: list[Question] = []
        places: dict[str, RegionSpec] = {}
        for question in questions:
            added = dict(self._candidates(question.sighting.location))
            if len(places.keys() | added.keys()) > regions_max:
                yield from self._answered(batch, places)
                batch, places = [], {}
            batch.append(question)
            places |= added
        yield from self._answered(batch, places)

    def _answered(self, questions: Iterable[Question], places: Mapping[str, RegionSpec]) -> Iterator[Finding]:
        court = _Court(self, self._compiled(self._bundle, places))
        for question in questions:
            for finding in self._answer(question, court):
                if finding.rule.id not in question.handled.ignored:
                    yield finding

    def _answer(self, question: Question, court: _Court) -> Iterator[Finding]:
        handled, sighting, aspect = question.handled, question.sighting, question.aspect
        if not handled.subjects:
            return
        location = sighting.location
        if location is None:
            message = f"{_said(handled)}: its place cannot be told ({sighting.how})."
            yield _finding(aspect.unknown, question, message, self._unknown_level)
            return
        if mistaken := self._disagreement(location):
            yield _finding(rules.PLACES_DISAGREE, question, mistaken)
        refusals = list(court.refusals(handled, self._candidates(location)))
        if not refusals:
            return
        first = refusals[0]
        is_area = location.cloud is not None and location.region is None
        rule = rules.ACROSS_FORBIDDEN if is_area else aspect.forbidden
        reasons = "; ".join(dict.fromkeys(self._told(refusal.reason) for refusal in refusals))
        people = _people(handled, court, [code for refusal in refusals for code in refusal.subjects])
        message = (
            f"{', '.join(handled.classes)} data of people in {people} may not be in {_where(location, first.spec)}, "
            f"by {sighting.how}: {reasons}."
        )
        yield _finding(rule, question, message)

    def _told(self, reason: str) -> str:
        """Return a reason with the law's title and source."""
        if reason not in self._told_reasons:
            self._told_reasons[reason] = self._with_source(reason)
        return self._told_reasons[reason]

    def _with_source(self, reason: str) -> str:
        regime, _, _ = reason.partition("/")
        title, source = self._titles.get(regime), self._source_of(reason)
        rest = " (" + "; ".join(text for text in (title, source) if text) + ")" if title or source else ""
        return f"{reason}{rest}"

    def _disagreement(self, location: Location) -> str | None:
        """Return how the configuration's region of this id contradicts the provider, None if it does not."""
        spec = self._regions.get(location.region) if location.region is not None else None
        if spec is None or location.cloud is None or spec.country in {code[:2] for code in location.codes}:
            return None
        source = known_clouds().clouds[location.cloud].source
        return (
            f"region `{location.region}` is in {spec.country} by the configuration, in {', '.join(location.codes)} by "
            f"its provider ({source}); both were asked about."
        )

    def _candidates(self, location: Location | None) -> Iterator[_Candidate]:
        """Yield every region as which a location has to be legal."""
        if location is None:
            return
        if location.region in self._regions:
            assert location.region is not None
            yield _Candidate(location.region, self._regions[location.region])
            if self._disagreement(location) is None:
                return
        operator = Operator()
        if location.cloud is not None:
            cloud = known_clouds().clouds[location.cloud]
            operator = Operator(entity=cloud.entity, jurisdiction=cloud.jurisdiction)
        kept = {"operator": operator, "retention": "same", "telemetry": "same"}
        prefix = f"{location.cloud or ''}~{location.name}~"
        if not location.codes:
            anywhere = RegionSpec.model_validate({"country": "US", "processing_scope": "global", **kept})
            yield _Candidate(prefix + "*", anywhere)
        for code in location.codes:
            country, suffix = codes.split_code(code)
            spec = {"country": country, "subdivision": code if suffix else None, **kept}
            yield _Candidate(prefix + code, RegionSpec.model_validate(spec))

    def _compiled(self, bundle: PolicyBundle, places: Mapping[str, RegionSpec]) -> _Compiled:
        policy = compile_policy(bundle, {**self._regions, **places})
        return _Compiled(policy, compile_events(self._events, policy))

    def beside(self, candidate: _Candidate) -> _Compiled:
        """Return the law as a gateway at the candidate's own place has it."""
        own = {name: getattr(candidate.spec, name) for name in Processor.model_fields}
        return self._compiled(self._bundle.model_copy(update={"here": Here(**own)}), dict([candidate]))

    def decided(self, compiled: _Compiled, handled: Handled, code: str) -> Law:
        """Return the law of one person's data."""
        tenant = self._bundle.tenants.get(handled.tenant) if handled.tenant is not None else None
        facts = Facts(
            evidence=(Evidence(Source.TOKEN, code),),
            classes=handled.classes,
            tenant=handled.tenant,
            purpose=handled.purpose,
            mode=tenant.mode if tenant is not None else None,
        )
        return decide(facts, compiled.policy, compiled.events, self._at_us)


class _Court:
    """The law over one set of candidates, with what it was asked before."""

    def __init__(self, law: PlaceLaw, compiled: _Compiled) -> None:
        self._law = law
        self._compiled = compiled
        self._laws: dict[tuple[Handled, str], Law] = {}
        self._beside: dict[str, _Compiled] = {}
        self._refusals: dict[tuple[Handled, str], tuple[Refusal, ...]] = {}
        self._people: dict[tuple[str, ...], dict[str, bool]] = {}

    def refusals(self, handled: Handled, candidates: Iterable[_Candidate]) -> Iterator[Refusal]:
        """Yield why the candidates are refused, each reason of each with the people whose law gives it."""
        for candidate in candidates:
            key = handled._replace(ignored=frozenset()), candidate.id
            if key not in self._refusals:
                self._refusals[key] = tuple(self._asked(key[0], candidate))
            yield from self._refusals[key]

    def _asked(self, handled: Handled, candidate: _Candidate) -> Iterator[Refusal]:
        found: dict[str, list[str]] = {}
        for code, is_named in self.people(handled.subjects).items():
            law = self._decided(handled, code)
            if law.reason == "embargo" and not is_named:
                continue  # of a group, those whom nobody serves have no data there
            if law.reason.startswith(_OWN_PLACES):
                law = self._law.decided(self._beside_of(candidate), handled, code)
            reason = _reason(law, candidate.id)
            if reason is not None:
                found.setdefault(reason, []).append(code)
        for reason, people in found.items():
            yield Refusal(reason, tuple(people), candidate.spec)

    def _beside_of(self, candidate: _Candidate) -> _Compiled:
        if candidate.id not in self._beside:
            self._beside[candidate.id] = self._law.beside(candidate)
        return self._beside[candidate.id]

    def _decided(self, handled: Handled, code: str) -> Law:
        key = handled, code
        if key not in self._laws:
            self._laws[key] = self._law.decided(self._compiled, handled, code)
        return self._laws[key]

    def people(self, subjects: tuple[str, ...]) -> dict[str, bool]:
        """Return each place whose people are meant, and whether a label names it rather than a group that it is in."""
        found = self._people.get(subjects)
        if found is None:
            found = self._people[subjects] = {subject: True for subject in subjects if codes.is_code(subject)}
            policy = self._compiled.policy
            groups = tuple(subject for subject in subjects if not codes.is_code(subject))
            cells = policy.territory.cells(groups)
            for code in sorted({*codes.COUNTRIES, *policy.mentioned}):
                place = policy.places[code]
                if not place.cells & ~cells or place.plain & cells:  # a country without some of its parts counts too
                    found.setdefault(code, False)
        return found


def _reason(law: Law, region: str) -> str | None:
    """Return why the law refuses a region, None if it does not."""
    if law.ruling is Ruling.EVIDENCE:
        return law.reason
    if region in law.legal:
        return None
    return law.refused[region]


def _finding(rule: Rule, question: Question, message: str, level: Level | None = None) -> Finding:
    place = question.sighting.node.place
    return Finding(
        rule,
        message,
        place.file,
        place.line,
        place.column,
        question.subject,
        level if level is not None else rule.level,
    )


def _said(handled: Handled) -> str:
    return f"it handles {', '.join(handled.classes)} data"


def _people(handled: Handled, court: _Court, refused: Sequence[str]) -> str:
    """Name the people whose law refuses: in the labels' own words where it is all of them, else the first few."""
    people = list(dict.fromkeys(refused))
    if court.people(handled.subjects).keys() <= set(people):
        return ", ".join(handled.subjects)
    named = ", ".join(people[:_TOLD_MAX])
    if len(people) > _TOLD_MAX:
        named += f" and {len(people) - _TOLD_MAX} more"
    words = [subject for subject in handled.subjects if not codes.is_code(subject)]
    return f"{named} (of {', '.join(words)})" if words else named


def _where(location: Location, spec: RegionSpec) -> str:
    """Name a place: as it is written, where that is, and who runs it."""
    place = "anywhere" if spec.processing_scope == "global" else spec.place
    parts = [part for part in (place if place != location.name else None, spec.operator.entity) if part]
    return f"{location.name} ({', '.join(parts)})" if parts else location.name
