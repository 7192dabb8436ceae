"""What a store is told once it is back: what passed without it, as long as its window runs, and nothing twice."""

from __future__ import annotations

import pytest

from borderpost_ratelimit.charges import Charge, Phase, Source
from borderpost_ratelimit.limits import Algorithm
from support.ratelimit_outage import Outage, bucket_of, budget_of, leases_of
from support.ratelimit_parts import limit_of

MINUTE_US = 60_000_000


def test_what_was_let_through_is_told_to_the_store_while_its_window_runs() -> None:
    outage = Outage()
    limit = limit_of(20)
    outage.one(limit, 10)
    outage.open()
    assert [outage.one(limit, 4).verdict.over for _ in range(3)] == [False, False, True]
    outage.back()
    assert outage.in_store(limit) == 10
    assert outage.one(limit).verdict.used == 19, "what was refused was not used"
    assert outage.guard.owed.paid > 0 and len(outage.guard.owed) == 0


@pytest.mark.parametrize("algorithm", [Algorithm.FIXED_WINDOW, Algorithm.SLIDING_WINDOW, Algorithm.BUDGET])
@pytest.mark.parametrize("windows", [1, 2, 7])
def test_a_partition_longer_than_a_window_leaves_later_windows_clean(algorithm: Algorithm, windows: int) -> None:
    """Limitador's fault: counts of the time without its store were added to the window in which it came back."""
    outage = Outage()
    limit = limit_of(10, algorithm=algorithm)
    outage.one(limit, 10)
    outage.open()
    for _ in range(windows):
        outage.one(limit, 10)
        outage.advance(MINUTE_US)
    # Nothing was used in this window, nor in the one before where the limit slides.
    if algorithm is Algorithm.SLIDING_WINDOW:
        outage.advance(MINUTE_US)
    outage.back()
    assert outage.in_store(limit) == 0
    found = outage.one(limit, 10).verdict
    assert (found.over, found.used, found.source) == (False, 10, Source.STORE)
    outage.advance(2 * MINUTE_US)
    assert outage.one(limit, 10).verdict.used == 10


@pytest.mark.parametrize("algorithm", [Algorithm.FIXED_WINDOW, Algorithm.SLIDING_WINDOW, Algorithm.BUDGET])
def test_of_a_long_outage_only_the_last_window_is_told(algorithm: Algorithm) -> None:
    outage = Outage()
    limit = limit_of(1000, algorithm=algorithm)
    outage.open()
    for hits in (300, 200, 5):
        outage.one(limit, hits)
        outage.advance(MINUTE_US)
    outage.one(limit, 7)
    outage.back()
    outage.one(limit_of(5), key="brings it along")
    assert outage.in_store(limit) == 7


def test_a_reservation_is_not_settled_in_a_later_window() -> None:
    outage = Outage()
    limit = budget_of(100)
    outage.one(limit, 60, request="a")
    outage.open()
    outage.one(limit, 90, phase=Phase.DONE, request="a")
    outage.advance(MINUTE_US)
    outage.back()
    outage.one(limit_of(5), key="brings it along")
    assert outage.in_store(limit) == 0 and outage.guard.owed.dropped > 0


def test_what_others_used_of_a_budget_settles_no_reservation_of_ours() -> None:
    outage = Outage()
    limit = budget_of(100)
    outage.store.kept.take([(Charge(limit, "k", 50, Phase.BEGIN, "another's"),)], outage.clock.now_us, len)
    outage.one(limit, 20)
    outage.open()
    assert outage.one(limit, 1).verdict.used == 71


def test_the_windows_of_debts_end_by_the_stores_clock() -> None:
    outage = Outage()
    limit = limit_of(10)
    ahead_us = 10_000_000
    outage.store._clock = type(outage.clock)(outage.clock.now_us + ahead_us)
    said = outage.one(limit).verdict
    outage.open()
    outage.one(limit, 5)
    # The store's minute is over, this process's is not: what was counted belongs to a window that has ended.
    minute = outage.clock.now_us // MINUTE_US
    outage.advance(said.reset_us)
    outage.store._clock.now_us += said.reset_us
    outage.back()
    assert outage.clock.now_us // MINUTE_US == minute
    assert outage.one(limit).verdict.used == 1


def test_what_is_owed_is_told_by_the_limits_of_the_newest_file() -> None:
    outage = Outage()
    old, new = limit_of(20), limit_of(50)
    outage.open()
    outage.one(old, 2)
    outage.one(new, 3)
    outage.back()
    outage.one(limit_of(5), key="brings it along")
    told = [charge for charges in outage.store.asked for charge in charges if charge.key == "k"]
    assert [(charge.limit, charge.hits) for charge in told] == [(new, 5)]


@pytest.mark.parametrize("algorithm", [Algorithm.FIXED_WINDOW, Algorithm.BUDGET])
def test_how_long_the_store_takes_to_answer_makes_no_other_window(algorithm: Algorithm) -> None:
    """The end of its window is known from answers that are on their way for a while, now longer and now shorter."""
    outage = Outage()
    limit = limit_of(1000, algorithm=algorithm)
    outage.store.hanging = True
    outage.one(limit)
    outage.advance(9000)
    outage.store.go_on()
    outage.store.hanging = True
    outage.one(limit)
    hung, outage.store.unread, outage.store.hanging = outage.store.unread, [], False
    outage.open()
    outage.one(limit, 10)
    outage.store.unread = hung
    outage.store.go_on()
    outage.one(limit, 10)
    outage.back()
    outage.one(limit_of(5), key="brings it along")
    assert outage.in_store(limit) == 1 + 1 + 10 + 10


def test_a_buckets_debt_drains_while_the_store_is_away() -> None:
    outage = Outage()
    limit = bucket_of(60, 10)
    outage.open()
    assert not outage.one(limit, 10).verdict.over
    outage.back()  # after a little more than 2 s
    outage.one(limit_of(5), key="brings the debt along")
    assert outage.in_store(limit) == 7


def test_the_store_is_told_without_a_request_a_few_at_a_time() -> None:
    outage = Outage()
    limit, leases = limit_of(10), leases_of(5)
    outage.one(leases, key="l", request="a")
    outage.open()
    outage.one(leases, 0, key="l", phase=Phase.DONE, request="a")
    for number in range(200):
        outage.one(limit, key=str(number))
    outage.back()
    before = len(outage.store.asked)
    outage.advance(9000)
    assert len(outage.store.asked) == before
    outage.advance(1000)
    assert (len(outage.store.asked) - before, outage.in_store(leases, "l")) == (64, 0), "ends first"
    outage.advance(100_000)
    assert not len(outage.guard.owed) and len(outage.store.asked) - before > 200
    assert {outage.in_store(limit, str(number)) for number in range(200)} == {1}
