"""The requests of one loop turn, whose answers teach the near cache."""

from __future__ import annotations

from collections.abc import Sequence

from borderpost_ratelimit.charges import Charge, Done, Unanswered, Verdicts
from borderpost_ratelimit.stores.joining import Answers
from borderpost_ratelimit.stores.redis.near_cache import NearCache


class Turn(Answers):
    """One `Store.take`."""

    __slots__ = ("_near", "_now_us", "_requests")

    def __init__(
        self, requests: Sequence[tuple[Charge, ...]], done: Done, near: NearCache | None = None, now_us: int = 0
    ) -> None:
        """`near` learns what is over, as from `now_us`."""
        super().__init__(len(requests), done)
        self._requests = requests
        self._near = near
        self._now_us = now_us

    def give(self, index: int, answer: Verdicts | Unanswered) -> None:
        """Take the answer to one request, and learn from it."""
        near = self._near
        if near is not None and not isinstance(answer, Unanswered):
            for place, verdict in enumerate(answer):
                if verdict.over:
                    near.learn(self._requests[index][place], verdict, self._now_us)
        super().give(index, answer)
