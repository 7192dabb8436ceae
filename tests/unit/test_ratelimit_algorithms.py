"""What each algorithm promises, held against every event of random streams, in fractions."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost_ratelimit.algorithms.numbers import COUNT_MAX, stands_us
from borderpost_ratelimit.algorithms.sliding_window import until_weighted_us, weighted
from borderpost_ratelimit.algorithms.token_bucket import (
    AMOUNT_MAX,
    CAPACITY_TICKS_MAX,
    FILL_US_MAX,
    TokenBucket,
    bucket_terms,
)
from borderpost_ratelimit.charges import Verdict
from borderpost_ratelimit.limits import SECOND_US, Algorithm
from support.ratelimit_counters import T0_US, a_counter, a_limit, ask, passed, steps, walk

CONDITIONAL = [one for one in Algorithm if one is not Algorithm.FIXED_WINDOW]


@given(steps, st.integers(1, 9))
def test_sliding_window_holds_its_bound_in_any_time(stream: list[tuple[int, int]], amount: int) -> None:
    through = passed(a_counter(a_limit(Algorithm.SLIDING_WINDOW, amount)), stream)
    for first, (begin_us, _) in enumerate(through):
        total = 0
        for at_us, hits in through[first:]:
            if at_us - begin_us >= SECOND_US:
                break
            total += hits
            behind_us = at_us % SECOND_US if at_us // SECOND_US > begin_us // SECOND_US else 0
            assert total <= amount + Fraction(amount * behind_us, SECOND_US)


def test_sliding_window_comes_near_its_bound_and_no_further() -> None:
    counter = a_counter(a_limit(Algorithm.SLIDING_WINDOW, 1000))
    end_us = T0_US + SECOND_US
    burst = [end_us - 1] * 1000
    steady = [end_us + at * 1000 for at in range(1000)]
    through = [at_us for at_us in burst + steady if not ask(counter, 1, at_us).over]
    assert len([at_us for at_us in through if at_us < end_us + 1000]) == 1000, "nothing on top of a burst at once"
    assert len(through) == 1999, "and nearly twice the limit in a window's time, by steady use behind a burst"


@given(steps, st.integers(1, 30))
def test_sliding_window_estimate_errs_by_less_than_the_window_before(
    stream: list[tuple[int, int]], amount: int
) -> None:
    counter = a_counter(a_limit(Algorithm.SLIDING_WINDOW, amount))
    now_us, log = T0_US, []
    for gone_us, hits in stream:
        now_us += gone_us
        verdict = ask(counter, hits, now_us)
        if not verdict.over:
            log.append((now_us, hits))
        exact = sum(hits for at_us, hits in log if now_us - SECOND_US < at_us)
        start_us = now_us - now_us % SECOND_US
        before = sum(hits for at_us, hits in log if start_us - SECOND_US <= at_us < start_us)
        assert abs(verdict.used - exact) <= before


@given(st.integers(0, 1 << 32), st.integers(1, 31_536_000 * SECOND_US), st.data())
def test_the_weighted_share_is_exact_but_for_a_double(previous: int, window_us: int, data: st.DataObject) -> None:
    left_us = data.draw(st.integers(1, window_us))
    exact = Fraction(previous * left_us, window_us)
    error = Fraction(previous, 1 << 51)
    assert math.ceil(exact - error) <= weighted(previous, left_us, window_us) <= math.ceil(exact + error)


@given(st.integers(1, 1 << 20), st.integers(2, 86_400 * SECOND_US), st.data())
def test_how_far_into_a_window_a_share_is_small_enough(previous: int, window_us: int, data: st.DataObject) -> None:
    most = data.draw(st.integers(0, previous - 1))
    gone_us = until_weighted_us(previous, most, window_us)
    assert gone_us <= window_us + 1
    if gone_us < window_us:
        assert weighted(previous, window_us - gone_us, window_us) <= most
    if gone_us > 2:
        assert weighted(previous, window_us - gone_us + 2, window_us) > most - 1
        assert Fraction(previous * (window_us - gone_us + 3), window_us) > most


rates = st.tuples(st.integers(1, 5000), st.sampled_from([SECOND_US, 60 * SECOND_US, 999_983]), st.integers(1, 12))
"""Amount, window, burst."""


@given(steps, rates)
def test_token_bucket_lets_through_its_burst_and_its_rate_and_no_more(
    stream: list[tuple[int, int]], rate: tuple[int, int, int]
) -> None:
    amount, window_us, burst = rate
    through = passed(a_counter(a_limit(Algorithm.TOKEN_BUCKET, amount, window_us, burst)), stream)
    for first, (begin_us, _) in enumerate(through):
        total = 0
        for at_us, hits in through[first:]:
            total += hits
            assert total <= burst + Fraction(amount * (at_us - begin_us), window_us)


def test_bucket_terms_are_exact_or_err_by_a_known_share_and_to_the_safe_side() -> None:
    inexact = 0
    for _ in range(3000):
        amount, burst = (random.randint(1, 1 << random.randint(1, 40)) for _ in range(2))
        window_us = random.randint(1, 31_536_000 * SECOND_US >> random.randint(0, 40))
        if burst * window_us > FILL_US_MAX * amount:
            with pytest.raises(ValueError, match="142 years"):
                bucket_terms(amount, window_us, burst)
            continue
        ticks_per_us, hit_ticks, capacity_ticks = bucket_terms(amount, window_us, burst)
        assert capacity_ticks == burst * hit_ticks
        assert 2 * capacity_ticks <= COUNT_MAX + 1
        slower = Fraction(hit_ticks * amount, ticks_per_us * window_us) - 1
        assert 0 <= slower <= Fraction(burst, 1 << 47)
        assert not slower or burst * window_us > CAPACITY_TICKS_MAX
        inexact += slower > 0
    assert inexact > 500
    assert bucket_terms(1, 1 << 40, 1 << 12) == (1, 1 << 40, FILL_US_MAX)
    assert bucket_terms(AMOUNT_MAX, SECOND_US, AMOUNT_MAX).capacity_ticks <= CAPACITY_TICKS_MAX


@pytest.mark.parametrize(("amount", "burst"), [(1, AMOUNT_MAX + 1), (AMOUNT_MAX + 1, 1)])
def test_buckets_have_a_bound(amount: int, burst: int) -> None:
    with pytest.raises(ValueError, match="at most"):
        bucket_terms(amount, SECOND_US, burst)


def test_a_bucket_of_nothing_lets_nothing_pass() -> None:
    for limit in (a_limit(Algorithm.TOKEN_BUCKET, 0, burst=5), a_limit(Algorithm.TOKEN_BUCKET, 5, burst=5)):
        counter = a_counter(limit)
        assert ask(counter, 1, T0_US).over is (limit.amount == 0)


@pytest.mark.parametrize("algorithm", CONDITIONAL)
def test_zero_hits_ask_for_room_and_nothing_passes_a_limit_of_zero(algorithm: Algorithm) -> None:
    counter = a_counter(a_limit(algorithm, 2))
    assert ask(counter, 0, T0_US) == Verdict(False, 0, 2, counter.tell(False, 0, T0_US).reset_us)
    assert counter.tell(False, 0, T0_US).reset_us in (0, SECOND_US)
    assert ask(counter, 1, T0_US, "a").remaining == 1
    assert not ask(counter, 0, T0_US).over
    assert ask(counter, 1, T0_US, "b").remaining == 0
    assert ask(counter, 0, T0_US).over
    held = 2 if algorithm in (Algorithm.CONCURRENCY, Algorithm.BUDGET) else 0
    assert counter.share.holds.taken == held, "zero hits hold nothing"
    assert ask(a_counter(a_limit(algorithm, 0)), 1, T0_US).over
    assert ask(a_counter(a_limit(algorithm, 0)), 0, T0_US).over


def test_a_fixed_window_counts_what_is_over_and_zero_hits_ask_whether_it_is() -> None:
    counter = a_counter(a_limit(Algorithm.FIXED_WINDOW, 2))
    assert ask(counter, 2, T0_US + 1) == Verdict(False, 2, 0, 999_999)
    assert ask(counter, 0, T0_US + 1) == Verdict(False, 2, 0, 999_999)
    assert ask(counter, 1, T0_US + 1) == Verdict(True, 3, 0, 999_999, 999_999)
    assert ask(counter, 0, T0_US + 1).over
    assert counter.done(4, T0_US + 1, "") == Verdict(False, 7, 0, 999_999)
    assert ask(counter, -9, T0_US + 1) == Verdict(False, 0, 2, 999_999)
    assert ask(counter, 1, T0_US + SECOND_US) == Verdict(False, 1, 1, SECOND_US)


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_counters_saturate_and_never_fall_below_zero(algorithm: Algorithm) -> None:
    counter = a_counter(a_limit(algorithm, 1000))
    counter.charge(-(1 << 60), T0_US, "a")
    assert counter.tell(False, 1, T0_US).used == 0
    for _ in range(3):
        verdict = counter.done(1 << 60, T0_US, "a")
    if algorithm is Algorithm.TOKEN_BUCKET:
        assert verdict.used == -(-COUNT_MAX // 1000)
    else:
        assert verdict.used == (0 if algorithm is Algorithm.CONCURRENCY else COUNT_MAX)
    assert verdict.remaining == (1000 if algorithm is Algorithm.CONCURRENCY else 0)


@pytest.mark.parametrize("algorithm", list(Algorithm))
@given(stream=steps, amount=st.integers(1, 7))
def test_what_is_over_passes_after_the_time_that_was_told(
    algorithm: Algorithm, stream: list[tuple[int, int]], amount: int
) -> None:
    counter = a_counter(a_limit(algorithm, amount))
    now_us = T0_US
    for at, (gone_us, hits) in enumerate(stream):
        now_us += gone_us
        hits = min(hits - 1, amount) if algorithm is not Algorithm.CONCURRENCY else 1
        if algorithm is Algorithm.FIXED_WINDOW:
            hits = max(hits, 1)
        verdict = ask(counter, hits, now_us, f"r{at}")
        assert verdict.remaining == (0 if verdict.over else amount - verdict.used)
        if verdict.over:
            assert 0 < verdict.retry_us <= verdict.reset_us + 1
            if verdict.retry_us > 3:
                assert counter.over(hits, now_us + verdict.retry_us - 3)
            assert not counter.over(hits, now_us + verdict.retry_us)
            now_us += verdict.retry_us
        else:
            assert verdict.retry_us == 0


@pytest.mark.parametrize("algorithm", list(Algorithm))
@given(stream=steps, amount=st.integers(1, 7))
def test_all_is_there_again_after_the_time_that_was_told(
    algorithm: Algorithm, stream: list[tuple[int, int]], amount: int
) -> None:
    counter = a_counter(a_limit(algorithm, amount))
    now_us = T0_US
    for at, (gone_us, hits) in enumerate(stream):
        now_us += gone_us
        verdict = ask(counter, hits, now_us, f"r{at}")
    then_us = now_us + verdict.reset_us
    if verdict.used and verdict.reset_us > 2:
        assert counter.tell(False, 1, then_us - 2).used > 0
    if algorithm is not Algorithm.BUDGET:
        assert counter.expires_us() <= then_us
    assert counter.tell(False, 1, then_us).used == 0


@pytest.mark.parametrize("amount", [1, 2, 5])
@pytest.mark.parametrize("algorithm", [one for one in Algorithm if one is not Algorithm.CONCURRENCY])
def test_a_clock_that_goes_back_by_less_than_a_window_lets_nothing_more_through(
    algorithm: Algorithm, amount: int
) -> None:
    """As if the clock had stood still; a sliding window lets through less now, and that later at most."""
    stepping, standing = a_counter(a_limit(algorithm, amount)), a_counter(a_limit(algorithm, amount))
    more = 0
    for now_us, latest_us, hits in walk():
        more += hits * (not ask(stepping, hits, now_us).over)
        more -= hits * (not ask(standing, hits, latest_us).over)
        assert more == 0 or (algorithm is Algorithm.SLIDING_WINDOW and more <= amount)


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_clock_set_back_forgives_nothing_and_locks_nobody_out(algorithm: Algorithm) -> None:
    counter = a_counter(a_limit(algorithm, 5))
    for at in range(5):
        assert not ask(counter, 1, T0_US, f"r{at}").over
    back_us = T0_US - 3600 * SECOND_US
    verdict = ask(counter, 1, back_us, "x")
    assert verdict.over
    assert verdict.reset_us <= 2 * SECOND_US
    assert not ask(counter, 1, back_us + 2 * SECOND_US, "y").over


@pytest.mark.parametrize(
    ("now", "last", "stands"), [(10, 9, 10), (10, 10, 10), (10, 11, 11), (10, 15, 15), (10, 16, 10)]
)
def test_a_clock_stands_for_a_window_at_most(now: int, last: int, stands: int) -> None:
    assert stands_us(now, last, 5) == stands


def test_a_bucket_whose_limit_changes_lacks_as_many_as_before() -> None:
    counter = a_counter(a_limit(Algorithm.TOKEN_BUCKET, 10, burst=10))
    assert isinstance(counter, TokenBucket)
    assert ask(counter, 7, T0_US).remaining == 3
    assert counter.adopt(a_limit(Algorithm.TOKEN_BUCKET, 3, 60 * SECOND_US, burst=20), T0_US)
    assert counter.tell(False, 1, T0_US) == Verdict(False, 7, 13, 140 * SECOND_US)
    newest = a_limit(Algorithm.TOKEN_BUCKET, 60, 60 * SECOND_US, burst=20)
    assert counter.adopt(newest, T0_US + 40 * SECOND_US)
    assert counter.limit is newest
    assert counter.tell(False, 1, T0_US + 40 * SECOND_US) == Verdict(False, 5, 15, 5 * SECOND_US)
    assert not counter.adopt(a_limit(Algorithm.BUDGET, 3), T0_US)


@pytest.mark.parametrize("algorithm", [Algorithm.FIXED_WINDOW, Algorithm.SLIDING_WINDOW, Algorithm.BUDGET])
def test_windows_go_on_under_another_amount_and_not_under_another_length(algorithm: Algorithm) -> None:
    counter = a_counter(a_limit(algorithm, 5))
    ask(counter, 3, T0_US)
    assert counter.adopt(a_limit(algorithm, 4), T0_US)
    assert counter.tell(False, 1, T0_US).remaining == 1
    assert not counter.adopt(a_limit(algorithm, 4, 2 * SECOND_US), T0_US)
    assert not counter.adopt(a_limit(Algorithm.TOKEN_BUCKET, 4), T0_US)


@pytest.mark.parametrize("algorithm", [Algorithm.FIXED_WINDOW, Algorithm.SLIDING_WINDOW, Algorithm.BUDGET])
def test_windows_begin_at_multiples_of_their_length(algorithm: Algorithm) -> None:
    counter = a_counter(a_limit(algorithm, 10), T0_US + 300_000)
    more_us = SECOND_US if algorithm is Algorithm.SLIDING_WINDOW else 0
    assert ask(counter, 4, T0_US + 300_000) == Verdict(False, 4, 6, 700_000 + more_us)
    assert counter.tell(False, 1, T0_US + SECOND_US - 1) == Verdict(False, 4, 6, 1 + more_us)
    ask(counter, 3, T0_US + SECOND_US)
    half_us = T0_US + 3 * SECOND_US // 2
    used = 5 if algorithm is Algorithm.SLIDING_WINDOW else 3
    assert counter.tell(False, 1, half_us) == Verdict(False, used, 10 - used, 500_000 + more_us)
    late_us = T0_US + 7 * SECOND_US + 100_000
    assert counter.tell(False, 1, late_us) == Verdict(False, 0, 10, 0 if more_us else 900_000)
    assert ask(counter, 2, late_us).used == 2


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_what_can_never_pass_is_told_when_all_is_there_again(algorithm: Algorithm) -> None:
    counter = a_counter(a_limit(algorithm, 3))
    ask(counter, 2, T0_US, "a")
    verdict = ask(counter, 4, T0_US, "b")
    assert verdict.over
    assert verdict.retry_us == verdict.reset_us > 0


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("later_us", [0, 300_000, 1_200_000, 5_000_000])
def test_a_counter_that_inherits_says_what_the_other_does(algorithm: Algorithm, later_us: int) -> None:
    limit = a_limit(algorithm, 10)
    shared = a_counter(limit)
    shared.done(4, T0_US - 700_000, "")
    ask(shared, 1, T0_US - 500_000, "z")
    ask(shared, 4, T0_US + 400_000, "a")
    at_us = T0_US + 500_000 + later_us
    heir = a_counter(limit, at_us)
    heir.inherit(shared, at_us)
    for then_us in (at_us, at_us + 200_000, at_us + 3_000_000):
        assert heir.tell(False, 1, then_us) == shared.tell(False, 1, then_us)


def test_a_bucket_drains_before_it_is_charged_and_by_the_microsecond() -> None:
    counter = a_counter(a_limit(Algorithm.TOKEN_BUCKET, 5))
    counter.done(1, T0_US, "")
    assert counter.done(2, T0_US + 10 * SECOND_US, "").used == 2
    fast = a_counter(a_limit(Algorithm.TOKEN_BUCKET, 1_000_000, burst=1))
    assert [ask(fast, 1, T0_US + at_us).over for at_us in (0, 0, 1, 2, 2, 3)] == [
        False,
        True,
        False,
        False,
        True,
        False,
    ]


def test_counters_expire_when_nothing_is_counted_any_more() -> None:
    counter = a_counter(a_limit(Algorithm.SLIDING_WINDOW, 10))
    assert counter.expires_us() <= T0_US
    ask(counter, 1, T0_US)
    assert counter.expires_us() == T0_US + 2 * SECOND_US
    counter.tell(False, 1, T0_US + SECOND_US)
    assert counter.expires_us() == T0_US + 2 * SECOND_US
    counter.tell(False, 1, T0_US + 2 * SECOND_US)
    assert counter.expires_us() <= T0_US + 2 * SECOND_US


def test_looking_for_more_than_is_left_is_told_that_none_is() -> None:
    counter = a_counter(a_limit(Algorithm.FIXED_WINDOW, 3))
    ask(counter, 1, T0_US)
    assert counter.over(3, T0_US)
    assert counter.tell(True, 3, T0_US) == Verdict(True, 1, 0, SECOND_US, SECOND_US)
    assert not counter.over(3, T0_US + SECOND_US)
