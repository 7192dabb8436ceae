"""Legal events over one compiled policy: which are in force at an instant, and what they change there.

A list read once takes effect at the right microsecond by itself, and replay of an old instant sees only what was known
then. With ε the list's `clock_error_us`, an event is in force

    narrowing   from max(effective_from, recorded_at) − ε until effective_until + ε
    widening    from max(effective_from, recorded_at, second approval) + ε until effective_until − ε

and never if it became known after it had ended. Between two such instants nothing changes: the `Effects` of each
interval are worked out once, when first asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from borderpost.policy import canonical, check, codes
from borderpost.policy.catalogue import Catalogue, Territory
from borderpost.policy.check import Vocabulary
from borderpost.policy.compile import CompiledPolicy
from borderpost.policy.effects import Condition, Effects, Sanction
from borderpost.policy.event_schema import SIGNATURES_TO_WIDEN, EventsFile, LegalEvent
from borderpost.policy.fields import to_us
from borderpost.policy.model import Facts
from borderpost.policy.places import Places, group_cells
from borderpost.policy.regimes import NEVER_US, classes_mask
from borderpost_base import limits
from borderpost_base.strict import YamlDocument, validate

EventsAsked = tuple[int, tuple[str, ...]]
"""Which events' conditions on tenant and model a request may meet, and its places as events tell them apart."""


@dataclass(frozen=True, slots=True)
class EventList:
    """The events that hold here, as one value with one digest."""

    file: EventsFile = field(default_factory=EventsFile)
    """The list's content."""

    @property
    def events(self) -> tuple[LegalEvent, ...]:
        """Return the events, in the order in which they became known."""
        return self.file.events

    def canonical(self) -> bytes:
        """Return the list's one form in bytes (RFC 8785 profile)."""
        return canonical.canonical_bytes(self.file)

    @property
    def digest(self) -> str:
        """Return `sha256:<hex>` of the canonical bytes."""
        return canonical.digest_of(self.canonical())

    def in_force(self, now_us: int) -> tuple[str, ...]:
        """Return the ids of the events in force at an instant that no other event has ended, sorted, drills too."""
        error_us = self.file.clock_error_us
        found = {event.id: event for event in self.events if _is_within(now_us, window_of(event, error_us))}
        return tuple(sorted(found.keys() - {event.ends for event in found.values()}))

    @staticmethod
    def from_canonical(raw: bytes) -> EventList:
        """Read a list back. Raises BorderpostError BP0215 if the bytes are not exactly a canonical list."""
        return EventList(canonical.from_canonical(EventsFile, raw))


class _Dated(NamedTuple):
    """An event with the window in which it is in force."""

    start_us: int
    end_us: int
    bit: int
    """The event's bit in masks of events: its place in the list."""
    event: LegalEvent


