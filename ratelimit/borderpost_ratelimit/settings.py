"""What an operator chooses of the service itself."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class HeaderStyle(enum.Enum):
    """A family of response headers that tell a client of its limits."""

    ENVOYPROXY = "envoyproxy"
    """`RateLimit-Limit`, `-Remaining` and `-Reset` of the limit that is closest, as envoyproxy/ratelimit sends them."""
    DRAFT_03 = "draft-03"
    """`x-ratelimit-limit`, `-remaining` and `-reset`, in the form that Envoy's own filter gives them
    (draft-polli-ratelimit-headers-03)."""
    IETF = "ietf"
    """`RateLimit-Policy` and `RateLimit`, structured fields (draft-ietf-httpapi-ratelimit-headers-11)."""


class QuotaRule(enum.Enum):
    """When limits in quota mode refuse."""

    ALL = "all"
    """A request is refused if each of its descriptors in quota mode is over; envoyproxy/ratelimit since March 2026."""
    NEVER = "never"
    """Quota mode never refuses, and a status in quota mode is always OK; envoyproxy/ratelimit at its beginning."""


@dataclass(frozen=True, slots=True)
class HeaderNames:
    """Names of envoyproxy/ratelimit's headers."""

    limit: str = "RateLimit-Limit"
    remaining: str = "RateLimit-Remaining"
    reset: str = "RateLimit-Reset"


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Settings of a `RateLimitService`."""

    headers: tuple[HeaderStyle, ...] = ()
    header_names: HeaderNames = HeaderNames()
    retry_after: bool = False
    """Whether a refusal brings `retry-after`, in seconds."""
    dynamic_metadata: bool = False
    """Whether answers tell what was asked, and the metadata of rules, as dynamic metadata."""
    shadow: bool = False
    """Whether nothing at all is refused, and what would have been is counted."""
    quota: bool = False
    """Whether every limit is in quota mode."""
    quota_rule: QuotaRule = QuotaRule.ALL
    quota_grant: int = 0
    """How much more than it asked for a request is given to use without asking again; it is charged whether it is used
    or not. 0 gives none."""
    descriptors_max: int = 128
    """Descriptors a request; Envoy's configuration says how many it sends, a handful."""
    entries_max: int = 64
    """Entries a descriptor."""
    remembered_requests_max: int = 8192
    """Requests recognised by their bytes, at least 2; about 2 KiB each."""
