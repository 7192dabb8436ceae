"""`whatif` against brute force: each request decided one by one, before and after, by the live path's own functions."""

from __future__ import annotations

import functools
import random
from collections import Counter
from dataclasses import replace

import pytest

from borderpost.answers import Route
from borderpost.catalog import Catalog
from borderpost.foresight.change import Basis, Change, Staleness, Supposed, bases_of
from borderpost.foresight.comparison import Comparison, Who
from borderpost.foresight.losses import Loss, Lost, every_loss, lost_with
from borderpost.foresight.scenario import Scenario, first_instant_us
from borderpost.foresight.whatif import Flow, Latencies, weigh
from borderpost.lawful_answer import CompiledLaw
from borderpost.policy.decide import decide
from borderpost.policy.event_schema import LegalEvent
from borderpost.policy.events import CompiledEvents, compile_events
from borderpost.policy.model import Evidence, Facts, Source
from borderpost.policy.schema import Processor, RegionSpec
from borderpost.regions.config import RankingSpec
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from support.foreseen_traffic import AT_US, random_facts, random_scenario


@functools.lru_cache(maxsize=4)
def compiled_of(scenario: Scenario) -> tuple[CompiledLaw, CompiledEvents]:
    compiled = CompiledLaw.of(scenario.bundle, scenario.catalog)
    return compiled, compile_events(scenario.events, compiled.policy)


def chosen(scenario: Scenario, facts: Facts, *, stale: bool = False) -> tuple[str | None, int | None]:
    """Decide one request without any memory: decide, rank."""
    compiled, events = compiled_of(scenario)
    law = decide(facts, compiled.policy, events, scenario.at_us, stale=stale or scenario.stale)
    answer, ranking = compiled.answer(facts, law, scenario.signals)
    if not isinstance(answer, Route):
        return None, None
    assert ranking is not None
    return answer.region, ranking.order[0].latency_us


def means(spec: RegionSpec, loss: Loss) -> bool:
    """Say by the words of `losses` whether a region is lost, without the engine's masks."""
    places = [spec, *(each for each in (spec.retention, spec.telemetry) if isinstance(each, Processor))]
    if loss.kind == "operator":
        return spec.operator.entity is None or any(each.operator.entity == loss.name for each in places)
    if loss.kind == "country":
        return "unknown" in (spec.retention, spec.telemetry) or any(each.country == loss.name for each in places)
    return spec.operator.jurisdiction is None or any(each.operator.jurisdiction == loss.name for each in places)


@pytest.mark.parametrize("seed", range(8))
def test_whatif_is_what_deciding_each_request_before_and_after_says(seed: int) -> None:
    before = random_scenario(seed)
    dice = random.Random(seed + 1000)
    flows = [Flow(random_facts(dice), dice.random() < 0.1, dice.randint(1, 9)) for _ in range(40)]
    perils: list[Supposed] = [*every_loss(before), *bases_of(before), Staleness()]
    change = Change(tuple(dice.sample(perils, dice.randint(1, 2))))
    after = change.applied(before).scenario
    comparison = Comparison()
    for flow in flows:
        weigh(comparison, flow, flow, before, after, Latencies({}, before))
    total: Counter[str] = Counter()
    moves: Counter[tuple[str, str]] = Counter()
    added_us = known = 0
    for flow in flows:
        (was, was_us), (becomes, becomes_us) = (chosen(each, flow.facts, stale=flow.stale) for each in (before, after))
        name = {
            (True, True): "refused", (True, False): "gained", (False, True): "lost",
        }.get((was is None, becomes is None), "stayed" if was == becomes else "moved")  # fmt: skip
        total[name] += flow.weight
        if name == "moved":
            moves[str(was), str(becomes)] += flow.weight
            if was_us is not None and becomes_us is not None:
                known += flow.weight
                added_us += flow.weight * (becomes_us - was_us)
    assert {name: getattr(comparison, name) for name in total} == dict(total)
    assert comparison.total == sum(total.values())
    assert comparison.served == total["lost"] + total["moved"] + total["stayed"]
    assert {pair: move.weight for pair, move in comparison.moves.items()} == dict(moves)
    assert (comparison.all_moves.known, comparison.all_moves.added_us) == (known, added_us)
    assert sum(comparison.load_before.values()) == comparison.served
    assert sum(comparison.load_after.values()) == total["moved"] + total["stayed"] + total["gained"]
    assert sum(comparison.losing.values()) == total["lost"]


def test_the_seeds_together_show_every_outcome() -> None:
    seen = Comparison()
    for seed in range(8):
        before = random_scenario(seed)
        dice = random.Random(seed)
        for loss in every_loss(before):
            after = Change((loss,)).applied(before).scenario
            for _ in range(3):
                flow = Flow(random_facts(dice), False, 1)
                weigh(seen, flow, flow, before, after, Latencies({}, before))
    assert min(seen.lost, seen.moved, seen.stayed, seen.refused) > 10


@pytest.mark.parametrize("seed", range(8))
def test_regions_are_lost_by_what_they_say(seed: int) -> None:
    scenario = random_scenario(seed)
    for loss in every_loss(scenario):
        lost = lost_with(loss, scenario)
        assert not lost.sure & lost.unsure
        if loss.kind == "region":
            assert lost == Lost(frozenset({loss.name}), frozenset())
            continue
        meant = {name for name, spec in scenario.regions.items() if means(spec, loss)}
        assert lost.regions(only_sure=False) == meant, loss
        assert lost.sure, "what a region names is lost with it for sure"


