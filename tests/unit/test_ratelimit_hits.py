"""How many hits are charged, and how they are counted in the statistics."""

from __future__ import annotations

import math
from ctypes import c_float
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost_ratelimit.charges import Source, Verdict
from borderpost_ratelimit.limits import Algorithm, Unit
from borderpost_ratelimit.rules import Entries
from borderpost_ratelimit.service import RateLimitService
from borderpost_ratelimit.settings import ServiceSettings
from borderpost_ratelimit.statistics import OTHER, Statistics
from support.ratelimit_parts import (
    ListedRules,
    SaidStore,
    WindowStore,
    answer_of,
    asked_of,
    descriptor_of,
    limit_of,
    request_of,
    still_world,
)
from support.ratelimit_served import OK, OVER, Served, on


@pytest.mark.parametrize(
    ("request_hits", "own", "negative", "charged"),
    [
        (0, None, False, 1),
        (4, None, False, 4),
        (4, 7, False, 7),
        (4, 0, False, 0),
        (0, 7, True, -7),
        (0, None, True, -1),
        (0, 2**63, False, 2**52),
        (0, 2**63, True, -(2**52)),
    ],
)
def test_hits_are_the_descriptors_or_the_requests(
    request_hits: int, own: int | None, negative: bool, charged: int
) -> None:  # fmt: skip
    served = Served(on("a", limit_of(9)))
    answer_of(served.service, descriptor_of(("a", "x"), hits=own, negative=negative), hits=request_hits)
    assert [charge.hits for (charge,) in served.store.taken] == [charged]


def test_hits_given_back_make_room() -> None:
    served = Served(on("a", limit_of(10)))
    served.ask("a", hits=10)
    assert served.ask("a").overall_code == OVER
    answer_of(served.service, descriptor_of(("a", "x"), hits=5, negative=True))
    assert [served.ask("a").overall_code for _ in range(5)] == [OK, OK, OK, OK, OVER]
    assert served.counts("a").given_back == 5


@pytest.mark.parametrize(
    ("hits", "done", "charged"),
    [(None, False, 40), (0, False, 40), (3, False, 9), (None, True, 3), (0, True, 0), (3, True, 9)],
)
def test_a_budget_reserves_where_nobody_estimated_and_is_priced(hits: int | None, done: bool, charged: int) -> None:
    budget = limit_of(1000, algorithm=Algorithm.BUDGET, reserve=40, price_nano=2_900_000_000)
    served = Served(on("a", budget))
    end = [("borderpost.phase", "done")] if done else []
    answer_of(served.service, descriptor_of(("a", "x"), *end, hits=hits))
    assert [charge.hits for (charge,) in served.store.taken] == [charged]


def test_only_leases_and_reservations_are_named() -> None:
    limits = [limit_of(9, algorithm=algorithm) for algorithm in Algorithm]
    served = Served(on("a", *limits))
    for name in ("r-1", "r-2", "r-3", "r-4"):
        answer_of(served.service, descriptor_of(("a", "x"), ("borderpost.request", name)))
    named = {algorithm for algorithm in Algorithm if algorithm in (Algorithm.CONCURRENCY, Algorithm.BUDGET)}
    for name, charges in zip(("r-1", "r-2", "r-3", "r-4"), served.store.taken, strict=True):
        assert {charge.limit.algorithm for charge in charges if charge.request == name} == named
        assert {charge.request for charge in charges} == {name, ""}


def test_a_limit_of_its_own_holds_instead() -> None:
    served = Served(on("a", limit_of(100)))
    own = descriptor_of(("a", "x"), own=(2, Unit.HOUR, 3))
    answers = [answer_of(served.service, own) for _ in range(3)]
    assert [answer.overall_code for answer in answers] == [OK, OK, OVER]
    current = answers[0].statuses[0].current_limit
    assert (current.requests_per_unit, int(current.unit), current.unit_multiplier.value) == (2, 3, 3)
    assert served.ask("a").statuses[0].current_limit.requests_per_unit == 100


# Statistics


