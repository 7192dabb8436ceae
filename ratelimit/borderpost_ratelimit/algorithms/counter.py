"""What all counters have in common, and the share of a store's room that they live in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from borderpost_ratelimit.charges import Verdict
from borderpost_ratelimit.limits import Limit

HUNGER: Final = 8
"""How many times what is free one limit may take: alone it gets 8/9 of the room, and n greedy ones leave 1/(8n + 1) of
it to all others."""


class Room:
    """So many places, for counters or for what requests hold."""

    __slots__ = ("free", "places")

    def __init__(self, places: int) -> None:
        if places < 1:
            raise ValueError("a store needs room for one counter")
        self.places = places
        self.free = places


class Portion:
    """The places of a room that one limit has taken."""

    __slots__ = ("room", "taken")

    def __init__(self, room: Room) -> None:
        self.room = room
        self.taken = 0

    def full(self) -> bool:
        """Return whether the limit gets no further place."""
        return self.taken >= HUNGER * self.room.free

    def take(self) -> None:
        """Take a place. Whoever takes one for something new asks `full` before."""
        self.taken += 1
        self.room.free -= 1

    def give(self, places: int) -> None:
        """Give places back."""
        self.taken -= places
        self.room.free += places


class Share:
    """What one limit has taken of a store's rooms, and the counter that its keys share when it gets no more."""

    __slots__ = ("counters", "holds", "limit", "overflow")

    def __init__(self, limit: Limit, counters: Room, holds: Room) -> None:
        self.limit = limit
        self.counters = Portion(counters)
        self.holds = Portion(holds)
        self.overflow: Counter | None = None


class Counter(ABC):
    """Counts by one limit under one key.

    Times are microseconds since the Unix epoch. A request with several charges asks `over` of each first, each on top
    of what is `pending` from those before, and then charges all or none; fixed windows are charged at once.
    """

    __slots__ = ("key", "limit", "pending", "share")

    def __init__(self, limit: Limit, key: str, share: Share) -> None:
        self.limit = limit
        self.key = key
        self.share = share
        self.pending = 0
        """Hits that the request in hand has found room for and not yet charged."""

    def adopt(self, limit: Limit, now_us: int) -> bool:
        """Go on counting by the limit of a newer file; False if what is counted means nothing under it."""
        mine = self.limit
        if limit.algorithm is not mine.algorithm or limit.window_us != mine.window_us:
            return False
        self.limit = limit
        return True

    @abstractmethod
    def over(self, hits: int, now_us: int) -> bool:
        """Return whether so many hits, on top of what is pending, are over the limit."""

    @abstractmethod
    def charge(self, hits: int, now_us: int, request: str) -> Verdict:
        """Charge, and tell. Except for fixed windows: `over` was asked for before, and said no."""

    @abstractmethod
    def tell(self, over: bool, hits: int, now_us: int) -> Verdict:
        """Tell how it stands, with nothing charged."""

    @abstractmethod
    def done(self, hits: int, now_us: int, request: str) -> Verdict:
        """Charge what a request has used, at its end, whether it fits or not."""

    @abstractmethod
    def inherit(self, other: Counter, now_us: int) -> None:
        """Begin with what the shared counter of the same limit holds: no key can have used more of that."""

    @abstractmethod
    def expires_us(self) -> int:
        """Return the time from which on it holds nothing that a new counter would not."""

    def remembers(self, request: str) -> bool:
        """Return whether it holds a lease or a reservation of this request."""
        return False

    def drop(self) -> None:  # noqa: B027 - most counters hold nothing
        """Let go of what requests hold, for good."""
