"""Who waits for answers: a turn of requests, and a request whose charges are counted in several places.

Each place counts its part by itself. Where one of them refuses, what the others have charged is given back, a moment
later: less may pass in between, never more.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

from borderpost_ratelimit.charges import Charge, Done, Phase, Unanswered, Verdict, Verdicts
from borderpost_ratelimit.limits import Algorithm


class Waiter:
    """Takes answers by their index."""

    __slots__ = ()

    @abstractmethod
    def give(self, index: int, answer: Verdicts | Unanswered) -> None:
        """Take the answer to one of the things asked."""
        raise NotImplementedError


class Answers(Waiter):
    """All requests of one turn: gathers their answers until all are there."""

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


class Joined(Waiter):
    """One request in several parts. If one part refuses it, what others have charged for it is given back."""

    __slots__ = ("_answers", "_charges", "_give_back", "_index", "_missing", "_places", "_waiter")

    def __init__(
        self,
        charges: tuple[Charge, ...],
        places: Sequence[Sequence[int]],
        waiter: Waiter,
        index: int,
        give_back: Callable[[tuple[Charge, ...]], None],
    ) -> None:
        """`places` says of each part which of the charges it has; `give_back` makes charges that nobody waits for."""
        self._charges = charges
        self._places = places
        self._answers: list[Verdicts | Unanswered] = [()] * len(places)
        self._missing = len(places)
        self._waiter = waiter
        self._index = index
        self._give_back = give_back

    def part(self, number: int) -> tuple[Charge, ...]:
        """Return the charges of a part."""
        return tuple([self._charges[place] for place in self._places[number]])

    def give(self, index: int, answer: Verdicts | Unanswered) -> None:
        """Take the answer to one part."""
        self._answers[index] = answer
        self._missing -= 1
        if self._missing:
            return
        verdicts: list[Verdict | None] = [None] * len(self._charges)
        refusing = set()
        for number, part in enumerate(self._answers):
            if isinstance(part, Unanswered):
                self._waiter.give(self._index, part)
                return
            for place, verdict in zip(self._places[number], part, strict=True):
                verdicts[place] = verdict
                if verdict.over and self._charges[place].limit.binding:
                    refusing.add(number)
        whole = tuple([verdict for verdict in verdicts if verdict is not None])
        if refusing:
            for number in range(len(self._places)):
                if number not in refusing:
                    self._undo(self._places[number], whole)
        self._waiter.give(self._index, whole)

    def _undo(self, places: Sequence[int], verdicts: Verdicts) -> None:
        undone = [undoing(self._charges[place]) for place in places if not verdicts[place].over]
        charges = tuple([charge for charge in undone if charge is not None])
        if charges:
            self._give_back(charges)


def undoing(charge: Charge) -> Charge | None:
    """Return what undoes a charge of a request that is refused after all; None where it stays."""
    algorithm = charge.limit.algorithm
    if algorithm is Algorithm.FIXED_WINDOW or charge.phase is not Phase.BEGIN or charge.hits <= 0:
        return None
    if algorithm is Algorithm.CONCURRENCY or algorithm is Algorithm.BUDGET:
        return charge._replace(hits=0, phase=Phase.DONE)
    return charge._replace(hits=-charge.hits)


class _Nobody(Waiter):
    """Nobody waits."""

    __slots__ = ()

    def give(self, index: int, answer: Verdicts | Unanswered) -> None:
        """Take an answer, and do nothing."""


NOBODY_WAITS: Final = _Nobody()
