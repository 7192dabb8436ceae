"""What the store is told once it is back: what was let through without it, and what ended meanwhile.

Only for as long as it belongs where it is put. What was counted in a window is told while that window runs, and
forgotten with it: a store that was away for an hour finds nothing of that hour in the windows that begin now. (A
limiter that keeps its counts for later and adds them when the connection is back refuses requests of a window that has
hardly begun; Limitador had that, Kuadrant/limitador#288.)

Leases are released, and reservations settled, by the name of the request.
"""

from __future__ import annotations

from collections import deque

from borderpost_base.limits import LIMITER_OWED_MAX
from borderpost_ratelimit.away.told import NOBODY, Told
from borderpost_ratelimit.charges import Charge, Phase
from borderpost_ratelimit.limits import Algorithm, Limit


class _Debt:
    """Hits to one counter that the store does not know of."""

    __slots__ = ("hits", "limit", "until_us")

    def __init__(self, limit: Limit, hits: int, until_us: int) -> None:
        self.limit = limit
        self.hits = hits
        self.until_us = until_us
        """When it no longer counts. A bucket's debt shrinks until then."""


class Owed:
    """Bounded; what is beyond the bound is not told, and counted in `dropped`."""

    def __init__(self, told: Told, bound: int = LIMITER_OWED_MAX) -> None:
        self._told = told
        self._bound = bound
        self._debts: dict[str, _Debt] = {}
        self._ended: deque[tuple[Charge, int]] = deque()
        self.dropped = 0
        """Charges that were not told: there was no room, or their window has ended."""

    def __len__(self) -> int:
        return len(self._debts) + len(self._ended)

    def counted(self, charge: Charge, now_us: int) -> None:
        """Note hits that were let through without the store."""
        limit, hits = charge.limit, charge.hits
        if not limit.amount or not hits:
            return
        debt = self._debts.get(charge.key)
        if debt is None:
            if hits < 0:
                return
            if len(self) >= self._bound:
                self.dropped += 1
                return
            debt = self._debts[charge.key] = _Debt(limit, 0, 0)
        if debt.until_us <= now_us:
            debt.hits = 0
        if limit.algorithm is Algorithm.TOKEN_BUCKET:
            debt.until_us = max(debt.until_us, now_us) + hits * limit.window_us // limit.amount
            return
        debt.hits = max(0, debt.hits + hits)
        debt.until_us = self._told.window_end_us(limit, charge.key, now_us)

    def known(self, charge: Charge, now_us: int) -> None:
        """Note that the store has counted these hits after all."""
        if charge.key in self._debts:
            self.counted(charge._replace(hits=-charge.hits), now_us)

    def ended(self, charge: Charge, now_us: int) -> None:
        """Note that a request has ended: a lease to release, or a reservation to settle."""
        limit = charge.limit
        if len(self) >= self._bound:
            self.dropped += 1
        elif limit.algorithm is Algorithm.CONCURRENCY:
            self._ended.append((charge, now_us + limit.window_us))
        else:
            self._ended.append((charge, self._told.window_end_us(limit, charge.key, now_us)))

    def take(self, count_max: int, now_us: int) -> list[tuple[Charge, ...]]:
        """Take out up to so many charges that are still true, as requests of one charge each."""
        taken: list[tuple[Charge, ...]] = []
        while self._ended and len(taken) < count_max:
            charge, until_us = self._ended.popleft()
            if until_us > now_us:
                taken.append((charge,))
            else:
                self.dropped += 1
        while self._debts and len(taken) < count_max:
            key = next(iter(self._debts))
            debt = self._debts.pop(key)
            hits = _left(debt, now_us)
            if hits > 0:
                taken.append((Charge(debt.limit, key, hits, Phase.DONE, NOBODY),))
            elif debt.until_us <= now_us:
                self.dropped += 1
        return taken


def _left(debt: _Debt, now_us: int) -> int:
    if debt.until_us <= now_us:
        return 0
    if debt.limit.algorithm is Algorithm.TOKEN_BUCKET:
        return (debt.until_us - now_us) * debt.limit.amount // debt.limit.window_us
    return debt.hits
