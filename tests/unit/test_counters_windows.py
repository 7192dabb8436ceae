"""Months and windows of counters, in the counter's own zone: each instant in one of them, and one event for each."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from borderpost.counters.counting import event_id, reached_at
from borderpost.counters.windows import month_at, window_at
from borderpost.policy.pack import Counter
from support.counting_office import CHINA, MONTHS, us


def test_months_begin_in_the_counter_s_own_zone() -> None:
    assert month_at(CHINA, us("2026-12-31T15:59:59.999999Z")).name == "2026-12"
    month = month_at(CHINA, us("2026-12-31T16:00:00Z"))
    assert (month.name, month.start_us) == ("2027-01", us("2026-12-31T16:00:00Z"))
    assert month.end_us == us("2027-01-31T16:00:00Z")
    west = Counter(id="w", zone="-05:30", bases=("b",))
    assert month_at(west, us("2027-01-01T05:29:59Z")).name == "2026-12"
    assert month_at(west, us("2027-01-01T05:30:00Z")).name == "2027-01"


def test_a_calendar_year_ends_with_the_year_and_twelve_months_roll() -> None:
    year = window_at(CHINA, us("2026-11-20"))
    assert year.months == tuple(f"2026-{month:02d}" for month in range(1, 13))
    assert (year.start_us, year.end_us) == (us("2025-12-31T16:00:00Z"), us("2026-12-31T16:00:00Z"))
    rolling = window_at(MONTHS, us("2026-02-10"))
    assert rolling.months == (*(f"2025-{month:02d}" for month in range(2, 13)), "2026-01", "2026-02")
    assert (rolling.start_us, rolling.end_us) == (us("2026-02-01"), us("2026-03-01"))


@given(
    st.integers(us("1990-01-01"), us("2190-01-01")),
    st.sampled_from(["calendar-year", "12-months"]),
    st.sampled_from(["+00:00", "+14:00", "-12:00", "+05:30"]),
)
def test_an_instant_is_in_its_month_and_window_and_the_next_one_adjoins(at_us: int, window: Any, zone: str) -> None:
    counter = Counter(id="c", window=window, zone=zone, bases=("b",))
    month, found = month_at(counter, at_us), window_at(counter, at_us)
    assert month.start_us <= at_us < month.end_us
    assert found.start_us <= at_us < found.end_us
    assert month.name in found.months
    assert window_at(counter, found.end_us).start_us == found.end_us
    assert list(found.months) == sorted(found.months)
    # The law looks back on twelve months at most; the months that count reach at least as far.
    assert window_at(counter, found.start_us) == found
    if window == "12-months":
        assert len(found.months) == 13


def test_headroom_makes_a_threshold_come_early_and_never_late() -> None:
    assert [reached_at(count, 1.0) for count in (1, 10, 100, 100_000)] == [1, 10, 99, 99_000]
    assert [reached_at(count, 0.0) for count in (1, 10)] == [1, 10]
    assert reached_at(1, 50.0) == 1


def test_an_event_s_id_fits_and_tells_counters_thresholds_and_windows_apart() -> None:
    long = Counter(id="c" * 64, bases=("b",))
    at_us = us("2026-11-20")
    window, later = window_at(long, at_us), window_at(long, at_us + 400 * 86_400_000_000)
    ids = {
        event_id(long.id, 1, window), event_id(long.id, 2, window), event_id(long.id, 1, later),
        event_id("c" * 63, 1, window),
    }  # fmt: skip
    assert len(ids) == 4
    assert all(len(each) <= 64 for each in ids)
