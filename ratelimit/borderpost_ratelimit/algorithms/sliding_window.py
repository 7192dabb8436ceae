"""Sliding windows by two counters: this window's, and of the one before the share that has not yet slid out.

    start     = now − now mod window
    share     = (start + window − now) ÷ window               a double in (0, 1]
    used      = current + ⌈previous × share⌉                  the product of two doubles, rounded up
    over      = used + max(hits, 1) > amount
    current   = max(0, current + hits)                        only if not over
    reset     = time until both counters are empty

**The bound.** Let L be the amount and W the window. In any time of length s ≤ W at most L + L·y ÷ W hits pass, where
y ≤ s is the part of that time behind the one window's end that may lie in it. For if there is none, all of them are in
one window, whose `current` never exceeds L. Otherwise let p ≤ L be what passed in the window before that end. The last
of the c hits behind it passed at y' ≤ y behind it, where p × (W − y') ÷ W + c ≤ L held; so p + c ≤ L + p × y' ÷ W
≤ L + L × y ÷ W. So a burst around a window's end gets L, where fixed windows let 2 L through; and a whole window of any
placement gets less than 2 L, reached only by a full burst at the very end of one window and steady use behind it. If
what passes comes evenly, the estimate is exact but for rounding up. Charges at a request's end pass in any case, and
may lead beyond; they count in full.

Where the estimate errs, it is by less than `previous`: it takes previous × share for a number between 0 and previous.
"""

from __future__ import annotations

import math
from typing import cast

from borderpost_ratelimit.algorithms.counter import Counter, Share
from borderpost_ratelimit.algorithms.numbers import COUNT_MAX, stands_us
from borderpost_ratelimit.charges import Verdict
from borderpost_ratelimit.limits import Limit


def weighted(previous: int, left_us: int, window_us: int) -> int:
    """Return ⌈previous × (left ÷ window)⌉, in doubles: the quotient first, then the product."""
    return math.ceil(previous * (left_us / window_us))


def until_weighted_us(previous: int, most: int, window_us: int) -> int:
    """Return how far into a window `weighted(previous, …)` is at most `most` (0 ≤ most < previous), to 1 µs."""
    return window_us - math.floor(window_us * (most / previous)) + 1


class SlidingWindow(Counter):
    """State: the window's start, what was used in it, and in the one before."""

    __slots__ = ("current", "previous", "start_us")

    def __init__(self, limit: Limit, key: str, share: Share, now_us: int) -> None:
        super().__init__(limit, key, share)
        self.start_us = now_us - now_us % limit.window_us
        self.current = 0
        self.previous = 0

    def over(self, hits: int, now_us: int) -> bool:
        """Return whether the estimate leaves no room for so many."""
        if hits < 0:
            return False
        return self._used(self._left_us(now_us)) + self.pending + (hits or 1) > self.limit.amount

    def charge(self, hits: int, now_us: int, request: str) -> Verdict:
        """Charge to this window."""
        self._left_us(now_us)
        self.current = min(max(self.current + hits, 0), COUNT_MAX)
        return self.tell(False, hits, now_us)

    def done(self, hits: int, now_us: int, request: str) -> Verdict:
        """Charge to this window, whether it fits or not."""
        return self.charge(hits, now_us, request)

    def tell(self, over: bool, hits: int, now_us: int) -> Verdict:
        """Tell the estimate."""
        left_us = self._left_us(now_us)
        used = self._used(left_us)
        if self.current:
            reset_us = left_us + self.limit.window_us
        else:
            reset_us = left_us if self.previous else 0
        if over:
            return Verdict(True, used, 0, reset_us, self._retry_us(hits or 1, left_us, reset_us))
        return Verdict(False, used, max(self.limit.amount - used, 0), reset_us)

    def inherit(self, other: Counter, now_us: int) -> None:
        """Begin with both counts of the shared counter."""
        shared = cast(SlidingWindow, other)
        self.start_us = shared.start_us
        self.current = shared.current
        self.previous = shared.previous

    def expires_us(self) -> int:
        """Return when both counts are empty."""
        if self.current:
            return self.start_us + 2 * self.limit.window_us
        return self.start_us + self.limit.window_us if self.previous else self.start_us

    def _used(self, left_us: int) -> int:
        if not self.previous:
            return self.current
        return self.current + weighted(self.previous, left_us, self.limit.window_us)

    def _retry_us(self, hits: int, left_us: int, reset_us: int) -> int:
        """Return the time until so many have room, or all has slid out if they never have."""
        window_us = self.limit.window_us
        room = self.limit.amount - hits
        if room < 0:
            return reset_us
        if self.current + self.previous <= room:
            return 1  # over only with what the request's charges before it asked for
        if self.current <= room:
            return max(until_weighted_us(self.previous, room - self.current, window_us) - (window_us - left_us), 1)
        return left_us + until_weighted_us(self.current, room, window_us)

    def _left_us(self, now_us: int) -> int:
        """Turn to the window of now; return the time left of the window that counts."""
        window_us = self.limit.window_us
        gone_us = now_us - self.start_us
        if 0 <= gone_us < window_us:
            return window_us - gone_us
        at_us = stands_us(now_us, self.start_us, window_us)
        start_us = at_us - at_us % window_us
        if start_us > self.start_us:
            self.previous = self.current if start_us == self.start_us + window_us else 0
            self.current = 0
        self.start_us = start_us
        return start_us + window_us - at_us
