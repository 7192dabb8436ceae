"""Who waits for answers: the requests of one loop turn, and a request whose charges are counted in several places."""

from __future__ import annotations

from abc import abstractmethod

from borderpost_ratelimit.charges import Done, Unanswered, Verdicts
from borderpost_ratelimit.stores.redis.replies import SPOILT


class Waiter:
    """Takes answers by their index."""

    __slots__ = ()

    @abstractmethod
    def give(self, index: int, answer: Verdicts | Unanswered) -> None:
        """Take the answer to one of the things asked."""
        raise NotImplementedError


class Turn(Waiter):
    """One `Store.take`: gathers the answers of its requests until all are there."""

    __slots__ = ("_answers", "_done", "_missing")

    def __init__(self, count: int, done: Done) -> None:
        self._answers: list[Verdicts | Unanswered] = [SPOILT] * count
        self._missing = count
        self._done = done

    def give(self, index: int, answer: Verdicts | Unanswered) -> None:
        """Take the answer to one request; the last one ends the turn."""
        self._answers[index] = answer
        self._missing -= 1
        if not self._missing:
            self._done(self._answers)
