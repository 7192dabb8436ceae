"""Verdicts to answers: which descriptor is over, what the request gets, and what is counted.

Codes, what is left and durations are those of envoyproxy/ratelimit (`src/service/ratelimit.go`,
`src/limiter/base_limiter.go`). Where a descriptor has several limits, the one that decides stands for it: of those that
are over the one that holds longest, otherwise the one with the least left.
"""

from __future__ import annotations

from typing import Final

from borderpost_ratelimit.charges import Source, Verdict, Verdicts
from borderpost_ratelimit.grants import granted, quota
from borderpost_ratelimit.headers import HeaderWriter
from borderpost_ratelimit.limits import SECOND_US
from borderpost_ratelimit.metadata import describe
from borderpost_ratelimit.plans import CODE_OK, UINT32_MAX, Met, Part, Plan, ToldLimit
from borderpost_ratelimit.refusals import Refusal
from borderpost_ratelimit.settings import QuotaRule, ServiceSettings
from borderpost_ratelimit.statistics import Statistics
from borderpost_wire.protobuf import bytes_field, number_field, varint

CODE_OVER_LIMIT: Final = 2
"""`RateLimitResponse.OVER_LIMIT`."""
_OK: Final = number_field(1, CODE_OK)
"""Field `overall_code` of a response, and `code` of a status."""
_OVER_LIMIT: Final = number_field(1, CODE_OVER_LIMIT)
_NEAR_CACHE: Final = Source.NEAR_CACHE
_PREPARED_MAX: Final = 4096
_REMAINING: Final = tuple(number_field(3, value) for value in range(_PREPARED_MAX))
"""Field `limit_remaining` of a status, for what it often is."""
_RESET: Final = tuple(bytes_field(4, number_field(1, value)) for value in range(_PREPARED_MAX))
"""Field `duration_until_reset` of a status, by seconds."""
_STATUS: Final = tuple(varint(2 << 3 | 2) + varint(length) for length in range(_PREPARED_MAX))
"""How field `statuses` of a response begins, by the length of the status."""


