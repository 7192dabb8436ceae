"""Budgets: so many units a window, where what a request costs is known when it has ended.

    start   = now − now mod window
    used    = reserved, settled and charged in this window
    over    = used + max(hits, 1) > amount
    begin   : used += hits, and the request holds a reservation of `hits`         only if not over
    done    : the oldest reservation r of the request's name is settled by what it has used, `hits`:
                reserved in this window      used = max(0, used + hits − r)
                reserved in a window before  used = used + max(0, hits − r)
                no reservation               used = used + hits
    reset   = start + window − now

So a window's `used` is exactly what was reserved in it and not yet settled, and what was used by those that have
settled in it, and what earlier requests used beyond their reservations. What was reserved too much in a window that has
ended is not given to another one. A settled request may lead beyond the amount; then nothing passes until the window
ends.

A reservation that nobody settles stays charged. Its name is forgotten after a window, or `RESERVATION_US` if that is
longer; who then still settles is charged in full. Negative hits give back to this window.
"""

from __future__ import annotations

from typing import Final, cast

from borderpost_ratelimit.algorithms.counter import Counter, Share
from borderpost_ratelimit.algorithms.holds import Holds
from borderpost_ratelimit.algorithms.numbers import COUNT_MAX, stands_us
from borderpost_ratelimit.charges import Verdict
from borderpost_ratelimit.limits import Limit

RESERVATION_US: Final = 900_000_000
"""How long a reservation's name is known at least: streams of large models last minutes."""


def remembered_us(limit: Limit) -> int:
    """Return how long the name of a reservation is known."""
    return max(limit.window_us, RESERVATION_US)


class Budget(Counter):
    """State: the window's start, what was used in it, and the reservations."""

    __slots__ = ("reservations", "start_us", "used")

    def __init__(self, limit: Limit, key: str, share: Share, now_us: int) -> None:
        super().__init__(limit, key, share)
        self.start_us = now_us - now_us % limit.window_us
        self.used = 0
        self.reservations = Holds(share.holds)

    def over(self, hits: int, now_us: int) -> bool:
        """Return whether less than so much is left, or a reservation finds no place in the store."""
        if hits < 0:
            return False
        self._left_us(now_us)
        return self.used + self.pending + (hits or 1) > self.limit.amount or (hits > 0 and self.share.holds.full())

    def charge(self, hits: int, now_us: int, request: str) -> Verdict:
        """Reserve."""
        left_us = self._left_us(now_us)
        self.used = min(max(self.used + hits, 0), COUNT_MAX)
        if hits > 0:
            at_us = self.start_us + self.limit.window_us - left_us
            self.reservations.add(request, hits, at_us + remembered_us(self.limit), self.start_us)
        return self.tell(False, hits, now_us)

    def done(self, hits: int, now_us: int, request: str) -> Verdict:
        """Settle."""
        self._left_us(now_us)
        reservation = self.reservations.release(request)
        if reservation is not None:
            hits -= reservation.weight
            if hits < 0 and reservation.start_us != self.start_us:
                hits = 0
        self.used = min(max(self.used + hits, 0), COUNT_MAX)
        return self.tell(False, hits, now_us)

    def tell(self, over: bool, hits: int, now_us: int) -> Verdict:
        """Tell how much of the window's budget is reserved and used."""
        left_us = self._left_us(now_us)
        left = self.limit.amount - self.used
        return Verdict(over, self.used, 0 if over or left < 0 else left, left_us, left_us if over else 0)

    def remembers(self, request: str) -> bool:
        """Return whether the request has a reservation."""
        return request in self.reservations

    def inherit(self, other: Counter, now_us: int) -> None:
        """Begin with what was used of the shared budget; its reservations are settled there."""
        shared = cast(Budget, other)
        shared._left_us(now_us)
        self.used = shared.used

    def expires_us(self) -> int:
        """Return the end of the window, or when the newest reservation is forgotten if that is later."""
        end_us = self.start_us + self.limit.window_us
        newest = self.reservations.newest
        return end_us if newest is None else max(end_us, newest.until_us)

    def drop(self) -> None:
        """Give the reservations' places back."""
        self.reservations.expire(COUNT_MAX)

    def _left_us(self, now_us: int) -> int:
        """Turn to the window of now, forget old names; return the time left of the window that counts."""
        window_us = self.limit.window_us
        left_us = self.start_us + window_us - now_us
        if 0 < left_us <= window_us:
            at_us = now_us
        else:
            at_us = stands_us(now_us, self.start_us, window_us)
            start_us = at_us - at_us % window_us
            if start_us > self.start_us:
                self.used = 0
            elif start_us < self.start_us:
                self.reservations.shorten(at_us, remembered_us(self.limit))
            self.start_us = start_us
            left_us = start_us + window_us - at_us
        self.reservations.expire(at_us)
        return left_us
