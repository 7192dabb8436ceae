"""Requests become the arguments of one script call, and its reply becomes their verdicts. No I/O.

Hits on fixed windows count whatever becomes of a request. So where a request has nothing else, its hits are additions:
those of one batch to one counter are sent as one sum, and what each of them found follows from their order. All other
requests are counted by the script one by one, behind the additions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from borderpost_ratelimit.algorithms.numbers import COUNT_MAX
from borderpost_ratelimit.charges import Charge, Phase, Unanswered, Verdict, Verdicts
from borderpost_ratelimit.limits import Algorithm
from borderpost_ratelimit.stores.joining import Waiter
from borderpost_ratelimit.stores.redis.names import Names
from borderpost_ratelimit.stores.redis.replies import SPOILT, unanswered
from borderpost_ratelimit.stores.redis.single import TOLD, verdict, words

GRACE_US: Final = 2_000_000
"""How long a window's counter outlives its window: longer than two limiters that learn the time from one server can
disagree on it."""
_BEGIN: Final = Phase.BEGIN
_DONE: Final = Phase.DONE
_LOOK: Final = Phase.LOOK
_FIXED_WINDOW: Final = Algorithm.FIXED_WINDOW


class Addition:
    """All that one batch adds to one counter."""

    __slots__ = ("hits", "index", "kept_until_us")

    def __init__(self, index: int, kept_until_us: int) -> None:
        self.index = index
        self.hits = 0
        self.kept_until_us = kept_until_us


class Added:
    """One charge's part of an addition."""

    __slots__ = ("addition", "before", "charge", "end_us")

    def __init__(self, charge: Charge, addition: Addition, end_us: int) -> None:
        """`end_us` is when the charge's own window ends."""
        self.charge = charge
        self.addition = addition
        self.end_us = end_us
        self.before = addition.hits
        if charge.phase is not _LOOK:
            addition.hits += charge.hits


class Asked:
    """One request of a batch, and who waits for it."""

    __slots__ = ("added", "charges", "index", "waiter")

    def __init__(self, waiter: Waiter, index: int, charges: Sequence[Charge], added: list[Added] | None) -> None:
        self.waiter = waiter
        self.index = index
        self.charges = charges
        self.added = added
        """None where the script counts it by itself."""


