"""A store that is away: no request waits beyond the bound, each limit does as its file says, nothing is lost."""

from __future__ import annotations

import asyncio

import pytest

from borderpost_ratelimit.away import State
from borderpost_ratelimit.charges import Charge, Phase, Source, Unanswered, Verdicts
from borderpost_ratelimit.limits import Algorithm, Limit, WhenAway
from support.ratelimit_outage import REFUSED, FaultyStore, Outage, bucket_of, budget_of, leases_of
from support.ratelimit_parts import limit_of

MINUTE_US = 60_000_000
BOUND_US = 10_000


def test_a_store_that_answers_is_passed_through() -> None:
    outage = Outage()
    limit = limit_of(2)
    found = [outage.one(limit).verdict for _ in range(3)]
    assert [(verdict.over, verdict.used, verdict.source) for verdict in found] == [
        (False, 1, Source.STORE), (False, 2, Source.STORE), (True, 3, Source.STORE),
    ]  # fmt: skip
    assert len(outage.local) == 0
    assert (outage.guard.name, outage.guard.state, outage.guard.away_us()) == ("faulty", State.CLOSED, 0)


def test_an_answer_within_the_bound_is_waited_for() -> None:
    outage = Outage()
    outage.store.hanging = True
    asked = outage.one(limit_of(5))
    outage.advance(BOUND_US - 1000)
    assert asked.waited_us is None
    outage.store.go_on()
    assert (asked.waited_us, asked.verdict.source) == (BOUND_US - 1000, Source.STORE)
    outage.advance(BOUND_US)
    assert outage.guard.counters.timeouts == 0


def test_no_request_waits_beyond_the_bound_and_none_once_the_breaker_is_open() -> None:
    outage = Outage()
    outage.store.hanging = True
    asked = []
    for _ in range(400):  # a request each millisecond
        asked.append(outage.one(limit_of(1000)))
        outage.advance(1000)
    outage.advance(BOUND_US)
    waits = [one.waited_us for one in asked]
    assert None not in waits
    assert max(wait or 0 for wait in waits) == BOUND_US
    opened_at = waits.index(0)
    assert opened_at <= 13 and set(waits[opened_at:]) == {0}, waits
    assert outage.guard.state is not State.CLOSED and outage.guard.counters.opened == 1
    # Those that waited when it opened did not wait for their own bound.
    assert sorted(waits[:opened_at], key=lambda wait: -(wait or 0)) == waits[:opened_at]
    assert waits[opened_at - 1] == 1000


def test_each_batch_has_its_own_bound() -> None:
    outage = Outage()
    outage.store.hanging = True
    first = outage.one(limit_of(5))
    outage.advance(6000)
    second = outage.one(limit_of(5))
    outage.advance(5000)
    assert (first.waited_us, second.waited_us) == (BOUND_US, None)
    outage.advance(5000)
    assert second.waited_us == BOUND_US


def test_a_batch_is_given_up_as_a_whole_and_its_answers_keep_their_order() -> None:
    outage = Outage()
    outage.store.hanging = True
    limits = [limit_of(amount) for amount in (0, 5, 0, 7)]
    asked = outage.ask(*[(Charge(limit, f"k{index}", 1),) for index, limit in enumerate(limits)])
    outage.advance(BOUND_US)
    found = [answer[0] for answer in asked.answers if not isinstance(answer, Unanswered)]
    assert [(verdict.over, verdict.remaining) for verdict in found] == [(True, 0), (False, 4), (True, 0), (False, 6)]
    assert {verdict.source for verdict in found} == {Source.ESTIMATE}


def test_refused_at_once_is_answered_at_once() -> None:
    outage = Outage()
    outage.store.refusing = Unanswered("read-only", "READONLY")
    asked = outage.one(limit_of(3))
    assert (asked.waited_us, asked.verdict.source) == (0, Source.ESTIMATE)
    assert outage.guard.counters.unanswered == {"read-only": 1}


def test_what_the_store_answers_of_a_batch_is_taken_and_the_rest_estimated() -> None:
    outage = Outage()
    limit = limit_of(10)

    class Half(FaultyStore):
        def take(self, requests, now_us, done):  # type: ignore[no-untyped-def]
            answered: list[Verdicts | Unanswered] = []
            for charges in requests:
                if charges[0].key == "a":
                    answered.append(REFUSED)
                else:
                    self.kept.take([charges], now_us, answered.extend)
            done(answered)

    outage.guard._store = Half(outage.clock)
    for _ in range(20):
        asked = outage.ask((Charge(limit, "a", 1),), (Charge(limit, "b", 1),))
        sources = [answer[0].source for answer in asked.answers if not isinstance(answer, Unanswered)]
        assert sources == [Source.ESTIMATE, Source.STORE]
    assert outage.guard.state is State.CLOSED, "a part of the store is there, and refusals cost no time"


