"""The law of one policy and its events, asked once for all facts that it cannot tell apart.

What is remembered is law by what policy and events ask of facts, until its own `valid_until_us`. The memory is bounded,
and belongs to one policy, one list of events and one freshness of that list: whatever changes them makes a new one.
"""

from __future__ import annotations

from dataclasses import replace

from borderpost.policy.compile import Asked, CompiledPolicy
from borderpost.policy.decide import asked, decide, effective_codes
from borderpost.policy.events import CompiledEvents, EventsAsked
from borderpost.policy.model import Facts, Law
from borderpost_base import limits
from borderpost_base.memo import Remembered


class RememberedLaw:
    """Asks the law, and remembers what it said."""

    __slots__ = ("_known", "_twin", "events", "policy", "stale")

    def __init__(self, policy: CompiledPolicy, events: CompiledEvents, *, stale: bool = False) -> None:
        self.policy = policy
        self.events = events
        self.stale = stale
        """Whether the events are older than allowed, so that no revocable basis counts."""
        self._twin: RememberedLaw | None = None
        self._known: Remembered[tuple[Asked, EventsAsked], Law] = Remembered(limits.REMEMBERED_FACTS_MAX)

    def of(self, facts: Facts, now_us: int) -> Law:
        """Return the law for these facts at this instant (microseconds since the epoch, UTC)."""
        question = asked(facts, self.policy, self.events)
        law = self._known.get(question)
        if law is None or (law.valid_until_us is not None and now_us >= law.valid_until_us):
            law = decide(facts, self.policy, self.events, now_us, stale=self.stale)
            self._known.put(question, law)
        elif law.effective != (effective := effective_codes(facts, self.policy)):
            law = replace(law, effective=effective)
        return law

    def turned(self, *, stale: bool) -> RememberedLaw:
        """Return the same law with the events taken for stale or fresh: the same one each time, with a memory of its
        own, which this one keeps. The other does not keep this one, so that no cycle holds their memories."""
        if stale == self.stale:
            return self
        if self._twin is None:
            self._twin = RememberedLaw(self.policy, self.events, stale=stale)
        return self._twin
