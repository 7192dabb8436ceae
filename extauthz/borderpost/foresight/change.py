"""What is supposed to change: things lost, legal events, stale events; and the scenario that this makes of another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, NamedTuple

from borderpost.foresight.losses import Loss, lost_with
from borderpost.foresight.scenario import Scenario
from borderpost.policy.event_schema import EventScope, LegalEvent
from borderpost.policy.fields import EPOCH
from borderpost_base.errors import BorderpostError, Place

SUPPOSED_PREFIX: Final = "supposed-"
"""Begins the id of an event that stands for the loss of a basis."""


class Basis(NamedTuple):
    """A legal basis that no longer allows anything."""

    regime: str
    name: str

    def __str__(self) -> str:
        return f"the basis {self.regime}/{self.name}"


class Staleness(NamedTuple):
    """The list of legal events is older than allowed, so that no revocable basis counts."""

    what: Literal["events"] = "events"

    def __str__(self) -> str:
        return "news of legal events"


Supposed = Loss | Basis | Staleness | LegalEvent
"""One thing that is supposed to happen."""


class Changed(NamedTuple):
    """A scenario after a change."""

    scenario: Scenario
    gone: frozenset[str]
    """Regions that are no longer there."""
    unsure: frozenset[str]
    """Those of them, or of those left in, that are perhaps not meant: they do not say enough."""
    own: tuple[str, ...]
    """`here` and the sinks that are lost too."""


@dataclass(frozen=True, slots=True)
class Change:
    """Things that are supposed to happen together."""

    supposed: tuple[Supposed, ...]
    only_sure: bool = False
    """Leave in the regions that do not say enough to be meant for sure."""

    def applied(self, scenario: Scenario) -> Changed:
        """Return the scenario after it. What is lost is looked up in the scenario given, before anything is lost.

        Raises BorderpostError BP0211 or BP1250 for names that are not known, BP1251 for an event that cannot be.
        """
        gone: set[str] = set()
        unsure: set[str] = set()
        own: dict[str, None] = {}
        for each in self.supposed:
            if isinstance(each, Loss):
                lost = lost_with(each, scenario)
                gone |= lost.regions(only_sure=self.only_sure)
                unsure |= lost.unsure
                own |= dict.fromkeys(lost.own)
        after = scenario.without(gone)
        for each in self.supposed:
            if isinstance(each, LegalEvent):
                after = after.with_event(each)
            elif isinstance(each, Basis):
                after = after.with_event(revocation(each, scenario))
            elif isinstance(each, Staleness):
                after = after.turned_stale()
        return Changed(after, frozenset(gone), frozenset(unsure), tuple(own))


def revocation(basis: Basis, scenario: Scenario) -> LegalEvent:
    """Return the event that takes a basis away at the scenario's instant.

    Raises BorderpostError BP1250 where no regime gives it.
    """
    given = bases_of(scenario)
    if basis not in given:
        mend = f"bases of {basis.regime}: {', '.join(each.name for each in given if each.regime == basis.regime)}"
        known = any(each.regime == basis.regime for each in given)
        detail = f"no regime gives the basis `{basis.regime}/{basis.name}`"
        raise BorderpostError("BP1250", detail, place=Place("--without"), mend=mend if known else None)
    at = EPOCH + timedelta(microseconds=scenario.at_us)
    return LegalEvent(
        id=SUPPOSED_PREFIX + hashlib.sha256(str(basis).encode()).hexdigest()[:16],
        type="adequacy_revoke",
        scope=EventScope(regimes=(basis.regime,), bases=(basis.name,)),
        effective_from=at,
        recorded_at=at,
        source="supposed",
        reason=f"as if {basis} had fallen",
    )


def bases_of(scenario: Scenario, *, revocable: bool = False) -> tuple[Basis, ...]:
    """Return every basis that a regime gives, sorted; on request only those that an event may take away."""
    found = set()
    for regime in scenario.bundle.regimes:
        found |= {Basis(regime.id, entry.basis) for entry in regime.allow if entry.revocable or not revocable}
        if regime.basis is not None and not revocable:
            found.add(Basis(regime.id, regime.basis))
    return tuple(sorted(found))


def parsed(text: str) -> Supposed:
    """Read `region=ID`, `operator=ENTITY`, `country=CODE`, `jurisdiction=CODE` or `basis=REGIME/NAME`.

    Raises BorderpostError BP0004 for another form.
    """
    kind, equals, name = text.partition("=")
    if equals and name:
        if kind == "region":
            return Loss("region", name)
        if kind == "operator":
            return Loss("operator", name)
        if kind == "country":
            return Loss("country", name)
        if kind == "jurisdiction":
            return Loss("jurisdiction", name)
        regime, slash, basis = name.partition("/")
        if kind == "basis" and regime and slash and basis:
            return Basis(regime, basis)
    mend = "region=ID, operator=ENTITY, country=CODE, jurisdiction=CODE or basis=REGIME/NAME"
    raise BorderpostError("BP0004", f"`{text}` names nothing that can be lost", place=Place("--without"), mend=mend)


def told(change: Sequence[Supposed]) -> str:
    """Say a change in words: `Without Acme and country US, with event ev-1`."""
    events = [each.id for each in change if isinstance(each, LegalEvent)]
    lost = [str(each) for each in change if not isinstance(each, LegalEvent)]
    parts = [f"without {_listed(lost)}"] if lost else []
    parts += [f"with {'event' if len(events) == 1 else 'events'} {_listed(events)}"] if events else []
    return ", ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
