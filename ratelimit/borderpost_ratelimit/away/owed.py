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
from borderpost_ratelimit.away.estimate import has_end, refuses
from borderpost_ratelimit.away.told import NOBODY, Told
from borderpost_ratelimit.charges import Charge, Phase, Unanswered, Verdicts
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
        self.paid = 0
        """Charges that the store has been told."""

    def __len__(self) -> int:
        return len(self._debts) + len(self._ended)

    def passed(self, charges: tuple[Charge, ...], given: Verdicts | Unanswered, at_us: int) -> None:
        """Note what has to be told of a request that the store does not know, by what became of it."""
        if isinstance(given, Unanswered):
            return
        passed = not refuses(charges, given)
        for charge, verdict in zip(charges, given, strict=True):
            if _is_end(charge):
                self.ended(charge, at_us)
            elif _adds(charge, passed and not verdict.over):
                self.counted(charge, at_us)

    def compared(
        self, charges: tuple[Charge, ...], given: Verdicts | Unanswered, verdicts: Verdicts | Unanswered, at_us: int
    ) -> None:
        """Compare what became of a request (`given`) with what the store, asked as well, said of it in the end."""
        if isinstance(verdicts, Unanswered):
            self.passed(charges, given, at_us)
            return
        refused_here = isinstance(given, Unanswered) or refuses(charges, given)
        refused_there = refuses(charges, verdicts)
        for place, charge in enumerate(charges):
            if charge.phase is not Phase.BEGIN:
                continue
            if refused_here and not refused_there:  # what nobody will use is given back
                if has_end(charge.limit):
                    self.ended(charge._replace(phase=Phase.DONE, hits=0), at_us)
                elif charge.hits > 0 and not verdicts[place].over:
                    self.ended(charge._replace(hits=-charge.hits), at_us)
            elif not refused_here and not isinstance(given, Unanswered):
                counted = charge.limit.algorithm is Algorithm.FIXED_WINDOW or not (
                    refused_there or verdicts[place].over
                )
                if not counted and _adds(charge, not given[place].over):
                    self.counted(charge, at_us)

    def answered(self, charges: tuple[Charge, ...], verdicts: Verdicts | Unanswered, at_us: int) -> None:
        """Take the store's answer to what `take` gave; without one it is owed again."""
        if not isinstance(verdicts, Unanswered):
            self.paid += 1
            return
        for charge in charges:
            if _is_end(charge) or charge.hits < 0:
                self.ended(charge, at_us)
            else:
                self.counted(charge, at_us)

    def counted(self, charge: Charge, at_us: int) -> None:
        """Note hits that were let through at `at_us` and that the store has not counted."""
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
        debt.limit = limit  # of the newest file
        if limit.algorithm is Algorithm.TOKEN_BUCKET:
            debt.until_us = max(debt.until_us, at_us) + hits * limit.window_us // limit.amount
            return
        until_us = self._told.window_end_us(limit, charge.key, at_us)
        apart_us = until_us - debt.until_us
        # When the store's window ends is known to a few milliseconds: as long as its answers took.
        if apart_us > limit.window_us // 2:
            debt.hits, debt.until_us = max(0, hits), until_us
        elif apart_us >= -limit.window_us // 2:
            debt.hits, debt.until_us = max(0, debt.hits + hits), min(until_us, debt.until_us)

    def ended(self, charge: Charge, at_us: int) -> None:
        """Note what is to be given back or settled: a lease, a reservation, hits of a request that was refused."""
        limit = charge.limit
        if len(self) >= self._bound:
            self.dropped += 1
        elif limit.algorithm is Algorithm.CONCURRENCY:
            self._ended.append((charge, at_us + limit.window_us))
        else:
            self._ended.append((charge, self._told.window_end_us(limit, charge.key, at_us)))

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


def _is_end(charge: Charge) -> bool:
    """Return True for the end of one request, which gives back what its beginning took."""
    return charge.phase is Phase.DONE and has_end(charge.limit) and charge.request != NOBODY


def _adds(charge: Charge, passed: bool) -> bool:
    """Return True if the charge stays in its counter: made at the end whatever it finds, at the beginning if it passed.

    A lease and the reservation of a request that has a name do not: their end says what remains of them.
    """
    if charge.phase is Phase.DONE:
        return True
    if charge.phase is Phase.LOOK or not passed or charge.limit.algorithm is Algorithm.CONCURRENCY:
        return False
    return charge.limit.algorithm is not Algorithm.BUDGET or not charge.request