class CompiledEvents:
    """What legal events change in one policy, at any instant. Its memo never changes an answer."""

    __slots__ = (
        "_dated",
        "_effects",
        "_models",
        "_numbers",
        "_tenants",
        "boundaries",
        "catalogue",
        "counted",
        "places",
        "policy",
        "territory",
    )

    def __init__(self, events: EventList, policy: CompiledPolicy, drills: bool) -> None:
        self.policy = policy
        """The policy that they are about."""
        self.counted = counted = tuple(event for event in events.events if drills or event.mode == "enforce")
        """The events that count here, drills among them only where they were asked for."""
        self._numbers = {event.id: 1 << number for number, event in enumerate(counted)}
        self.places, self.territory, self.catalogue = _ground(policy, counted)  # cut finer where events name more
        self._dated: list[_Dated] = []
        for event in counted:
            start_us, end_us = window_of(event, events.file.clock_error_us)
            if start_us < end_us:
                self._dated.append(_Dated(start_us, end_us, self._numbers[event.id], event))
        dates = {at for dated in self._dated for at in (dated.start_us, dated.end_us) if abs(at) < NEVER_US}
        self.boundaries = (*sorted(dates), NEVER_US)
        """Every instant at which an event begins or ends to be in force, microseconds since 1970, and NEVER_US."""
        self._effects: dict[int, Effects] = {}
        self._tenants = _by_name((dated.bit, dated.event.scope.tenants) for dated in self._dated)
        self._models = _by_name((dated.bit, dated.event.scope.models) for dated in self._dated)

    def at(self, now_us: int) -> tuple[Effects, int]:
        """Return what is changed at an instant, and when that changes next (NEVER_US: never)."""
        interval = bisect_right(self.boundaries, now_us)
        effects = self._effects.get(interval)
        if effects is None:
            if len(self._effects) >= limits.REMEMBERED_INTERVALS_MAX:
                self._effects.clear()  # costs time and never an answer
            effects = self._effects[interval] = self._made([d for d in self._dated if d.start_us <= now_us < d.end_us])
        return effects, self.boundaries[interval]

    def prepare(self, now_us: int) -> None:
        """Work out what holds now and what holds next, for whoever asks then and cannot wait.

        With many events in force that takes as long as many decisions. Any thread may do it.
        """
        _, following = self.at(now_us)
        if following < NEVER_US:
            self.at(following)

    def is_prepared(self, now_us: int) -> bool:
        """Return whether what holds now and what holds next has been worked out."""
        interval = bisect_right(self.boundaries, now_us)
        last = self.boundaries[interval] == NEVER_US
        return interval in self._effects and (last or interval + 1 in self._effects)

    def in_force(self, now_us: int) -> tuple[str, ...]:
        """Return the ids of the events in force at an instant that no other event has ended, sorted."""
        return tuple(self.at(now_us)[0].bits)

    def changed_between(self, before_us: int, now_us: int) -> list[str]:
        """Return the ids of events that took effect or ended in (before, now]."""
        if bisect_right(self.boundaries, before_us) == bisect_right(self.boundaries, now_us):
            return []  # as nearly always, and asked once a batch
        return [
            dated.event.id
            for dated in self._dated
            if before_us < dated.start_us <= now_us or before_us < dated.end_us <= now_us
        ]

    def asked(self, facts: Facts) -> EventsAsked:
        """Return all of the facts that events can depend on beside what the policy asks (`CompiledPolicy.asked`)."""
        keys: tuple[str, ...] = ()
        if self.places is not self.policy.places:
            found = [(evidence.code, self.places.find(evidence.code)) for evidence in facts.evidence]
            keys = tuple([code if place is None else place.key for code, place in found])
        return self.party(facts), keys

    def party(self, facts: Facts) -> int:
        """Return the events whose conditions on tenant and model may hold; what is not known may be anything."""
        mask = -1
        if facts.tenant is not None:
            mask &= ~(self._tenants[None] & ~self._tenants.get(facts.tenant, 0))
        if self.policy.trust_model and facts.model is not None:
            mask &= ~(self._models[None] & ~self._models.get(facts.model, 0))
        return mask

    def _made(self, active: Sequence[_Dated]) -> Effects:
        """Work out the effects of the events whose windows an instant is in."""
        ids = {dated.event.id: dated.bit for dated in active}
        lifted = sum({ids[dated.event.ends] for dated in active if dated.event.ends in ids})
        active = [dated for dated in active if not dated.bit & lifted]
        effects = Effects({dated.event.id: dated.bit for dated in active}, self.policy.treatment)
        self._add_sanctions(effects, active)
        active.sort(key=lambda dated: dated.event.id)
        self._add_grants(effects, active)
        restorations = [dated for dated in active if dated.event.type == "region_restore"]
        for dated in active:
            event = dated.event
            if event.type in ("region_suspend", "injunction", "regulator_order", "adequacy_revoke"):
                self._add_narrowing(effects, dated, restorations)
            elif event.counter is not None and event.count is not None:
                for regime in self.policy.regimes:
                    if event.counter in regime.counters:
                        effects.reached.setdefault(regime.bit, []).append((dated.bit, event.counter, event.count))
        effects.close()
        return effects

    def _add_grants(self, effects: Effects, active: Sequence[_Dated]) -> None:
        """Add the bases that events give."""
        for dated in active:
            event = dated.event
            if event.type == "adequacy_grant":
                locations = self.catalogue.inside_cells(self.cells(event.scope.countries, widens=True))
                for regime in self.policy.named(self._regimes(event.scope.regimes) & ~self.policy.embargoes):
                    granted = (dated.bit, f"{regime.id}/{event.basis}", locations)
                    effects.granted.setdefault(regime.bit, []).append(granted)

    def _add_sanctions(self, effects: Effects, active: Sequence[_Dated]) -> None:
        """Add what sanctions hit, less what a later lifting of sanctions takes out."""
        lifted = 0
        lifted_of: dict[int, int] = {}
        for dated in reversed(active):
            event = dated.event
            if event.type == "sanctions_lift":
                cells = self.cells(event.scope.subjects, widens=True)
                regimes = self._regimes(event.scope.regimes) if event.scope.regimes else self.policy.embargoes
                for regime in self.policy.named(regimes & self.policy.embargoes):
                    lifted_of[regime.bit] = lifted_of.get(regime.bit, 0) | cells
                lifted |= 0 if event.scope.regimes else cells
            elif event.type == "sanctions_add":
                cells = self.cells(event.scope.subjects, widens=False) & ~lifted
                if cells:
                    hit = self.catalogue.processors_hit(cells)
                    effects.sanctions.append(Sanction(dated.bit, cells, hit, f"event/{event.id}"))
        effects.sanctions.sort(key=lambda sanction: sanction.label)
        for regime_bit, cells in lifted_of.items():
            (regime,) = self.policy.named(regime_bit)
            left = self.territory.cells(regime.subject_refs) & ~cells
            effects.remaining[regime_bit] = left
            effects.embargoed[regime_bit] = self.catalogue.processors_hit(left)

    def _add_narrowing(self, effects: Effects, dated: _Dated, restorations: Sequence[_Dated]) -> None:
        """Add regions that an event refuses, or the bases that it takes away, for the requests that it concerns."""
        event, scope, policy = dated.event, dated.event.scope, self.policy
        if scope.subjects or scope.data or scope.tenants or scope.models or (scope.regimes and not scope.bases):
            known = (name for name in scope.data if name in policy.own_bits)
            effects.conditions.append(
                Condition(
                    dated.bit,
                    self.cells(scope.subjects, widens=False) if scope.subjects else None,
                    classes_mask(known, policy.own_bits) if scope.data else None,
                    self._regimes(scope.regimes) if scope.regimes and not scope.bases else None,
                )
            )
        if not scope.bases:
            refused = self.processors(event) & policy.index.everyone
            if event.type == "region_suspend":
                refused &= ~self._restored_after(dated, restorations)
            effects.refusals.append((dated.bit, refused, f"event/{event.id}"))
            return
        locations = self.locations(event)
        wanted = self._regimes(scope.regimes) if scope.regimes else -1
        for basis in sorted(set(scope.bases)):
            given = set(policy.given.get(basis, ()))
            for regime_bit, grants in effects.granted.items():
                given |= {(regime_bit, label) for _, label, _ in grants if label.partition("/")[2] == basis}
            for regime_bit, label in sorted(given):
                if regime_bit & wanted:
                    effects.revoked.setdefault(regime_bit, []).append((dated.bit, label, locations))

    def _restored_after(self, suspension: _Dated, restorations: Sequence[_Dated]) -> int:
        """Return the regions that a later event has restored."""
        bits = self.policy.index.bits
        later = (restoration.event.scope.regions for restoration in restorations if restoration.bit > suspension.bit)
        return sum(bits.get(region_id, 0) for region_id in {region_id for regions in later for region_id in regions})

    def processors(self, event: LegalEvent) -> int:
        """Return the regions that an event's scope means, and `here` and the sinks unless it names regions."""
        index, scope = self.policy.index, event.scope
        named = sum(index.bits.get(region_id, 0) for region_id in set(scope.regions))
        mask = named if scope.regions else self.policy.everyone
        if scope.countries:
            mask &= self.catalogue.processors_hit(self.cells(scope.countries, widens=False))
        if scope.operators:
            mask &= self.catalogue.operated_by(scope.operators)
        return mask

    def locations(self, event: LegalEvent) -> int:
        """Return the locations for which an event takes a basis away."""
        scope = event.scope
        if scope.countries and not (scope.regions or scope.operators):
            return self.catalogue.hit_cells(self.cells(scope.countries, widens=False))
        return self.catalogue.everywhere(self.processors(event))

    def cells(self, refs: Iterable[str], *, widens: bool) -> int:
        """Return the cells of codes and groups; of a group that policy does not know, the narrower reading."""
        known = self.territory.groups
        mask = 0
        for ref in refs:
            if ref == "*" or codes.is_code(ref) or ref in known:
                mask |= self.territory.cells((ref,))
            elif not widens:
                return self.places.everywhere
        return mask

    def _regimes(self, ids: Iterable[str]) -> int:
        wanted = frozenset(ids)
        return sum(regime.bit for regime in self.policy.regimes if regime.id in wanted)


