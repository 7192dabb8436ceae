"""A second evaluator of the law, written from docs/reference/policy.md: sets of spots, no masks, no memo, no compiling.

It exists to disagree with `borderpost.policy.decide` where that is wrong. Numbers are those of the page's rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.event_schema import EventsFile
from borderpost.policy.model import Facts, Mode
from borderpost.policy.pack import AllowEntry, DataClass, DenyEntry, Group, Regime, Require
from borderpost.policy.schema import Here, RegionSpec, Sink, TreatAs
from support.naive_events import Asked, NaiveEvents
from support.naive_places import Location, NaivePlaces, Spots

STRICTEST_FIRST = [Mode.LEGAL_FIRST, Mode.HYBRID, Mode.PERFORMANCE_FIRST]


@dataclass(frozen=True)
class Answer:
    """What `Law` says, without `valid_until_us`."""

    ruling: str
    reason: str
    legal: tuple[str, ...]
    effective: tuple[str, ...]
    regimes: tuple[str, ...]
    bases: Mapping[str, str]
    refused: Mapping[str, str]
    conflict: str | None
    subdivision_unknown: bool
    mode: Mode
    stale: bool
    events: tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """What one regime, or one embargoing event, says of one processor."""

    against: str | None
    """The first reason, None if there is none."""
    bases: tuple[str, ...] = ()


class NaivePolicy:
    """One bundle, catalogue and event list."""

    def __init__(
        self, bundle: PolicyBundle, regions: Mapping[str, RegionSpec], events: EventsFile, *, drills: bool = False
    ) -> None:
        self.bundle = bundle
        self.regions = regions
        self.events = events
        self.drills = drills
        groups: dict[str, Group] = {}
        self.classes: dict[str, DataClass] = {}
        self.free: set[str] = set()
        self.children: set[str] = set()
        for part in (*bundle.packs, bundle.inline):
            groups.update(part.groups)
            self.classes.update(part.data_classes)
        for pack in bundle.packs:
            if pack.metadata.parent is not None:
                self.children |= {regime.id for regime in pack.regimes}
            else:
                self.free |= {name for name, data_class in pack.data_classes.items() if data_class.rank == 0}
        self.free |= {name for name, data_class in bundle.inline.data_classes.items() if data_class.rank == 0}
        regimes = [*(regime for pack in bundle.packs for regime in pack.regimes), *bundle.inline.regimes]
        self.regimes = sorted(regimes, key=lambda regime: regime.id)
        texts = [model.model_dump(mode="json") for model in (bundle, *regions.values())]
        texts += [event.model_dump(mode="json") for event in events.events if drills or event.mode == "enforce"]
        self.places = NaivePlaces(texts, groups)

    def decide(self, facts: Facts, now: datetime, *, stale: bool = False) -> Answer:
        """Answer as `decide` must."""
        return Hearing(self, facts, now, stale).answer()


class Hearing:
    """One question at one instant."""

    def __init__(self, law: NaivePolicy, facts: Facts, now: datetime, stale: bool) -> None:
        self.law = law
        self.places = law.places
        self.facts = facts
        self.now = now
        self.stale = stale
        self.events = NaiveEvents(law.events, law.places, now, drills=law.drills)
        self.names = frozenset(facts.classes)
        self.closed = self.closure(self.names)
        self.mode = self.mode_of_request()
        self.model = facts.model if law.bundle.evidence.trust_model_header else None
        self.believed = [evidence for evidence in facts.evidence if evidence.doubt is None]
        self.placed = any(evidence.source in ("token", "mtls", "geoip") for evidence in self.believed)
        unknown = law.bundle.evidence.unknown
        self.treat_as = unknown.treat_as if isinstance(unknown, TreatAs) and not self.placed else ()
        self.subjects = {evidence.code for evidence in self.believed} | set(self.treat_as)
        self.sanctioned = self.events.sanctioned()
        self.forced = [regime for regime in law.regimes if self.in_force(regime)]

    # --- the request

    def closure(self, names: frozenset[str]) -> frozenset[str]:
        """Return the classes with all that they imply (rule 7)."""
        closed = {name for name in names if name in self.law.classes}
        while more := {implied for name in closed for implied in self.law.classes[name].implies} - closed:
            closed |= more
        return frozenset(closed)

    def mode_of_request(self) -> Mode:
        """Return the mode that holds (rule 8)."""
        default = self.law.bundle.inline.mode
        said = [self.facts.mode] if self.facts.mode is not None else []
        own = [self.mode_of_class(name) for name in self.names]
        if any(mode is not None for mode in own):
            said += [mode or default for mode in own]
        return min(said, key=STRICTEST_FIRST.index, default=default)

    def mode_of_class(self, name: str) -> Mode | None:
        modes = [self.law.classes[one].mode for one in self.closure(frozenset({name}))]
        return min((mode for mode in modes if mode is not None), key=STRICTEST_FIRST.index, default=None)

    # --- regimes

    def in_force(self, regime: Regime) -> bool:
        """Say whether a regime holds now and its conditions but for the place may be met (rule 9)."""
        when = regime.applies_when
        if (regime.from_ and self.now < regime.from_) or (regime.until and self.now >= regime.until):
            return False
        if "*" not in when.data and not self.closed & set(when.data):
            return False
        known = ((when.tenant, self.facts.tenant), (when.model, self.model), (when.purpose, self.facts.purpose))
        return not any(wanted and value is not None and value not in wanted for wanted, value in known)

    def about(self, wide: Spots, code: str) -> tuple[bool, bool]:
        """Return whether a subject at a code is taken to be in some places, and whether that is in doubt (rule 10)."""
        spots = self.places.known(code)
        if spots <= wide:
            return True, False
        if not spots & wide:
            return False, False
        treatment = self.law.bundle.evidence.subdivision_unknown
        if treatment == "country-only":
            return self.places.plain(spots) in wide, True
        return treatment == "strictest", True

    def subject_of(self, regime: Regime) -> Spots:
        """Return where a regime's subjects are."""
        if regime.kind == "embargo":
            return self.events.embargoed(regime)
        return self.places.refs(regime.applies_when.subject_in)

    def covers(self, regime: Regime, code: str, name: str) -> bool:
        """Say whether a regime is the law of a subject and a class (rule 13)."""
        when = regime.applies_when
        if regime.kind == "embargo" or regime.id in self.law.children or regime not in self.forced:
            return False
        if regime.default == "allow" and regime.basis is None:
            return False
        known = ((when.tenant, self.facts.tenant), (when.model, self.model), (when.purpose, self.facts.purpose))
        if any(wanted and value not in wanted for wanted, value in known):
            return False
        if "*" not in when.data and not self.closure(frozenset({name})) & set(when.data):
            return False
        return self.about(self.subject_of(regime), code)[0]

    def uncovered(self, subjects: set[str]) -> bool:
        """Say whether some subject's protected class has no law (rule 13)."""
        protected = [name for name in self.names if name in self.law.classes and name not in self.law.free]
        return any(
            not any(self.covers(regime, code, name) for regime in self.forced)
            for code in subjects
            for name in protected
        )

    # --- processors

    def brings(self, location: Location, require: Require) -> bool:
        """Say whether a location brings all that is required (rule 6)."""
        operated, operator = location.operated, location.operated.operator
        if require.operator_in is not None:
            wide = self.places.refs(require.operator_in)
            if operator.jurisdiction is None or not self.places.known(operator.jurisdiction) <= wide:
                return False
        return (
            (require.operator_certified is None or require.operator_certified in operator.certifications)
            and (require.contract is None or require.contract in operated.contracts)
            and (require.tia is None or operated.tia == require.tia)
            and (require.attestation is None or require.attestation in operated.attestations)
            and (require.encryption is None or require.encryption in operated.encryption)
        )

    def is_current(self, entry: AllowEntry | DenyEntry) -> bool:
        return (entry.from_ is None or entry.from_ <= self.now) and (entry.until is None or self.now < entry.until)

    def allows(self, entry: AllowEntry, location: Location) -> bool:
        """Say whether an allow entry counts for a location (rule 15)."""
        if not self.is_current(entry) or self.closed & set(entry.except_data) or (self.stale and entry.revocable):
            return False
        if entry.only_in == "hybrid" and self.mode is Mode.LEGAL_FIRST:
            return False
        if entry.below is not None and self.events.reached(entry.below.counter, entry.below.count):
            return False
        if location.spots is None or not location.spots <= self.places.refs(entry.to):
            return False
        return entry.require is None or self.brings(location, entry.require)

    def hits(self, entry: DenyEntry, location: Location) -> bool:
        """Say whether a deny entry hits a location (rule 16)."""
        if not self.is_current(entry) or not ("*" in entry.data or self.closed & set(entry.data)):
            return False
        if entry.above is not None and not self.events.reached(entry.above.counter, entry.above.count):
            return False
        if not self.enters([location], self.places.refs(entry.to)):
            return False
        jurisdiction = location.operated.operator.jurisdiction
        if entry.operator_in is not None and jurisdiction is not None:
            may_be = self.places.known(jurisdiction) & self.places.refs(entry.operator_in)
        else:
            may_be = self.places.world
        if not may_be:
            return False
        return entry.unless is None or not self.brings(location, entry.unless)

    def says(self, regime: Regime, locations: list[Location], revoked: set[tuple[str, str, int]]) -> Said:
        """Return what a transfer regime says of a processor (rules 15 to 18)."""

        def told(pairs: set[tuple[str, int]]) -> list[str]:
            """Return labels with the suffix of the first location that each is about, sorted by label."""
            first = {label: min(at for other, at in pairs if other == label) for label, _ in pairs}
            return [label + locations[first[label]].suffix for label in sorted(first)]

        denials: set[tuple[str, int]] = set()
        bases: set[tuple[str, int]] = set()
        allowed: set[int] = set()
        for at, location in enumerate(locations):
            denials |= {(f"{regime.id}/{entry.basis}", at) for entry in regime.deny if self.hits(entry, location)}
            named = {entry.basis for entry in regime.allow if self.allows(entry, location)}
            for basis, wide in self.events.granted(regime.id):
                if not self.stale and location.spots is not None and location.spots <= wide:
                    named.add(basis)
            if regime.basis is not None:
                named.add(regime.basis)
            gone = {basis for id_, basis, where in revoked if where == at and id_ in ("*", regime.id)}
            bases |= {(f"{regime.id}/{basis}", at) for basis in named - gone}
            if named - gone or (regime.default == "allow" and regime.basis not in gone):
                allowed.add(at)
        if denials:
            return Said(told(denials)[0])
        for at, location in enumerate(locations):
            if at not in allowed:
                return Said(f"{regime.id}/no-basis{location.suffix}")
        return Said(None, tuple(told(bases)))

    # --- the answer

    def applying(self, subjects: set[str]) -> tuple[list[Regime], Asked]:
        """Return the regimes that apply to subjects, and what events are asked of the request."""
        found = [r for r in self.forced if any(self.about(self.subject_of(r), code)[0] for code in subjects)]
        return found, Asked(
            frozenset(subjects),
            lambda wide, code: self.about(wide, code)[0],
            self.closed,
            self.model,
            self.facts.tenant,
            frozenset(r.id for r in found),
        )

    def judged(self, subjects: set[str]) -> tuple[dict[str, str], dict[str, str], tuple[str, str] | None]:
        """Return the bases of the regions that pass, the first reason against the others, and which regime refuses
        `here` or which sink (rules 14 to 20)."""
        applying, asked = self.applying(subjects)
        judges = [r for r in self.forced if r.kind == "embargo" or r in applying]

        def heard(
            region_id: str | None, region: RegionSpec | None, locations: list[Location]
        ) -> list[tuple[str, Said]]:
            revoked = self.events.revoked(region_id, region, locations, asked)
            found = []
            for regime in judges:
                if regime.kind == "embargo":
                    wide = self.subject_of(regime)
                    found.append((regime.id, Said(f"{regime.id}/embargo" if self.enters(locations, wide) else None)))
                else:
                    found.append((regime.id, self.says(regime, locations, revoked)))
            for id_, wide in sorted(self.sanctioned.items()):
                found.append((f"event/{id_}", Said(f"event/{id_}" if self.enters(locations, wide) else None)))
            return found

        own = None
        processors: list[tuple[str, Here | Sink]] = [("here-not-allowed", self.law.bundle.here)]
        processors += [(f"sink-not-allowed:{name}", sink) for name, sink in sorted(self.law.bundle.sinks.items())]
        told = [(reason, heard(None, None, self.places.own(processor))) for reason, processor in processors]
        for position, (judge, _) in enumerate(told[0][1]):
            against = [reason for reason, said in told if said[position][1].against]
            if against and own is None:
                own = (against[0], judge)
        bases: dict[str, str] = {}
        refused: dict[str, str] = {}
        for region_id, region in self.law.regions.items():
            said = heard(region_id, region, self.places.locations(region))
            against = [one.against for _, one in said if one.against]
            if own is None:
                against += [f"event/{id_}" for id_ in self.events.refusing(region_id, region, asked)]
            else:
                against.append(f"{own[1]}/{own[0]}")
            if against:
                refused[region_id] = against[0]
            else:
                bases[region_id] = ",".join(basis for _, one in said for basis in one.bases)
        return bases, refused, own

    @staticmethod
    def enters(locations: list[Location], wide: Spots) -> bool:
        """Say whether any location may be among places; one that may be anywhere is, unless there are none."""
        return bool(wide) and any(location.spots is None or location.spots & wide for location in locations)

    def embargoes_on(self, codes: set[str]) -> list[str]:
        """Return what embargoes a subject at any of these codes, as it appears in reasons (rule 11)."""
        found = []
        for regime in self.forced:
            if regime.kind == "embargo" and any(self.about(self.events.embargoed(regime), code)[0] for code in codes):
                found.append(f"{regime.id}/embargo")
        for id_, wide in sorted(self.sanctioned.items()):
            if any(self.about(wide, code)[0] for code in codes):
                found.append(f"event/{id_}")
        return found

    def is_doubtful(self) -> bool:
        """Say whether a subdivision would matter and is not known (rule 10)."""
        wides = [(self.subject_of(regime), regime.kind == "embargo") for regime in self.forced]
        wides += [(wide, True) for wide in self.sanctioned.values()]
        wides += [(wide, False) for wide in self.events.named_subjects()]
        heard = {evidence.code for evidence in self.facts.evidence}
        return any(
            self.about(wide, code)[1]
            for wide, embargo in wides
            for code in (self.subjects | heard if embargo else self.subjects)
        )

    def answer(self) -> Answer:
        """Return the first reason that fits, in the order of the page (rule 12)."""
        facts, evidence = self.facts, self.law.bundle.evidence
        if any(self.places.of(piece.code) is None for piece in facts.evidence):
            effective = {piece.code for piece in self.believed}
            return self.told("evidence", "unknown-code", effective, doubt=False)
        heard = self.subjects | {piece.code for piece in facts.evidence}
        if embargoes := self.embargoes_on(heard):
            sanctions = tuple(one.removeprefix("event/") for one in embargoes if one.startswith("event/"))
            return self.forbidden("embargo", dict.fromkeys(self.law.regions, embargoes[0]), sanctions)
        if facts.missing:
            return self.told("evidence", f"evidence-required:{facts.missing}", self.subjects)
        if self.names - set(self.law.classes):
            return self.told("evidence", "unknown-class", self.subjects)
        if not self.placed and not self.treat_as:
            return self.told("evidence", "unknown-subject", self.subjects)
        if self.is_doubtful() and evidence.subdivision_unknown == "refuse":
            return self.told("evidence", "subdivision-unknown", self.subjects)
        uncovered = self.uncovered(self.subjects)
        if uncovered and self.refuses_uncovered:
            return self.forbidden("no-regime", dict.fromkeys(self.law.regions, "policy/no-regime"))
        bases, refused, own = self.judged(self.subjects)
        applying, asked = self.applying(self.subjects)
        own_places = [self.places.own(one) for one in (self.law.bundle.here, *self.law.bundle.sinks.values())]
        events = self.events.took_part(asked, applying, self.law.regions, own_places)
        if own is not None:
            return self.forbidden(own[0], refused, events)
        if uncovered:
            bases = {r: ",".join(filter(None, [basis, "policy/no-regime"])) for r, basis in bases.items()}
        bases = {r: basis or "unrestricted" for r, basis in bases.items()}
        ruling, reason = ("legal", "ok") if bases else ("forbidden", "no-legal-region")
        return self.told(ruling, reason, self.subjects, bases=bases, refused=refused, read=True, events=events)

    @property
    def refuses_uncovered(self) -> bool:
        return self.law.bundle.inline.no_regime == "refuse" and self.mode is not Mode.PERFORMANCE_FIRST

    def forbidden(self, reason: str, refused: Mapping[str, str], events: tuple[str, ...] = ()) -> Answer:
        return self.told("forbidden", reason, self.subjects, refused=refused, read=True, events=events)

    def told(
        self, ruling: str, reason: str, effective: set[str], *, bases: Mapping[str, str] | None = None,
        refused: Mapping[str, str] | None = None, doubt: bool | None = None, read: bool = False,
        events: tuple[str, ...] = (),
    ) -> Answer:  # fmt: skip
        legal = tuple(sorted(bases or {}))
        return Answer(
            ruling,
            reason,
            legal,
            tuple(sorted(effective)),
            self.applied() if read else (),
            bases or {},
            refused or {},
            self.conflict(set(legal)) if read else None,
            self.is_doubtful() if doubt is None else doubt,
            self.mode,
            self.stale,
            events,
        )

    def applied(self) -> tuple[str, ...]:
        """Return the regimes that apply; a doubtful word calls for embargoes alone."""
        heard = self.subjects | {piece.code for piece in self.facts.evidence}
        return tuple(
            regime.id
            for regime in self.forced
            if any(
                self.about(self.subject_of(regime), code)[0]
                for code in (heard if regime.kind == "embargo" else self.subjects)
            )
        )

    # --- conflicts

    def conflict(self, legal: set[str]) -> str | None:
        """Name the disagreement between sources that matters most (rule 25)."""
        said = {str(piece.source): piece.code for piece in self.believed}

        def apart(first: str, second: str) -> bool:
            if first not in said or second not in said:
                return False
            return not self.places.known(said[first]) & self.places.known(said[second])

        for first, second in (("token", "mtls"), ("token", "geoip"), ("mtls", "geoip")):
            if apart(first, second):
                return f"{first}-vs-{second}"
        for first, second in (("token", "header"), ("mtls", "header"), ("header", "geoip")):
            if apart(first, second):
                return "header-widen" if self.wished({said["header"]}) - legal else f"{first}-vs-{second}"
        return None

    def wished(self, subjects: set[str]) -> set[str]:
        """Return the regions that would be legal if the subject were where the header alone says."""
        if self.embargoes_on(subjects) or (self.refuses_uncovered and self.uncovered(subjects)):
            return set()
        bases, _, own = self.judged(subjects)
        return set(bases) if own is None else set()
