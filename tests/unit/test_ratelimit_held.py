"""What requests hold until they end: leases never exceed, budgets settle to what was used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost_ratelimit.algorithms.budget import RESERVATION_US
from borderpost_ratelimit.charges import Verdict
from borderpost_ratelimit.limits import SECOND_US, Algorithm
from support.ratelimit_counters import T0_US, a_counter, a_limit, ask, steps, walk


@given(steps, st.integers(1, 9), st.lists(st.integers(0, 30), max_size=60))
def test_leases_never_exceed(stream: list[tuple[int, int]], amount: int, ends: list[int]) -> None:
    counter = a_counter(a_limit(Algorithm.CONCURRENCY, amount))
    now_us, held = T0_US, []
    for at, (gone_us, hits) in enumerate(stream):
        now_us += gone_us // 4
        if not ask(counter, hits, now_us, f"r{at % 7}").over:
            held.append((f"r{at % 7}", hits, now_us + SECOND_US))
        if at < len(ends):
            name = f"r{ends[at]}"
            mine = [lease for lease in held if lease[0] == name and lease[2] > now_us]
            if mine:
                held.remove(mine[0])
            counter.done(99, now_us, name)
        held = [lease for lease in held if lease[2] > now_us]
        assert sum(hits for _, hits, _ in held) <= amount
        assert counter.tell(False, 1, now_us).used == sum(hits for _, hits, _ in held)


def test_a_release_happens_once_and_one_name_frees_one_lease() -> None:
    counter = a_counter(a_limit(Algorithm.CONCURRENCY, 3))
    for request in ("a", "same", "same"):
        assert not ask(counter, 1, T0_US, request).over
    assert ask(counter, 1, T0_US, "same").over
    assert counter.done(1, T0_US, "a").used == 2
    assert counter.done(1, T0_US, "a").used == 2
    assert counter.done(1, T0_US, "same").used == 1
    assert counter.done(1, T0_US, "unheard-of").used == 1
    assert counter.charge(-1, T0_US, "same").used == 0


def test_a_lease_that_nobody_ends_expires_and_its_end_is_told() -> None:
    counter = a_counter(a_limit(Algorithm.CONCURRENCY, 2))
    ask(counter, 1, T0_US, "a")
    ask(counter, 1, T0_US + 400_000, "b")
    over = ask(counter, 1, T0_US + 500_000, "c")
    assert over == Verdict(True, 2, 0, 900_000, 500_000)
    assert ask(counter, 1, T0_US + 999_999, "c").over
    assert not ask(counter, 1, T0_US + 1_000_000, "c").over


def test_budgets_settle_to_what_was_used() -> None:
    hour_us = 3600 * SECOND_US
    counter = a_counter(a_limit(Algorithm.BUDGET, 1000, hour_us))
    assert ask(counter, 600, T0_US, "a").used == 600
    assert ask(counter, 600, T0_US, "b") == Verdict(True, 600, 0, hour_us, hour_us)
    assert counter.done(150, T0_US + 1, "a") == Verdict(False, 150, 850, hour_us - 1)
    assert counter.done(150, T0_US + 1, "a").used == 300, "a second end is charged in full"
    assert counter.done(900, T0_US + 1, "b") == Verdict(False, 1200, 0, hour_us - 1), "so is one without reservation"
    assert ask(counter, 0, T0_US + 1, "c").over, "nothing is left"
    assert counter.done(0, T0_US + 1, "nobody").used == 1200
    assert ask(counter, -500, T0_US + 1, "").used == 700


def test_what_ends_in_a_later_window_takes_nothing_from_it_and_leaves_nothing_to_it() -> None:
    hour_us = 3600 * SECOND_US
    counter = a_counter(a_limit(Algorithm.BUDGET, 1000, hour_us))
    for request in ("less", "more", "never"):
        ask(counter, 300, T0_US + hour_us - 1, request)
    later_us = T0_US + hour_us
    assert ask(counter, 100, later_us, "x").used == 100
    assert counter.done(10, later_us, "less").used == 100
    assert counter.done(350, later_us, "more").used == 150
    assert counter.done(350, later_us + hour_us, "never").used == 350, "its name is forgotten after a window"


def test_a_reservation_of_a_short_window_is_known_for_a_quarter_of_an_hour() -> None:
    counter = a_counter(a_limit(Algorithm.BUDGET, 1000))
    ask(counter, 300, T0_US, "a")
    ask(counter, 300, T0_US, "b")
    assert counter.done(310, T0_US + RESERVATION_US - 1, "a").used == 10
    assert counter.done(310, T0_US + RESERVATION_US, "b").used == 310
    assert counter.expires_us() == T0_US + RESERVATION_US + SECOND_US


@pytest.mark.parametrize("amount", [1, 2, 5])
def test_a_clock_that_goes_back_leaves_leases_as_long_as_it_says(amount: int) -> None:
    counter = a_counter(a_limit(Algorithm.CONCURRENCY, amount))
    held: list[tuple[int, int]] = []
    for now_us, latest_us, hits in walk():
        if not ask(counter, hits, now_us).over:
            held.append((now_us + SECOND_US, hits))
        held = [(until_us, hits) for until_us, hits in held if until_us > latest_us]
        assert sum(hits for _, hits in held) <= amount


def test_leases_are_shortened_with_their_limit() -> None:
    counter = a_counter(a_limit(Algorithm.CONCURRENCY, 2, 60 * SECOND_US))
    ask(counter, 1, T0_US, "a")
    assert counter.adopt(a_limit(Algorithm.CONCURRENCY, 1, 10 * SECOND_US), T0_US + SECOND_US)
    assert ask(counter, 1, T0_US + 11 * SECOND_US - 1, "b").over
    assert not ask(counter, 1, T0_US + 11 * SECOND_US, "b").over
    assert not counter.adopt(a_limit(Algorithm.FIXED_WINDOW, 1), T0_US)
    counter = a_counter(a_limit(Algorithm.CONCURRENCY, 2, 60 * SECOND_US))
    ask(counter, 1, T0_US, "first")
    ask(counter, 1, T0_US + SECOND_US, "second")
    assert counter.adopt(a_limit(Algorithm.CONCURRENCY, 2, 58_500_000), T0_US + 2 * SECOND_US)
    assert counter.tell(False, 1, T0_US + 60 * SECOND_US - 1).used == 2
    assert counter.tell(False, 1, T0_US + 60 * SECOND_US) == Verdict(False, 1, 1, 500_000)


def test_leases_of_one_name_end_in_order_also_after_one_has_run_out() -> None:
    counter = a_counter(a_limit(Algorithm.CONCURRENCY, 9))
    ask(counter, 1, T0_US, "same")
    ask(counter, 1, T0_US + 500_000, "same")
    assert counter.done(1, T0_US + 1_200_000, "same").used == 0
    for weight in (1, 2, 3):
        ask(counter, weight, T0_US + 2_000_000, "same")
    assert counter.done(1, T0_US + 2_000_000, "same").used == 5
    ask(counter, 4, T0_US + 2_000_000, "same")
    used = [counter.done(1, T0_US + 2_000_000, "same").used for _ in range(3)]
    assert used == [7, 4, 0]


def test_reservations_do_not_outlive_a_clock_that_is_set_back() -> None:
    counter = a_counter(a_limit(Algorithm.BUDGET, 10))
    ask(counter, 1, T0_US, "a")
    assert counter.expires_us() == T0_US + RESERVATION_US
    back_us = T0_US - 86_400 * SECOND_US
    ask(counter, 1, back_us, "b")
    counter.tell(False, 1, back_us + RESERVATION_US)
    assert counter.share.holds.taken == 0
