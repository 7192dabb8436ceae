"""Response headers that tell a client of its limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from borderpost_ratelimit.encoding import field
from borderpost_ratelimit.limits import SECOND_US
from borderpost_ratelimit.settings import HeaderStyle, ServiceSettings

if TYPE_CHECKING:
    from borderpost_ratelimit.answers import Standing


class HeaderWriter:
    """Writes headers as settings say."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self.writes = bool(settings.headers) or settings.retry_after
        """Whether there is anything to write at all."""
        self._styles = tuple(_STYLES[style] for style in settings.headers)

    def write(self, standings: Sequence[Standing], *, refused: bool) -> bytes:
        """Return the fields `response_headers_to_add` of a response."""
        headers: list[tuple[str, str]] = []
        if standings:
            for style in self._styles:
                headers += style(standings, self._settings)
        if refused and self._settings.retry_after:
            headers.append(("retry-after", str(_retry_s(standings))))
        return b"".join(field(3, field(1, name.encode()) + field(2, value.encode())) for name, value in headers)


def _retry_s(standings: Sequence[Standing]) -> int:
    """Return in how many seconds the same request may pass, at the earliest."""
    waits_us = [standing.retry_us for standing in standings if standing.over]
    return max(1, -(-max(waits_us, default=0) // SECOND_US))


def _envoyproxy(standings: Sequence[Standing], settings: ServiceSettings) -> list[tuple[str, str]]:
    """Tell of the limit with the least left, or of the last one that is over."""
    closest = standings[0]
    for standing in standings[1:]:
        if standing.remaining < closest.remaining:
            closest = standing
    for standing in standings:
        if standing.over and not (settings.quota or standing.met.quota):
            closest = standing
    names = settings.header_names
    return [
        (names.limit, str(closest.told.amount)),
        (names.remaining, str(closest.remaining)),
        (names.reset, str(closest.reset_s)),
    ]


def _draft_03(standings: Sequence[Standing], settings: ServiceSettings) -> list[tuple[str, str]]:
    """Tell of the limit with the least left, and of each one's window."""
    closest = min(standings, key=lambda standing: standing.remaining)
    policies = []
    for standing in standings:
        told = standing.told
        named = f';name="{told.name}"' if told.name else ""
        policies.append(f", {told.amount};w={told.limit.window_us // SECOND_US}{named}")
    return [
        ("x-ratelimit-limit", f"{closest.told.amount}{''.join(policies)}"),
        ("x-ratelimit-remaining", str(closest.remaining)),
        ("x-ratelimit-reset", str(closest.reset_s)),
    ]


def _ietf(standings: Sequence[Standing], settings: ServiceSettings) -> list[tuple[str, str]]:
    """Tell each limit as a policy, and where it stands."""
    policies, limits = [], []
    for number, standing in enumerate(standings, 1):
        told = standing.told
        name = f'"{told.name or number}"'
        policies.append(f"{name};q={told.amount};w={told.limit.window_us // SECOND_US}")
        limits.append(f"{name};r={standing.remaining};t={standing.reset_s}")
    return [("ratelimit-policy", ", ".join(policies)), ("ratelimit", ", ".join(limits))]


_STYLES = {HeaderStyle.ENVOYPROXY: _envoyproxy, HeaderStyle.DRAFT_03: _draft_03, HeaderStyle.IETF: _ietf}
