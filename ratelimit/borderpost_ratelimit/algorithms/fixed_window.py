"""Fixed windows, as envoyproxy/ratelimit counts them.

    start  = now − now mod window                 a window begins at a multiple of its length
    used   = max(0, used + hits)                  in this window, charged in any case
    over   = used > amount
    reset  = start + window − now

Never more than `amount` pass in one window; up to twice as many in a time as short as one likes, around a window's end.
"""

from __future__ import annotations

from typing import cast

from borderpost_ratelimit.algorithms.counter import Counter, Share
from borderpost_ratelimit.algorithms.numbers import COUNT_MAX, stands_us
from borderpost_ratelimit.charges import Verdict
from borderpost_ratelimit.limits import Limit


class FixedWindow(Counter):
    """State: the window's end and what was used in it."""

    __slots__ = ("end_us", "used")

    def __init__(self, limit: Limit, key: str, share: Share, now_us: int) -> None:
        super().__init__(limit, key, share)
        self.used = 0
        self.end_us = now_us - now_us % limit.window_us + limit.window_us

    def charge(self, hits: int, now_us: int, request: str) -> Verdict:
        """Count, and tell whether that is over."""
        limit = self.limit
        left_us = self.end_us - now_us
        if left_us <= 0 or left_us > limit.window_us:
            left_us = self._left_us(now_us)
        used = self.used + hits
        if used < 0:
            used = 0
        elif used > COUNT_MAX:
            used = COUNT_MAX
        self.used = used
        amount = limit.amount
        if used > amount:
            return Verdict(True, used, 0, left_us, left_us)
        return Verdict(False, used, amount - used, left_us)

    def over(self, hits: int, now_us: int) -> bool:
        """Return whether so many more would be over."""
        self._left_us(now_us)
        return self.used + hits > self.limit.amount

    def tell(self, over: bool, hits: int, now_us: int) -> Verdict:
        """Tell how this window stands."""
        left_us = self._left_us(now_us)
        left = self.limit.amount - self.used
        return Verdict(over, self.used, 0 if over or left < 0 else left, left_us, left_us if over else 0)

    def done(self, hits: int, now_us: int, request: str) -> Verdict:
        """Count; never over."""
        self.charge(hits, now_us, request)
        return self.tell(False, hits, now_us)

    def inherit(self, other: Counter, now_us: int) -> None:
        """Begin with the count of the shared counter."""
        shared = cast(FixedWindow, other)
        shared._left_us(now_us)
        self.used = shared.used

    def expires_us(self) -> int:
        """Return the end of the window."""
        return self.end_us

    def _left_us(self, now_us: int) -> int:
        """Begin the window of now, unless the clock stands; return the time left of the window that counts."""
        left_us = self.end_us - now_us
        window_us = self.limit.window_us
        if 0 < left_us <= window_us:
            return left_us
        start_us = self.end_us - window_us
        at_us = stands_us(now_us, start_us, window_us)
        if at_us != start_us:
            if now_us > start_us:
                self.used = 0
            self.end_us = at_us - at_us % window_us + window_us
        return self.end_us - at_us
