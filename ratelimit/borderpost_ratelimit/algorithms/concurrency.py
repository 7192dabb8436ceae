"""Concurrency: so many at the same time, by leases.

    used   = sum of the weights of the leases that have not ended
    over   = used + max(hits, 1) > amount
    begin  : a lease of weight `hits` for the request, until now + window     only if not over, and hits > 0
    done   : the oldest lease of the request's name ends; without one, nothing happens. Its hits do not matter
    reset  = end of the newest lease − now
    retry  = end of the oldest lease − now        the latest time; a request that ends makes room before

Never more than `amount` is held at once, whatever the names are: two requests of one name have two leases. A request
whose end nobody tells of holds its lease for a window. Negative hits end a lease like a request's end. Where the clock
was set back by more than a window, no lease lasts longer than a window from the new time.
"""

from __future__ import annotations

from typing import cast

from borderpost_ratelimit.algorithms.counter import Counter, Share
from borderpost_ratelimit.algorithms.holds import Holds
from borderpost_ratelimit.algorithms.numbers import COUNT_MAX, stands_us
from borderpost_ratelimit.charges import Verdict
from borderpost_ratelimit.limits import Limit


class Concurrency(Counter):
    """State: the leases, and the sum of their weights."""

    __slots__ = ("leases", "used")

    def __init__(self, limit: Limit, key: str, share: Share, now_us: int) -> None:
        super().__init__(limit, key, share)
        self.leases = Holds(share.holds)
        self.used = 0

    def adopt(self, limit: Limit, now_us: int) -> bool:
        """Go on by the limit of a newer file; no lease lasts longer than under that."""
        if limit.algorithm is not self.limit.algorithm:
            return False
        at_us = self._at_us(now_us)
        self.limit = limit
        self.leases.shorten(at_us, limit.window_us)
        return True

    def over(self, hits: int, now_us: int) -> bool:
        """Return whether so many more are too many at once, or find no place in the store."""
        if hits < 0:
            return False
        self._at_us(now_us)
        return self.used + self.pending + (hits or 1) > self.limit.amount or self.share.holds.full()

    def charge(self, hits: int, now_us: int, request: str) -> Verdict:
        """Hold a lease."""
        at_us = self._at_us(now_us)
        if hits > 0:
            self.leases.add(request, hits, at_us + self.limit.window_us)
            self.used += hits
        elif hits < 0:
            self._release(request)
        return self.tell(False, hits, now_us)

    def done(self, hits: int, now_us: int, request: str) -> Verdict:
        """End a lease."""
        self._at_us(now_us)
        self._release(request)
        return self.tell(False, hits, now_us)

    def tell(self, over: bool, hits: int, now_us: int) -> Verdict:
        """Tell how many are held."""
        at_us = self._at_us(now_us)
        oldest, newest = self.leases.oldest, self.leases.newest
        reset_us = newest.until_us - at_us if newest is not None else 0
        if over:
            return Verdict(True, self.used, 0, reset_us, oldest.until_us - at_us if oldest is not None else 0)
        return Verdict(False, self.used, max(self.limit.amount - self.used, 0), reset_us)

    def remembers(self, request: str) -> bool:
        """Return whether the request has a lease."""
        return request in self.leases

    def inherit(self, other: Counter, now_us: int) -> None:
        """Hold as much as the shared counter does, in one lease that ends with its newest and that no name ends."""
        shared = cast(Concurrency, other)
        shared._at_us(now_us)
        newest = shared.leases.newest
        if newest is not None:
            self.leases.add(INHERITED, shared.used, newest.until_us)
            self.used = shared.used

    def expires_us(self) -> int:
        """Return the end of the newest lease; 0 if there is none."""
        newest = self.leases.newest
        return newest.until_us if newest is not None else 0

    def drop(self) -> None:
        """Give the leases' places back."""
        self.leases.expire(COUNT_MAX)

    def _release(self, request: str) -> None:
        lease = self.leases.release(request)
        if lease is not None:
            self.used -= lease.weight

    def _at_us(self, now_us: int) -> int:
        """Let go of what has ended; return the time that counts."""
        newest = self.leases.newest
        if newest is None:
            return now_us
        window_us = self.limit.window_us
        at_us = stands_us(now_us, newest.until_us - window_us, window_us)
        if newest.until_us - at_us > window_us:
            self.leases.shorten(at_us, window_us)
        self.used -= self.leases.expire(at_us)
        return at_us


INHERITED = "\0inherited"
"""Name of the lease that stands for those of a shared counter; no request's, which are printable."""
