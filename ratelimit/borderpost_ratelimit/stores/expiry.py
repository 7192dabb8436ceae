"""When counters may be dropped, without looking at any before its time.

Times are put into slots of 131 ms; a heap orders the slots that have something in them. Adding costs the same however
many there are, and what is due is taken out by a few at a time.
"""

from __future__ import annotations

import heapq
from typing import Final

from borderpost_ratelimit.algorithms.counter import Counter

SLOT_BITS: Final = 17
"""A slot is 2^17 microseconds."""
NEVER_US: Final = 1 << 62


class Expiry:
    """Counters by the time at which to look at them again."""

    __slots__ = ("_order", "_slots", "next_us")

    def __init__(self) -> None:
        self._slots: dict[int, list[Counter]] = {}
        self._order: list[int] = []
        self.next_us = NEVER_US
        """When something is due."""

    def add(self, counter: Counter, due_us: int) -> None:
        """Look at the counter when `due_us` has passed."""
        slot = (due_us >> SLOT_BITS) + 1
        counters = self._slots.get(slot)
        if counters is None:
            self._slots[slot] = [counter]
            heapq.heappush(self._order, slot)
            self.next_us = self._order[0] << SLOT_BITS
        else:
            counters.append(counter)

    def due(self, now_us: int) -> Counter | None:
        """Take out a counter whose time has come; None if there is none."""
        if now_us < self.next_us:
            return None
        slot = self._order[0]
        counters = self._slots[slot]
        counter = counters.pop()
        if not counters:
            del self._slots[slot]
            heapq.heappop(self._order)
            self.next_us = self._order[0] << SLOT_BITS if self._order else NEVER_US
        return counter
