"""The requests of one loop turn, and who waits for all of their answers."""

from __future__ import annotations

from collections.abc import Sequence

from borderpost_ratelimit.charges import Charge, Done, Unanswered, Verdicts
from borderpost_ratelimit.stores.joining import Waiter
from borderpost_ratelimit.stores.redis.near_cache import NearCache
from borderpost_ratelimit.stores.redis.replies import SPOILT


class Turn(Waiter):
    """One `Store.take`: gathers the answers of its requests until all are there."""

    __slots__ = ("_answers", "_done", "_missing", "_near", "_now_us", "_requests")

    def __init__(
        self, requests: Sequence[tuple[Charge, ...]], done: Done, near: NearCache | None = None, now_us: int = 0
    ) -> None:
        """`near` learns what is over, as from `now_us`."""
        self._requests = requests
        self._answers: list[Verdicts | Unanswered] = [SPOILT] * len(requests)
        self._missing = len(requests)
        self._done = done
        self._near = near
        self._now_us = now_us

    def give(self, index: int, answer: Verdicts | Unanswered) -> None:
        """Take the answer to one request; the last one ends the turn."""
        self._answers[index] = answer
        near = self._near
        if near is not None and not isinstance(answer, Unanswered):
            for place, verdict in enumerate(answer):
                if verdict.over:
                    near.learn(self._requests[index][place], verdict, self._now_us)
        self._missing -= 1
        if not self._missing:
            self._done(self._answers)
