"""How long requests wait for the store of counters, and how it is tried again, as an operator sets it. Shapes only."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from borderpost_base.errors import BadValue
from borderpost_base.strict import StrictModel
from borderpost_ratelimit.away.breaker import AwaySettings

_DEFAULT = AwaySettings()


class AwaySpec(StrictModel):
    """The store is away: how that is found out, how long requests wait, and what holds for limits that do not say."""

    when_store_away: Literal["local", "allow", "refuse"] = "local"
    """What holds meanwhile for limits whose file does not say: `local`, each limiter counts for itself; `allow`,
    everything passes; `refuse`, nothing. Files in envoyproxy/ratelimit's format cannot say it."""

    wait_ms: float = Field(default=_DEFAULT.wait_us / 1000, ge=1.0, le=1000.0)
    """The longest that a request waits for the store. Keep it well below the `timeout` of Envoy's rate limit filter
    (20 ms if unset): when that has passed, Envoy no longer waits for any answer."""

    failures: int = Field(default=_DEFAULT.failures, ge=1, le=1000)
    """After so many batches of requests in a row without an answer the store is taken to be away, and no request waits
    for it; of a store that fails now and then, once it is more than one in five for long."""

    probe_first_ms: float = Field(default=_DEFAULT.probe_first_us / 1000, ge=10.0, le=60_000.0)
    """How long after that the store is tried again, with one request that has had its answer already; between half of
    it and all of it, by chance."""

    probe_max_ms: float = Field(default=_DEFAULT.probe_max_us / 1000, ge=10.0, le=60_000.0)
    """The time between two tries doubles up to this."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.probe_first_ms > self.probe_max_ms:
            raise BadValue("BP0104", "`probe_first_ms` is more than `probe_max_ms`")
        return self

    def settings(self) -> AwaySettings:
        """Return what the wrapping store is made with."""
        return AwaySettings(
            wait_us=round(self.wait_ms * 1000),
            failures=self.failures,
            probe_first_us=round(self.probe_first_ms * 1000),
            probe_max_us=round(self.probe_max_ms * 1000),
        )
