"""When the requests of an open loop are due: at a constant pace, or as a Poisson process.

A schedule is made before the load and kept to whatever becomes of the requests, as independent clients would; a
closed loop asks a server that stalls less while it stalls, and so hides the stall from its own figures (coordinated
omission). Latency therefore counts from when a request was due.
"""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass

ARRIVALS = ("poisson", "constant")


@dataclass(frozen=True, slots=True)
class Pace:
    """How the requests of an open loop arrive."""

    rate_s: float
    """Requests a second."""
    arrivals: str = "poisson"
    """One of `ARRIVALS`."""
    seed: int = 1


def schedule(arrivals: str, rate_s: float, seconds: float, seed: int) -> array[float]:
    """Return when each request is due, in seconds from the start, in order; the same for the same seed.

    The gaps of a Poisson process are exponentially distributed, with mean 1 / rate. Raises ValueError for other
    arrivals and for a rate that is not positive.
    """
    if arrivals not in ARRIVALS or rate_s <= 0:
        raise ValueError(f"no schedule of {arrivals} arrivals at {rate_s} a second")
    if arrivals == "constant":
        return array("d", (number / rate_s for number in range(int(rate_s * seconds))))
    chance = random.Random(seed)
    due: array[float] = array("d")
    at = chance.expovariate(rate_s)
    while at < seconds:
        due.append(at)
        at += chance.expovariate(rate_s)
    return due
