"""Counters that are known to be over for a while, so that the server is not asked in vain.

A flood of refused requests then costs the server nothing. What is known holds until the time at which the same charge
may pass again, as the server said, and no longer; leases and budgets, which get free at any time, are not remembered.
A counter is also asked for again once this limiter gives something back to it; what others give back is not seen, so a
counter may be taken to be over until that time at most. While it is, its hits do not count further.
"""

from __future__ import annotations

from typing import Final

from borderpost_base.memo import Remembered
from borderpost_ratelimit.charges import Charge, Phase, Source, Verdict
from borderpost_ratelimit.limits import Algorithm, Limit

_BEGIN: Final = Phase.BEGIN
_FREED_AT_ANY_TIME: Final = (Algorithm.CONCURRENCY, Algorithm.BUDGET)


class _Over:
    """What is known of one counter."""

    __slots__ = ("hits", "limit", "reset_at_us", "until_us", "used")

    def __init__(self, limit: Limit, hits: int, used: int, until_us: int, reset_at_us: int) -> None:
        self.limit = limit
        self.hits = hits
        """So many, or more, are over."""
        self.used = used
        self.until_us = until_us
        self.reset_at_us = reset_at_us


class NearCache:
    """Remembers counters that are over."""

    def __init__(self, entries_max: int) -> None:
        self._known: Remembered[str, _Over] = Remembered(entries_max)
        self.learnt = 0
        """How many refusals were remembered; 0 says that there is nothing to look for."""
        self.answered = 0
        """Charges that the server was not asked about."""

    def __len__(self) -> int:
        """Return how many it remembers, those included that are below again."""
        return len(self._known)

    def look(self, charge: Charge, now_us: int) -> Verdict | None:
        """Return the verdict if it is known."""
        known = self._known.get(charge.key)
        if known is None:
            return None
        if charge.hits < 0:
            known.until_us = 0
        if charge.phase is not _BEGIN or max(charge.hits, 1) < known.hits or now_us >= known.until_us:
            return None
        if known.limit is not charge.limit and known.limit != charge.limit:
            return None
        reset_us = max(known.reset_at_us - now_us, 0)
        return Verdict(True, known.used, 0, reset_us, known.until_us - now_us, Source.NEAR_CACHE)

    def learn(self, charge: Charge, verdict: Verdict, now_us: int) -> None:
        """Take in that a charge is over, by a verdict whose times count from `now_us`, or later."""
        algorithm = charge.limit.algorithm
        if verdict.source is not Source.STORE or charge.phase is not _BEGIN or algorithm in _FREED_AT_ANY_TIME:
            return
        hits = 0 if algorithm is Algorithm.FIXED_WINDOW else max(charge.hits, 1)
        until_us = now_us + verdict.retry_us
        self._known.put(charge.key, _Over(charge.limit, hits, verdict.used, until_us, now_us + verdict.reset_us))
        self.learnt += 1
