"""A law that binds nobody: a candidate policy, or events that are drills, asked beside the law in force.

The shadow reads the same facts by the same evidence, tenants, routes, regions and signals; its packs and rules may be
others, and drills count in it. Its answer is compared with the one that was given, and told in the record where they
differ. Whatever goes wrong in it is told as `failed`, and never touches the answer.

    none      the same answer
    widened   refused by law, routed by the shadow       narrowed  routed by law, refused by the shadow
    region    another region would have been chosen      failover  the same region; a retry could go elsewhere
    basis     the same region on other bases             reason    refused by both, for another reason
    failed    the shadow could not be asked
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from borderpost.answers import Answer, Route
from borderpost.lawful_answer import CompiledLaw
from borderpost.policy.events import EventList, compile_events
from borderpost.policy.model import Facts, Law
from borderpost.regions.signals import Signals
from borderpost.remembered_law import RememberedLaw
from borderpost_base.logs import get_logger

Divergence = Literal["widened", "narrowed", "region", "failover", "reason", "basis", "failed"]


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the shadow says to one decision."""

    kind: Divergence | None
    """How it differs; None where it agrees."""
    answer: Answer | None
    """What it would have answered; None where it failed."""
    law: Law | None
    """What its law said; None where it failed."""

    @property
    def until_us(self) -> float:
        """Return the first instant at which its law may say something else."""
        return math.inf if self.law is None or self.law.valid_until_us is None else self.law.valid_until_us


_FAILED = Opinion("failed", None, None)


class Shadow:
    """One candidate with the events in force, compiled. Belongs to one view."""

    def __init__(self, compiled: CompiledLaw, law: RememberedLaw, digest: str) -> None:
        self.compiled = compiled
        self.law = law
        self.digest = digest
        """Digest of its policy: `inputs.shadow` of every record made while it is on."""
        self._told = False

    @classmethod
    def of(cls, compiled: CompiledLaw, events: EventList, digest: str) -> Shadow:
        """Join a candidate, compiled over the catalogue in force, and the events, drills included."""
        law = RememberedLaw(compiled.policy, compile_events(events, compiled.policy, drills=True))
        return cls(compiled, law, digest)

    def turned(self, *, stale: bool) -> Shadow:
        """Return the same shadow with the events taken for stale or fresh."""
        return Shadow(self.compiled, self.law.turned(stale=stale), self.digest)

    def opinion(self, facts: Facts, given: Answer, signals: Signals, now_us: int) -> Opinion:
        """Return what the shadow says to an answer that was given for these facts. Never raises."""
        try:
            law = self.law.of(facts, now_us)
            answer, _ = self.compiled.answer(facts, law, signals)
            return Opinion(divergence(given, answer), answer, law)
        except Exception:  # noqa: BLE001 - whatever it is, it is the shadow's alone
            if not self._told:
                self._told = True
                get_logger("shadow").exception("the shadow cannot be asked; the answers given do not depend on it")
            return _FAILED


def divergence(given: Answer, other: Answer) -> Divergence | None:
    """Return how another answer differs from the one given; None where it does not."""
    if isinstance(given, Route):
        if not isinstance(other, Route):
            return "narrowed"
        if given.region != other.region:
            return "region"
        if given.regions != other.regions:
            return "failover"
        return "basis" if given.rules != other.rules else None
    if isinstance(other, Route):
        return "widened"
    return "reason" if given.reason != other.reason else None


def has_drills(events: EventList) -> bool:
    """Say whether any event of the list is a drill, so that even the law in force has a shadow."""
    return any(event.mode == "drill" for event in events.events)