class Standing:
    """What became of one descriptor that was charged."""

    def __init__(self, part: Part, met: Met, told: ToldLimit, hits: int, verdict: Verdict) -> None:
        over, used, remaining, reset_us, retry_us, source = verdict
        self.part = part
        self.met = met
        self.told = told
        """The limit that decides."""
        self.hits = hits
        self.past: bool = over
        """Whether the hits did not fit."""
        self.over: bool = over and not met.shadow and not part.done
        """Whether the descriptor counts as over."""
        self.used = used
        self.remaining: int = 0 if over else remaining
        self.reset_s: int = -(-reset_us // SECOND_US)
        """Rounded up: a window that ends in 29.3 s has gone in 30, and that is what envoyproxy/ratelimit says."""
        self.retry_us = retry_us
        self.source = source


class Answerer:
    """Makes answers by settings that do not change."""

    def __init__(self, settings: ServiceSettings, statistics: Statistics) -> None:
        self._statistics = statistics
        self._headers = HeaderWriter(settings)
        self._quota_refuses = settings.quota_rule is QuotaRule.ALL
        self._tells_headers = self._headers.writes
        self._tells_codes_only = not self._headers.writes and not settings.dynamic_metadata
        self._tells_metadata = settings.dynamic_metadata
        self._quota = settings.quota
        self._shadow = settings.shadow

    def answer(self, plan: Plan, name: str, verdicts: Verdicts, now_us: int) -> tuple[bytes, Refusal | None]:
        """Return the encoded RateLimitResponse, and the refusal if it is one, of a request by a name; count both."""
        if plan.usual and self._tells_codes_only and not verdicts[0].over:
            return self._pass(plan, verdicts[0]), None
        statistics = self._statistics
        given = 0
        if plan.grant:
            verdict, given = granted(plan.charges[0].limit.amount, plan.grant, verdicts[0])
            verdicts = (verdict,)
        if not plan.known:
            statistics.domain_not_found(plan.domain, len(plan.parts))
        standings: list[Standing] = []
        statuses: list[bytes] = []
        refusing: Standing | None = None
        quota_over: Standing | None = None
        quotas = len(plan.parts) - plan.unlimited if self._quota else 0
        quotas_over = 0
        for part in plan.parts:
            if part.met is None:
                statuses.append(part.status)
                continue
            standing = _stand(part, part.met, plan, verdicts, given)
            _count(standing)
            standings.append(standing)
            if not standing.met.quota:
                if standing.over and refusing is None:
                    refusing = standing
                more = quota(plan.charges[0].key, given, now_us + verdicts[0].reset_us) if given else b""
                statuses.append(_standing_status(standing, _OVER_LIMIT if standing.over else _OK, more))
                continue
            quotas += not self._quota
            if standing.over:
                quotas_over += 1
                quota_over = quota_over or standing
            statuses.append(self._quota_status(standing))
        if refusing is None and quotas_over and quotas == quotas_over and self._quota_refuses:
            refusing = quota_over
        if refusing is not None and self._shadow:
            statistics.global_shadow_mode += 1
            refusing = None
        if self._tells_headers:
            statuses.append(self._headers.write(standings, verdicts, refused=refusing is not None))
        if self._tells_metadata:
            statuses.append(describe(plan, standings))
        statistics.requests += 1
        if refusing is None:
            return _OK + b"".join(statuses), None
        statistics.refused += 1
        return _OVER_LIMIT + b"".join(statuses), _refusal(plan, name, refusing)

    def _pass(self, plan: Plan, verdict: Verdict) -> bytes:
        """Answer a usual request that may pass, as `answer` does: what most of them are, at half the cost."""
        _, used, remaining, reset_us, _, _ = verdict
        met = plan.parts[0].met
        assert met is not None
        told = met.told[0]
        met.counts.let_pass(plan.charges[0].hits, used, told.near)
        self._statistics.requests += 1
        return _OK + _status(_OK, told, remaining, -(-reset_us // SECOND_US))

    def _quota_status(self, standing: Standing) -> bytes:
        """Return the status of a descriptor in quota mode."""
        if not standing.over:
            return _standing_status(standing, _OK)
        if self._quota_refuses:
            return _standing_status(standing, _OVER_LIMIT)
        return bytes_field(2, _OK + standing.told.current)


def _stand(part: Part, met: Met, plan: Plan, verdicts: Verdicts, given: int) -> Standing:
    """Return what became of a descriptor, by the limit that decides; its hits are those that were given with it."""
    chosen = part.first
    verdict = verdicts[chosen]
    for index in range(part.first + 1, part.end):
        other = verdicts[index]
        if _weight(other) > _weight(verdict):
            chosen, verdict = index, other
    hits = plan.charges[chosen].hits - plan.grant + given
    return Standing(part, met, met.told[chosen - part.first], hits, verdict)


def _weight(verdict: Verdict) -> tuple[bool, int, int]:
    """Return what decides between limits of one descriptor: the greatest one does."""
    return verdict.over, verdict.retry_us if verdict.over else 0, -verdict.remaining


def _standing_status(standing: Standing, code: bytes, more: bytes = b"") -> bytes:
    return _status(code, standing.told, standing.remaining, standing.reset_s, more)


def _status(code: bytes, told: ToldLimit, remaining: int, reset_s: int, more: bytes = b"") -> bytes:
    """Return field `statuses` of a response for one descriptor; `more` is its last field."""
    if remaining > UINT32_MAX:
        remaining = UINT32_MAX
    left = _REMAINING[remaining] if remaining < _PREPARED_MAX else number_field(3, remaining)
    reset = _RESET[reset_s] if reset_s < _PREPARED_MAX else bytes_field(4, number_field(1, reset_s))
    body = code + told.current + left + reset + more
    return _STATUS[len(body)] + body if len(body) < _PREPARED_MAX else bytes_field(2, body)


def _count(standing: Standing) -> None:
    """Count a descriptor's hits under its rule's name, by the limit that decides."""
    met, told, hits = standing.met, standing.told, standing.hits
    counts = met.counts
    if standing.part.done:
        counts.charged_at_end += hits
    elif hits < 0:
        counts.given_back -= hits
    elif not standing.past:
        counts.let_pass(hits, standing.used, told.near)
    elif standing.source is _NEAR_CACHE:
        counts.refuse_by_near_cache(hits, shadow=met.shadow)
    else:
        counts.refuse(hits, standing.used, told.amount, told.near, counted=told.counts_over, shadow=met.shadow)


def _refusal(plan: Plan, name: str, standing: Standing) -> Refusal:
    limit = standing.told.limit
    return Refusal(
        request=name,
        domain=plan.domain,
        rule=standing.met.rule.path,
        amount=limit.amount,
        window_us=limit.window_us,
        algorithm=limit.algorithm.value,
        source=standing.source,
    )
