"""Bounds of the arithmetic, and what a clock that steps back means."""

from __future__ import annotations

from typing import Final

COUNT_MAX: Final = (1 << 53) - 1
"""Where counters saturate: the largest integer that a double, Lua's only number, holds with all before it."""


def stands_us(now_us: int, last_us: int, window_us: int) -> int:
    """Return the time that counts for what was last touched at `last_us`, where now may be before that.

    Up to a window before, the time stands still: `last_us`. Further back the clock was set, and now is now.
    """
    return last_us if now_us < last_us <= now_us + window_us else now_us
