"""What the script is told of one charge that it counts by itself, and what its numbers mean. See `take.lua`."""

from __future__ import annotations

from typing import Final

from borderpost_ratelimit.algorithms.budget import remembered_us
from borderpost_ratelimit.algorithms.counter import Room, Share
from borderpost_ratelimit.algorithms.sliding_window import SlidingWindow
from borderpost_ratelimit.algorithms.token_bucket import TokenBucket, terms_of
from borderpost_ratelimit.charges import Charge, Phase, Verdict
from borderpost_ratelimit.limits import Algorithm
from borderpost_ratelimit.stores.redis.names import Names

TOLD: Final = 4
"""Numbers that the script tells of one charge."""
_PHASES: Final = {Phase.BEGIN: b"b", Phase.DONE: b"d", Phase.LOOK: b"l"}
_ROOM: Final = Room(1)


def words(charge: Charge, names: Names, number: int, lifetime_ms: int, values: list[bytes]) -> bytes:
    """Append what the script is told of a charge, and return the name of its counter.

    `number` is that of the window of now, `lifetime_ms` how long a fixed window's counter is kept.
    """
    limit = charge.limit
    algorithm = limit.algorithm
    told = (_PHASES[charge.phase], b"1" if limit.binding else b"0", b"%d" % charge.hits, b"%d" % limit.amount)
    if algorithm is Algorithm.FIXED_WINDOW:
        values += (b"f", *told, b"%d" % lifetime_ms)
        return names.window(charge, number)
    window = b"%d" % limit.window_us
    if algorithm is Algorithm.TOKEN_BUCKET:
        terms = terms_of(limit)
        values += (b"b", *told, window, *(b"%d" % term for term in terms))
        return names.bucket(charge, terms)
    if algorithm is Algorithm.SLIDING_WINDOW:
        values += (b"s", *told, window)
    elif algorithm is Algorithm.CONCURRENCY:
        values += (b"c", *told, window, charge.request.encode("utf-8", "surrogatepass"))
    else:
        name = charge.request.encode("utf-8", "surrogatepass")
        values += (b"g", *told, window, b"%d" % remembered_us(limit), name)
    return names.plain(charge)


def verdict(charge: Charge, over: bool, a: int, b: int, c: int, now_us: int, left_us: int) -> Verdict:
    """Return what three numbers of the script mean; `left_us` is what is left of the fixed window."""
    limit = charge.limit
    algorithm = limit.algorithm
    hits = charge.hits if charge.phase is not Phase.LOOK else max(charge.hits, 1)
    if algorithm is Algorithm.TOKEN_BUCKET:
        bucket = TokenBucket(limit, "", Share(limit, _ROOM, _ROOM), now_us)
        bucket.level = a
        return bucket.tell(over, hits, now_us)
    if algorithm is Algorithm.SLIDING_WINDOW:
        window = SlidingWindow(limit, "", Share(limit, _ROOM, _ROOM), now_us)
        window.current, window.previous = a, b
        return window.tell(over, hits, window.start_us + limit.window_us - c)
    if algorithm is Algorithm.CONCURRENCY:
        return Verdict(True, a, 0, b, c) if over else Verdict(False, a, max(limit.amount - a, 0), b)
    if algorithm is Algorithm.BUDGET:
        left_us = b
    return Verdict(over, a, 0 if over else max(limit.amount - a, 0), left_us, left_us if over else 0)
