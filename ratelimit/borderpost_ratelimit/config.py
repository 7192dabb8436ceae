"""What an operator can choose of the rate-limit service. Where it listens is added by `borderpost.config.limiter`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from borderpost_base.strict import StrictModel
from borderpost_ratelimit.away.config import AwaySpec
from borderpost_ratelimit.settings import HeaderNames, HeaderStyle, QuotaRule, ServiceSettings
from borderpost_ratelimit.statistics import NEAR_LIMIT_RATIO, VALUE_NAMES_MAX
from borderpost_ratelimit.stores.config import GlobalRedisSpec, RedisStoreSpec

_NAMES = HeaderNames()
_SERVICE = ServiceSettings()
_HEADER_NAME = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$"
"""A field name (RFC 9110 section 5.1)."""


class HeaderNamesSpec(StrictModel):
    """Names of envoyproxy/ratelimit's response headers."""

    limit: str = Field(default=_NAMES.limit, pattern=_HEADER_NAME)
    """Holds the amount of the limit that is closest."""

    remaining: str = Field(default=_NAMES.remaining, pattern=_HEADER_NAME)
    """Holds what is left of it."""

    reset: str = Field(default=_NAMES.reset, pattern=_HEADER_NAME)
    """Holds the seconds until its window ends."""


class AnswersSpec(StrictModel):
    """What clients and Envoy are told beside the code."""

    headers: tuple[Literal["envoyproxy", "draft-03", "ietf"], ...] = ()
    """Response headers that tell a client of its limits, by family: `envoyproxy` (`RateLimit-Limit` and so on, as
    envoyproxy/ratelimit sends them), `draft-03` (`x-ratelimit-limit`…, as Envoy's own filter does), `ietf`
    (`RateLimit-Policy` and `RateLimit`). None by default, as there."""

    header_names: HeaderNamesSpec = HeaderNamesSpec()
    """Other names for the headers of `envoyproxy`."""

    retry_after: bool = False
    """Whether a refusal brings `retry-after`, in seconds."""

    dynamic_metadata: bool = False
    """Whether answers tell Envoy what was asked, and the metadata of rules, as dynamic metadata."""

    quota_grant: int = Field(default=_SERVICE.quota_grant, ge=0, le=1_000_000)
    """How much more than it asked for a request is given to use without asking again (`quota` of a status). It is
    charged whether it is used or not, and Envoy 1.40 does not use it: for other clients only."""


class MemorySpec(StrictModel):
    """Counters in the limiter's memory."""

    counters_max: int = Field(default=1_000_000, ge=1, le=100_000_000)
    """How many counters there may be, and as many leases and reservations; about 300 bytes each. Where there is no room
    for a new key of a limit, the keys that come then share one counter."""


class LimitsSpec(StrictModel):
    """The rate-limit service: its limits, and how it applies them."""

    limits: tuple[Path, ...] = Field(min_length=1)
    """Limits files, or folders of them, in envoyproxy/ratelimit's format or in ours."""

    merge_domains: bool = False
    """Whether several files may hold the same domain; otherwise that is a mistake."""

    key_style: Literal["lengths", "envoyproxy"] = "lengths"
    """What counters are called: `lengths`, so that no two lists of entries share one; `envoyproxy`, as
    envoyproxy/ratelimit calls them, so that both can count in one Redis while one takes over from the other."""

    watch: bool = True
    """Whether changed limits files are taken as soon as they lie there, as by SIGHUP; false waits for the signal. A
    change with a mistake is refused, and the last good limits stay."""

    watch_s: float = Field(default=0.5, ge=0.05, le=60.0)
    """How often it is looked whether they have changed. They are taken once two looks have seen the same, so that
    nothing half written is."""

    shadow: bool = False
    """Whether nothing at all is refused, and what would have been is counted."""

    quota: bool = False
    """Whether every limit is in quota mode: being over it refuses nothing by itself and is told in metadata."""

    quota_rule: Literal["all", "never"] = "all"
    """When limits in quota mode refuse: `all` where every descriptor in quota mode is over, as envoyproxy/ratelimit
    does; `never` for what it did at first."""

    near_limit_ratio: float = Field(default=NEAR_LIMIT_RATIO, gt=0.0, le=1.0)
    """From which share of a limit on a hit counts as near it, in the metrics."""

    value_names_max: int = Field(default=VALUE_NAMES_MAX, ge=1, le=10_000)
    """How many names with values of requests the metrics tell apart, where a file asks for such names
    (`detailed_metric`, `value_to_metric`); what is beyond is counted as `other`."""

    descriptors_max: int = Field(default=_SERVICE.descriptors_max, ge=1, le=4096)
    """Descriptors that a request may have; one with more is refused as malformed."""

    entries_max: int = Field(default=_SERVICE.entries_max, ge=1, le=1024)
    """Entries that a descriptor may have."""

    remembered_requests_max: int = Field(default=_SERVICE.remembered_requests_max, ge=2, le=1_000_000)
    """Requests that are recognised by their bytes, so that what is always the same is worked out once; about 2 KiB
    each."""

    memory: MemorySpec = MemorySpec()
    """Counters in the limiter's memory: where no `store` is configured, and by estimate while that is away."""

    store: RedisStoreSpec | None = None
    """A Redis or Valkey server that keeps the counters, so that the limiters of a region share them and a restart loses
    none; null keeps them in `memory`."""

    global_store: GlobalRedisSpec | None = None
    """The server that regions share, for limits that say `scope: global`, and for no other."""

    away: AwaySpec = AwaySpec()
    """What holds while `store` or `global_store` does not answer."""

    answers: AnswersSpec = AnswersSpec()
    """What clients and Envoy are told beside the code."""

    def service_settings(self) -> ServiceSettings:
        """Return what the service is made with."""
        names = self.answers.header_names
        return ServiceSettings(
            headers=tuple(HeaderStyle(style) for style in self.answers.headers),
            header_names=HeaderNames(names.limit, names.remaining, names.reset),
            retry_after=self.answers.retry_after,
            dynamic_metadata=self.answers.dynamic_metadata,
            quota_grant=self.answers.quota_grant,
            shadow=self.shadow,
            quota=self.quota,
            quota_rule=QuotaRule(self.quota_rule),
            descriptors_max=self.descriptors_max,
            entries_max=self.entries_max,
            remembered_requests_max=self.remembered_requests_max,
        )
