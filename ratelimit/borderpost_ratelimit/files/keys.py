"""What a counter is called.

A counter belongs to a domain, the entries of a descriptor, and one limit. The default style writes the length of each
part before it, so no two lists of entries have one name (`a_b`, `c` and `a`, `b_c` do not collide); a long name gives
way to its hash, so that the length of what callers send is not the length of what stores keep. envoyproxy/ratelimit's
own style joins the parts by `_`: both servers can then count in one Redis while one takes over from the other.
"""

from __future__ import annotations

import enum
import hashlib
from typing import Final

from borderpost_base import limits as bounds
from borderpost_ratelimit.limits import SECOND_US, Algorithm, Limit, Unit
from borderpost_ratelimit.rules import Entries


class KeyStyle(enum.Enum):
    """How counters are named."""

    LENGTHS = "lengths"
    """`6:domain3:key5:valuef60`: unambiguous, at most `limiter_key_characters_max` long before the limit's mark."""
    ENVOYPROXY = "envoyproxy"
    """`domain_key_value_`, to which the store adds the window's first second (src/limiter/cache_key.go). Ambiguous
    where keys or values hold `_`, as it is there. A limit that envoyproxy/ratelimit cannot have is marked."""


_LETTERS: Final = {
    Algorithm.FIXED_WINDOW: "f",
    Algorithm.SLIDING_WINDOW: "s",
    Algorithm.TOKEN_BUCKET: "b",
    Algorithm.CONCURRENCY: "c",
    Algorithm.BUDGET: "g",
}


def limit_mark(limit: Limit, name: str = "") -> str:
    """Return what tells limits of one rule apart: algorithm, window (seconds, or `…u`: microseconds) and name.

    The amount is not part of it: a counter goes on when a limit is raised.
    """
    whole = limit.window_us % SECOND_US == 0
    window = str(limit.window_us // SECOND_US) if whole else f"{limit.window_us}u"
    return _LETTERS[limit.algorithm] + window + (f".{name}" if name else "")


def limit_marks(limits: tuple[Limit, ...], names: tuple[str, ...], style: KeyStyle) -> tuple[str, ...]:
    """Return the mark of each of a rule's limits, given their names (empty where a limit has none)."""
    marks = [limit_mark(limit, name) for limit, name in zip(limits, names, strict=True)]
    if style is KeyStyle.LENGTHS:
        return tuple(marks)
    shared = next((at for at, (limit, name) in enumerate(zip(limits, names, strict=True)) if _theirs(limit, name)), -1)
    return tuple("" if at == shared else f"{mark}_" for at, mark in enumerate(marks))


def _theirs(limit: Limit, name: str) -> bool:
    if limit.algorithm is not Algorithm.FIXED_WINDOW or limit.unit is Unit.UNKNOWN:
        return False
    return limit.window_us == limit.unit.length_us and not name


def counter_base(style: KeyStyle, domain: str, entries: Entries, shared: dict[int, str] | None) -> str:
    """Return the part of a counter's name before the limit's mark.

    `shared` gives, by the place of an entry, the wildcard that stands for its value.
    """
    if shared is not None:
        entries = tuple((key, shared.get(at, value)) for at, (key, value) in enumerate(entries))
    if style is KeyStyle.ENVOYPROXY:
        joined = f"{domain}_"
        for key, value in entries:
            joined += f"{key}_{value}_"
        return joined
    base = f"{len(domain)}:{domain}"
    for key, value in entries:
        base += f"{len(key)}:{key}{len(value)}:{value}"
    if len(base) > bounds.LIMITER_KEY_CHARACTERS_MAX:
        return "h" + hashlib.blake2b(base.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()
    return base