@given(st.integers(0, 60), st.sampled_from([0.8, 0.5, 1.0]), st.lists(st.integers(0, 40), max_size=12))
def test_hits_are_counted_as_envoyproxy_ratelimit_counts_them(amount: int, ratio: float, stream: list[int]) -> None:
    """Each hit by itself: over above the amount, otherwise near above the near share of it."""
    near = math.floor(c_float(c_float(amount).value * c_float(ratio).value).value)
    statistics = Statistics(near_limit_ratio=ratio)
    served = Served(on("a", limit_of(amount)))
    service = RateLimitService(
        rules=ListedRules(on("a", limit_of(amount))), store=served.store, world=still_world(), statistics=statistics,
        settings=ServiceSettings(),
    )  # fmt: skip
    used = within = over = near_hits = 0
    for hits in stream:
        answer_of(service, descriptor_of(("a", "x"), hits=hits))
        used += hits
        if used <= amount:
            within += hits
            near_hits += sum(1 for hit in range(used - hits + 1, used + 1) if hit > near)
        else:
            over += sum(1 for hit in range(used - hits + 1, used + 1) if hit > amount)
            near_hits += sum(1 for hit in range(used - hits + 1, used + 1) if near < hit <= amount)
    counts = statistics.of_rule("shop.a")
    assert (counts.total_hits, counts.within_limit, counts.over_limit, counts.near_limit) == (
        sum(stream), within, over, near_hits,
    )  # fmt: skip


def test_what_a_near_cache_refuses_is_counted_as_such() -> None:
    over = Verdict(True, 0, 0, 5, 5, Source.NEAR_CACHE)
    served = Served(on("a", limit_of(9)), store=SaidStore(over, over))
    assert [served.ask("a", hits=hits).overall_code for hits in (1, 4)] == [OVER, OVER]
    counts = served.counts("a")
    assert (counts.total_hits, counts.over_limit, counts.over_limit_with_local_cache, counts.near_limit) == (5, 5, 5, 0)


def test_what_other_algorithms_refuse_is_over_whole() -> None:
    bucket = limit_of(10, algorithm=Algorithm.TOKEN_BUCKET, burst=10)
    served = Served(on("a", bucket), store=SaidStore(Verdict(True, 8, 0, 5, 5)))
    served.ask("a", hits=4)
    assert (served.counts("a").over_limit, served.counts("a").near_limit) == (4, 0)


def test_what_ends_is_counted_apart() -> None:
    served = Served(on("a", limit_of(1)))
    for _ in range(3):
        end = descriptor_of(("a", "x"), ("borderpost.phase", "done"), hits=5)
        assert answer_of(served.service, end).overall_code == OK
    counts = served.counts("a")
    assert (counts.total_hits, counts.over_limit, counts.charged_at_end) == (0, 0, 15)


class ValuedRules(ListedRules):
    """A book whose metrics hold the values of requests."""

    def match(self, domain: str, entries: Entries) -> Any:
        found = super().match(domain, entries)
        return found and found._replace(metric=f"{found.metric}_{entries[0][1]}")


def test_names_with_values_are_bounded() -> None:
    statistics = Statistics(value_names_max=10)
    service = RateLimitService(
        rules=ValuedRules(on("a", limit_of(1))), store=WindowStore(), world=still_world(), statistics=statistics,
        settings=ServiceSettings(),
    )  # fmt: skip
    for index in range(50):
        answer_of(service, descriptor_of(("a", f"client-{index}")))
        asked_of(service, request_of(descriptor_of(("a", "x")), domain=f"domain-{index}" + "x" * 1000))
    found = dict(statistics.rules())
    assert len(found) == 11
    assert found[OTHER].total_hits == 40
    domains = statistics.unknown_domains
    assert len(domains) == 11 and domains[OTHER] == 40
    assert max(map(len, domains)) <= 128


def test_own_limits_are_counted_among_the_bounded_names() -> None:
    statistics = Statistics(value_names_max=1)
    service = RateLimitService(
        rules=ListedRules(), store=WindowStore(), world=still_world(), statistics=statistics, settings=ServiceSettings()
    )
    answer_of(service, descriptor_of(("a", "x"), own=(2, Unit.HOUR)))
    assert [name for name, _ in statistics.rules()] == ["shop.own"]
    assert statistics.of_values("another") is statistics.of_values("one more")
