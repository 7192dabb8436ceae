"""Two stores as one: limits of the region are counted in the region, those whose scope is global in another store.

What a request is charged in both is counted by each at the same time; see `joining`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final

from borderpost_ratelimit.charges import Charge, Done, Store, Unanswered, Verdicts
from borderpost_ratelimit.limits import Scope
from borderpost_ratelimit.stores.joining import NOBODY_WAITS, Joined, Waiter

_GLOBAL: Final = Scope.GLOBAL


class _Answers(Waiter):
    """All requests of one turn."""

    __slots__ = ("_answers", "_done", "_missing")

    def __init__(self, count: int, done: Done) -> None:
        self._answers: list[Verdicts | Unanswered] = [()] * count
        self._missing = count
        self._done = done

    def give(self, index: int, answer: Verdicts | Unanswered) -> None:
        """Take the answer to one request; the last one ends the turn."""
        self._answers[index] = answer
        self._missing -= 1
        if not self._missing:
            self._done(self._answers)


class _Part:
    """What one of the stores is asked in one turn."""

    __slots__ = ("_waiters", "requests")

    def __init__(self) -> None:
        self.requests: list[tuple[Charge, ...]] = []
        self._waiters: list[tuple[Waiter, int]] = []

    def add(self, charges: tuple[Charge, ...], waiter: Waiter, index: int) -> None:
        """Take a request in."""
        self.requests.append(charges)
        self._waiters.append((waiter, index))

    def done(self, answers: Sequence[Verdicts | Unanswered]) -> None:
        """Hand out the store's answers."""
        for (waiter, index), answer in zip(self._waiters, answers, strict=True):
            waiter.give(index, answer)


class Scoped:
    """A `charges.Store` over two: `region` for all limits but those whose scope is global."""

    def __init__(self, region: Store, world: Store) -> None:
        self._region = region
        self._world = world

    @property
    def name(self) -> str:
        """Return the kinds of both."""
        return f"{self._region.name}+{self._world.name}"

    async def start(self) -> None:
        """Get both ready."""
        await self._region.start()
        await self._world.start()

    async def close(self) -> None:
        """Let go of both."""
        await self._region.close()
        await self._world.close()

    def take(self, requests: Sequence[tuple[Charge, ...]], now_us: int, done: Done) -> None:
        """Have each charge made where it belongs."""
        if not any(charge.limit.scope is _GLOBAL for charges in requests for charge in charges):
            self._region.take(requests, now_us, done)
            return
        answers = _Answers(len(requests), done)
        region, world = _Part(), _Part()
        undo = functools.partial(self._undo, now_us=now_us)
        for index, charges in enumerate(requests):
            out = [place for place, charge in enumerate(charges) if charge.limit.scope is _GLOBAL]
            if not out:
                region.add(charges, answers, index)
            elif len(out) == len(charges):
                world.add(charges, answers, index)
            else:
                within = [place for place, charge in enumerate(charges) if charge.limit.scope is not _GLOBAL]
                joined = Joined(charges, (within, out), answers, index, undo)
                region.add(joined.part(0), joined, 0)
                world.add(joined.part(1), joined, 1)
        if region.requests:
            self._region.take(region.requests, now_us, region.done)
        self._world.take(world.requests, now_us, world.done)

    def _undo(self, charges: tuple[Charge, ...], now_us: int) -> None:
        """Make charges that nobody waits for."""
        store = self._world if charges[0].limit.scope is _GLOBAL else self._region
        part = _Part()
        part.add(charges, NOBODY_WAITS, 0)
        store.take(part.requests, now_us, part.done)
