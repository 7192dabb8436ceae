"""A store over several: each charge is made where it belongs, and a request that belongs to several is joined again."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Sequence

from borderpost_ratelimit.charges import Charge, Done, Store, Unanswered, Verdicts
from borderpost_ratelimit.stores.joining import NOBODY_WAITS, Answers, Joined, Waiter


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


class Divided:
    """The dividing part of a `charges.Store`. Stores are known by small numbers."""

    @abstractmethod
    def place_of(self, charge: Charge, now_us: int) -> int:
        """Return the number of the store that makes a charge."""
        raise NotImplementedError

    @abstractmethod
    def store_at(self, place: int) -> Store:
        """Return a store by its number."""
        raise NotImplementedError

    def take(self, requests: Sequence[tuple[Charge, ...]], now_us: int, done: Done) -> None:
        """Have each charge made where it belongs."""
        divided = [[self.place_of(charge, now_us) for charge in charges] or [0] for charges in requests]
        everywhere = {place for places in divided for place in places}
        if not everywhere:
            done(())
        elif len(everywhere) == 1:
            self.store_at(everywhere.pop()).take(requests, now_us, done)
        else:
            self._take_apart(requests, divided, now_us, done)

    def _take_apart(
        self, requests: Sequence[tuple[Charge, ...]], divided: Sequence[Sequence[int]], now_us: int, done: Done
    ) -> None:
        answers = Answers(len(requests), done)
        everywhere = {place for places in divided for place in places}
        parts = {place: _Part() for place in sorted(everywhere)}
        undo = functools.partial(self._undo, now_us=now_us)
        for index, (charges, places) in enumerate(zip(requests, divided, strict=True)):
            met = sorted(set(places))
            if len(met) == 1:
                parts[met[0]].add(charges, answers, index)
                continue
            by_place = [[at for at, place in enumerate(places) if place == one] for one in met]
            joined = Joined(charges, by_place, answers, index, undo)
            for number, place in enumerate(met):
                parts[place].add(joined.part(number), joined, number)
        for place, part in parts.items():
            self.store_at(place).take(part.requests, now_us, part.done)

    def _undo(self, charges: tuple[Charge, ...], now_us: int) -> None:
        """Make charges of one place that nobody waits for."""
        part = _Part()
        part.add(charges, NOBODY_WAITS, 0)
        self.store_at(self.place_of(charges[0], now_us)).take(part.requests, now_us, part.done)