@pytest.mark.parametrize("seed", range(4))
def test_a_region_that_is_lost_is_as_one_that_is_suspended(seed: int) -> None:
    before = random_scenario(seed)
    dice = random.Random(seed)
    requests = [random_facts(dice) for _ in range(30)]
    for region in before.regions:
        suspended = before.with_event(event(type="region_suspend", scope={"regions": [region]}))
        lost = before.without({region})
        for facts in requests:
            assert suspended.verdict(facts).region == lost.verdict(facts).region


def split(lost: Lost) -> tuple[set[str], set[str]]:
    return set(lost.sure), set(lost.unsure)


def test_a_subdivision_a_group_and_a_country_without_regions() -> None:
    scenario = random_scenario(3)
    regions = {"q": "CA-QC", "c": "CA", "d": "DE"}
    specs = {
        name: RegionSpec.model_validate(
            {
                "country": code[:2],
                "subdivision": code if "-" in code else None,
                "retention": "same",
                "telemetry": "same",
            }
        )
        for name, code in regions.items()
    }
    scenario = replace(scenario, catalog=Catalog.of(specs, RankingSpec()))
    assert split(lost_with(Loss("country", "CA"), scenario)) == ({"q", "c"}, set())
    assert split(lost_with(Loss("country", "CA-QC"), scenario)) == ({"q"}, {"c"}), "where in Canada `c` is, nobody says"
    assert split(lost_with(Loss("country", "CA-ON"), scenario)) == (set(), {"c"})
    assert split(lost_with(Loss("country", "JP"), scenario)) == (set(), set())
    assert split(lost_with(Loss("jurisdiction", "US"), scenario)) == (set(), {"q", "c", "d"})


@pytest.mark.parametrize(
    ("loss", "code"),
    [
        (Loss("region", "r-99"), "BP0211"),
        (Loss("operator", "Acne"), "BP1250"),
        (Loss("country", "Germany"), "BP1250"),
        (Loss("jurisdiction", "UK"), "BP1250"),
        (Basis("eu", "nothing"), "BP1250"),
        (Basis("nobody", "home"), "BP1250"),
    ],
)
def test_names_that_are_not_there(loss: Loss | Basis, code: str) -> None:
    with pytest.raises(BorderpostError) as refused:
        Change((loss,)).applied(random_scenario(0))
    assert refused.value.code == code


def event(**more: object) -> LegalEvent:
    body = {
        "id": "ev", "type": "injunction", "scope": {"countries": ["DE"]}, "effective_from": "2026-11-23",
        "recorded_at": "2026-11-01", "source": "s", "reason": "r", **more,
    }  # fmt: skip
    return LegalEvent.model_validate(body)


def legal(scenario: Scenario, facts: Facts) -> tuple[str, ...]:
    law = scenario.verdict(facts).law
    assert law is not None
    return law.legal


SUSPENDED = {
    "id": "off", "type": "region_suspend", "scope": {"regions": ["r-0"]}, "effective_from": "2026-01-01",
    "recorded_at": "2026-01-01", "source": "s", "reason": "r",
}  # fmt: skip


def test_an_event_counts_from_its_first_instant_on_and_widening_ones_as_signed() -> None:
    scenario = random_scenario(1, events=(SUSPENDED,))
    assert scenario.with_event(event()).events.in_force(AT_US) == ("ev", "off")
    restored = scenario.with_event(event(type="region_restore", scope={"regions": ["r-0"]}))
    assert restored.events.in_force(AT_US) == ("ev", "off")
    german = Facts((Evidence(Source.TOKEN, "DE"),), ("public",))
    assert "r-0" not in legal(scenario, german)
    assert "r-0" in legal(restored, german)
    lifted = scenario.with_event(event(type="lift", scope={}, ends="off"))
    assert lifted.events.in_force(AT_US) == ("ev",)
    assert "r-0" in legal(lifted, german)


@pytest.mark.parametrize(
    "more",
    [
        {"id": "off"},
        {"type": "lift", "scope": {}, "ends": "unknown"},
        {"effective_from": "2026-11-24"},
        {"effective_from": "2026-01-01", "effective_until": "2026-11-23"},
    ],
)
def test_an_event_that_cannot_be_supposed(more: dict[str, object]) -> None:
    with pytest.raises(BorderpostError) as refused:
        random_scenario(1, events=(SUSPENDED,)).with_event(event(**more))
    assert refused.value.code == "BP1251"


def test_the_first_instant_of_an_event_is_now_or_when_it_begins() -> None:
    scenario = random_scenario(1, events=(SUSPENDED,))
    assert first_instant_us(event(), scenario.events, AT_US - 5) == AT_US
    assert first_instant_us(event(), scenario.events, AT_US + 5) == AT_US + 5


def test_what_is_told_apart_is_bounded_and_totals_stay_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FORESIGHT_KINDS_MAX", 5)
    before = random_scenario(5)
    after = before.without(set(before.regions))
    comparison = Comparison()
    dice = random.Random(7)
    for number in range(60):
        facts = replace(random_facts(dice), tenant=f"t-{number}")
        flow = Flow(facts, False, 3)
        weigh(comparison, flow, flow, before, after, Latencies({}, before))
    assert comparison.lost == comparison.served > 20
    assert sum(comparison.losing.values()) == comparison.lost
    assert comparison.together > 0
    assert len(comparison.losing) == 6


def test_without_every_region_all_is_lost() -> None:
    before = random_scenario(4)
    verdict = before.without(set(before.regions)).verdict(Facts((), ("public",)))
    assert (verdict.region, verdict.latency_us) == (None, None)
    assert Who.of(Facts((), ("public",))).places == ()
