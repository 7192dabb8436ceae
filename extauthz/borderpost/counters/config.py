"""The `counters` section of the configuration: where counts are kept, and with whom they are shared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from borderpost.policy.fields import Identifier
from borderpost_base.strict import StrictModel


class SharedCounts(StrictModel):
    """A Redis or Valkey hash in which the gateways of one controller count together."""

    url: Annotated[str, StringConstraints(pattern=r"^(redis|rediss|unix)://[!-~]+$")]
    """Where it is, `redis://host:6379/0`, `rediss://…` for TLS or `unix:///path`. No default: only you know it."""

    key: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")] = "borderpost:counters"
    """Key of the hash. Gateways that count for the same controller name the same key."""

    sink: Identifier | None = None
    """The sink of `sinks` that this server is. It learns of requests no more than how many there were, so none is
    needed; name it where the law is to be asked about its place."""

    interval_s: float = Field(default=0.5, ge=0.05, le=60.0)
    """How often a gateway writes its own count and reads those of the others. All that a fleet routes within one
    interval may lie beyond a threshold."""

    timeout_s: float = Field(default=2.0, ge=0.05, le=60.0)
    """How long one exchange may take. Counting goes on meanwhile."""


class CountersSpec(StrictModel):
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

    redis: SharedCounts | None = None
    """Where gateways count together; null counts this gateway alone, which is right where it is the only one."""
