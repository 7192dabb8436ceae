"""Quotas to be used without asking: as many pass as the limit says, however the grants are used."""

from __future__ import annotations

import random
from typing import Any

import pytest

from borderpost_ratelimit.charges import Source, Verdict
from borderpost_ratelimit.limits import SECOND_US, Algorithm, Unit
from borderpost_ratelimit.service import RateLimitService
from borderpost_ratelimit.settings import ServiceSettings
from borderpost_ratelimit.statistics import Statistics
from borderpost_ratelimit.stores.memory import MemoryStore
from support.ratelimit_parts import (
    NOW_US,
    ListedRules,
    SaidStore,
    WindowStore,
    answer_of,
    descriptor_of,
    limit_of,
    rule_of,
    still_world,
)

OK, OVER = 1, 2
A = descriptor_of(("a", "x"))


class Served:
    def __init__(self, *limits: Any, grant: int = 10, store: Any = None, **rule: Any) -> None:
        self.statistics = Statistics()
        self.service = RateLimitService(
            rules=ListedRules(((("a", ""),), rule_of("a", *limits, **rule))), store=store or WindowStore(),
            world=still_world(), statistics=self.statistics, settings=ServiceSettings(quota_grant=grant),
        )  # fmt: skip


def test_a_grant_is_told_until_the_window_ends() -> None:
    (status,) = answer_of(Served(limit_of(100)).service, A).statuses
    until = status.quota.valid_until
    assert (status.code, status.quota.requests, status.limit_remaining) == (OK, 10, 89)
    assert (until.seconds * SECOND_US + until.nanos // 1000) % (60 * SECOND_US) == 0
    assert 0 < until.seconds * SECOND_US - NOW_US <= 60 * SECOND_US
    assert len(status.quota.id) == 32 and "x" not in status.quota.id


def test_counters_have_ids_of_their_own() -> None:
    service = Served(limit_of(100)).service
    one, again, other = (answer_of(service, descriptor_of(("a", value))).statuses[0].quota.id for value in "xxy")
    assert one == again != other


@pytest.mark.parametrize("store", [WindowStore, lambda: MemoryStore(100)], ids=["windows", "memory"])
@pytest.mark.parametrize("amount", [0, 1, 10, 11, 100, 997])
def test_as_many_pass_as_the_limit_says(amount: int, store: Any) -> None:
    """Clients use up what they were given, and ask when they have nothing."""
    served = Served(limit_of(amount, Unit.YEAR), store=store())
    given = [0] * 5
    passed = 0
    for _ in range(2000):
        client = random.randrange(len(given))
        if given[client]:
            given[client] -= 1
            passed += 1
            continue
        (status,) = answer_of(served.service, A).statuses
        passed += status.code == OK
        given[client] = status.quota.requests
    assert passed == amount
    counts = served.statistics.of_rule("shop.a")
    assert (counts.within_limit, counts.over_limit + amount) == (amount, counts.total_hits)


@pytest.mark.parametrize(
    "served",
    [
        Served(limit_of(100), grant=0),
        Served(limit_of(100), limit_of(50, Unit.HOUR)),
        Served(limit_of(100, algorithm=Algorithm.TOKEN_BUCKET, burst=100)),
        Served(limit_of(100, binding=False), shadow=True),
        Served(limit_of(100), store=SaidStore(Verdict(False, 0, 100, 5, 0, Source.ASSUMED))),
    ],
    ids=["none", "two limits", "no window", "shadow", "nothing counted"],
)
def test_elsewhere_nothing_is_granted(served: Served) -> None:
    answer = answer_of(served.service, A)
    assert answer.overall_code == OK
    assert not answer.statuses[0].HasField("quota")


@pytest.mark.parametrize("asked", [{"hits": 0}, {"hits": 3, "negative": True}], ids=["a look", "given back"])
def test_who_asks_for_nothing_is_granted_nothing(asked: dict[str, Any]) -> None:
    assert (
        not answer_of(Served(limit_of(100)).service, descriptor_of(("a", "x"), **asked)).statuses[0].HasField("quota")
    )


def test_a_counter_that_is_known_to_be_over_refuses() -> None:
    served = Served(limit_of(100), store=SaidStore(Verdict(True, 0, 0, 5, 5, Source.NEAR_CACHE)))
    answer = answer_of(served.service, A)
    assert (answer.overall_code, answer.statuses[0].HasField("quota")) == (OVER, False)
    assert served.statistics.of_rule("shop.a").over_limit == 1