def test_choices_for_the_time_that_the_store_is_away() -> None:
    outage = Outage()
    outage.open()
    local, allow = limit_of(2), limit_of(2, when_away=WhenAway.ALLOW)
    refuse = limit_of(2, when_away=WhenAway.REFUSE)
    counted = [outage.one(local, key="local").verdict for _ in range(3)]
    assert [(verdict.over, verdict.source) for verdict in counted] == [
        (False, Source.ESTIMATE), (False, Source.ESTIMATE), (True, Source.ESTIMATE),
    ]  # fmt: skip
    assert [outage.one(allow, key="allow").verdict.over for _ in range(5)] == [False] * 5
    refused = outage.one(refuse, key="refuse").verdict
    assert (refused.over, refused.remaining, refused.source) == (True, 0, Source.ASSUMED)
    assert 0 < refused.retry_us <= 2_000_000
    # What gives back, and what has ended, is refused by nobody.
    assert not outage.one(refuse, -1, key="refuse").verdict.over
    assert not outage.one(refuse, 3, key="refuse", phase=Phase.DONE).verdict.over
    assert outage.one(refuse, 0, key="refuse", phase=Phase.LOOK).verdict.over
    told = outage.guard.estimate
    assert (told.estimated, told.allowed, told.refused) == (6, 7, 2), "with those that opened it"


def test_a_request_that_one_limit_refuses_uses_up_no_other() -> None:
    outage = Outage()
    outage.open()
    bucket, window = bucket_of(60, 2), limit_of(9)
    refuse = limit_of(2, when_away=WhenAway.REFUSE)
    shadow = limit_of(2, when_away=WhenAway.REFUSE, binding=False)
    for _ in range(5):
        outage.ask((Charge(bucket, "b", 1), Charge(window, "w", 1), Charge(refuse, "r", 1)))
    assert outage.one(bucket, key="b").verdict.used == 1, "nothing was taken out of the bucket before"
    assert outage.one(window, key="w").verdict.used == 6, "windows count what is over"
    asked = outage.ask((Charge(bucket, "b", 1), Charge(shadow, "s", 1)))
    first = asked.answers[0]
    assert not isinstance(first, Unanswered) and [verdict.over for verdict in first] == [False, True]
    assert outage.one(bucket, key="b").verdict.over, "a limit in shadow mode refuses nothing, so the charge stood"


@pytest.mark.parametrize("algorithm", [Algorithm.FIXED_WINDOW, Algorithm.SLIDING_WINDOW, Algorithm.BUDGET])
def test_the_estimate_begins_from_what_the_store_last_said(algorithm: Algorithm) -> None:
    outage = Outage()
    limit = limit_of(10, algorithm=algorithm)
    outage.one(limit, 7)
    outage.open()
    assert [outage.one(limit).verdict.over for _ in range(5)] == [False, False, False, True, True]
    assert not outage.one(limit, key="of which nobody knows").verdict.over


def test_a_bucket_has_drained_since_the_store_spoke_of_it() -> None:
    outage = Outage()
    limit = bucket_of(60, 10)
    outage.one(limit, 10)
    outage.open()
    outage.advance(4_000_000)
    assert [outage.one(limit).verdict.over for _ in range(6)] == [False] * 4 + [True] * 2


def test_a_sliding_window_has_not_slid_further_than_it_has() -> None:
    outage = Outage()
    limit = limit_of(10, algorithm=Algorithm.SLIDING_WINDOW)
    outage.advance(MINUTE_US - outage.clock.now_us % MINUTE_US + 40_000_000)
    outage.one(limit, 10)
    outage.open()
    outage.advance(30_000_000)  # 10 seconds into the next window, where 10 × 50 ÷ 60 of it still count
    assert [outage.one(limit).verdict.over for _ in range(3)] == [False, True, True]


def test_what_the_store_said_of_a_window_that_has_ended_counts_no_longer() -> None:
    outage = Outage()
    limit = limit_of(10)
    outage.one(limit, 10)
    outage.open()
    outage.advance(MINUTE_US)
    assert not outage.one(limit, 10).verdict.over


def test_a_late_answer_says_what_the_counter_holds() -> None:
    outage = Outage()
    limit = limit_of(10)
    # Another limiter has used 8, of which this one knows nothing.
    outage.store.kept.take([(Charge(limit, "k", 8),)], outage.clock.now_us, lambda answers: None)
    outage.store.hanging = True
    first = outage.one(limit)
    outage.advance(BOUND_US)
    assert (first.verdict.used, first.verdict.source) == (1, Source.ESTIMATE)
    outage.store.go_on()
    assert outage.guard.counters.late == 1
    outage.open()
    found = [outage.one(limit).verdict for _ in range(2)]
    assert [(verdict.used, verdict.over) for verdict in found] == [(10, False), (11, True)]


