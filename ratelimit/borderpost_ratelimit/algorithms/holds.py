"""What requests hold until they end: leases and reservations, found by the request's name, dropped by time.

A name is nobody's word of honour: several requests may bring the same one, or none. Each gets its own hold, and an end
lets go of the oldest that its name has. All holds of one counter last equally long, so the oldest ends first; both
orders are kept as links, and each step costs the same however many there are. Nothing
that was let go of is linked to itself, so no garbage collector is needed.
"""

from __future__ import annotations

from borderpost_ratelimit.algorithms.counter import Portion


class Hold:
    """What one request holds."""

    __slots__ = ("last", "newer", "older", "request", "same", "start_us", "until_us", "weight")

    def __init__(self, request: str, weight: int, until_us: int, start_us: int) -> None:
        self.request = request
        self.weight = weight
        self.until_us = until_us
        self.start_us = start_us
        """Start of the window that a reservation was charged to."""
        self.older: Hold | None = None
        self.newer: Hold | None = None
        self.same: Hold | None = None
        """The next of the same name."""
        self.last: Hold | None = None
        """The newest of the same name; known to the oldest, where there are or were several."""


class Holds:
    """All holds of one counter."""

    __slots__ = ("_names", "newest", "oldest", "portion")

    def __init__(self, portion: Portion) -> None:
        self.portion = portion
        self.oldest: Hold | None = None
        self.newest: Hold | None = None
        self._names: dict[str, Hold] = {}
        """The oldest of each name."""

    def add(self, request: str, weight: int, until_us: int, start_us: int = 0) -> None:
        """Add a hold. One that ends before an older one, as the clock went back a little, is let go with that."""
        hold = Hold(request, weight, until_us, start_us)
        newest = self.newest
        if newest is None:
            self.oldest = hold
        else:
            newest.newer = hold
            hold.older = newest
        self.newest = hold
        first = self._names.get(request)
        if first is None:
            self._names[request] = hold
        else:
            (first.last or first).same = hold
            first.last = hold
        self.portion.take()

    def release(self, request: str) -> Hold | None:
        """Take out the oldest hold of this name; None if it has none."""
        hold = self._names.get(request)
        if hold is not None:
            self._remove(hold)
        return hold

    def expire(self, now_us: int) -> int:
        """Take out what has ended; return the sum of the weights."""
        weight = 0
        while (hold := self.oldest) is not None and hold.until_us <= now_us:
            weight += hold.weight
            self._remove(hold)
        return weight

    def shorten(self, now_us: int, hold_us: int) -> None:
        """Let nothing be held longer than `hold_us` from now: the clock was set back, or holds have become shorter."""
        hold = self.newest
        while hold is not None and hold.until_us > now_us + hold_us:
            hold.until_us = now_us + hold_us
            hold = hold.older

    def __contains__(self, request: str) -> bool:
        return request in self._names

    def _remove(self, hold: Hold) -> None:
        """Take out the oldest hold of its name."""
        older, newer = hold.older, hold.newer
        if older is None:
            self.oldest = newer
        else:
            older.newer = newer
        if newer is None:
            self.newest = older
        else:
            newer.older = older
        following = hold.same
        if following is None:
            del self._names[hold.request]
        else:
            following.last = hold.last
            self._names[hold.request] = following
        hold.last = None
        self.portion.give(1)
