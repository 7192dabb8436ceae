"""How often Python's garbage collector looks through what a serving process remembers."""

from __future__ import annotations

import gc
from typing import Final

COLLECT_AFTER: Final = (2000, 20, 100)
"""Thresholds of the garbage collector's generations. What a worker or a limiter remembers is large, lives long and
holds no cycles: by Python's own thresholds a flood of distinct facts had all of it looked through every thousand
requests, for tens of milliseconds each time, half of all that the flood cost. A quarter of a million counters of a
limiter take 250 ms each time."""


def collect_seldom() -> None:
    """Set the thresholds, for the whole process."""
    gc.set_threshold(*COLLECT_AFTER)
