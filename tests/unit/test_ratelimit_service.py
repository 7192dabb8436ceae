"""Questions in, answers out: the service over a store that really counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from borderpost_proto.rate_limit_pb2 import RateLimitResponse
from borderpost_ratelimit.charges import Charge, Done, Phase, Unanswered, Verdict
from borderpost_ratelimit.limits import Algorithm, Unit
from borderpost_ratelimit.rules import Entries, Match
from borderpost_ratelimit.service import SHOULD_RATE_LIMIT, RateLimitService
from borderpost_ratelimit.settings import ServiceSettings
from borderpost_ratelimit.statistics import Statistics
from borderpost_wire.options import ServerOptions, UnixListen
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
from support.wire_server import serving

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


# What goes wrong touches nobody else


class FaultyRules(ListedRules):
    """Fails for one user, in two ways."""

    def match(self, domain: str, entries: Entries) -> Match | None:
        if entries == (("user", "bad"),):
            raise RuntimeError("a bug")
        found = super().match(domain, entries)
        if entries == (("user", "worse"),) and found is not None:
            return found._replace(rule=rule_of("empty"))
        return found


def test_a_bug_fails_its_own_request_only() -> None:
    served = Served(FaultyRules(((("user", ""),), rule_of("user", limit_of(5)))))
    users = ["ann", "bad", "ben", "worse", "cat"]
    with capture_logs() as logs:
        calls = asked_of(served.service, *[request_of(descriptor_of(("user", user))) for user in users])
    assert [log["event"] for log in logs] == ["requests could not be planned"], "one line a minute"
    assert [call.answer is not None for call in calls] == [True, False, True, False, True]
    assert [call.failure[0] for call in calls if call.failure] == [StatusCode.INTERNAL] * 2
    assert all("bug" not in call.failure[1] for call in calls if call.failure)
    assert (served.statistics.service_error, served.statistics.requests) == (2, 3)


def test_a_request_that_cannot_be_understood_is_told_so_and_counted(served: Served) -> None:
    bad, good = asked_of(served.service, request_of(domain="shop"), request_of(ANN))
    assert bad.failure == (StatusCode.INVALID_ARGUMENT, "there is no descriptor")
    assert good.answer is not None
    assert (served.statistics.malformed, served.statistics.service_error) == (1, 1)


class ShortStore(WindowStore):
    """Answers one request fewer, or one more, than it was asked."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self._more = more

    def take(self, requests: Sequence[tuple[Charge, ...]], now_us: int, done: Done) -> None:
        answers = [tuple(Verdict(False, 1, 1, 1) for _ in charges) for charges in requests]
        done([*answers, ()][: len(requests) + self._more])


@pytest.mark.parametrize("more", [-1, 1])
def test_a_store_that_miscounts_lets_nobody_pass_unasked(served: Served, more: int) -> None:
    served.service = RateLimitService(
        rules=RULES, store=ShortStore(more), world=still_world(), statistics=served.statistics,
        settings=ServiceSettings(),
    )  # fmt: skip
    calls = asked_of(served.service, *[request_of(ANN)] * 3)
    assert [call.answers for call in calls] == [1, 1, 1]
    assert sum(call.answer is not None for call in calls) == min(3, 3 + more)


def test_answers_may_come_later(served: Served) -> None:
    served.store.held = []
    calls = asked_of(served.service, request_of(ANN)) + asked_of(served.service, request_of(ANN))
    assert [call.answers for call in calls] == [0, 0]
    served.store.release()
    assert [call.answers for call in calls] == [1, 1]


# Recognised by their bytes


def test_a_request_that_comes_again_is_matched_no_more() -> None:
    rules = ListedRules(((("user", ""),), rule_of("user", limit_of(9))))
    service = Served(rules).service
    for index in range(6):
        answer_of(service, descriptor_of(("user", "ann"), ("borderpost.request", f"r-{index}")))
    assert len(rules.asked) == 2, "at first sight and at the second, when it is remembered"


def test_a_value_that_looks_like_a_name_stays_a_value() -> None:
    """Two clients whose names are alike but for what looks like a request's name are two clients."""
    service = Served(ListedRules(((("user", ""),), rule_of("user", limit_of(4))))).service
    false = b"\x0a\x12borderpost.request\x12\x03"
    for user in (b"ann", b"ben"):
        left = [answer_of(service, descriptor_of(("user", false + user))).statuses[0].limit_remaining for _ in range(4)]
        assert left == [3, 2, 1, 0]


def test_what_is_remembered_is_bounded() -> None:
    rules = ListedRules(((("user", ""),), rule_of("user", limit_of(9))))
    served = Served(rules, remembered_requests_max=10)
    for _ in range(3):
        for index in range(100):
            answer_of(served.service, descriptor_of(("user", f"u-{index}")))
    assert len(served.service._plans) <= 10
    assert len(served.service._seen) <= 10
    for _ in range(3):
        answer_of(served.service, descriptor_of(("user", "long" * 1000)))
    assert max(map(len, served.service._plans.recent), default=0) < 2048


def test_names_and_hits_are_those_of_the_request_that_comes_again() -> None:
    lease = limit_of(9, algorithm=Algorithm.CONCURRENCY)
    served = Served(ListedRules(((("user", ""),), rule_of("user", lease))))
    for hits in (1, 2, 1, 2):
        for name in ("r-1", "r-2"):
            answer_of(served.service, descriptor_of(("user", "ann"), ("borderpost.request", name), hits=hits))
    assert [(charge.hits, charge.request) for (charge,) in served.store.taken] == [
        (1, "r-1"),
        (1, "r-2"),
        (2, "r-1"),
        (2, "r-2"),
    ] * 2


# On the engines


@pytest.fixture
def channel(each_engine: str, tmp_path: Path) -> Iterator[Callable[[bytes], RateLimitResponse]]:
    options = ServerOptions(listen=(UnixListen(tmp_path / "s.sock"),))
    with serving(options, Served().service) as thread, grpc.insecure_channel(thread.engine.addresses[0]) as opened:
        ask = opened.unary_unary(SHOULD_RATE_LIMIT)
        yield lambda message: RateLimitResponse.FromString(ask(message, timeout=10))


def test_both_engines_answer_alike(channel: Callable[[bytes], RateLimitResponse]) -> None:
    assert [channel(request_of(ANN)).overall_code for _ in range(4)] == [OK, OK, OK, OVER]


def test_both_engines_take_long_values_and_refuse_too_many_descriptors(
    channel: Callable[[bytes], RateLimitResponse],
) -> None:
    long = descriptor_of(*[(key, b"\xff" * 65_536) for key in ("user", "path", "agent")])
    assert channel(request_of(long)).overall_code == OK
    for message in (request_of(*[ANN] * 5000), request_of(), b"\xff\xff"):
        with pytest.raises(grpc.RpcError) as refused:
            channel(message)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
