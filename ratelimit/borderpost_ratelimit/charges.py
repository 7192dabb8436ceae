"""What a store is asked, and what it answers: the seam between the service and where counters are kept.

    service ── Store.take([(Charge, …), …], now_us, done) ──▶ store        one tuple a request, all of one loop turn
    service ◀── done([(Verdict, …) | Unanswered, …])        ── store        once; at once, or later on the same loop

Within a request the order is fixed. Charges of fixed windows are made whatever becomes of the request, as
envoyproxy/ratelimit does: what is over the limit counts too. The other algorithms are charged only if no binding charge
of the same request is over, so a refused request uses up no bucket, holds no lease and reserves no budget. A request
whose charges lie in one place (memory, one Redis server, one slot of a cluster) is counted atomically.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from borderpost_ratelimit.limits import Limit


class Phase(enum.Enum):
    """At which end of a request the charge is made."""

    BEGIN = "begin"
    """The request asks whether it may pass. Negative hits give back."""
    DONE = "done"
    """Its stream has ended: what it used is charged whether it fits or not, a reservation is settled by it, a lease
    released. Such a charge is never over."""
    LOOK = "look"
    """Nothing is charged: what would the hits find, one at least, and what is left."""


class Charge(NamedTuple):
    """So many hits to one counter."""

    limit: Limit
    key: str
    """Names the counter, unambiguously, within all domains: two limits that count apart have different keys. The store
    adds what it needs (a prefix, the window) and hashes it where it leaves the region."""
    hits: int
    """Cost in units of the limit's amount, as from `Limit.cost_of`; 0 charges nothing and may still be over; negative
    gives back, and no counter falls below zero."""
    phase: Phase = Phase.BEGIN
    request: str = ""
    """Names the request, so that its end finds the lease or reservation of its beginning; empty where nobody said."""


class Source(enum.Enum):
    """Where a verdict comes from."""

    STORE = "store"
    NEAR_CACHE = "near_cache"
    """The store said before that this counter is over until a certain time, and was not asked again."""
    ESTIMATE = "estimate"
    """The store is away: this process counted for itself."""
    ASSUMED = "assumed"
    """The store is away: everything passes, or nothing, as the limit says."""


class Verdict(NamedTuple):
    """What became of one charge."""

    over: bool
    """True if the limit does not let it pass."""
    used: int
    """How much of the amount is in use after this charge; above the amount only where what is over counts too."""
    remaining: int
    """How much is left: 0 if over."""
    reset_us: int
    """Time until the window ends, the bucket is full, or the longest lease ends: until all is there again."""
    retry_us: int = 0
    """Time until the same charge may pass, if nobody else comes; 0 if it has."""
    source: Source = Source.STORE


class Unanswered(NamedTuple):
    """A request to which a store has no answer."""

    reason: str
    """A stable word: `timeout`, `unreachable`, `open` (the breaker), `read-only`, `out-of-memory`, `garbage`."""
    detail: str = ""
    """For logs: no keys, no addresses, no secrets."""


Verdicts = tuple[Verdict, ...]
"""Of one request, in the order of its charges."""
Done = Callable[[Sequence[Verdicts | Unanswered]], None]
"""Takes the answers, in the order of the requests; must not raise."""


class Store(Protocol):
    """Keeps counters. Used on one event loop's thread."""

    @property
    def name(self) -> str:
        """Return its kind for people and metrics: `memory`, `redis`…"""
        ...

    async def start(self) -> None:
        """Get ready. Returns even where a server does not answer: it is tried again for as long as the store lives."""
        ...

    async def close(self) -> None:
        """Let go of connections; what still waits is Unanswered. Idempotent."""
        ...

    def take(self, requests: Sequence[tuple[Charge, ...]], now_us: int, done: Done) -> None:
        """Make the charges of these requests; `now_us` is this process's wall clock, which never runs backwards.

        Calls `done` once, before it returns where nothing is to be waited for. Must not block and must not raise.
        """
        ...
