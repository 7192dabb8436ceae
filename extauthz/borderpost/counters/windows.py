"""Months and windows of counters: which months count at an instant, and until when. Pure calendar arithmetic.

A counter counts by month, in its own zone, because that is the coarsest bucket from which both kinds of window can be
added up: a calendar year is its twelve months, and `12-months` is the month that runs and the twelve before it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

from borderpost.policy.fields import EPOCH, to_us
from borderpost.policy.pack import Counter

MONTHS_KEPT = 14
"""Months that any window may still ask for, with the one that has just ended."""

_MONTHS_BACK = 12
_MICROSECOND = timedelta(microseconds=1)


class Month(NamedTuple):
    """A month of some zone."""

    name: str
    """`2026-11`."""
    start_us: int
    """Its first instant, microseconds since the epoch (UTC)."""
    end_us: int
    """The first instant of the next one."""


class Window(NamedTuple):
    """The months that count together at some instant."""

    months: tuple[str, ...]
    """Their names, the oldest first."""
    start_us: int
    """First instant at which these months count."""
    end_us: int
    """First instant at which others do."""

    @property
    def name(self) -> str:
        """Return the window in a few words: its first month and its last."""
        return f"{self.months[0]} to {self.months[-1]}"


def zone_of(counter: Counter) -> timezone:
    """Return the zone in which a counter's months begin."""
    hours, minutes = counter.zone[1:].split(":")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if counter.zone.startswith("-") else offset)


def month_at(counter: Counter, at_us: int) -> Month:
    """Return the month of an instant (microseconds since the epoch, UTC) in the counter's zone."""
    at = _local(counter, at_us)
    return _month(at.year, at.month, zone_of(counter))


def window_at(counter: Counter, at_us: int) -> Window:
    """Return the window that an instant falls in."""
    at = _local(counter, at_us)
    zone = zone_of(counter)
    if counter.window == "calendar-year":
        year = [_month(at.year, month, zone) for month in range(1, 13)]
        return Window(tuple(month.name for month in year), year[0].start_us, year[-1].end_us)
    current = at.year * 12 + at.month - 1
    months = [_month(number // 12, number % 12 + 1, zone) for number in range(current - _MONTHS_BACK, current + 1)]
    return Window(tuple(month.name for month in months), months[-1].start_us, months[-1].end_us)


def _local(counter: Counter, at_us: int) -> datetime:
    return (EPOCH + at_us * _MICROSECOND).astimezone(zone_of(counter))


def _month(year: int, month: int, zone: timezone) -> Month:
    start = datetime(year, month, 1, tzinfo=zone)
    end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=zone)
    return Month(f"{year:04d}-{month:02d}", to_us(start.astimezone(UTC)), to_us(end.astimezone(UTC)))