def test_what_a_late_answer_says_was_counted_is_not_told_to_the_store_again() -> None:
    outage = Outage()
    limit = limit_of(100)
    outage.store.hanging = True
    outage.one(limit, 5)
    outage.one(limit, 3, key="never read")
    outage.advance(BOUND_US)
    unread = outage.store.unread
    outage.store.unread = unread[:1]
    outage.store.go_on()
    assert outage.in_store(limit) == 5
    outage.one(limit, key="another")
    assert outage.in_store(limit, "never read") == 0, "nobody knows yet"
    outage.store.unread = unread[1:]
    outage.store.drop()
    outage.one(limit, key="another")
    assert outage.in_store(limit) == 5, "counted once"
    assert outage.in_store(limit, "never read") == 3, "was not counted, and is now"


def test_leases_are_held_and_released_across_the_outage() -> None:
    outage = Outage()
    limit = leases_of(2)
    outage.one(limit, request="a")
    outage.one(limit, request="b")
    outage.open()
    assert outage.one(limit, request="c").verdict.over, "this process knows its own leases"
    outage.one(limit, 0, phase=Phase.DONE, request="a")
    assert not outage.one(limit, request="d").verdict.over
    outage.back()
    outage.one(limit_of(5), key="brings it along")
    assert outage.in_store(limit) == 1, "a was released, b is held"
    outage.one(limit, 0, phase=Phase.DONE, request="b")
    assert outage.in_store(limit) == 0


def test_a_reservation_of_before_is_settled_in_the_outage() -> None:
    outage = Outage()
    limit = budget_of(100)
    outage.one(limit, 60, request="a")
    outage.open()
    assert outage.one(limit, 60, request="b").verdict.over
    assert outage.one(limit, 10, phase=Phase.DONE, request="a").verdict.used == 10
    assert not outage.one(limit, 60, request="b").verdict.over
    outage.one(limit, 20, phase=Phase.DONE, request="b")
    outage.back()
    outage.one(limit_of(5), key="brings it along")
    assert outage.in_store(limit) == 30, "a's reservation is settled, and b's use told"


@pytest.mark.parametrize("late", [True, False], ids=["late", "probe"])
@pytest.mark.parametrize("limit", [limit_of(9, when_away=WhenAway.REFUSE), bucket_of(60, 9, when_away=WhenAway.REFUSE)])
def test_hits_that_the_store_counted_of_a_refused_request_are_given_back(limit: Limit, late: bool) -> None:
    outage = Outage()
    if late:
        outage.store.hanging = True
        asked = outage.one(limit, 4)
        outage.advance(BOUND_US)
        outage.store.go_on()
    else:
        outage.open(limit_of(1000))
        outage.store.refusing = None
        outage.advance(2_000_000)
        asked = outage.one(limit, 4)
    assert asked.verdict.over and outage.in_store(limit) == 4
    outage.store.hanging = True
    outage.one(limit_of(5), key="would bring it along, but is lost")
    outage.advance(BOUND_US)
    outage.store.drop()
    outage.open(limit_of(1000))
    outage.back()
    outage.one(limit_of(5), key="brings it along")
    assert outage.in_store(limit) == 0


def test_a_lease_that_the_store_gave_too_late_to_a_refused_request_is_given_back() -> None:
    outage = Outage()
    limit = leases_of(2, when_away=WhenAway.REFUSE)
    outage.store.hanging = True
    asked = outage.one(limit, request="a")
    outage.advance(BOUND_US)
    assert asked.verdict.over
    outage.store.go_on()
    assert outage.in_store(limit) == 1
    outage.one(limit_of(5), key="brings it along")
    assert outage.in_store(limit) == 0


def test_closing_answers_those_that_wait() -> None:
    outage = Outage()
    outage.store.hanging = True

    async def silent() -> None:
        """A store that forgets whom it owes an answer."""

    outage.store.close = silent  # type: ignore[method-assign]
    asked = outage.one(limit_of(5))
    asyncio.run(outage.guard.close())
    assert (asked.waited_us, asked.verdict.source) == (0, Source.ESTIMATE)


def test_closing_is_no_outage() -> None:
    outage = Outage()
    outage.store.hanging = True
    asked = [outage.one(limit_of(50)) for _ in range(10)]
    asyncio.run(outage.guard.close())
    assert {one.waited_us for one in asked} == {0}
    assert outage.guard.counters.opened == 0


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_store_that_answers_too_little_or_too_much_is_not_believed(count: int) -> None:
    outage = Outage()

    class Wrong(FaultyStore):
        def take(self, requests, now_us, done):  # type: ignore[no-untyped-def]
            self.kept.take(requests, now_us, lambda answers: done([answers[0]] * count))

    outage.guard._store = Wrong(outage.clock)
    asked = outage.ask((Charge(limit_of(5), "a", 1),), (Charge(limit_of(5), "b", 1),))
    assert len(asked.answers) == 2
    assert outage.guard.counters.unanswered == {"garbage": 2}


def test_how_long_it_is_away_can_be_read() -> None:
    outage = Outage()
    outage.open()
    assert outage.guard.away_us() > 0
    outage.advance(30_000_000)
    assert outage.guard.away_us() == 30_000_000
    outage.back()
    assert outage.guard.away_us() == 0
