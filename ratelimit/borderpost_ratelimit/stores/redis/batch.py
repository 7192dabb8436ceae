"""Requests become the arguments of one script call, and its reply becomes their verdicts. No I/O.

Additions to fixed windows are made whatever becomes of a request, so those of one batch to one counter are sent as one
sum; what each of them found follows from the order in which they were added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from borderpost_ratelimit.charges import Charge, Done, Phase, Unanswered, Verdict, Verdicts
from borderpost_ratelimit.stores.redis.names import Names
from borderpost_ratelimit.stores.redis.replies import unanswered

GRACE_US: Final = 2_000_000
"""How long a window's counter outlives its window: longer than two limiters that learn the time from one server can
disagree on it."""
_SPOILT: Final = Unanswered("garbage", "a reply that this script does not give")


class Turn:
    """One `Store.take`: gathers the answers of its requests until all are there."""

    __slots__ = ("_answers", "_done", "_missing")

    def __init__(self, count: int, done: Done) -> None:
        self._answers: list[Verdicts | Unanswered] = [_SPOILT] * count
        self._missing = count
        self._done = done

    def give(self, index: int, answer: Verdicts | Unanswered) -> None:
        """Take the answer to one request; the last one ends the turn."""
        self._answers[index] = answer
        self._missing -= 1
        if not self._missing:
            self._done(self._answers)


class _Addition:
    """All that one batch adds to one counter."""

    __slots__ = ("end_us", "hits", "index", "name")

    def __init__(self, index: int, name: bytes, end_us: int) -> None:
        self.index = index
        self.name = name
        self.hits = 0
        self.end_us = end_us


class _Added:
    """One charge's part of an addition."""

    __slots__ = ("addition", "before", "charge")

    def __init__(self, charge: Charge, addition: _Addition) -> None:
        self.charge = charge
        self.addition = addition
        self.before = addition.hits
        addition.hits += charge.hits if charge.phase is not Phase.LOOK else 0


class _Asked:
    """One request of a batch, and who waits for it."""

    __slots__ = ("added", "index", "turn")

    def __init__(self, turn: Turn, index: int) -> None:
        self.turn = turn
        self.index = index
        self.added: list[_Added] = []


class Batch:
    """What one script call carries."""

    def __init__(self, names: Names, now_us: int, told_us: int) -> None:
        """`now_us` is the server's time as far as it is known; `told_us` is what the script takes for the time, 0 for
        the server's own."""
        self._names = names
        self._now_us = now_us
        self._told_us = told_us
        self._asked: list[_Asked] = []
        self._additions: dict[bytes, _Addition] = {}

    @property
    def requests(self) -> int:
        """Return how many requests it carries."""
        return len(self._asked)

    def add(self, charges: Sequence[Charge], turn: Turn, index: int) -> None:
        """Take a request in."""
        asked = _Asked(turn, index)
        for charge in charges:
            window_us = charge.limit.window_us
            number = self._now_us // window_us
            name = self._names.window(charge, number)
            addition = self._additions.get(name)
            if addition is None:
                addition = _Addition(len(self._additions), name, (number + 1) * window_us)
                self._additions[name] = addition
            asked.added.append(_Added(charge, addition))
        self._asked.append(asked)

    def arguments(self) -> tuple[bytes, ...]:
        """Return what follows the script in EVALSHA: the number of keys, the keys, the arguments."""
        additions = self._additions
        words = [b"%d" % len(additions), *additions, b"%d" % self._told_us, b"%d" % len(additions)]
        for addition in additions.values():
            lifetime_ms = (addition.end_us - self._now_us + GRACE_US) // 1000
            words.append(b"%d" % addition.hits)
            words.append(b"%d" % lifetime_ms)
        return tuple(words)

    def fail(self, why: Unanswered) -> None:
        """Answer all requests so."""
        for asked in self._asked:
            asked.turn.give(asked.index, why)

    def answer(self, reply: object) -> int:
        """Answer all requests from the script's reply; return the server's time in microseconds, 0 if it is spoilt."""
        if not isinstance(reply, list) or len(reply) != 1 + len(self._additions) or not isinstance(reply[0], int):
            self.fail(_SPOILT)
            return 0
        now_us = reply[0]
        for asked in self._asked:
            asked.turn.give(asked.index, _verdicts(asked, reply, now_us))
        return now_us


def _verdicts(asked: _Asked, reply: list[object], now_us: int) -> Verdicts | Unanswered:
    verdicts = []
    for added in asked.added:
        addition = added.addition
        count = reply[addition.index + 1]
        if not isinstance(count, int):
            return unanswered(count) if isinstance(count, Exception) else _SPOILT
        charge = added.charge
        amount = charge.limit.amount
        used = count - addition.hits + added.before
        if charge.phase is Phase.LOOK:
            over = used >= amount
        else:
            used += charge.hits
            over = used > amount and charge.phase is Phase.BEGIN
        reset_us = max(0, addition.end_us - now_us)
        remaining = 0 if over else max(0, amount - used)
        verdicts.append(Verdict(over, used, remaining, reset_us, reset_us if over else 0))
    return tuple(verdicts)
