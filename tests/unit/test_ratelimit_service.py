"""Questions in, answers out: the service over a store that really counts."""

from __future__ import annotations

from typing import Any

import pytest

from borderpost_ratelimit.charges import Phase, Unanswered
from borderpost_ratelimit.limits import Algorithm, Unit
from borderpost_ratelimit.service import RateLimitService
from borderpost_ratelimit.settings import ServiceSettings
from borderpost_ratelimit.statistics import Statistics
from borderpost_wire.service import StatusCode
from support.ratelimit_parts import (
    ListedRules,
    WindowStore,
    answer_of,
    asked_of,
    descriptor_of,
    limit_of,
    request_of,
    rule_of,
    still_world,
)

OK, OVER = 1, 2
RULES = ListedRules(
    ((("user", "ann"),), rule_of("user_ann", limit_of(3))),
    ((("user", ""),), rule_of("user", limit_of(1))),
)
ANN = descriptor_of(("user", "ann"))


class Served:
    """A service and its parts."""

    def __init__(self, rules: ListedRules | None = RULES, **settings: Any) -> None:
        self.store = WindowStore()
        self.statistics = Statistics()
        self.service = RateLimitService(
            rules=rules, store=self.store, world=still_world(), statistics=self.statistics,
            settings=ServiceSettings(**settings),
        )  # fmt: skip


@pytest.fixture
def served() -> Served:
    return Served()


def test_passes_as_often_as_the_limit_says(served: Served) -> None:
    answers = [answer_of(served.service, ANN) for _ in range(5)]
    assert [answer.overall_code for answer in answers] == [OK, OK, OK, OVER, OVER]
    assert [answer.statuses[0].limit_remaining for answer in answers] == [2, 1, 0, 0, 0]
    (status,) = answers[0].statuses
    assert status.current_limit.requests_per_unit == 3
    assert Unit(status.current_limit.unit) is Unit.MINUTE
    assert (status.duration_until_reset.seconds, status.duration_until_reset.nanos) == (20, 0)


def test_a_batch_is_one_turn_of_the_store(served: Served) -> None:
    calls = asked_of(served.service, *[request_of(ANN)] * 4)
    assert [call.answer.overall_code for call in calls if call.answer] == [OK, OK, OK, OVER]
    assert len(served.store.taken) == 4


def test_what_nobody_limits_passes(served: Served) -> None:
    answer = answer_of(served.service, descriptor_of(("other", "x")))
    assert answer.overall_code == OK
    assert answer.statuses[0].code == OK
    assert not answer.statuses[0].HasField("current_limit")


def test_an_unknown_domain_passes_and_is_counted(served: Served) -> None:
    (call,) = asked_of(served.service, request_of(ANN, domain="nowhere"))
    assert call.answer is not None and call.answer.overall_code == OK
    assert served.statistics.unknown_domains == {"nowhere": 1}


def test_without_limits_every_request_fails() -> None:
    (call,) = asked_of(Served(None).service, request_of(ANN))
    assert call.failure is not None and call.failure[0] is StatusCode.UNAVAILABLE


def test_new_limits_hold_at_once_and_counters_stay(served: Served) -> None:
    answer_of(served.service, ANN)
    served.service.adopt(ListedRules(((("user", "ann"),), rule_of("user_ann", limit_of(9)))))
    assert answer_of(served.service, ANN).statuses[0].limit_remaining == 7


def test_a_store_without_an_answer_is_an_error(served: Served) -> None:
    served.store.unanswered = Unanswered("timeout")
    (call,) = asked_of(served.service, request_of(ANN))
    assert call.failure == (StatusCode.UNAVAILABLE, "the store of counters has no answer: timeout")
    assert served.statistics.store_error == {"timeout": 1}


def test_the_end_of_a_stream_is_charged_and_never_over() -> None:
    budget = limit_of(100, algorithm=Algorithm.BUDGET, reserve=40)
    served = Served(ListedRules(((("tokens", ""),), rule_of("tokens", budget))))
    named = ("borderpost.request", "r-1")
    answer_of(served.service, descriptor_of(("tokens", "ann"), named))
    end = descriptor_of(("tokens", "ann"), named, ("borderpost.phase", "done"), hits=900)
    assert answer_of(served.service, end).overall_code == OK
    (begun,), (ended,) = served.store.taken
    assert (begun.hits, begun.phase, begun.request) == (40, Phase.BEGIN, "r-1")
    assert (ended.hits, ended.phase, ended.request) == (900, Phase.DONE, "r-1")
    assert begun.key == ended.key


def test_what_counts_requests_beside_a_budget_does_not_count_its_tokens() -> None:
    requests, budget = limit_of(5), limit_of(1000, algorithm=Algorithm.BUDGET, reserve=40)
    served = Served(ListedRules(((("tokens", ""),), rule_of("tokens", requests, budget))))
    answer_of(served.service, descriptor_of(("tokens", "ann")))
    answer_of(served.service, descriptor_of(("tokens", "ann"), ("borderpost.phase", "done"), hits=900))
    begun, ended = ([charge.hits for charge in each] for each in served.store.taken)
    assert (begun, ended) == ([1, 40], [0, 900])
    alone = Served(ListedRules(((("tokens", ""),), rule_of("tokens", requests))))
    answer_of(alone.service, descriptor_of(("tokens", "ann"), ("borderpost.phase", "done"), hits=900))
    assert [charge.hits for charge in alone.store.taken[0]] == [900]
