"""What a limit is, once its file has been read: the values that rules, algorithms and stores share."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

SECOND_US: Final = 1_000_000
PRICE_SCALE: Final = 1_000_000_000
"""Parts of one that `Limit.price_nano` counts in."""


class Algorithm(enum.Enum):
    """How a limit counts."""

    FIXED_WINDOW = "fixed_window"
    """So many a window that begins at a multiple of its length since the Unix epoch; envoyproxy/ratelimit's. What is
    over the limit counts too."""
    SLIDING_WINDOW = "sliding_window"
    """So many in the window that ends now, from the counts of this window and the one before, of which a share by
    time is taken."""
    TOKEN_BUCKET = "token_bucket"  # noqa: S105 - an algorithm
    """A bucket of `burst` that fills by `amount` a window, evenly (the generic cell rate algorithm)."""
    CONCURRENCY = "concurrency"
    """So many at the same time: a request holds a lease until its stream has ended, for `window_us` at most."""
    BUDGET = "budget"
    """So many a window, where what a request costs is known at its end only: an estimate is reserved and settled."""


class Unit(enum.IntEnum):
    """Units of time of RLS v3 (`RateLimitResponse.RateLimit.Unit`), by their numbers."""

    UNKNOWN = 0
    SECOND = 1
    MINUTE = 2
    HOUR = 3
    DAY = 4
    MONTH = 5
    YEAR = 6
    WEEK = 7

    @property
    def length_us(self) -> int:
        """Return its length in microseconds, as envoyproxy/ratelimit takes it: a month has 30 days, a year 365.

        Raises ValueError for UNKNOWN.
        """
        if self is Unit.UNKNOWN:
            raise ValueError("a unit that nobody knows has no length")
        return _LENGTHS_S[self] * SECOND_US


_LENGTHS_S: Final = {
    Unit.SECOND: 1,
    Unit.MINUTE: 60,
    Unit.HOUR: 3_600,
    Unit.DAY: 86_400,
    Unit.WEEK: 604_800,
    Unit.MONTH: 2_592_000,
    Unit.YEAR: 31_536_000,
}


class Scope(enum.Enum):
    """How far a counter reaches."""

    REGION = "region"
    """It stays in the region: in this limiter's memory, or in the store that the region's gateways share."""
    GLOBAL = "global"
    """It is shared between regions, so its key leaves the region: as a keyed hash, never in clear."""


class WhenAway(enum.Enum):
    """What holds for a limit while its store does not answer."""

    LOCAL = "local"
    """This process counts for itself, from nothing."""
    ALLOW = "allow"
    """Everything passes."""
    REFUSE = "refuse"
    """Nothing passes."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: what algorithms and stores need to know of it."""

    domain: str
    """The domain whose file it comes from."""
    algorithm: Algorithm
    amount: int
    """How many: hits a window, leases at a time, or units of a budget a window. 0 lets nothing pass."""
    unit: Unit
    """What Envoy is told of the window (`current_limit.unit`); UNKNOWN where no unit says it."""
    window_us: int
    """Length of the window, the time in which a bucket gains `amount`, or the longest time a lease is held."""
    burst: int = 0
    """Capacity of a bucket; 0 for the other algorithms."""
    reserve: int = 0
    """What a budget reserves for a request that brings no estimate of its own (no `hits_addend`)."""
    price_nano: int = 0
    """What one hit costs in billionths of a unit of `amount`, so that tokens can be charged to an amount of money; 0: a
    hit costs one."""
    binding: bool = True
    """Whether being over it makes a request fail: False in shadow mode, and for a quota."""
    scope: Scope = Scope.REGION
    when_away: WhenAway = WhenAway.LOCAL

    def cost_of(self, hits: int) -> int:
        """Return what so many hits cost, rounded away from zero: nothing is free because it is small."""
        if not self.price_nano:
            return hits
        cost = -(-abs(hits) * self.price_nano // PRICE_SCALE)
        return cost if hits >= 0 else -cost
