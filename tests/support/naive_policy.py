"""A second reading of the rules: slow, without masks, memos or compilation, written from the rule text.

It exists to disagree with `borderpost.policy.decide` where that is wrong. Places are sets of smallest places
("spots"): a country's spots are every pairing of a subdivision that anybody mentions (or none of them) with a
jurisdiction that anybody mentions (or none of them).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any

from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.codes import COUNTRIES, OWN_CODE
from borderpost.policy.model import Facts
from borderpost.policy.pack import Group, Regime, Require
from borderpost.policy.event_schema import EventsFile
from borderpost.policy.schema import Processor, RegionSpec, TreatAs

Spot = tuple[str, str, str]
"""Country, subdivision's suffix or "", jurisdiction's suffix or ""."""


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


class NaivePolicy:
    """One bundle, catalogue and event list, read anew for every question."""

    def __init__(self, bundle: PolicyBundle, regions: Mapping[str, RegionSpec], events: EventsFile) -> None:
        self.bundle = bundle
        self.regions = regions
        self.events = events
        self.groups: dict[str, Group] = {}
        self.classes: dict[str, Any] = {}
        self.regimes: list[Regime] = []
        for part in (*bundle.packs, bundle.inline):
            self.groups.update(part.groups)
            self.classes.update(part.data_classes)
            self.regimes.extend(part.regimes)
        self.regimes.sort(key=lambda regime: regime.id)
        self.suffixes: set[tuple[str, str]] = set()
        self._note(bundle.model_dump(mode="json"))
        for region in regions.values():
            self._note(region.model_dump(mode="json"))

    def _note(self, data: Any) -> None:
        """Collect everything that looks like a code with a suffix, wherever it stands."""
        if isinstance(data, dict):
            for value in data.values():
                self._note(value)
        elif isinstance(data, list):
            for value in data:
                self._note(value)
        elif isinstance(data, str) and data[:2] in COUNTRIES and data[2:3] == "-" and data not in OWN_CODE:
            self.suffixes.add((data[:2], data[3:]))

    # --- places

    def spots(self, code: str) -> list[Spot] | None:
        code = OWN_CODE.get(code, code)
        country, _, suffix = code.partition("-")
        if country not in COUNTRIES or not re.fullmatch("[A-Z]{2}(-[A-Z0-9]{1,8})?", code):
            return None
        mine = [s for c, s in sorted(self.suffixes) if c == country]
        subdivisions = ["", *(s for s in mine if len(s) <= 3)]
        jurisdictions = ["", *(s for s in mine if len(s) > 3)]
        if suffix and len(suffix) <= 3:
            subdivisions = [suffix if suffix in subdivisions else ""]
        elif suffix:
            jurisdictions = [suffix if suffix in jurisdictions else ""]
        return list(product([country], subdivisions, jurisdictions))

    def in_code(self, spot: Spot, code: str) -> bool:
        country, _, suffix = code.partition("-")
        return spot[0] == country and (not suffix or suffix in spot[1:])

    def in_group(self, spot: Spot, name: str) -> bool:
        group = self.groups[name]
        if isinstance(group, tuple):
            return any(self.in_code(spot, code) for code in group)
        among = any(self.in_group(spot, part) for part in group.all_of)
        among = among or any(self.in_code(spot, code) for code in group.plus)
        return among and not any(self.in_code(spot, code) for code in group.minus)

    def in_refs(self, spot: Spot, refs: tuple[str, ...]) -> bool:
        return any(
            ref == "*" or (self.in_group(spot, ref) if ref in self.groups else self.in_code(spot, ref)) for ref in refs
        )

    def processor_spots(self, processor: Processor) -> list[Spot] | None:
        """None: anywhere."""
        if isinstance(processor, RegionSpec):
            if processor.processing_scope == "global":
                return None
            if processor.zone:
                everywhere = [spot for country in COUNTRIES for spot in self.spots(country) or ()]
                zone = [spot for spot in everywhere if self.in_group(spot, processor.zone)]
                return zone + (self.spots(processor.place) or [])
        return self.spots(processor.place)

    # --- classes

    def closure(self, names: set[str]) -> set[str]:
        closed = {name for name in names if name in self.classes}
        while more := {i for name in closed for i in self.classes[name].implies} - closed:
            closed |= more
        return closed

    # --- regimes

    def about(self, regime: Regime, spots: list[Spot]) -> tuple[bool, bool]:
        """Return whether a regime is taken to be about a subject there, and whether that is in doubt."""
        inside = [self.in_refs(spot, regime.applies_when.subject_in) for spot in spots]
        if all(inside):
            return True, False
        if not any(inside):
            return False, False
        treatment = self.bundle.evidence.subdivision_unknown
        if treatment == "strictest":
            return True, True
        if treatment == "refuse":
            return False, True
        # country-only: the subject is in none of the parts that its own code does not name
        own_subdivision = len({spot[1] for spot in spots}) == 1
        own_jurisdiction = len({spot[2] for spot in spots}) == 1
        plain = (spots[0][0], spots[0][1] if own_subdivision else "", spots[0][2] if own_jurisdiction else "")
        return self.in_refs(plain, regime.applies_when.subject_in), True

    def in_force(self, regime: Regime, facts: Facts, names: set[str], now: datetime) -> bool:
        when = regime.applies_when
        if regime.from_ and now < regime.from_:
            return False
        if regime.until and now >= regime.until:
            return False
        if "*" not in when.data and not self.closure(names) & set(when.data):
            return False
        if when.tenant and facts.tenant is not None and facts.tenant not in when.tenant:
            return False
        model = facts.model if self.bundle.evidence.trust_model_header else None
        return not (when.model and model is not None and model not in when.model)

    @staticmethod
    def brings(processor: Processor, require: Require) -> bool:
        if require.operator_certified and require.operator_certified not in processor.operator.certifications:
            return False
        if require.contract and require.contract not in processor.contracts:
            return False
        return not require.tia or processor.tia == "approved"

    def says(
        self, regime: Regime, processor: Processor, names: set[str], now: datetime
    ) -> tuple[str | None, list[str]]:
        """Return why a regime refuses a processor (None: it does not), and the bases that it names."""
        spots = self.processor_spots(processor)
        closed = self.closure(names)
        if regime.kind == "embargo":
            hit = spots is None or any(self.in_refs(spot, regime.applies_when.subject_in) for spot in spots)
            return (f"{regime.id}/embargo" if hit else None), []
        denials, bases = set(), set()
        for deny in regime.deny:
            current = (not deny.from_ or deny.from_ <= now) and (not deny.until or now < deny.until)
            about = "*" in deny.data or closed & set(deny.data)
            hit = spots is None or any(self.in_refs(spot, deny.to) for spot in spots)
            if current and about and hit and not (deny.unless and self.brings(processor, deny.unless)):
                denials.add(f"{regime.id}/{deny.basis}")
        for allow in regime.allow:
            current = (not allow.from_ or allow.from_ <= now) and (not allow.until or now < allow.until)
            inside = spots is not None and all(self.in_refs(spot, allow.to) for spot in spots)
            if not current or not inside or closed & set(allow.except_data):
                continue
            if allow.require is None or self.brings(processor, allow.require):
                bases.add(f"{regime.id}/{allow.basis}")
        if regime.basis:
            bases.add(f"{regime.id}/{regime.basis}")
        if denials:
            return min(denials), sorted(bases)
        if regime.default == "deny" and not bases:
            return f"{regime.id}/no-basis", []
        return None, sorted(bases)

    # --- the question

    def decide(self, facts: Facts, now: datetime) -> Answer:
        evidence_codes = [evidence.code for evidence in facts.evidence]
        if any(self.spots(code) is None for code in evidence_codes):
            return self.unread("unknown-code", evidence_codes, False)
        placed = any(evidence.source in ("token", "mtls", "geoip") for evidence in facts.evidence)
        unknown = self.bundle.evidence.unknown
        treat_as = list(unknown.treat_as) if not placed and isinstance(unknown, TreatAs) else []
        subjects = sorted({*evidence_codes, *treat_as})
        names = set(facts.classes)
        forced = [regime for regime in self.regimes if self.in_force(regime, facts, names, now)]
        views = {(code, r.id): self.about(r, self.spots(code) or []) for code in subjects for r in forced}
        doubt = any(doubtful for _, doubtful in views.values())
        applying = [r for r in forced if any(views[code, r.id][0] for code in subjects)]
        ids = tuple(r.id for r in applying)
        embargo = next((r for r in applying if r.kind == "embargo"), None)

        def forbidden(reason: str, refused: Mapping[str, str]) -> Answer:
            conflict = self.conflict(facts, now, set())
            return Answer("forbidden", reason, (), tuple(subjects), ids, {}, refused, conflict, doubt)

        if embargo is not None:
            return forbidden("embargo", dict.fromkeys(self.regions, f"{embargo.id}/embargo"))
        if facts.missing:
            return self.unread(f"evidence-required:{facts.missing}", subjects, doubt)
        if names - set(self.classes):
            return self.unread("unknown-class", subjects, doubt)
        if not placed and not treat_as:
            return self.unread("unknown-subject", subjects, doubt)
        if doubt and self.bundle.evidence.subdivision_unknown == "refuse":
            return self.unread("subdivision-unknown", subjects, doubt)
        uncovered = self.uncovered(subjects, facts, now)
        if uncovered and self.bundle.inline.no_regime == "refuse":
            return forbidden("no-regime", dict.fromkeys(self.regions, "policy/no-regime"))
        legal, bases, refused, here = self.destinations(subjects, facts, now)
        if here is not None:
            unsuspended = {r: why for r, why in refused.items() if not why.startswith("event/")}
            return forbidden(
                "here-not-allowed", {r: unsuspended.get(r, f"{here}/here-not-allowed") for r in self.regions}
            )
        if uncovered:
            bases = {r: ",".join(filter(None, [basis, "policy/no-regime"])) for r, basis in bases.items()}
        bases = {r: basis or "unrestricted" for r, basis in bases.items()}
        conflict = self.conflict(facts, now, legal)
        ruling, reason = ("legal", "ok") if legal else ("forbidden", "no-legal-region")
        return Answer(ruling, reason, tuple(sorted(legal)), tuple(subjects), ids, bases, refused, conflict, doubt)

    def destinations(
        self, subjects: list[str], facts: Facts, now: datetime
    ) -> tuple[set[str], dict[str, str], dict[str, str], str | None]:
        """Return legal regions, their bases, reasons against the rest, and the regime that refuses `here`."""
        names = set(facts.classes)
        forced = [regime for regime in self.regimes if self.in_force(regime, facts, names, now)]
        judges = [
            regime
            for regime in forced
            if regime.kind == "embargo" or any(self.about(regime, self.spots(code) or [])[0] for code in subjects)
        ]
        bases: dict[str, str] = {}
        refused: dict[str, str] = {}
        for region_id, region in self.regions.items():
            said = [self.says(regime, region, names, now) for regime in judges]
            against = [why for why, _ in said if why]
            against += [f"event/{id_}" for id_ in self.suspended(region_id, now)]
            if against:
                refused[region_id] = against[0]
            else:
                bases[region_id] = ",".join(basis for _, named in said for basis in named)
        here = next((r.id for r in judges if self.says(r, self.bundle.here, names, now)[0]), None)
        return set(bases), bases, refused, here

    def suspended(self, region_id: str, now: datetime) -> list[str]:
        return sorted(
            event.id
            for event in self.events.events
            if region_id in event.scope.regions
            and event.effective_from <= now
            and (event.effective_until is None or now < event.effective_until)
            and event.recorded_at <= now
        )

    def uncovered(self, subjects: list[str], facts: Facts, now: datetime) -> bool:
        for code in subjects:
            for name in facts.classes:
                if self.classes[name].rank == 0:
                    continue
                laws = [
                    regime
                    for regime in self.regimes
                    if regime.kind == "transfer"
                    and (regime.default == "deny" or regime.basis)
                    and self.in_force(regime, facts, set(facts.classes), now)
                    and ("*" in regime.applies_when.data or self.closure({name}) & set(regime.applies_when.data))
                    and self.about(regime, self.spots(code) or [])[0]
                ]
                if not laws:
                    return True
        return False

    def conflict(self, facts: Facts, now: datetime, legal: set[str]) -> str | None:
        said = {str(evidence.source): evidence.code for evidence in facts.evidence}

        def apart(first: str, second: str) -> bool:
            if first not in said or second not in said:
                return False
            return not set(self.spots(said[first]) or ()) & set(self.spots(said[second]) or ())

        for first, second in (("token", "mtls"), ("token", "geoip"), ("mtls", "geoip")):
            if apart(first, second):
                return f"{first}-vs-{second}"
        for first, second in (("token", "header"), ("mtls", "header"), ("header", "geoip")):
            if apart(first, second):
                return "header-widen" if self.wished(said["header"], facts, now) - legal else f"{first}-vs-{second}"
        return None

    def wished(self, code: str, facts: Facts, now: datetime) -> set[str]:
        """Return the regions that would be legal if the subject were where the header says."""
        names = {name for name in facts.classes if name in self.classes}
        facts = Facts(facts.evidence, tuple(sorted(names)), facts.tenant, facts.model)
        for regime in self.regimes:
            embargo = regime.kind == "embargo" and self.in_force(regime, facts, names, now)
            if embargo and self.about(regime, self.spots(code) or [])[0]:
                return set()
        if self.bundle.inline.no_regime == "refuse" and self.uncovered([code], facts, now):
            return set()
        legal, _, _, here = self.destinations([code], facts, now)
        return legal if here is None else set()

    @staticmethod
    def unread(reason: str, codes: list[str], doubt: bool) -> Answer:
        return Answer("evidence", reason, (), tuple(sorted(set(codes))), (), {}, {}, None, doubt)