class Batch:
    """What one script call carries."""

    def __init__(self, names: Names, slot: int, now_us: int, told_us: int) -> None:
        """`now_us` is the server's time as far as it is known; `told_us` is what the script takes for the time, 0 for
        the server's own."""
        self.slot = slot
        """In which all its counters lie; 0 without a Cluster."""
        self.sent = 0
        """How often it was sent: more than once where a server had forgotten the script, or was the wrong one."""
        self.refused: Exception | None = None
        """An error that the server met within the script, if it met one."""
        self._names = names
        self.now_us = now_us
        self.told_us = told_us
        self.latest_us = 0
        """Until when the server may count it, by its own clock."""
        self.made_us = 0
        """When it was made, by a clock that never steps."""
        self.asked: list[Asked] = []
        self._additions: dict[bytes, Addition] = {}
        self._singles: list[Asked] = []

    def add(self, charges: Sequence[Charge], waiter: Waiter, index: int) -> None:
        """Take a request in; its answer goes to the waiter under this index."""
        for charge in charges:
            if charge.limit.algorithm is not _FIXED_WINDOW or charge.hits < 0:
                asked = Asked(waiter, index, charges, None)
                self._singles.append(asked)
                self.asked.append(asked)
                return
        added = []
        for charge in charges:
            window_us = charge.limit.window_us
            number = self.now_us // window_us
            name = self._names.window(charge, number)
            addition = self._additions.get(name)
            if addition is None:
                addition = Addition(len(self._additions), self._names.kept_until_us(charge, number))
                self._additions[name] = addition
            added.append(Added(charge, addition, (number + 1) * window_us))
        self.asked.append(Asked(waiter, index, charges, added))

    @property
    def is_plain(self) -> bool:
        """Return whether it holds additions only."""
        return not self._singles

    @property
    def counters(self) -> int:
        """Return how many counters it adds to."""
        return len(self._additions)

    def additions(self) -> list[tuple[bytes, int, int]]:
        """Return name, hits and lifetime in milliseconds of each addition."""
        return [
            (name, addition.hits, self._lifetime_ms(addition.kept_until_us))
            for name, addition in self._additions.items()
        ]

    def arguments(self) -> list[bytes]:
        """Return what follows the script in EVALSHA: the number of keys, the keys, the arguments."""
        additions = self._additions
        keys = list(additions)
        values = [b"%d" % (self.told_us or -self.latest_us), b"%d" % len(additions)]
        for addition in additions.values():
            values.append(b"%d" % addition.hits)
            values.append(b"%d" % self._lifetime_ms(addition.kept_until_us))
        values.append(b"%d" % len(self._singles))
        for asked in self._singles:
            values.append(b"%d" % len(asked.charges))
            for charge in asked.charges:
                number = self.now_us // charge.limit.window_us
                lifetime_ms = self._lifetime_ms(self._names.kept_until_us(charge, number))
                keys.append(words(charge, self._names, number, lifetime_ms, values))
        return [b"%d" % len(keys), *keys, *values]

    def fail(self, why: Unanswered) -> None:
        """Answer all requests so."""
        for asked in self.asked:
            asked.waiter.give(asked.index, why)

    def answer(self, reply: object) -> int:
        """Answer all requests from the script's reply; return the server's time in microseconds, 0 if it is spoilt."""
        singles = sum(len(asked.charges) for asked in self._singles)
        expected = 1 + len(self._additions) + TOLD * singles
        if not isinstance(reply, list) or len(reply) != expected or not isinstance(reply[0], int):
            self.fail(SPOILT)
            return 0
        now_us = reply[0]
        place = 1 + len(self._additions)
        for asked in self.asked:
            if asked.added is not None:
                asked.waiter.give(asked.index, self._sums(asked.added, reply, now_us))
            else:
                asked.waiter.give(asked.index, self._single(asked.charges, reply, place, now_us))
                place += TOLD * len(asked.charges)
        return now_us

    def _sums(self, parts: list[Added], reply: list[object], now_us: int) -> Verdicts | Unanswered:
        verdicts = []
        for part in parts:
            addition = part.addition
            count = reply[addition.index + 1]
            if not isinstance(count, int):
                if not isinstance(count, Exception):
                    return SPOILT
                self.refused = count
                return unanswered(count)
            charge = part.charge
            amount = charge.limit.amount
            phase = charge.phase
            used = min(count, COUNT_MAX) - addition.hits + part.before
            if phase is _LOOK:
                over = used + max(charge.hits, 1) > amount
            else:
                used += charge.hits
                over = used > amount and phase is _BEGIN
            left_us = part.end_us - now_us
            if left_us < 0:
                left_us = 0
            if over:
                verdicts.append(Verdict(True, used, 0, left_us, left_us))
            else:
                verdicts.append(Verdict(False, used, amount - used if used < amount else 0, left_us))
        return tuple(verdicts)

    def _single(self, charges: Sequence[Charge], reply: list[object], place: int, now_us: int) -> Verdicts | Unanswered:
        verdicts = []
        for charge in charges:
            told = reply[place : place + TOLD]
            if isinstance(told[0], Exception):
                self.refused = told[0]
                return unanswered(told[0])
            over, a, b, c = told
            if not (isinstance(over, int) and isinstance(a, int) and isinstance(b, int) and isinstance(c, int)):
                return SPOILT
            window_us = charge.limit.window_us
            left_us = max((self.now_us // window_us + 1) * window_us - now_us, 0)
            verdicts.append(verdict(charge, over != 0, a, b, c, now_us, left_us))
            place += TOLD
        return tuple(verdicts)

    def _lifetime_ms(self, until_us: int) -> int:
        return (until_us - self.now_us + GRACE_US) // 1000
