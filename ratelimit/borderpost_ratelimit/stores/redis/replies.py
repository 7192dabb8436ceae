"""What a server's error replies mean for a request that is waiting."""

from __future__ import annotations

from typing import Final

from borderpost_ratelimit.charges import Unanswered

SPOILT: Final = Unanswered("garbage", "a reply that our script does not give")
AWAY: Final = Unanswered("unreachable", "there is no connection")
_REASONS: Final = {
    "BUSY": "busy",
    "CLUSTERDOWN": "unreachable",
    "CROSSSLOT": "garbage",
    "EXECABORT": "garbage",
    "LOADING": "loading",
    "MASTERDOWN": "read-only",
    "MISCONF": "read-only",
    "NOAUTH": "denied",
    "NOPERM": "denied",
    "NOREPLICAS": "read-only",
    "OOM": "out-of-memory",
    "READONLY": "read-only",
    "TRYAGAIN": "unreachable",
    "UNBLOCKED": "read-only",
    "WRONGPASS": "denied",
    "WRONGTYPE": "garbage",
}
"""By the first word of the reply, which is the only part of it that is stable (redis.io, RESP: simple errors)."""
MOVED_AWAY: Final = frozenset({"READONLY", "MASTERDOWN", "UNBLOCKED", "LOADING", "NOAUTH", "WRONGPASS"})
"""After these the connection leads to the wrong server, or not in: another one is made."""

ELSEWHERE: Final = frozenset({"MOVED", "ASK"})
"""A Cluster's other server counts this slot (redis.io, cluster specification)."""


def word_of(error: BaseException) -> str:
    """Return the first word of an error reply."""
    text = str(error).lstrip("-")
    return text.split(" ", 1)[0][:32] if text else ""


def unanswered(error: BaseException) -> Unanswered:
    """Return what an error reply means. Its text is not passed on: it may quote a key."""
    word = word_of(error)
    reason = _REASONS.get(word)
    if reason is None:
        return SPOILT
    return Unanswered(reason, f"the server says {word}")
