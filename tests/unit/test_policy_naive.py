"""`decide` against a second, naive reading of the rules, and the properties that both must have."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from random import Random

import pytest

from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.compile import CompiledPolicy, compile_policy
from borderpost.policy.decide import decide, effective_codes
from borderpost.policy.events import CompiledEvents, EventList, compile_events
from borderpost.policy.fields import EPOCH, to_us
from borderpost.policy.model import Evidence, Facts, Law, Ruling, Source, Trust
from borderpost.policy.event_schema import EventsFile
from support import policy_cases
from support.naive_policy import Answer, NaivePolicy
from support.policy_cases import EVIDENCE_CODES, World

WORLDS = 400
REQUESTS = 25
"""400 worlds of 25 requests each: 10,000 cases."""


def compiled(world: World) -> tuple[CompiledPolicy, CompiledEvents]:
    return compile_policy(world.bundle, world.regions), compile_events(EventList(world.events), world.regions)


def as_answer(law: Law) -> Answer:
    fields = {field.name: getattr(law, field.name) for field in dataclasses.fields(Answer)}
    return Answer(**{**fields, "ruling": str(law.ruling), "bases": dict(law.bases), "refused": dict(law.refused)})


@pytest.mark.parametrize("chunk", range(8))
def test_the_naive_reading_agrees(chunk: int) -> None:
    rulings: dict[str, int] = {}
    for seed in range(chunk * WORLDS // 8, (chunk + 1) * WORLDS // 8):
        random = Random(seed)
        world = policy_cases.world(random)
        policy, events = compiled(world)
        naive = NaivePolicy(world.bundle, world.regions, world.events)
        for _ in range(REQUESTS):
            facts, now = policy_cases.facts(random), policy_cases.instant(random)
            law = decide(facts, policy, events, to_us(now))
            assert as_answer(law) == naive.decide(facts, now), f"seed {seed}: {facts} at {now}"
            rulings[law.reason.partition(":")[0]] = rulings.get(law.reason.partition(":")[0], 0) + 1
    common = {"ok", "no-legal-region", "embargo", "here-not-allowed", "unknown-subject", "subdivision-unknown"}
    assert common | {"no-regime", "evidence-required"} <= set(rulings), rulings


def test_a_law_holds_until_the_instant_it_names() -> None:
    """Between now and `valid_until_us` nothing changes: asked at every date of the world and a microsecond around."""
    changed = 0
    for seed in range(1000, 1150):
        random = Random(seed)
        world = policy_cases.world(random)
        policy, events = compiled(world)
        dates = sorted(to_us(day) + step for day in policy_cases.DAYS for step in (-1, 0, 1))
        for _ in range(10):
            facts, now = policy_cases.facts(random), to_us(policy_cases.instant(random))
            law = decide(facts, policy, events, now)
            until = law.valid_until_us
            assert until is None or until > now
            for at in dates:
                if now < at and (until is None or at < until):
                    assert as_answer(decide(facts, policy, events, at)) == as_answer(law), (
                        f"seed {seed}: {facts} at {at}"
                    )
            if until is not None:
                changed += as_answer(decide(facts, policy, events, until)) != as_answer(law)
    assert changed > 100  # the instants named are not only cautious


def legal_of(facts: Facts, world: tuple[CompiledPolicy, CompiledEvents], now: int) -> set[str]:
    return set(decide(facts, *world, now).legal)


@pytest.mark.parametrize("chunk", range(4))
def test_a_header_or_geoip_never_adds_a_region(chunk: int) -> None:
    for seed in range(2000 + chunk * 60, 2060 + chunk * 60):
        random = Random(seed)
        world = compiled(policy_cases.world(random))
        for _ in range(20):
            facts, now = policy_cases.facts(random), to_us(policy_cases.instant(random))
            before = legal_of(facts, world, now)
            placed = any(e.source is Source.GEOIP or e.trust is Trust.VERIFIED for e in facts.evidence)
            for source in (Source.HEADER, *((Source.GEOIP,) if placed else ())):
                others = [e for e in facts.evidence if e.source is not source]
                if len(others) < len(facts.evidence):
                    continue
                added = Evidence(source, random.choice(EVIDENCE_CODES))
                more = dataclasses.replace(
                    facts, evidence=tuple(sorted([*others, added], key=lambda e: list(Source).index(e.source)))
                )
                assert legal_of(more, world, now) <= before, f"seed {seed}: {facts} + {added}"


def test_a_declared_class_never_adds_a_region() -> None:
    for seed in range(3000, 3150):
        random = Random(seed)
        world = compiled(policy_cases.world(random))
        for _ in range(20):
            facts, now = policy_cases.facts(random), to_us(policy_cases.instant(random))
            name = random.choice(policy_cases.CLASSES)
            more = dataclasses.replace(facts, classes=tuple(sorted({*facts.classes, name})))
            assert legal_of(more, world, now) <= legal_of(facts, world, now), f"seed {seed}: {facts} + {name}"


@pytest.mark.slow
def test_one_more_regime_or_event_never_adds_a_region() -> None:
    for seed in range(4000, 4200):
        random = Random(seed)
        drawn = policy_cases.world(random)
        regime = policy_cases.regime(random, 99, sorted(drawn.bundle.packs[0].groups))
        data = drawn.bundle.model_dump(mode="json", by_alias=True, exclude_none=True)
        data["inline"]["regimes"].append(regime)
        try:
            bundle = PolicyBundle.model_validate(data)
        except ValueError:
            continue
        more_events = EventsFile.model_validate(
            {
                "events": [
                    *drawn.events.events,
                    *(
                        e.model_copy(update={"id": "x", "recorded_at": policy_cases.DAYS[-1]})
                        for e in drawn.events.events[:1]
                    ),
                ]
            }
        )
        before = compiled(drawn)
        after = compiled(World(bundle, drawn.regions, more_events))
        for _ in range(20):
            facts, now = policy_cases.facts(random), to_us(policy_cases.instant(random))
            was = decide(facts, *before, now)
            if was.reason == "no-regime":
                continue  # a law where none was known is the one thing that may open what was closed
            assert legal_of(facts, after, now) <= set(was.legal), f"seed {seed}: {facts} + {regime}"


@pytest.mark.slow
def test_a_regime_that_only_denies_is_no_law_to_rely_on() -> None:
    """Under `no_regime: refuse`, a denial of one's own must not open the places that no law covers."""
    for seed in range(5000, 5200):
        random = Random(seed)
        drawn = policy_cases.world(random)
        data = drawn.bundle.model_dump(mode="json", by_alias=True, exclude_none=True)
        own = {"id": "own", "title": "t", "source": "s", "applies_when": {"subject_in": "*"}, "default": "allow"}
        data["inline"]["regimes"].append({**own, "deny": [{"to": "KP"}]})
        before = compiled(drawn)
        after = compiled(World(PolicyBundle.model_validate(data), drawn.regions, drawn.events))
        for _ in range(20):
            facts, now = policy_cases.facts(random), to_us(policy_cases.instant(random))
            assert legal_of(facts, after, now) <= legal_of(facts, before, now)


