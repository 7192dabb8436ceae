"""Token buckets: the generic cell rate algorithm (ITU-T I.371), in integers.

What a bucket lacks is kept as a time: how long it takes to be full again. That time is counted in ticks, of which there
are so many in a microsecond that one hit is a whole number of them wherever that can be (`terms_of`):

    level   = max(0, level − (now − last) × ticks_per_us)      drained to now
    over    = level + max(hits, 1) × hit_ticks > burst × hit_ticks
    level   = max(0, level + hits × hit_ticks); last = now     only if not over
    used    = ⌈level ÷ hit_ticks⌉                              at most one less is left than there is
    reset   = ⌈level ÷ ticks_per_us⌉

**What passes** in any time t is at most burst + rate × t, exactly: each hit adds at least window ÷ amount to the level
(`hit_ticks` is rounded up where it is not whole), the level drains by t in a time t, and is between 0 and the capacity
whenever a hit passes. Charges at a request's end may fill it beyond its capacity, to `COUNT_MAX` ticks: a debt that has
to drain like all else.
"""

from __future__ import annotations

import functools
import math
from typing import Final, NamedTuple, cast

from borderpost_ratelimit.algorithms.counter import Counter, Share
from borderpost_ratelimit.algorithms.numbers import COUNT_MAX, stands_us
from borderpost_ratelimit.charges import Verdict
from borderpost_ratelimit.limits import Limit

CAPACITY_TICKS_MAX: Final = 1 << 48
"""Ticks that a full bucket may be: 31 times as much is left below `COUNT_MAX` for debts."""
FILL_US_MAX: Final = 1 << 52
"""Longest time that an empty bucket may take to be full, some 142 years: the level has to stay below `COUNT_MAX`."""
AMOUNT_MAX: Final = 1 << 40
"""Largest burst, and largest gain a window: the rate is exact, or right to 1 % even there."""


class BucketTerms(NamedTuple):
    """A bucket's limit, in ticks."""

    ticks_per_us: int
    hit_ticks: int
    capacity_ticks: int


@functools.lru_cache(4096)
def bucket_terms(amount: int, window_us: int, burst: int) -> BucketTerms:
    """Return the terms of a bucket that gains `amount` a window and holds `burst`.

    Exact where `burst` hits are at most `CAPACITY_TICKS_MAX` ticks with hits of whole ticks. Otherwise a microsecond is
    a power of two of ticks, and a hit is rounded up: for a burst b the rate is low by b ÷ 2^47 of it at most. Raises
    ValueError where `AMOUNT_MAX` or `FILL_US_MAX` is passed.
    """
    if not amount:
        return BucketTerms(1, 1, 0)
    if max(amount, burst) > AMOUNT_MAX:
        raise ValueError(f"a bucket holds and gains at most {AMOUNT_MAX}")
    if burst * window_us > FILL_US_MAX * amount:
        raise ValueError("a bucket may take 142 years to be full, not longer")
    common = math.gcd(amount, window_us)
    hit_ticks = window_us // common
    if burst * hit_ticks <= CAPACITY_TICKS_MAX:
        return BucketTerms(amount // common, hit_ticks, burst * hit_ticks)
    hit_ticks = CAPACITY_TICKS_MAX // burst
    power = (hit_ticks * amount // window_us).bit_length() - 1
    ticks_per_us = 1 << max(power, 0)
    hit_ticks = -(-window_us * ticks_per_us // amount)
    return BucketTerms(ticks_per_us, hit_ticks, burst * hit_ticks)


def terms_of(limit: Limit) -> BucketTerms:
    """Return the terms of a limit."""
    return bucket_terms(limit.amount, limit.window_us, limit.burst)


class TokenBucket(Counter):
    """State: the level in ticks, and when it was that."""

    __slots__ = ("last_us", "level", "terms")

    def __init__(self, limit: Limit, key: str, share: Share, now_us: int) -> None:
        super().__init__(limit, key, share)
        self.terms = terms_of(limit)
        self.level = 0
        self.last_us = now_us

    def adopt(self, limit: Limit, now_us: int) -> bool:
        """Go on by the limit of a newer file: as many hits are out of the bucket as before."""
        if limit.algorithm is not self.limit.algorithm:
            return False
        self._drain(now_us)
        used = -(-self.level // self.terms.hit_ticks)
        self.limit = limit
        self.terms = terms_of(limit)
        self.level = min(used * self.terms.hit_ticks, COUNT_MAX)
        return True

    def over(self, hits: int, now_us: int) -> bool:
        """Return whether the bucket holds less than so many."""
        if hits < 0:
            return False
        self._drain(now_us)
        _, hit_ticks, capacity_ticks = self.terms
        return self.level + (self.pending + (hits or 1)) * hit_ticks > capacity_ticks

    def charge(self, hits: int, now_us: int, request: str) -> Verdict:
        """Take so many out of the bucket."""
        self._drain(now_us)
        self.level = min(max(self.level + hits * self.terms.hit_ticks, 0), COUNT_MAX)
        return self.tell(False, hits, now_us)

    def done(self, hits: int, now_us: int, request: str) -> Verdict:
        """Take so many out of the bucket, and owe what it does not hold."""
        return self.charge(hits, now_us, request)

    def tell(self, over: bool, hits: int, now_us: int) -> Verdict:
        """Tell what the bucket holds."""
        self._drain(now_us)
        ticks_per_us, hit_ticks, capacity_ticks = self.terms
        used = -(-self.level // hit_ticks)
        reset_us = -(-self.level // ticks_per_us)
        if over:
            lacks = max(self.level + (hits or 1) * hit_ticks - capacity_ticks, 0)
            return Verdict(True, used, 0, reset_us, -(-min(lacks, self.level) // ticks_per_us))
        return Verdict(False, used, max(capacity_ticks // hit_ticks - used, 0), reset_us)

    def inherit(self, other: Counter, now_us: int) -> None:
        """Begin with the level of the shared bucket."""
        shared = cast(TokenBucket, other)
        self.level = shared.level
        self.last_us = shared.last_us

    def expires_us(self) -> int:
        """Return when the bucket is full."""
        return self.last_us + -(-self.level // self.terms.ticks_per_us)

    def _drain(self, now_us: int) -> None:
        at_us = stands_us(now_us, self.last_us, self.limit.window_us)
        gone_us = at_us - self.last_us
        if gone_us > 0 and self.level:
            self.level = max(self.level - gone_us * self.terms.ticks_per_us, 0)
        self.last_us = at_us
