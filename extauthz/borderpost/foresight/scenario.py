"""One state of law, regions and signals at one instant, asked as the gateway asks: law first, then the engine's rank.

A change makes another scenario; nothing here ranks or decides by rules of its own. Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from borderpost.answers import Route
from borderpost.catalog import Catalog
from borderpost.lawful_answer import CompiledLaw
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.event_schema import LegalEvent
from borderpost.policy.events import EventList, compile_events, window_of
from borderpost.policy.fields import to_us
from borderpost.policy.model import Facts, Law
from borderpost.policy.schema import RegionSpec
from borderpost.proof.hearing import joined
from borderpost.regions.rank import Ranking
from borderpost.regions.signals import Signals
from borderpost.remembered_law import RememberedLaw
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.memo import Remembered


class Verdict(NamedTuple):
    """What a request comes to."""

    region: str | None
    """The region chosen; None where the request is refused."""
    reason: str
    """Why it is refused, or the bases by which it is routed."""
    law: Law | None = None
    """None where it was refused before law was asked."""
    ranking: Ranking | None = None
    """None where there was nothing to rank."""

    @property
    def latency_us(self) -> int | None:
        """Return the figure by which the chosen region was ranked; None where there is none."""
        return self.ranking.order[0].latency_us if self.ranking is not None and self.ranking.order else None

    def has_equals(self, margin_us: int) -> bool:
        """Say whether another region is as good as the chosen one, so that a seed decided between them."""
        order = self.ranking.order[:2] if self.ranking is not None else ()
        if len(order) < 2:
            return False
        first, second = order[0].latency_us, order[1].latency_us
        if first is None or second is None:
            return first is second
        return abs(first - second) <= margin_us


@dataclass(frozen=True, eq=False)
class Scenario:
    """Law, regions and signals at an instant. Verdicts are remembered, within bounds."""

    bundle: PolicyBundle
    catalog: Catalog
    events: EventList
    signals: Signals
    at_us: int
    """The instant that law is asked for, microseconds since 1970 (UTC)."""
    stale: bool = False
    """True as if the legal events were older than `events.max_age_s` allows, for every request."""
    _verdicts: dict[bool, Remembered[Facts, Verdict]] = field(
        default_factory=lambda: {stale: Remembered(limits.REMEMBERED_FACTS_MAX) for stale in (False, True)},
        init=False, repr=False, compare=False,
    )  # fmt: skip

    @cached_property
    def compiled(self) -> CompiledLaw:
        """Return policy and catalogue compiled for each other."""
        return CompiledLaw.of(self.bundle, self.catalog)

    @cached_property
    def _law(self) -> RememberedLaw:
        policy = self.compiled.policy
        return RememberedLaw(policy, compile_events(self.events, policy))

    def verdict(self, facts: Facts, *, stale: bool = False) -> Verdict:
        """Return what these facts come to; `stale` says that events were stale for this request."""
        stale = stale or self.stale
        memory = self._verdicts[stale]
        verdict = memory.get(facts)
        if verdict is None:
            law = self._law.turned(stale=stale).of(facts, self.at_us)
            answer, ranking = self.compiled.answer(facts, law, self.signals)
            if isinstance(answer, Route):
                verdict = Verdict(answer.region, answer.rule, law, ranking)
            else:
                verdict = Verdict(None, answer.reason, law, ranking)
            memory.put(facts, verdict)
        return verdict

    @property
    def regions(self) -> dict[str, RegionSpec]:
        """Return the regions by id."""
        return self.catalog.regions

    def without(self, regions: Collection[str]) -> Scenario:
        """Return the same without some regions."""
        if not regions:
            return self
        left = {name: spec for name, spec in self.regions.items() if name not in regions}
        return self._of(left)

    def given(self, regions: dict[str, RegionSpec]) -> Scenario:
        """Return the same with some regions described otherwise."""
        return self._of({**self.regions, **regions})

    def _of(self, regions: dict[str, RegionSpec]) -> Scenario:
        return replace(self, catalog=self.catalog.model_copy(update={"regions": regions}))

    def with_event(self, event: LegalEvent) -> Scenario:
        """Return the same with one more legal event, as if it were known and signed.

        Raises BorderpostError BP1251 where it cannot stand behind the events that there are, or does not hold at the
        scenario's instant.
        """
        events = with_known(self.events, event, self.at_us)
        if event.id not in events.in_force(self.at_us):
            mend = "choose another instant with --at"
            raise BorderpostError("BP1251", f"`{event.id}` does not hold at that instant", place=_at(event), mend=mend)
        return replace(self, events=events)

    def turned_stale(self) -> Scenario:
        """Return the same with the list of legal events older than allowed, so that no revocable basis counts."""
        return replace(self, stale=True)


def with_known(events: EventList, event: LegalEvent, at_us: int) -> EventList:
    """Return a list with one more event that binds, put behind all that was known at an instant.

    It is known from its first instant on, and what widens counts as signed by two. Raises BorderpostError BP1251 for an
    id that the list has, and for a `lift` of what the list does not have.
    """
    before = {each.id: each for each in events.events if to_us(each.recorded_at) <= at_us}
    if any(each.id == event.id for each in events.events):
        raise BorderpostError("BP1251", f"the list of events has `{event.id}` already", place=_at(event))
    if event.ends is not None and (event.ends not in before or before[event.ends].widens):
        detail = f"`{event.id}` ends `{event.ends}`, which is no narrowing event known then"
        raise BorderpostError("BP1251", detail, place=_at(event))
    recorded = max([event.effective_from, *(each.recorded_at for each in before.values())])
    return joined(events, (event.model_copy(update={"recorded_at": recorded, "approvals": (), "mode": "enforce"}),))


def first_instant_us(event: LegalEvent, events: EventList, now_us: int) -> int:
    """Return the first instant, now or later, at which an event of `with_known` holds if it does at all.

    Raises BorderpostError BP1251 as `with_known` does.
    """
    from_us = max(now_us, to_us(event.effective_from))
    listed = with_known(events, event, from_us)
    (known,) = (each for each in listed.events if each.id == event.id)
    return max(from_us, window_of(known, listed.file.clock_error_us)[0])


def _at(event: LegalEvent) -> Place:
    return Place(key=event.id)