def test_memos_do_not_change_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    from borderpost_base import limits

    random = Random(7)
    drawn = policy_cases.world(random)
    asked = [(policy_cases.facts(random), to_us(policy_cases.instant(random))) for _ in range(300)]
    world = compiled(drawn)
    expected = [as_answer(decide(facts, *world, now)) for facts, now in asked]
    monkeypatch.setattr(limits, "REMEMBERED_VERDICTS_MAX", 2)
    small = compiled(drawn)
    assert [as_answer(decide(facts, *small, now)) for facts, now in asked] == expected
    assert Ruling.LEGAL in {decide(facts, *small, now).ruling for facts, now in asked} or expected


def test_instants_are_exact_to_the_microsecond() -> None:
    assert to_us(EPOCH + timedelta(days=40_000, microseconds=1)) == 40_000 * 86_400_000_000 + 1


def other_place(random: Random, evidence: Evidence) -> Evidence:
    """Return evidence of another code, often of the same country."""
    code = random.choice((random.choice(EVIDENCE_CODES), f"{evidence.code[:2]}-{random.choice(('ZZ9', '7Q', 'XKCD'))}"))
    return dataclasses.replace(evidence, code=code)


def test_facts_that_ask_the_same_have_the_same_law_but_for_its_codes() -> None:
    """So law may be remembered by what a policy asks; by the naive reading, which knows nothing of it."""
    same = other = 0
    for seed in range(4000, 4150):
        random = Random(seed)
        world = policy_cases.world(random)
        policy, _ = compiled(world)
        naive = NaivePolicy(world.bundle, world.regions, world.events)
        for _ in range(10):
            facts, more = policy_cases.facts(random), policy_cases.facts(random)
            like = dataclasses.replace(
                facts,
                tenant=more.tenant,
                model=random.choice((more.model, "never-heard-of")),
                evidence=random.choice((facts.evidence, tuple(other_place(random, one) for one in facts.evidence))),
            )
            now = policy_cases.instant(random)
            if policy.asked(like) == policy.asked(facts):
                told = dataclasses.replace(naive.decide(facts, now), effective=effective_codes(like, policy))
                assert naive.decide(like, now) == told, f"seed {seed}: {facts} and {like} at {now}"
                same += like != facts
            other += policy.asked(like) != policy.asked(facts)
    assert same > 300, "many places and most tenants and models make no difference"
    assert other > 50, "some do"
