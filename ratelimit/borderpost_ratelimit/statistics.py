"""What envoyproxy/ratelimit counts, by the same meaning: per rule, and for the service as a whole.

A rule is counted under its `Match.metric`. Names that hold values of requests (where the file asks for that, or a
request brings its own limit) are bounded, since clients choose them; what is beyond is counted as `other`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

OTHER = "other"
"""Under which all names beyond the bound are counted together."""
VALUE_NAMES_MAX = 1000
"""Names with values of requests that are told apart."""
_DOMAIN_CHARACTERS_MAX = 128
NEAR_LIMIT_RATIO = 0.8
"""From which share of a limit on a hit counts as near it, if nothing else is configured; envoyproxy/ratelimit's."""


class RuleCounts:
    """Counters of one rule, in hits."""

    def __init__(self) -> None:
        self.total_hits = 0
        """All that were asked for."""
        self.within_limit = 0
        """Those that the limit let pass."""
        self.near_limit = 0
        """Those that passed above the near share of the limit."""
        self.over_limit = 0
        """Those that did not fit, in shadow mode too."""
        self.over_limit_with_local_cache = 0
        """Those of `over_limit` for which the store was not asked."""
        self.shadow_mode = 0
        """Those of `over_limit` that passed because the rule is in shadow mode."""
        self.given_back = 0
        """Negative hits; envoyproxy/ratelimit has none."""
        self.charged_at_end = 0
        """Hits of requests that had ended, which no limit can refuse; envoyproxy/ratelimit has none."""

    def let_pass(self, hits: int, used: int, near: int) -> None:
        """Count hits that fit. `used` is what is in use with them, `near` the threshold as `near_threshold` says."""
        self.total_hits += hits
        self.within_limit += hits
        if used > near:
            self.near_limit += hits if used - hits >= near else used - near

    def refuse(self, hits: int, used: int, amount: int, near: int, *, counted: bool, shadow: bool) -> None:
        """Count hits that did not all fit.

        `counted` says that `used` holds them, as in a fixed window: those below the amount are then no hits over it.
        """
        self.total_hits += hits
        over = hits
        if counted and used - hits < amount:
            over = used - amount
            self.near_limit += amount - max(near, used - hits)
        self.over_limit += over
        if shadow:
            self.shadow_mode += over

    def refuse_by_near_cache(self, hits: int, *, shadow: bool) -> None:
        """Count hits of a counter that is known to be over."""
        self.total_hits += hits
        self.over_limit += hits
        self.over_limit_with_local_cache += hits
        if shadow:
            self.shadow_mode += hits


class Statistics:
    """All counters of one service. They go on counting across reloads."""

    def __init__(self, *, near_limit_ratio: float = NEAR_LIMIT_RATIO, value_names_max: int = VALUE_NAMES_MAX) -> None:
        self.requests = 0
        """Requests that were answered OK or OVER_LIMIT."""
        self.refused = 0
        """Those of them that were answered OVER_LIMIT."""
        self.malformed = 0
        """Requests that got INVALID_ARGUMENT."""
        self.service_error = 0
        """Requests that got an error for no fault of the store: malformed ones, no limits loaded, a bug."""
        self.store_error: dict[str, int] = {}
        """Requests that got an error because the store had no answer, by reason; together `redis_error`."""
        self.global_shadow_mode = 0
        """Requests that passed only because everything is in shadow mode."""
        self.unrecorded = 0
        """Refusals whose record did not become durable."""
        self._near_limit_ratio = near_limit_ratio
        self._value_names_max = value_names_max
        self._rules: dict[str, RuleCounts] = {}
        self._values: dict[str, RuleCounts] = {}
        self._other = RuleCounts()
        self._unknown_domains: dict[str, int] = {}

    def of_rule(self, path: str) -> RuleCounts:
        """Return the counters of a rule that is counted under its path; there are as many as files have rules."""
        counts = self._rules.get(path)
        if counts is None:
            counts = self._rules[path] = RuleCounts()
        return counts

    def of_values(self, metric: str) -> RuleCounts:
        """Return the counters of a name that holds values of requests, or the common ones if there are too many."""
        counts = self._values.get(metric)
        if counts is None:
            if len(self._values) >= self._value_names_max:
                return self._other
            counts = self._values[metric] = RuleCounts()
        return counts

    def domain_not_found(self, domain: str, descriptors: int) -> None:
        """Count descriptors of a domain that has no file, by at most as many names as values of requests."""
        domain = domain[:_DOMAIN_CHARACTERS_MAX]
        if domain not in self._unknown_domains and len(self._unknown_domains) >= self._value_names_max:
            domain = OTHER
        self._unknown_domains[domain] = self._unknown_domains.get(domain, 0) + descriptors

    def store_failed(self, reason: str) -> None:
        """Count a request to which the store had no answer. `reason` is one of its few words."""
        self.store_error[reason] = self.store_error.get(reason, 0) + 1

    @property
    def unknown_domains(self) -> dict[str, int]:
        """Return how often each domain without a file was asked for."""
        return dict(self._unknown_domains)

    def rules(self) -> Iterator[tuple[str, RuleCounts]]:
        """Return each name and its counters."""
        yield from self._rules.items()
        yield from self._values.items()
        if self._other.total_hits or self._other.given_back or self._other.charged_at_end:
            yield OTHER, self._other

    def near_threshold(self, amount: int) -> int:
        """Return how much of an amount is not yet near it, in single precision as envoyproxy/ratelimit works it out."""
        return int(_single(_single(amount) * _single(self._near_limit_ratio)))


def _single(number: float) -> float:
    """Return the nearest number of single precision."""
    (rounded,) = struct.unpack("<f", struct.pack("<f", number))
    return float(rounded)
