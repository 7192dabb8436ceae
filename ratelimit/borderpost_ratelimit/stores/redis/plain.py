"""A small batch as plain commands: what a script call costs a server is more than a few additions do.

    SET name 0 PX lifetime NX      only where the counter is not known to be there
    INCRBY name hits
    TIME                           only where the server's has not been told for a while

A counter that was known and had gone all the same (evicted, flushed, lost with a primary) is seen by its count, and is
given its lifetime at once. All goes out in one write; a reply is awaited for each command.
"""

from __future__ import annotations

from typing import Final

import hiredis

from borderpost_base.memo import Remembered
from borderpost_ratelimit.algorithms.numbers import COUNT_MAX
from borderpost_ratelimit.stores.redis.batch import Batch
from borderpost_ratelimit.stores.redis.link import packed

PLAIN_MAX: Final = 8
"""Additions of a batch that goes as plain commands. They are cheaper at any number; but a script does not count once it
is late (`sending.STALE_US`), and commands do, so few of them may be on their way. One that is read late counts in the
window that it was meant for, at most a second time where its requests were told again meanwhile: towards less."""
_OVERFLOW: Final = "overflow"
_SET, _COUNT, _TIME = 0, 1, 2

Known = Remembered[bytes, bool]
"""Counters that are in the server, with a time to live."""


class Plain:
    """One batch on its way as plain commands."""

    __slots__ = ("_expected", "_known", "_replies", "batch", "commands", "ended")

    def __init__(self, batch: Batch, known: Known, *, ask_time: bool) -> None:
        self.batch = batch
        self._known = known
        self._replies: list[object] = []
        self.ended = False
        expected: list[int] = []
        commands = b""
        for name, hits, lifetime_ms in batch.additions():
            size = len(name)
            if known.get(name) is None:
                expected.append(_SET)
                commands += packed(b"SET", name, b"0", b"PX", lifetime_ms, b"NX")
            expected.append(_COUNT)
            digits = b"%d" % hits
            commands += b"*3\r\n$6\r\nINCRBY\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (size, name, len(digits), digits)
        if ask_time:
            expected.append(_TIME)
            commands += b"*1\r\n$4\r\nTIME\r\n"
        self._expected = expected
        self.commands = commands
        """All of them, as they are sent."""

    @property
    def count(self) -> int:
        """Return how many replies there will be."""
        return len(self._expected)

    def take(self, reply: object) -> bool:
        """Take one reply; return whether it was the last one."""
        self._replies.append(reply)
        self.ended = len(self._replies) == len(self._expected)
        return self.ended

    def told_time_us(self) -> int:
        """Return what the server said of its time; 0 if it was not asked, or said something else."""
        told = self._replies[-1]
        if self._expected[-1] != _TIME or not isinstance(told, list) or len(told) != 2:
            return 0
        seconds, micros = told
        if not (isinstance(seconds, bytes) and isinstance(micros, bytes) and seconds.isdigit() and micros.isdigit()):
            return 0
        return int(seconds) * 1_000_000 + int(micros)

    def counts(self) -> list[object]:
        """Return the replies to the additions, in their order; one that is full is at its end."""
        found: list[object] = []
        for kind, reply in zip(self._expected, self._replies, strict=True):
            if kind == _COUNT:
                full = isinstance(reply, hiredis.ReplyError) and _OVERFLOW in str(reply)
                found.append(COUNT_MAX if full else reply)
        return found

    def mortal(self, counts: list[object]) -> list[bytes]:
        """Remember which counters are there; return the commands for those that must be given a lifetime."""
        commands = []
        for (name, hits, lifetime_ms), count in zip(self.batch.additions(), counts, strict=True):
            if not isinstance(count, int):
                continue
            if count == hits and self._known.get(name) is not None:
                commands.append(packed(b"PEXPIRE", name, lifetime_ms))
            else:
                self._known.put(name, True)
        return commands
