"""Verdicts to answers: which descriptor is over, what the request gets, and what is counted.

Codes, what is left and durations are those of envoyproxy/ratelimit (`src/service/ratelimit.go`,
`src/limiter/base_limiter.go`). Where a descriptor has several limits, the one that decides stands for it: of those that
are over the one that holds longest, otherwise the one with the least left.
"""

from __future__ import annotations

from typing import Final

from borderpost_ratelimit.charges import Charge, Source, Verdict, Verdicts
from borderpost_ratelimit.encoding import field, varint
from borderpost_ratelimit.headers import HeaderWriter
from borderpost_ratelimit.limits import SECOND_US
from borderpost_ratelimit.metadata import describe
from borderpost_ratelimit.plans import UINT32_MAX, Met, Part, Plan, ToldLimit
from borderpost_ratelimit.refusals import Refusal
from borderpost_ratelimit.settings import QuotaRule, ServiceSettings
from borderpost_ratelimit.statistics import Statistics

OK: Final = 1
OVER_LIMIT: Final = 2
_CODES: Final = (b"", b"\x08\x01", b"\x08\x02")
"""Field 1 of a response and of a status."""
_NO_LIMIT: Final = field(2, _CODES[OK])
"""The status of a descriptor that nothing limits."""
_UNLIMITED: Final = field(2, _CODES[OK] + b"\x18" + varint(UINT32_MAX))
"""The status of a descriptor that is unlimited: it has the most left that can be said."""


class Standing:
    """What became of one descriptor that was charged."""

    def __init__(self, part: Part, met: Met, told: ToldLimit, verdict: Verdict) -> None:
        self.part = part
        self.met = met
        self.told = told
        self.verdict = verdict
        self.remaining = 0 if verdict.over else min(verdict.remaining, UINT32_MAX)
        self.reset_s = -(-verdict.reset_us // SECOND_US)
        """Rounded up: a window that ends in 29.3 s has gone in 30, and that is what envoyproxy/ratelimit says."""
        self.over = verdict.over and not met.shadow and not part.done
        """Whether the descriptor is told to be over."""


class Answerer:
    """Makes answers by settings that do not change."""

    def __init__(self, settings: ServiceSettings, statistics: Statistics) -> None:
        self._settings = settings
        self._statistics = statistics
        self._headers = HeaderWriter(settings)
        self._quota_refuses = settings.quota_rule is QuotaRule.ALL
        self._metadata = settings.dynamic_metadata
        self._quota = settings.quota
        self._shadow = settings.shadow

    def answer(self, plan: Plan, verdicts: Verdicts) -> tuple[bytes, Refusal | None]:
        """Return the encoded RateLimitResponse, and the refusal if it is one; count both."""
        statuses = b""
        refusing: Standing | None = None
        quota_over: Standing | None = None
        quotas, quotas_over = 0, 0
        passed: list[int] = []
        violations: list[int] = []
        standings: list[Standing] = []
        for index, part in enumerate(plan.parts):
            met = part.met
            if part.unlimited:
                statuses += _UNLIMITED
                continue
            quota = self._quota or (met is not None and met.quota)
            quotas += quota
            if met is None:
                statuses += _NO_LIMIT
                passed.append(index)
                continue
            standing = _standing(part, met, verdicts)
            count(standing, plan.charges)
            standings.append(standing)
            tells_over = standing.over
            if not standing.over:
                passed.append(index)
            elif quota:
                quotas_over += 1
                violations.append(index)
                quota_over = quota_over or standing
                tells_over = self._quota_refuses
            else:
                refusing = refusing or standing
            statuses += status(standing, over=tells_over, reset=tells_over or not standing.over)
        if refusing is None and quotas and quotas == quotas_over and self._quota_refuses:
            refusing = quota_over
        refused = refusing is not None
        if refused and self._shadow:
            self._statistics.global_shadow_mode += 1
            refused = False
        rest = self._headers.write(standings, refused=refused) if self._headers.writes else b""
        if self._metadata:
            rest += describe(plan, passed, violations)
        self._statistics.requests += 1
        code = _CODES[OVER_LIMIT if refused else OK]
        if not refused or refusing is None:
            return code + statuses + rest, None
        self._statistics.refused += 1
        return code + statuses + rest, _refusal(plan, refusing)


def _standing(part: Part, met: Met, verdicts: Verdicts) -> Standing:
    """Return what became of a descriptor, by the limit that decides."""
    chosen = part.first
    verdict = verdicts[chosen]
    for index in range(part.first + 1, part.end):
        other = verdicts[index]
        if (other.over, _held_us(other), -other.remaining) > (verdict.over, _held_us(verdict), -verdict.remaining):
            chosen, verdict = index, other
    return Standing(part, met, met.told[chosen - part.first], verdict)


def _held_us(verdict: Verdict) -> int:
    """Return for how long a limit holds that is over."""
    return verdict.retry_us if verdict.over else 0


def status(standing: Standing, *, over: bool, reset: bool) -> bytes:
    """Return field `statuses` of a response for one descriptor; with `duration_until_reset` only where `reset`."""
    body = _CODES[OVER_LIMIT if over else OK] + standing.told.current
    if standing.remaining:
        body += b"\x18" + varint(standing.remaining)
    if reset:
        seconds = b"\x08" + varint(standing.reset_s) if standing.reset_s else b""
        body += field(4, seconds)
    return field(2, body)


def count(standing: Standing, charges: tuple[Charge, ...]) -> None:
    """Count a descriptor's hits under its rule's name, by the limit that decides."""
    met, told, verdict, part = standing.met, standing.told, standing.verdict, standing.part
    hits = charges[part.first + met.told.index(told)].hits
    counts = met.counts
    if part.done:
        counts.charged_at_end += hits
    elif hits < 0:
        counts.given_back -= hits
    elif not verdict.over:
        counts.let_pass(hits, verdict.used, told.near)
    elif verdict.source is Source.NEAR_CACHE:
        counts.refuse_by_near_cache(hits, shadow=met.shadow)
    else:
        counts.refuse(hits, verdict.used, told.amount, told.near, counted=told.counts_over, shadow=met.shadow)


def _refusal(plan: Plan, standing: Standing) -> Refusal:
    limit = standing.told.limit
    return Refusal(
        request=plan.question.name,
        domain=plan.question.domain,
        rule=standing.met.rule.path,
        amount=limit.amount,
        window_us=limit.window_us,
        algorithm=limit.algorithm.value,
        source=standing.verdict.source,
    )