def compile_events(events: EventList, policy: CompiledPolicy, *, drills: bool = False) -> CompiledEvents:
    """Compile a list over a policy; with `drills` those count too that are for shadow only.

    Never fails for what the policy does not have: a list may be shared by gateways that differ. A region, regime or
    class that is not here concerns nobody here; a group that is not here is read in the restrictive direction.
    """
    return CompiledEvents(events, policy, drills)


def read_events(document: YamlDocument, regions: Iterable[str], known: Vocabulary | None = None) -> EventList:
    """Validate a plain events file. Raises Problems, each with its line; names that are not configured are some."""
    events = EventList(validate(EventsFile, document))
    check.raise_found(check.check_events(events.events, regions, known), document)
    return events


def window_of(event: LegalEvent, clock_error_us: int) -> tuple[int, int]:
    """Return the window in which an event is in force, microseconds since 1970; an empty one if it never is."""
    start = max(to_us(event.effective_from), to_us(event.recorded_at))
    end = to_us(event.effective_until) if event.effective_until else NEVER_US
    if event.widens:
        second = _second_approval(event)
        start = NEVER_US if second is None else max(start, second)
        if end <= start:
            return NEVER_US, NEVER_US
        return start + clock_error_us, end if end == NEVER_US else end - clock_error_us
    if end <= start:
        return NEVER_US, NEVER_US  # it became known after it had ended
    return start - clock_error_us, end if end == NEVER_US else end + clock_error_us


