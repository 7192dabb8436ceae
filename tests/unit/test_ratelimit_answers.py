"""What verdicts become: codes, what is left, durations; replaces, quota and shadow; statistics and refusals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from ctypes import c_float
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from borderpost_proto.rate_limit_pb2 import RateLimitResponse
from borderpost_ratelimit.charges import Source, Unanswered, Verdict
from borderpost_ratelimit.limits import Algorithm, Unit
from borderpost_ratelimit.refusals import Refusal
from borderpost_ratelimit.rules import Entries, Rule
from borderpost_ratelimit.service import RateLimitService
from borderpost_ratelimit.settings import QuotaRule, ServiceSettings
from borderpost_ratelimit.statistics import OTHER, RuleCounts, Statistics
from support.ratelimit_parts import (
    ListedRules,
    SaidStore,
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
UINT32_MAX = 2**32 - 1


class Recorded:
    """A log of refusals that says when they are durable."""

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []
        self.released: list[Callable[[bool], None]] = []

    def refused(self, refusals: Sequence[Refusal], at_us: int, released: Callable[[bool], None]) -> None:
        self.refusals += refusals
        self.released.append(released)


class Served:
    def __init__(
        self,
        *rules: tuple[Entries, Rule],
        store: WindowStore | None = None,
        log: Recorded | None = None,
        **settings: Any,
    ) -> None:
        self.store = store or WindowStore()
        self.statistics = Statistics()
        self.service = RateLimitService(
            rules=ListedRules(*rules), store=self.store, world=still_world(), statistics=self.statistics,
            settings=ServiceSettings(**settings), refusals=log,
        )  # fmt: skip

    def ask(self, *names: str, hits: int = 0) -> RateLimitResponse:
        return answer_of(self.service, *[descriptor_of((name, "x")) for name in names], hits=hits)

    def counts(self, name: str) -> RuleCounts:
        return dict(self.statistics.rules())[f"shop.{name}"]


def on(key: str, *limits: Any, **more: Any) -> tuple[Entries, Rule]:
    return ((key, ""),), rule_of(key, *limits, **more)


def codes(answer: RateLimitResponse) -> list[int]:
    return [status.code for status in answer.statuses]


# Codes and statuses


def test_each_descriptor_has_its_status_and_one_that_is_over_refuses() -> None:
    served = Served(on("a", limit_of(5)), on("b", limit_of(0)))
    answer = served.ask("a", "b", "nothing")
    assert (answer.overall_code, codes(answer)) == (OVER, [OK, OVER, OK])
    assert [status.HasField("current_limit") for status in answer.statuses] == [True, True, False]
    assert [status.limit_remaining for status in answer.statuses] == [4, 0, 0]


def test_the_same_descriptor_twice_is_charged_twice() -> None:
    served = Served(on("a", limit_of(1)))
    assert codes(served.ask("a", "a")) == [OK, OVER]


def test_unlimited_has_the_most_left_and_is_not_asked_of_the_store() -> None:
    served = Served(on("a", unlimited=True))
    answer = served.ask("a")
    assert (answer.overall_code, codes(answer), answer.statuses[0].limit_remaining) == (OK, [OK], UINT32_MAX)
    assert not served.store.taken


@pytest.mark.parametrize("by", [{"unlimited": True}, {"limits": 1}], ids=["by an unlimited one", "by another"])
def test_a_rule_that_is_replaced_limits_nothing(by: dict[str, Any]) -> None:
    limits = [limit_of(7)] * by.pop("limits", 0)
    served = Served(on("a", limit_of(0), name="all"), on("b", *limits, replaces=("all",), **by), on("c", limit_of(9)))
    answer = served.ask("a", "b", "c")
    assert (answer.overall_code, codes(answer)) == (OK, [OK, OK, OK])
    assert not answer.statuses[0].HasField("current_limit")
    assert served.ask("a").overall_code == OVER


def test_who_replaces_need_not_count_himself() -> None:
    """A rule that is replaced replaces others all the same, as in envoyproxy/ratelimit."""
    served = Served(
        on("a", limit_of(0), name="a"),
        on("b", limit_of(0), name="b", replaces=("a",)),
        on("c", unlimited=True, replaces=("b",)),
    )
    assert codes(served.ask("a", "b", "c")) == [OK, OK, OK]


def test_shadow_mode_passes_and_counts() -> None:
    served = Served(on("a", limit_of(1, binding=False), shadow=True))
    answers = [served.ask("a", hits=3) for _ in range(2)]
    assert [answer.overall_code for answer in answers] == [OK, OK]
    assert [codes(answer) for answer in answers] == [[OK], [OK]]
    counts = served.counts("a")
    assert (counts.total_hits, counts.over_limit, counts.shadow_mode, counts.within_limit) == (6, 5, 5, 0)


def test_everything_in_shadow_mode_passes_and_tells_what_would_not() -> None:
    served = Served(on("a", limit_of(0)), shadow=True)
    answer = served.ask("a")
    assert (answer.overall_code, codes(answer)) == (OK, [OVER])
    assert served.statistics.global_shadow_mode == 1
    assert served.statistics.refused == 0
    assert [charge.limit.binding for charges in served.store.taken for charge in charges] == [False]


QUOTA_CASES = {
    # quota descriptors over, other descriptors: codes of `all`, codes of `never`
    "one of two": (["q0", "q1"], (OK, [OVER, OK]), (OK, [OK, OK])),
    "both": (["q0", "q0"], (OVER, [OVER, OVER]), (OK, [OK, OK])),
    "the only one": (["q0"], (OVER, [OVER]), (OK, [OK])),
    "the only one, beside a limit that passes": (["q0", "a1"], (OVER, [OVER, OK]), (OK, [OK, OK])),
    "one of two, beside a limit that is over": (["q0", "q1", "a0"], (OVER, [OVER, OK, OVER]), (OVER, [OK, OK, OVER])),
    "none": (["q1", "a1"], (OK, [OK, OK]), (OK, [OK, OK])),
}


@pytest.mark.parametrize("rule", QuotaRule)
@pytest.mark.parametrize("case", QUOTA_CASES)
def test_quota_mode_refuses_as_configured(case: str, rule: QuotaRule) -> None:
    names, *expected = QUOTA_CASES[case]
    served = Served(
        on("q0", limit_of(0, binding=False), quota=True), on("q1", limit_of(9, binding=False), quota=True),
        on("a0", limit_of(0)), on("a1", limit_of(9)), quota_rule=rule,
    )  # fmt: skip
    answer = served.ask(*names)
    assert (answer.overall_code, codes(answer)) == expected[rule is QuotaRule.NEVER]


def test_a_quota_that_never_refuses_tells_no_duration_when_over() -> None:
    served = Served(on("a", limit_of(0, binding=False), quota=True), quota_rule=QuotaRule.NEVER)
    (status,) = served.ask("a").statuses
    assert status.HasField("current_limit") and not status.HasField("duration_until_reset")


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["a0"], OVER),
        (["a0", "a1"], OK),
        (["a0", "nothing"], OK),
        (["a0", "free"], OVER),
        (["free"], OK),
        (["nothing"], OK),
    ],
)
def test_with_everything_in_quota_mode_all_that_could_pass_must_be_over(names: list[str], code: int) -> None:
    served = Served(on("a0", limit_of(0)), on("a1", limit_of(9)), on("free", unlimited=True), quota=True)
    assert served.ask(*names).overall_code == code
    assert not any(charge.limit.binding for charges in served.store.taken for charge in charges)


def test_of_several_limits_the_one_that_holds_longest_decides() -> None:
    first, second, third = limit_of(10, Unit.SECOND), limit_of(100), limit_of(1000, Unit.HOUR)
    over = Verdict(True, 100, 0, 40_000_000, 40_000_000)
    said = {
        "the least left": ([Verdict(False, 1, 9, 1), Verdict(False, 92, 8, 2), Verdict(False, 1, 999, 3)], OK, 100),
        "the one over": ([Verdict(False, 10, 0, 1), over, Verdict(False, 1, 999, 3)], OVER, 100),
        "the longest over": ([Verdict(True, 10, 0, 9, 9), over, Verdict(True, 1, 0, 8, 8)], OVER, 100),
    }
    for verdicts, code, amount in said.values():
        answer = Served(on("a", first, second, third), store=SaidStore(*verdicts)).ask("a")
        assert (answer.overall_code, answer.statuses[0].current_limit.requests_per_unit) == (code, amount)


@pytest.mark.parametrize(
    ("reset_us", "seconds"),
    [(1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2), (31_536_000_000_000, 31_536_000), (0, 0)],
)
def test_durations_are_whole_seconds_rounded_up(reset_us: int, seconds: int) -> None:
    answer = Served(on("a", limit_of(9)), store=SaidStore(Verdict(False, 1, 8, reset_us))).ask("a")
    duration = answer.statuses[0].duration_until_reset
    assert (duration.seconds, duration.nanos) == (seconds, 0)


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (limit_of(5, Unit.WEEK), (5, 7, None)),
        (limit_of(5, Unit.MINUTE, window_us=600_000_000), (5, 2, 10)),
        (limit_of(5, Unit.UNKNOWN, window_us=7_200_000_000), (5, 3, 2)),
        (limit_of(5, Unit.UNKNOWN, window_us=2_592_000_000_000), (5, 5, None)),
        (limit_of(5, Unit.UNKNOWN, window_us=1_500_000), (5, 0, None)),
        (limit_of(5, Unit.UNKNOWN, window_us=60_000_000, algorithm=Algorithm.CONCURRENCY), (5, 0, None)),
        (limit_of(2**40), (UINT32_MAX, 2, None)),
        (limit_of(0), (0, 2, None)),
    ],
)
def test_the_limit_is_told_in_units(limit: Any, told: tuple[int, int, int | None]) -> None:
    current = Served(on("a", limit, name="people")).ask("a").statuses[0].current_limit
    multiplier = current.unit_multiplier.value if current.HasField("unit_multiplier") else None
    assert (current.requests_per_unit, int(current.unit), multiplier, current.name) == (*told, "people")


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 2**53 - 1), st.integers(0, 2**45)), min_size=1, max_size=5),
    st.sampled_from(["", "people", "\u00e9"]),
)
def test_any_answer_is_encoded_as_the_generated_messages_do(said: list[tuple[bool, int, int]], name: str) -> None:
    """CallOf.reply decodes each answer, encodes it again and compares."""
    verdicts = [Verdict(over, 1, remaining, reset_us) for over, remaining, reset_us in said]
    served = Served(on("a", limit_of(2**33), name=name), store=SaidStore(*verdicts), dynamic_metadata=True)
    answer = served.ask(*["a"] * len(said))
    remaining = [0 if over else min(left, UINT32_MAX) for over, left, _ in said]
    assert [status.limit_remaining for status in answer.statuses] == remaining


# Hits


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


# Refusals


def refusing(**more: Any) -> tuple[Served, Recorded]:
    log = Recorded()
    return Served(on("a", limit_of(1)), on("b", limit_of(0, Unit.HOUR)), log=log, **more), log


def test_a_refusal_is_answered_once_it_is_recorded() -> None:
    served, log = refusing()
    named = descriptor_of(("a", "x"), ("borderpost.request", "r-1"))
    passed, refused, second = asked_of(served.service, *[request_of(named)] * 3)
    assert passed.answers == 1
    assert (refused.answers, second.answers) == (0, 0)
    (release,) = log.released
    release(True)
    assert refused.answer is not None and refused.answer.overall_code == OVER
    assert second.answers == 1
    assert log.refusals[0] == Refusal("r-1", "shop", "shop.a", 1, 60_000_000, "fixed_window", Source.STORE)
    assert served.statistics.unrecorded == 0


def test_a_refusal_that_cannot_be_recorded_is_one_all_the_same_and_counted() -> None:
    served, log = refusing()
    (call,) = asked_of(served.service, request_of(descriptor_of(("b", "x"))))
    log.released[0](False)
    assert call.answer is not None and call.answer.overall_code == OVER
    assert served.statistics.unrecorded == 1


def test_the_first_rule_that_refuses_is_recorded_without_values() -> None:
    served, log = refusing()
    asked_of(served.service, *[request_of(descriptor_of(("a", "ann")), descriptor_of(("b", "ann")))] * 2)
    assert [refusal.rule for refusal in log.refusals] == ["shop.b", "shop.a"]
    assert "ann" not in repr(log.refusals)
    assert [refusal.request for refusal in log.refusals] == ["", ""]


def test_names_are_each_requests_own() -> None:
    served, log = refusing()
    names = [f"r-{index}" for index in range(6)]
    asked_of(served.service, *[request_of(descriptor_of(("b", "x"), ("borderpost.request", name))) for name in names])
    assert [refusal.request for refusal in log.refusals] == names


@pytest.mark.parametrize("settings", [{"shadow": True}, {"quota": True, "quota_rule": QuotaRule.NEVER}], ids=str)
def test_what_passes_after_all_is_no_refusal(settings: dict[str, Any]) -> None:
    served, log = refusing(**settings)
    assert served.ask("b").overall_code == OK
    assert not log.refusals


def test_a_log_that_fails_does_not_let_pass() -> None:
    class Broken(Recorded):
        def refused(self, refusals: Sequence[Refusal], at_us: int, released: Callable[[bool], None]) -> None:
            raise RuntimeError("broken")

    served = Served(on("a", limit_of(0)), log=Broken())
    with capture_logs() as logs:
        (call,) = asked_of(served.service, request_of(descriptor_of(("a", "x"))))
    assert [log["event"] for log in logs] == ["refusals could not be recorded"]
    assert call.answer is not None and call.answer.overall_code == OVER
    assert served.statistics.unrecorded == 1


def test_no_answer_is_no_refusal() -> None:
    served, log = refusing()
    served.store.unanswered = Unanswered("unreachable")
    (call,) = asked_of(served.service, request_of(descriptor_of(("b", "x"))))
    assert call.failure is not None and not log.refusals
