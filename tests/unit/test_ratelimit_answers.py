"""What verdicts become: codes, what is left, durations; replaces, quota and shadow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost_ratelimit.charges import Verdict
from borderpost_ratelimit.limits import Algorithm, Unit
from borderpost_ratelimit.settings import QuotaRule
from support.ratelimit_parts import SaidStore, limit_of
from support.ratelimit_served import OK, OVER, Served, codes, on

UINT32_MAX = 2**32 - 1


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
