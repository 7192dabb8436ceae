"""The section `counters`: where uses of legal bases with a threshold are counted, and with whom."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from borderpost.config.redis import RedisSpec
from borderpost_base.strict import StrictModel


class CountersRedisSpec(RedisSpec):
    """The hash in which the gateways of one controller count together. It learns how many requests there were, and
    nothing of any."""

    hash: str = Field(default="borderpost:counters", pattern=r"^[\x21-\x7e]{1,200}$")
    """Key of the hash. Gateways that count for the same controller name the same."""

    interval_s: float = Field(default=0.5, ge=0.05, le=60.0)
    """How often a gateway writes its own count and reads those of the others. All that a fleet routes within one
    interval may lie beyond a threshold."""


class CountersSection(StrictModel):
    """How uses of legal bases with a threshold are counted. Only policies whose regimes have counters need it."""

    directory: Path = Path("run/counters")
    """Directory of the count, `counts.json`. It belongs on a disk that stays, like the log's: a gateway that forgets
    what it counted this year begins the year anew. `borderpost counters rebuild` makes it from the log."""

    save_s: float = Field(default=1.0, ge=0.1, le=60.0)
    """How often the count is brought to stable storage while it grows. The death of any process loses nothing; a power
    failure loses at most what was counted in this time, which the log still has."""

    headroom_percent: float = Field(default=1.0, ge=0.0, le=50.0)
    """By how much of it a threshold is taken to be reached early. What is routed between the crossing and the moment
    at which every worker knows has to fit in there."""

    redis: CountersRedisSpec | None = None
    """Where gateways count together; null counts this gateway alone, which is right where it is the only one."""
