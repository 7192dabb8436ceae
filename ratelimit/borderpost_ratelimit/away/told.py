"""What the store last said of the counters: where a local estimate begins, and when the store's windows end."""

from __future__ import annotations

from typing import Final

from borderpost_base.limits import LIMITER_TOLD_MAX
from borderpost_base.memo import Remembered
from borderpost_ratelimit.charges import Charge, Verdict
from borderpost_ratelimit.limits import Algorithm, Limit

NOBODY: Final = "\0away"
"""Names the request of a charge that sums up others: no client's request can have it, so it settles nobody's budget."""

Said = tuple[Verdict, int, bool]
"""A verdict of the store, when it was given, and whether an estimate has begun from it."""


class Told:
    """The last verdict of each counter, of as many as were asked about last."""

    def __init__(self, bound: int = LIMITER_TOLD_MAX) -> None:
        self._said: Remembered[str, Said] = Remembered(bound)

    def note(self, key: str, verdict: Verdict, at_us: int) -> None:
        """Remember what the store said of a counter, `at_us` on this process's wall clock."""
        self._said.put(key, (verdict, at_us, False))

    def begin(self, charge: Charge, now_us: int) -> int:
        """Return how much of a counter is still in use by what the store said; 0 if nobody knows.

        Once for each time that the store said something: afterwards the estimate has it.
        """
        said = self._said.get(charge.key)
        if said is None or said[2]:
            return 0
        verdict, at_us, _ = said
        self._said.put(charge.key, (verdict, at_us, True))
        return share_left(charge.limit, verdict, at_us, now_us)

    def window_end_us(self, limit: Limit, key: str, now_us: int) -> int:
        """Return when the window that runs now ends: by the store's clock if it has said so, else by this process's."""
        said = self._said.get(key)
        known_us = said[1] + said[0].reset_us if said is not None and _ends_with_window(limit) else 0
        return now_us + limit.window_us - (now_us - known_us) % limit.window_us


def share_left(limit: Limit, verdict: Verdict, at_us: int, now_us: int) -> int:
    """Return how much of what was in use at `at_us` still is at `now_us`, rounded up; never less than the truth."""
    left_us = at_us + verdict.reset_us - now_us
    if left_us <= 0 or verdict.used <= 0:
        return 0
    if limit.algorithm is Algorithm.TOKEN_BUCKET:  # drains evenly until `reset_us` is over
        whole_us = verdict.reset_us
    elif limit.algorithm is Algorithm.SLIDING_WINDOW:  # what is left of the window before fades over one window
        whole_us = limit.window_us
    else:
        return verdict.used
    return min(verdict.used, -(-verdict.used * left_us // whole_us))


def _ends_with_window(limit: Limit) -> bool:
    return limit.algorithm is Algorithm.FIXED_WINDOW or limit.algorithm is Algorithm.BUDGET
