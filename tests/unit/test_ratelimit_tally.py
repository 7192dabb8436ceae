"""What a limiter has counted, as metrics: every counter of envoyproxy/ratelimit, bounded, never falling."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from borderpost.health import Outcome
from borderpost.limiter.stores import Stores
from borderpost.limiter.tally import Tally
from borderpost_base import metrics as base_metrics
from borderpost_base.metrics import METRICS, Metrics, exposition, limiter_metrics
from borderpost_ratelimit.charges import Charge
from borderpost_ratelimit.statistics import RuleCounts, Statistics
from borderpost_ratelimit.stores.memory import MemoryStore
from borderpost_wire.engine import Counters, Engine
from support.ratelimit_parts import NOW_US, limit_of


class Stage:
    """A tally over counters that a test sets."""

    def __init__(self) -> None:
        self.metrics: Metrics = limiter_metrics()
        self.statistics = Statistics(value_names_max=3)
        self.memory = MemoryStore(100)
        self.engine = SimpleNamespace(counters=Counters(), calls_in_progress=0)
        stores = Stores(self.memory, self.memory, {}, {})
        self.tally = Tally(self.metrics, self.statistics, stores, [cast(Engine, self.engine)])

    def told(self) -> dict[str, float]:
        """Return the samples that are not zero, without the common prefix."""
        asyncio.run(self.tally.copy())
        families = text_string_to_metric_families(exposition(self.metrics).decode())
        samples = [sample for family in families for sample in family.samples if sample.value]
        return {_name(sample.name, sample.labels): sample.value for sample in samples}


def _name(name: str, labels: dict[str, Any]) -> str:
    return " ".join([name.removeprefix("borderpost_limiter_"), *labels.values()])


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.plain  # a compiled class has no list of its attributes
def test_every_counter_of_a_rule_is_told_under_its_name(stage: Stage) -> None:
    counts = stage.statistics.of_rule("shop.tenant")
    for number, name in enumerate(vars(RuleCounts()), start=1):
        setattr(counts, name, number)
    assert stage.told() == {
        "hits_total shop.tenant": 1,
        "within_limit_total shop.tenant": 2,
        "near_limit_total shop.tenant": 3,
        "over_limit_total shop.tenant": 4,
        "over_limit_near_cache_total shop.tenant": 5,
        "shadow_total shop.tenant": 6,
        "given_back_total shop.tenant": 7,
        "charged_at_end_total shop.tenant": 8,
    }


def test_counters_of_the_service_are_told(stage: Stage) -> None:
    statistics = stage.statistics
    statistics.requests, statistics.refused = 10, 4
    statistics.malformed, statistics.service_error = 2, 5
    statistics.store_failed("timeout")
    statistics.global_shadow_mode, statistics.unrecorded = 6, 1
    statistics.domain_not_found("nowhere", 1)
    assert stage.told() == {
        "requests_total ok": 6,
        "requests_total over_limit": 4,
        "errors_total malformed": 2,
        "errors_total service": 3,
        "errors_total store_timeout": 1,
        "shadowed_requests_total": 6,
        "unrecorded_total": 1,
        "domain_not_found_total nowhere": 1,
    }


def test_the_engines_counters_and_the_memorys_are_told(stage: Stage) -> None:
    stage.engine.counters = Counters(calls=7, refused=2, gone_unanswered=1)
    stage.engine.calls_in_progress = 3
    stage.memory.overflowed = 4
    assert stage.told() == {
        "calls_total begun": 7,
        "calls_total turned_away": 2,
        "calls_total gone_unanswered": 1,
        "calls_in_progress": 3,
        "overflowed_total": 4,
    }


def test_what_was_told_is_not_told_again(stage: Stage) -> None:
    counts = stage.statistics.of_rule("shop.tenant")
    counts.total_hits = 3
    assert stage.told() == stage.told() == {"hits_total shop.tenant": 3}
    counts.total_hits = 5
    counts.within_limit = 1
    assert stage.told() == {"hits_total shop.tenant": 5, "within_limit_total shop.tenant": 1}


def test_names_that_callers_choose_are_bounded(stage: Stage) -> None:
    for number in range(50):
        stage.statistics.of_values(f"shop.tenant_{number}").total_hits += 1
        stage.statistics.domain_not_found(f"domain-{number}", 1)
    told = stage.told()
    assert sum(value for name, value in told.items() if name.startswith("hits_total")) == 50
    assert told["hits_total other"] == 47
    assert told["domain_not_found_total other"] == 47
    assert len(told) == 8


def test_rules_beyond_the_bound_are_told_together(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = METRICS["borderpost_limiter_hits_total"]
    assert spec.values_max == base_metrics.LIMITER_RULES_TOLD_MAX
    monkeypatch.setattr(stage.metrics.limiter_hits_total, "spec", SimpleNamespace(labels=("rule",), values_max=3))
    for number in range(5):
        stage.statistics.of_rule(f"shop.rule_{number}").total_hits = 1
    told = stage.told()
    assert (told["hits_total shop.rule_0"], told["hits_total other"], len(told)) == (1, 2, 4)


def test_memory_without_room_for_new_keys_is_counted_and_a_warning() -> None:
    memory = MemoryStore(2)
    stores = Stores(memory, memory, {}, {})
    limit = limit_of(5)
    memory.take([(Charge(limit, "a", 1),), (Charge(limit, "b", 1),)], NOW_US, lambda _: None)
    assert stores.checks() == []
    memory.take([(Charge(limit, "c", 1),), (Charge(limit, "d", 1),)], NOW_US, lambda _: None)
    (check,) = stores.checks()
    assert (check.name, check.outcome, check.holds) == ("limiter/memory", Outcome.WARNING, True)
    assert (memory.shared, memory.overflowed) == (1, 2)


def test_many_rules_are_told_a_few_at_a_time(stage: Stage) -> None:
    """Questions are answered on the same loop: none waits until thousands of rules are told."""
    turns = []

    async def count_turns(copying: asyncio.Task[None]) -> None:
        while not copying.done():
            turns.append(stage.metrics.limiter_hits_total.get("shop.rule_99"))
            await asyncio.sleep(0)

    async def both() -> None:
        await count_turns(asyncio.create_task(stage.tally.copy()))

    for number in range(100):
        stage.statistics.of_rule(f"shop.rule_{number}").total_hits = 1
    asyncio.run(both())
    assert len(turns) > 10
    assert stage.metrics.limiter_hits_total.get("shop.rule_99") == 1
