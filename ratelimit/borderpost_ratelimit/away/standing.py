"""How a guarded store is doing, for metrics and health: one value, also where there are several servers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Standing(NamedTuple):
    """Counts since the start, unless said otherwise."""

    away_us: int = 0
    """For how long the store, or one of its servers, has not been asked; 0 while all are."""
    owed: int = 0
    """Charges that the store has yet to be told of, now."""
    opened: int = 0
    """How often it was taken to be away."""
    timeouts: int = 0
    """Batches to which it had no answer within the bound."""
    late: int = 0
    """Answers that came after their bound."""
    unanswered: Mapping[str, int] = {}
    """Requests that it did not answer, by its reason."""
    probes: int = 0
    probes_failed: int = 0
    told: int = 0
    """Charges made without it that it has been told of."""
    dropped: int = 0
    """Charges made without it that it was not told of: their window has ended, or there was no room."""
    estimated: int = 0
    """Charges counted by this process alone."""
    allowed: int = 0
    """Charges let pass without a limit."""
    refused: int = 0
    """Charges refused because their limit says so."""


def together(standings: Iterable[Standing]) -> Standing:
    """Return the standing of several servers as one: the longest absence, and sums."""
    found = Standing()
    for one in standings:
        unanswered = dict(found.unanswered)
        for reason, count in one.unanswered.items():
            unanswered[reason] = unanswered.get(reason, 0) + count
        found = Standing(
            away_us=max(found.away_us, one.away_us),
            owed=found.owed + one.owed,
            opened=found.opened + one.opened,
            timeouts=found.timeouts + one.timeouts,
            late=found.late + one.late,
            unanswered=unanswered,
            probes=found.probes + one.probes,
            probes_failed=found.probes_failed + one.probes_failed,
            told=found.told + one.told,
            dropped=found.dropped + one.dropped,
            estimated=found.estimated + one.estimated,
            allowed=found.allowed + one.allowed,
            refused=found.refused + one.refused,
        )
    return found
