"""`decide` against a second, naive reading of the rules, and what may be remembered of its answers."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from random import Random

import pytest

from borderpost.policy.decide import asked, decide, effective_codes
from borderpost.policy.fields import to_us
from borderpost.policy.model import Evidence, Ruling
from borderpost_base import limits
from support import agreement, policy_cases
from support.agreement import Agreement, as_answer, compiled
from support.naive_policy import NaivePolicy
from support.policy_cases import EVIDENCE_CODES

WORLDS, REQUESTS = 400, 25
"""10,000 requests among the short tests."""
WORLDS_FULL, REQUESTS_FULL = int(os.environ.get("BORDERPOST_TEST_WORLDS", "4000")), 50
"""200,000 among the long ones; a million by 20,000 worlds, before a release (docs/internals/tests.md)."""

REASONS = {
    "ok", "no-legal-region", "embargo", "here-not-allowed", "sink-not-allowed", "unknown-subject", "unknown-code",
    "unknown-class", "subdivision-unknown", "no-regime", "evidence-required",
}  # fmt: skip
OTHERS = {
    "event", "no-basis", "at own place", "at retention", "at telemetry", "conflict None",
    "conflict token-vs-geoip", "conflict header-vs-geoip", "conflict header-widen", "mode legal-first", "mode hybrid",
    "mode performance-first",
}  # fmt: skip


@pytest.mark.parametrize("chunk", [0, *(pytest.param(chunk, marks=pytest.mark.slow) for chunk in range(1, 8))])
def test_the_naive_reading_agrees(chunk: int) -> None:
    found = agreement.compare(range(chunk * WORLDS // 8, (chunk + 1) * WORLDS // 8), REQUESTS)
    assert not found.disagreements, "\n".join(found.disagreements)
    assert found.requests == WORLDS * REQUESTS // 8
    assert set(found.kinds) >= REASONS | OTHERS, (REASONS | OTHERS) - set(found.kinds)


@pytest.mark.full
def test_the_naive_reading_agrees_on_many_requests() -> None:
    step = 250
    pieces = [range(first, first + step) for first in range(100_000, 100_000 + WORLDS_FULL, step)]
    whole = Agreement()
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        for found in pool.map(agreement.compare, pieces, [REQUESTS_FULL] * len(pieces)):
            whole.add(found)
    assert not whole.disagreements, "\n".join(whole.disagreements)
    assert whole.requests == WORLDS_FULL * REQUESTS_FULL
    assert set(whole.kinds) >= REASONS | OTHERS | {"granted"}


def test_memos_do_not_change_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(7)
    drawn = policy_cases.world(random)
    asked = [(policy_cases.facts(random), to_us(policy_cases.instant(random))) for _ in range(300)]
    world = compiled(drawn)
    expected = [as_answer(decide(facts, *world, now)) for facts, now in asked]
    monkeypatch.setattr(limits, "REMEMBERED_VERDICTS_MAX", 2)
    monkeypatch.setattr(limits, "REMEMBERED_INTERVALS_MAX", 1)
    small = compiled(drawn)
    assert [as_answer(decide(facts, *small, now)) for facts, now in asked] == expected
    assert {answer.ruling for answer in expected} >= {str(Ruling.LEGAL), str(Ruling.FORBIDDEN)}


def other_place(random: Random, evidence: Evidence) -> Evidence:
    """Return evidence of another code, often of the same country."""
    code = random.choice((random.choice(EVIDENCE_CODES), f"{evidence.code[:2]}-{random.choice(('ZZ9', '7Q', 'XKCD'))}"))
    return dataclasses.replace(evidence, code=code)


@pytest.mark.slow
def test_facts_that_ask_the_same_have_the_same_law_but_for_its_codes() -> None:
    """So law may be remembered by what policy and events ask; by the naive reading, which knows nothing of it."""
    same = other = 0
    for seed in range(4000, 4150):
        random = Random(seed)
        world = policy_cases.world(random)
        policy, events = compiled(world)
        naive = NaivePolicy(world.bundle, world.regions, world.events)
        for _ in range(10):
            facts, more = policy_cases.facts(random), policy_cases.facts(random)
            like = dataclasses.replace(
                facts,
                tenant=more.tenant,
                purpose=random.choice((facts.purpose, more.purpose)),
                model=random.choice((more.model, "never-heard-of")),
                evidence=random.choice((facts.evidence, tuple(other_place(random, one) for one in facts.evidence))),
            )
            now = policy_cases.instant(random)
            if asked(like, policy, events) == asked(facts, policy, events):
                told = dataclasses.replace(naive.decide(facts, now), effective=effective_codes(like, policy))
                assert naive.decide(like, now) == told, f"seed {seed}: {facts} and {like} at {now}"
                same += like != facts
            else:
                other += 1
    assert same > 150, "many places and most tenants and models make no difference"
    assert other > 30, "some do"
