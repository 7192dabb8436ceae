"""Legal events by the rules of docs/reference/policy.md, read one by one at an instant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from borderpost.policy.event_schema import EventsFile, LegalEvent
from borderpost.policy.pack import Regime
from borderpost.policy.schema import RegionSpec
from support.naive_places import Location, NaivePlaces, Spots


@dataclass(frozen=True)
class Asked:
    """What of a request the scope of an event may name."""

    subjects: frozenset[str]
    """Codes that count."""
    about: Callable[[Spots, str], bool]
    """Whether a subject at a code is taken to be among places."""
    classes: frozenset[str]
    """With all that they imply."""
    model: str | None
    """As far as it is known by trusted means."""
    tenant: str | None
    applying: frozenset[str]
    """Ids of the regimes that apply."""


class NaiveEvents:
    """The events of one list that are in force at one instant (rules 21 to 24)."""

    def __init__(self, file: EventsFile, places: NaivePlaces, now: datetime, *, drills: bool) -> None:
        self._places = places
        self._clock_error = timedelta(microseconds=file.clock_error_us)
        listed = [event for event in file.events if drills or event.mode == "enforce"]
        self._standing = [(number, event) for number, event in enumerate(listed) if self._holds(event, now)]
        lifted = {event.ends for _, event in self._standing if event.type == "lift"}
        self._standing = [(number, event) for number, event in self._standing if event.id not in lifted]

    def _holds(self, event: LegalEvent, now: datetime) -> bool:
        start, error = max(event.effective_from, event.recorded_at), self._clock_error
        if event.effective_until is not None and event.effective_until <= start:
            return False  # it became known after it had ended
        if event.type not in ("lift", "region_restore", "sanctions_lift", "adequacy_grant"):
            return start - error <= now and (event.effective_until is None or now < event.effective_until + error)
        approvals = sorted(event.approvals, key=lambda approval: approval.at)
        others = [one.at for one in approvals if one.by != approvals[0].by and one.key != approvals[0].key]
        if not others or now < max(start, others[0]) + error:
            return False
        return event.effective_until is None or now < event.effective_until - error

    def _of(self, *types: str) -> list[tuple[int, LegalEvent]]:
        return [(number, event) for number, event in self._standing if event.type in types]

    # --- embargoes

    def sanctioned(self) -> dict[str, Spots]:
        """Return the places that each sanctions event embargoes, less those lifted by a later one."""
        found = {}
        for number, event in self._of("sanctions_add"):
            later = (lift for at, lift in self._of("sanctions_lift") if at > number and not lift.scope.regimes)
            found[event.id] = self._places.refs(event.scope.subjects).difference(
                *(self._places.refs(lift.scope.subjects) for lift in later)
            )
        return found

    def embargoed(self, regime: Regime) -> Spots:
        """Return the places of an embargo regime, less those lifted."""
        lifts = [
            lift for _, lift in self._of("sanctions_lift") if not lift.scope.regimes or regime.id in lift.scope.regimes
        ]
        mine = self._places.refs(regime.applies_when.subject_in)
        return mine.difference(*(self._places.refs(lift.scope.subjects) for lift in lifts))

    def named_subjects(self) -> list[Spots]:
        """Return the places that events about some requests name as their subjects'."""
        events = self._of("injunction", "regulator_order")
        return [self._places.refs(event.scope.subjects) for _, event in events if event.scope.subjects]

    # --- destinations

    def refusing(self, region_id: str, region: RegionSpec, asked: Asked) -> list[str]:
        """Return the ids of the events that refuse a region for a request, sorted."""
        found = set()
        for number, event in self._of("region_suspend"):
            restored = {id_ for at, other in self._of("region_restore") if at > number for id_ in other.scope.regions}
            if region_id in set(event.scope.regions) - restored:
                found.add(event.id)
        for _, event in self._of("injunction", "regulator_order"):
            there = self._is_there(event, region_id, region, self._places.locations(region))
            if not event.scope.bases and there and self._is_meant(event, asked):
                found.add(event.id)
        return sorted(found)

    def revoked(
        self, region_id: str | None, region: RegionSpec | None, locations: list[Location], asked: Asked
    ) -> set[tuple[str, str, int]]:
        """Return what no longer counts for a processor: regime ("*" for every one), basis, number of the location."""
        found: set[tuple[str, str, int]] = set()
        for _, event in self._of("adequacy_revoke", "injunction", "regulator_order"):
            scope = event.scope
            if self._is_there(event, region_id, region, locations) and self._is_meant(event, asked):
                there = list(range(len(locations)))
                if scope.countries and not scope.regions and not scope.operators:
                    there = [at for at in there if self._enters(locations[at], self._places.refs(scope.countries))]
                found |= {(id_, basis, at) for id_ in scope.regimes or ("*",) for basis in scope.bases for at in there}
        return found

    def granted(self, regime: str) -> list[tuple[str, Spots]]:
        """Return the bases that events give to a regime, each with the countries where it holds."""
        return [
            (event.basis or "", self._places.refs(event.scope.countries))
            for _, event in self._of("adequacy_grant")
            if regime in event.scope.regimes
        ]

    def reached(self, counter: str, count: int) -> bool:
        """Say whether a counter has reached a count."""
        return any(e.counter == counter and (e.count or 0) >= count for _, e in self._of("threshold_reached"))

    def took_part(
        self, asked: Asked, applying: list[Regime], regions: Mapping[str, RegionSpec], own: list[list[Location]]
    ) -> tuple[str, ...]:
        """Return the ids of the events that refuse some processor or change what a regime that applies says."""
        found = {id_ for region_id, region in regions.items() for id_ in self.refusing(region_id, region, asked)}
        processors = [*own, *(self._places.locations(region) for region in regions.values())]
        for id_, wide in self.sanctioned().items():
            if any(self._enters(location, wide) for locations in processors for location in locations):
                found.add(id_)
        grants = self._of("adequacy_grant")
        for _, event in self._of("adequacy_revoke", "injunction", "regulator_order", "adequacy_grant"):
            meant = event.type == "adequacy_grant" or self._is_meant(event, asked)
            for regime in applying:
                given = {regime.basis, *(entry.basis for entry in regime.allow)}
                given |= {grant.basis for _, grant in grants if regime.id in grant.scope.regimes}
                named = not event.scope.regimes or regime.id in event.scope.regimes
                changes = event.type == "adequacy_grant" or given & set(event.scope.bases)
                if meant and named and changes and regime.kind == "transfer":
                    found.add(event.id)
        for _, event in self._of("threshold_reached"):
            if any(counter.id == event.counter for regime in applying for counter in regime.counters):
                found.add(event.id)
        return tuple(sorted(found))

    def _is_there(
        self, event: LegalEvent, region_id: str | None, region: RegionSpec | None, locations: list[Location]
    ) -> bool:
        scope = event.scope
        if scope.regions and region_id not in scope.regions:
            return False
        if scope.countries:
            wide = self._places.refs(scope.countries)
            if not any(self._enters(location, wide) for location in locations):
                return False
        if not scope.operators:
            return True
        processor = region or locations[0].operated
        return processor.operator.entity is None or processor.operator.entity in scope.operators

    @staticmethod
    def _enters(location: Location, wide: Spots) -> bool:
        return bool(wide) and (location.spots is None or bool(location.spots & wide))

    def _is_meant(self, event: LegalEvent, asked: Asked) -> bool:
        scope = event.scope
        if event.type == "adequacy_revoke":
            return True
        if scope.subjects:
            wide = self._places.refs(scope.subjects)
            if not any(asked.about(wide, code) for code in asked.subjects):
                return False
        return (
            _meets(scope.data, asked.classes)
            and _meets(scope.regimes, asked.applying)
            and _meets(scope.models, asked.model)
            and _meets(scope.tenants, asked.tenant)
        )


def _meets(named: Iterable[str], known: frozenset[str] | str | None) -> bool:
    """Say whether a part of a scope holds; a part that is not given, and a value that is not known, always do."""
    named = set(named)
    if not named or known is None:
        return True
    return not named.isdisjoint({known} if isinstance(known, str) else known)
