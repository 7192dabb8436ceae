"""The breaker: when the store is taken to be away, and how it is found again."""

from __future__ import annotations

from borderpost_ratelimit.away import State
from borderpost_ratelimit.charges import Charge, Phase, Source, Verdicts
from borderpost_ratelimit.limits import Algorithm
from support.ratelimit_outage import REFUSED, FaultyStore, Outage
from support.ratelimit_parts import limit_of


def test_probing_costs_one_request_at_a_time_and_no_wait() -> None:
    outage = Outage(probe_first_us=100_000, probe_max_us=400_000)
    limit = limit_of(100_000)
    outage.open()
    outage.store.refusing, outage.store.hanging = None, True
    before = len(outage.store.asked)
    probed_at, waits = [], set()
    for ms in range(2000):
        count = len(outage.store.asked)
        waits.add(outage.ask((Charge(limit, "a", 1),), (Charge(limit, "b", 1),)).waited_us)
        if len(outage.store.asked) > count:
            assert len(outage.store.asked) == count + 1, "one request"
            probed_at.append(ms)
        outage.advance(1000)
    assert waits == {0}
    assert outage.guard.counters.probes == len(probed_at) == len(outage.store.asked) - before
    # 75 ms (half and half of the chance), then after each 10 ms of waiting 150, 300, 300, …
    assert probed_at == [75, 235, 546, 857, 1168, 1479, 1790]
    outage.store.drop()
    outage.advance(400_000)
    asked = outage.one(limit)
    assert (asked.waited_us, asked.verdict.source) == (0, Source.ESTIMATE), "the probe has its answer already"
    assert outage.guard.state is State.CLOSED
    assert outage.one(limit).verdict.source is Source.STORE


def test_probes_of_a_fleet_are_not_in_step() -> None:
    class Says:
        def __init__(self, share: int) -> None:
            self.share = share

        def token(self, size_bytes: int) -> bytes:
            return self.share.to_bytes(size_bytes, "big")

    due = []
    for share in (0, 0x4000, 0xFFFF):
        outage = Outage()
        outage.guard._breaker._randomness = Says(share)
        outage.open()
        since_us = outage.clock.now_us
        while not outage.guard.counters.probes:
            outage.advance(1000)
            outage.one(limit_of(5))
        due.append((outage.clock.now_us - since_us) // 1000)
    assert due == [50, 63, 100]


def test_what_takes_and_ends_nothing_is_no_probe() -> None:
    outage = Outage()
    outage.open()
    outage.store.refusing = None
    outage.advance(2_000_000)
    outage.one(limit_of(5), 0)
    outage.one(limit_of(5), 0, phase=Phase.LOOK)
    assert outage.guard.counters.probes == 0, "a server that cannot write may answer this"
    outage.one(limit_of(5))
    assert outage.guard.state is State.CLOSED


def test_the_request_that_takes_most_surely_is_the_probe() -> None:
    outage = Outage()
    limit = limit_of(100)
    outage.open()
    outage.store.refusing = None
    outage.advance(2_000_000)
    look, nothing = (Charge(limit, "k", 0, Phase.LOOK),), (Charge(limit, "k", 0),)
    end = (Charge(limit, "k", 3, Phase.DONE),)
    takes = (Charge(limit, "k", 0), Charge(limit, "l", 1))
    before = len(outage.store.asked)
    outage.ask(look, nothing, end, takes)
    assert outage.store.asked[before:] == [takes], "with a limit beside it that is charged at the end"


def test_a_limiter_that_hears_of_ends_only_finds_the_store_again() -> None:
    outage = Outage()
    limit, budget = limit_of(100), limit_of(1000, algorithm=Algorithm.BUDGET)
    outage.open()
    outage.advance(2_000_000)
    for number in range(3):  # charged at their ends only; once in vain, then it is found
        outage.store.refusing = None if number else REFUSED
        outage.ask((Charge(limit, "k", 5, Phase.DONE), Charge(budget, "b", 7, Phase.DONE, f"request {number}")))
        outage.advance(2_000_000)
    assert outage.guard.state is State.CLOSED
    outage.one(limit, key="brings it along")
    assert (outage.in_store(limit), outage.in_store(budget, "b")) == (15, 21), "each counted once"


def test_a_probe_is_counted_once() -> None:
    outage = Outage()
    limit = limit_of(50)
    outage.open()
    outage.store.refusing = None
    outage.advance(2_000_000)
    outage.one(limit)
    outage.one(limit)
    assert outage.in_store(limit) == 2


def test_a_near_cache_proves_nothing_about_the_store() -> None:
    outage = Outage()
    outage.open()

    class Near(FaultyStore):
        def take(self, requests, now_us, done):  # type: ignore[no-untyped-def]
            found: list[Verdicts] = []
            self.kept.take(requests, now_us, found.extend)
            done([tuple(verdict._replace(source=Source.NEAR_CACHE) for verdict in each) for each in found])

    outage.guard._store = Near(outage.clock)
    outage.advance(2_000_000)
    outage.one(limit_of(5))
    assert outage.guard.state is State.OPEN
    outage.one(limit_of(5))
    assert outage.guard.counters.probes == 2, "the next one tries again, without a pause"


def test_a_short_stall_is_over_as_soon_as_the_late_answers_come() -> None:
    outage = Outage(probe_first_us=1_000_000)
    limit = limit_of(1000)
    outage.store.hanging = True
    for _ in range(14):
        outage.one(limit)
        outage.advance(1000)
    assert outage.guard.state is State.OPEN
    outage.store.go_on()
    outage.one(limit)
    assert outage.guard.state is State.CLOSED, "not after a second"
    outage.one(limit)
    assert outage.in_store(limit) == 16


def test_a_store_that_is_always_too_slow_is_probed_less_and_less() -> None:
    outage = Outage()
    limit = limit_of(100_000)
    waits = []
    for _ in range(3000):
        outage.store.hanging = True
        asked = outage.one(limit)
        outage.advance(12_000)
        outage.store.go_on()
        waits.append(asked.waited_us)
    assert waits.count(0) > 2990
    assert outage.guard.counters.opened == 1 and outage.guard.counters.probes < 30


def test_one_failure_in_five_is_borne_and_more_is_not() -> None:
    for every, opens in ((6, False), (5, False), (4, True), (2, True)):
        outage = Outage()
        for number in range(400):
            outage.store.refusing = REFUSED if number % every == 0 else None
            outage.one(limit_of(100_000))
        assert (outage.guard.counters.opened > 0) is opens, every


def test_what_has_just_come_back_has_no_credit() -> None:
    outage = Outage()
    outage.open()
    outage.back()
    outage.store.refusing = REFUSED
    outage.one(limit_of(5))
    assert outage.guard.state is State.OPEN and outage.guard.counters.opened == 2
