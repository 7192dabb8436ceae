"""Which class counts by which algorithm."""

from __future__ import annotations

from borderpost_ratelimit.algorithms.budget import Budget
from borderpost_ratelimit.algorithms.concurrency import Concurrency
from borderpost_ratelimit.algorithms.counter import Counter, Share
from borderpost_ratelimit.algorithms.fixed_window import FixedWindow
from borderpost_ratelimit.algorithms.sliding_window import SlidingWindow
from borderpost_ratelimit.algorithms.token_bucket import TokenBucket
from borderpost_ratelimit.limits import Algorithm, Limit


def new_counter(limit: Limit, key: str, share: Share, now_us: int) -> Counter:
    """Return a counter that holds nothing yet."""
    algorithm = limit.algorithm
    if algorithm is Algorithm.FIXED_WINDOW:
        return FixedWindow(limit, key, share, now_us)
    if algorithm is Algorithm.SLIDING_WINDOW:
        return SlidingWindow(limit, key, share, now_us)
    if algorithm is Algorithm.TOKEN_BUCKET:
        return TokenBucket(limit, key, share, now_us)
    if algorithm is Algorithm.CONCURRENCY:
        return Concurrency(limit, key, share, now_us)
    return Budget(limit, key, share, now_us)
