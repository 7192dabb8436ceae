"""The compiled evaluator against the naive one, over seeded worlds."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from borderpost.policy.compile import CompiledPolicy, compile_policy
from borderpost.policy.decide import decide
from borderpost.policy.events import CompiledEvents, EventList, compile_events
from borderpost.policy.fields import to_us
from borderpost.policy.model import Law
from support import policy_cases
from support.naive_policy import Answer, NaivePolicy
from support.policy_cases import World

_TOLD_MAX = 5


@dataclass
class Agreement:
    """What a run over many worlds found."""

    requests: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """How often each reason, and each kind of label, conflict and mode was given."""
    disagreements: list[str] = field(default_factory=list)
    """The first few, each with what it takes to ask again."""

    def add(self, other: Agreement) -> None:
        """Take in what another run found."""
        self.requests += other.requests
        self.kinds += other.kinds
        self.disagreements += other.disagreements[: _TOLD_MAX - len(self.disagreements)]


def compiled(world: World, *, drills: bool = False) -> tuple[CompiledPolicy, CompiledEvents]:
    """Compile a world as the product does."""
    policy = compile_policy(world.bundle, world.regions)
    return policy, compile_events(EventList(world.events), policy, drills=drills)


def as_answer(law: Law) -> Answer:
    """Return a law as the naive evaluator would give it."""
    fields = {one.name: getattr(law, one.name) for one in dataclasses.fields(Answer)}
    return Answer(**{**fields, "ruling": str(law.ruling), "bases": dict(law.bases), "refused": dict(law.refused)})


def compare(seeds: Iterable[int], requests: int) -> Agreement:
    """Ask both evaluators so many requests in the world of each seed."""
    found = Agreement()
    for seed in seeds:
        random = Random(seed)
        world = policy_cases.world(random)
        drills = random.random() < 0.3
        policy, events = compiled(world, drills=drills)
        naive = NaivePolicy(world.bundle, world.regions, world.events, drills=drills)
        for _ in range(requests):
            facts, now, stale = policy_cases.facts(random), policy_cases.instant(random), random.random() < 0.15
            said = as_answer(decide(facts, policy, events, to_us(now), stale=stale))
            expected = naive.decide(facts, now, stale=stale)
            found.requests += 1
            found.kinds.update(_kinds(expected))
            if said != expected and len(found.disagreements) < _TOLD_MAX:
                apart = {
                    one.name: f"naive {getattr(expected, one.name)!r}, compiled {getattr(said, one.name)!r}"
                    for one in dataclasses.fields(Answer)
                    if getattr(expected, one.name) != getattr(said, one.name)
                }
                asked = f"seed {seed}, {facts} at {now.isoformat()}, stale {stale}, drills {drills}"
                found.disagreements.append(f"{asked}: {apart}")
    return found


def _kinds(answer: Answer) -> set[str]:
    kinds = {answer.reason.partition(":")[0], f"mode {answer.mode}", f"conflict {answer.conflict}"}
    labels = [*answer.refused.values(), *(label for bases in answer.bases.values() for label in bases.split(","))]
    for label in labels:
        regime, _, basis = label.partition("/")
        name, _, location = basis.partition(":")
        kinds.add("event" if regime == "event" else name if name in ("embargo", "no-basis", "granted") else "basis")
        kinds.add(f"at {location.partition('-')[0]}" if location in ("retention", "telemetry") else "at own place")
    return kinds