def _is_within(now_us: int, window_us: tuple[int, int]) -> bool:
    return window_us[0] <= now_us < window_us[1]


def _second_approval(event: LegalEvent) -> int | None:
    """Return when the second signer's approval became known; None while there is none."""
    signers: set[str] = set()
    keys: set[str] = set()
    for approval in sorted(event.approvals, key=lambda approval: approval.at):
        if approval.by not in signers and approval.key not in keys:
            signers.add(approval.by)
            keys.add(approval.key)
            if len(signers) == SIGNATURES_TO_WIDEN:
                return to_us(approval.at)
    return None


def _by_name(named: Iterable[tuple[int, tuple[str, ...]]]) -> dict[str | None, int]:
    """Return the events that name something, by what they name; under None those that name anything."""
    found: dict[str | None, int] = {None: 0}
    for bit, names in named:
        for name in names:
            found[None] |= bit
            found[name] = found.get(name, 0) | bit
    return found


def _ground(policy: CompiledPolicy, events: Sequence[LegalEvent]) -> tuple[Places, Territory, Catalogue]:
    """Return the ground to read events on: the policy's, cut finer where they name what no rule does."""
    named = {ref for event in events for ref in (*event.scope.subjects, *event.scope.countries) if codes.is_code(ref)}
    if all(map(policy.places.is_cut, named)):
        return policy.places, policy.territory, policy.catalogue
    places = Places([*policy.mentioned, *sorted(named)])
    territory = Territory(places, group_cells(policy.bundle.vocabulary.groups, places))
    catalogue = Catalogue(policy.index, policy.bundle.here, policy.bundle.sinks, policy.specs, territory)
    return places, territory, catalogue
