"""A memory store that is always too small: its books are right after every request; no key gets more than its limit."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from borderpost_ratelimit.algorithms.budget import Budget
from borderpost_ratelimit.algorithms.concurrency import Concurrency
from borderpost_ratelimit.algorithms.holds import Holds
from borderpost_ratelimit.charges import Charge, Phase, Unanswered, Verdicts
from borderpost_ratelimit.limits import SECOND_US, Algorithm, Limit, Unit
from borderpost_ratelimit.stores.memory import MemoryStore
from support.ratelimit_counters import T0_US

PLACES = 9
KEYS = 6
STEPS = 1500
AMOUNT = 3


def a_limit(algorithm: Algorithm, seconds: int) -> Limit:
    return Limit("d", algorithm, AMOUNT, Unit.SECOND, seconds * SECOND_US, burst=AMOUNT)


def holds_of(counter: object) -> int:
    """Return how many leases or reservations a counter keeps, by following its links."""
    kept: Holds | None = None
    if isinstance(counter, Concurrency):
        kept = counter.leases
    elif isinstance(counter, Budget):
        kept = counter.reservations
    size, hold = 0, kept.oldest if kept is not None else None
    while hold is not None:
        size, hold = size + 1, hold.newer
    return size


def check_books(store: MemoryStore) -> None:
    """Assert that places, shares and shared counters are what counters and their links say."""
    counters = list(store._counters.values())
    shares = list(store._shares.values())
    shared = [share.overflow for share in shares if share.overflow is not None]
    assert len(counters) <= PLACES
    assert store.room.free == PLACES - len(counters)
    assert store.shared == len(shared)
    assert Counter(id(counter.share) for counter in counters) == {
        id(share): share.counters.taken for share in shares if share.counters.taken
    }
    assert all(share.counters.taken or share.overflow for share in shares)
    held = sum(map(holds_of, [*counters, *shared]))
    assert store.holds.free == PLACES - held
    assert sum(share.holds.taken for share in shares) == held


class Fair:
    """What each key has had, by its own word."""

    def __init__(self) -> None:
        self.passed: dict[str, list[int]] = {}
        self.held: dict[str, dict[str, int]] = {}

    def take(self, charge: Charge, now_us: int) -> None:
        """Note that a charge has passed, and assert that it may."""
        times = self.passed.setdefault(charge.key, [])
        times.append(now_us)
        window_us = charge.limit.window_us
        if charge.limit.algorithm is Algorithm.CONCURRENCY:
            held = self.held.setdefault(charge.key, {})
            held[charge.request] = now_us + window_us
            assert sum(until_us > now_us for until_us in held.values()) <= AMOUNT
        elif charge.limit.algorithm is Algorithm.TOKEN_BUCKET:
            for at, since_us in enumerate(times[-40:]):
                assert len(times[-40:]) - at <= AMOUNT + AMOUNT * (now_us - since_us) / window_us
        else:
            assert sum(at_us // window_us == now_us // window_us for at_us in times) <= AMOUNT

    def end(self, charge: Charge) -> None:
        """Note that a request has ended."""
        self.held.get(charge.key, {}).pop(charge.request, None)


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_crowded_store_keeps_its_books_and_its_limits(algorithm: Algorithm) -> None:
    store, fair, now_us = MemoryStore(PLACES), Fair(), T0_US
    begun: list[Charge] = []
    for step in range(STEPS):
        now_us += random.choice((0, 0, 1000, 50_000, 400_000))
        seconds = random.choice((1, 7, 60))
        charge = Charge(a_limit(algorithm, seconds), f"{seconds}:{random.randrange(KEYS)}", 1, Phase.BEGIN, f"r{step}")
        if begun and random.random() < 0.3:
            ended = begun.pop(random.randrange(len(begun)))
            store.take([(ended._replace(phase=Phase.DONE),)], now_us, lambda _: None)
            fair.end(ended)
        told: list[Verdicts | Unanswered] = []
        store.take([(charge,)], now_us, told.extend)
        verdicts = told[0]
        assert not isinstance(verdicts, Unanswered)
        if not verdicts[0].over:
            fair.take(charge, now_us)
            if algorithm in (Algorithm.CONCURRENCY, Algorithm.BUDGET):
                begun.append(charge)
        check_books(store)
    assert store.overflowed > STEPS // 10
    for turn in range(50):
        store.take([()], now_us + (3600 + turn) * SECOND_US, lambda _: None)
    check_books(store)
    assert (len(store), store.shared) == (0, 0)
