"""Response headers that tell a client of its limits.

Two families tell of the one limit that is closest, as those who introduced them do. The third tells of every limit
that can refuse the request. Its syntax is that of structured fields (RFC 9651), its meaning that of
draft-ietf-httpapi-ratelimit-headers-11: `q` and `w` (seconds, more than 0) of a policy, and where it stands by `r` and
`t` (seconds until there is more).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from borderpost_ratelimit.limits import SECOND_US, Algorithm
from borderpost_ratelimit.plans import ToldLimit
from borderpost_ratelimit.settings import HeaderStyle, ServiceSettings
from borderpost_wire.protobuf import bytes_field

if TYPE_CHECKING:
    from borderpost_ratelimit.answers import Standing
    from borderpost_ratelimit.charges import Verdict, Verdicts

_INTEGER_MAX = 999_999_999_999_999
"""Of a structured field (RFC 9651 section 3.3.1)."""
_QUOTA_UNITS = {Algorithm.CONCURRENCY: ';qu="concurrent-requests"', Algorithm.BUDGET: ';qu="units"'}
"""Parameter `qu`, where a quota is not of requests."""

Header = tuple[str, str]


class HeaderWriter:
    """Writes headers as settings say."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self.writes = bool(settings.headers) or settings.retry_after
        """Whether there is anything to write at all."""

    def write(self, standings: Sequence[Standing], verdicts: Verdicts, *, refused: bool) -> bytes:
        """Return the fields `response_headers_to_add` of a response."""
        headers: list[Header] = []
        if standings:
            for style in self._settings.headers:
                if style is HeaderStyle.ENVOYPROXY:
                    headers += self._envoyproxy(standings)
                elif style is HeaderStyle.DRAFT_03:
                    headers += _draft_03(standings)
                elif not self._settings.shadow:
                    headers += _ietf(standings, verdicts)
        if refused and self._settings.retry_after:
            headers.append(("retry-after", str(_retry_s(standings))))
        return b"".join(
            [bytes_field(3, bytes_field(1, name.encode()) + bytes_field(2, value.encode())) for name, value in headers]
        )

    def _envoyproxy(self, standings: Sequence[Standing]) -> list[Header]:
        """Tell of the last limit that refuses, otherwise of the one with the least left (src/service/ratelimit.go)."""
        closest = min(standings, key=_left)
        for standing in standings:
            if standing.over and not standing.met.quota:
                closest = standing
        names = self._settings.header_names
        return [
            (names.limit, str(closest.told.amount)),
            (names.remaining, str(closest.remaining)),
            (names.reset, str(closest.reset_s)),
        ]


def _draft_03(standings: Sequence[Standing]) -> list[Header]:
    """Tell of the limit with the least left, and of each one's window, in the form of Envoy's filter."""
    closest = min(standings, key=_left)
    limit = str(closest.told.amount)
    for standing in standings:
        told = standing.told
        window_s = told.unit.length_us * told.multiplier // SECOND_US if told.unit else 0
        limit += f", {told.amount};w={window_s}" if window_s else ""
        limit += f';name="{told.header_name}"' if window_s and told.header_name else ""
    return [
        ("x-ratelimit-limit", limit),
        ("x-ratelimit-remaining", str(closest.remaining)),
        ("x-ratelimit-reset", str(closest.reset_s)),
    ]


def _ietf(standings: Sequence[Standing], verdicts: Verdicts) -> list[Header]:
    """Tell each limit that is no shadow as a policy, and where it stands."""
    policies: list[str] = []
    limits: list[str] = []
    names: set[str] = set()
    for standing in standings:
        met, part = standing.met, standing.part
        if met.shadow:
            continue
        for told, verdict in zip(met.told, verdicts[part.first : part.end], strict=True):
            name = _distinct(policy_name(told, several=len(met.told) > 1), names)
            names.add(name)
            limit = told.limit
            window_s = 0 if limit.algorithm is Algorithm.CONCURRENCY else -(-limit.window_us // SECOND_US)
            window = f";w={window_s}" if window_s else ""
            unit = _QUOTA_UNITS.get(limit.algorithm, "")
            policies.append(f'"{name}";q={min(limit.amount, _INTEGER_MAX)}{unit}{window}')
            remaining = 0 if verdict.over else min(verdict.remaining, _INTEGER_MAX)
            limits.append(f'"{name}";r={remaining};t={_more_s(verdict)}')
    if not policies:
        return []
    return [("ratelimit-policy", ", ".join(policies)), ("ratelimit", ", ".join(limits))]


def policy_name(told: ToldLimit, *, several: bool) -> str:
    """Return what a policy is called: as its rule is, otherwise by what it says anyway, such as `100-per-minute`.

    Nothing of a rule's path: it may name other tenants, and tell how traffic is sorted.
    """
    amount = told.amount
    if told.limit.algorithm is Algorithm.CONCURRENCY:
        said = f"{amount}-at-a-time"
    elif not told.unit:
        said = f"{amount}-per-{told.limit.window_us / SECOND_US:g}-seconds"
    elif told.multiplier == 1:
        said = f"{amount}-per-{told.unit.name.lower()}"
    else:
        said = f"{amount}-per-{told.multiplier}-{told.unit.name.lower()}s"
    if not told.header_name:
        return said
    return f"{told.header_name}-{said}" if several else told.header_name


def _distinct(name: str, taken: set[str]) -> str:
    """Return a name that is not taken: the name itself, or with a number behind it."""
    number, distinct = 1, name
    while distinct in taken:
        number += 1
        distinct = f"{name}-{number}"
    return distinct


def _left(standing: Standing) -> int:
    return standing.remaining


def _more_s(verdict: Verdict) -> int:
    """Return the seconds until there is more: for one that is over, until it can pass."""
    wait_us = verdict.retry_us if verdict.over and verdict.retry_us else verdict.reset_us
    return -(-wait_us // SECOND_US)


def _retry_s(standings: Sequence[Standing]) -> int:
    """Return in how many seconds the same request may pass, at the earliest."""
    waits_us = [standing.retry_us for standing in standings if standing.over]
    return max(1, -(-max(waits_us, default=0) // SECOND_US))
