"""Counters of every algorithm for tests, and streams of charges."""

from __future__ import annotations

import random
from collections.abc import Iterator

from hypothesis import strategies as st

from borderpost_ratelimit.algorithms.counter import Counter, Room, Share
from borderpost_ratelimit.algorithms.fixed_window import FixedWindow
from borderpost_ratelimit.algorithms.making import new_counter
from borderpost_ratelimit.charges import Verdict
from borderpost_ratelimit.limits import SECOND_US, Algorithm, Limit, Unit

T0_US = 1_800_000_000 * SECOND_US
GAPS_US = (0, 0, 0, 1, 999, 50_000, 142_857, 333_334, 500_000, 999_999, 1_000_000, 1_700_000)
steps = st.lists(
    st.tuples(st.sampled_from(GAPS_US) | st.integers(0, 700_000), st.integers(1, 4)), min_size=1, max_size=60
)
"""Microseconds since the charge before, and hits."""


def a_limit(algorithm: Algorithm, amount: int, window_us: int = SECOND_US, burst: int = 0) -> Limit:
    return Limit("d", algorithm, amount, Unit.SECOND, window_us, burst=burst or amount)


def a_counter(limit: Limit, now_us: int = T0_US) -> Counter:
    return new_counter(limit, "k", Share(limit, Room(1 << 20), Room(1 << 20)), now_us)


def ask(counter: Counter, hits: int, now_us: int, request: str = "") -> Verdict:
    """Charge as a request of one charge does."""
    if not isinstance(counter, FixedWindow) and counter.over(hits, now_us):
        return counter.tell(True, hits, now_us)
    return counter.charge(hits, now_us, request)


def walk() -> Iterator[tuple[int, int, int]]:
    """Yield what a clock says that goes back by less than a second now and then, the latest it said, and hits."""
    now_us = latest_us = T0_US
    for _ in range(2000):
        now_us = max(now_us + random.randint(-500_000, 600_000), latest_us - SECOND_US)
        latest_us = max(latest_us, now_us)
        yield now_us, latest_us, random.randint(1, 3)


def passed(counter: Counter, stream: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return time and hits of what passes."""
    now_us, through = T0_US, []
    for gone_us, hits in stream:
        now_us += gone_us
        if not ask(counter, hits, now_us).over:
            through.append((now_us, hits))
    return through
