"""Whether the disk is so brisk that the event loop may wait for it, which costs less than handing it to a thread.

A hand-off and back costs tens of microseconds of CPU a batch and a switch of threads each way. What the loop waits for
is the write alone, where the kernel makes the sync (kernel_sync.py): then every server may. Elsewhere it is write and
sync: a few hundred microseconds, in which the loop would have had little else to do, since every request it could
answer waits for that very disk. So: in the loop while every recent wait was brisk, by the thread from the first slow
one on, and back only after a run of brisk ones. A disk that hangs while the loop waits for it stops this worker's
loop; the steward sees its beat stop, and Envoy ends the requests by its own bound.

Without the kernel's syncs all that holds only for a server which delivers what has arrived as one batch. With one that
trickles (grpcio gives about one request a turn of the loop) every request would have a sync to itself, where the
thread gathers a batch while the disk is busy: such a server does not allow it.
"""

from __future__ import annotations

from typing import Final

BRISK_US: Final = 2_000
"""A sync up to this long is brisk."""
SLOW_US: Final = 5_000
"""One sync longer than this sends the work back to the thread."""
RUN: Final = 16
"""So many brisk syncs in a row, and the loop does it."""


class Pace:
    """Keeps count of brisk syncs. `in_loop` is the answer now."""

    __slots__ = ("_allowed", "_run", "in_loop")

    def __init__(self, *, allowed: bool) -> None:
        """`allowed=False` is for a server that hands over one request a turn of the loop: see the module's text."""
        self._allowed = allowed
        self.in_loop = False
        self._run = 0

    def note(self, took_us: int) -> None:
        """Take the time of one write and sync, microseconds."""
        if took_us <= BRISK_US:
            self._run += 1
            if self._run >= RUN and self._allowed:
                self.in_loop = True
        else:
            self._run = 0
            if took_us > SLOW_US:
                self.in_loop = False
