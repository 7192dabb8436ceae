"""ε: what the kernel says of its clock, rounded up, quick to grow and slow to shrink."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost import clock_error
from borderpost.clock_error import ClockError, kernel_clock_error_us, rounded_up
from borderpost_base.limits import CLOCK_ERROR_FALLBACK_US

HOUR_US = 3600 * 1_000_000


class Kernel:
    """A kernel that says what it is told to."""

    bound_us: int | None = 0

    def __call__(self) -> int | None:
        return self.bound_us


def test_the_steps_are_one_two_five() -> None:
    assert [rounded_up(us) for us in (0, 1, 1000, 1001, 2000, 2001, 5001, 10_001, 49_999, 700_000)] == [
        1000, 1000, 1000, 2000, 2000, 5000, 10_000, 20_000, 50_000, 1_000_000,
    ]  # fmt: skip


@given(st.integers(min_value=0, max_value=50_000_000))
def test_epsilon_is_never_below_the_bound_nor_far_above_it(bound_us: int) -> None:
    step_us = rounded_up(bound_us)
    assert bound_us <= step_us <= max(1000, bound_us * 5 // 2)
    assert str(step_us).rstrip("0") in {"1", "2", "5"}
    assert rounded_up(step_us) == step_us


def test_a_bound_beyond_reason_is_held_at_the_coarsest_step() -> None:
    assert rounded_up(2**60) == 50_000_000


def test_a_setting_is_taken_as_it_is_and_nobody_is_asked() -> None:
    def unasked() -> int | None:
        raise AssertionError("nobody was to ask")

    error = ClockError(250, read=unasked)
    assert error.look(0)
    assert (error.value_us, error.origin) == (250_000, "set")
    assert not error.look(HOUR_US)
    assert not ClockError(0, read=unasked).look(0)


def test_it_grows_at_once_and_shrinks_to_what_sufficed_for_an_hour() -> None:
    kernel = Kernel()
    error = ClockError("auto", read=kernel)
    seen = []
    for minute, bound_us in enumerate([9_000, 60_000, *[9_000] * 30, 18_000, *[9_000] * 28, 9_000, 9_000]):
        kernel.bound_us = bound_us
        error.look(minute * 60_000_000)
        seen.append(error.value_us)
    assert seen[:2] == [10_000, 100_000]
    assert set(seen[2:62]) == {100_000}
    assert seen[62] == 20_000  # the most that was needed in that hour


def test_a_clock_that_needs_more_within_the_hour_begins_the_hour_anew() -> None:
    kernel = Kernel()
    error = ClockError("auto", read=kernel)
    for at_us, bound_us in ((0, 90_000), (HOUR_US // 2, 1000), (HOUR_US, 90_000), (HOUR_US * 3 // 2 + 1, 1000)):
        kernel.bound_us = bound_us
        error.look(at_us)
    assert error.value_us == 100_000
    error.look(HOUR_US * 5 // 2 + 1)
    assert error.value_us == 1000


def test_a_clock_that_nobody_keeps_counts_as_the_limit_says_and_is_told_apart() -> None:
    kernel = Kernel()
    kernel.bound_us = None
    error = ClockError("auto", read=kernel)
    assert error.look(0)
    assert (error.value_us, error.origin) == (CLOCK_ERROR_FALLBACK_US, "fallback")
    assert not error.look(1)
    kernel.bound_us = 3000
    assert error.look(2)  # the origin
    assert (error.value_us, error.origin) == (CLOCK_ERROR_FALLBACK_US, "kernel")


def test_the_kernel_is_asked_rightly(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[int, int]] = [(0x2001, 0), (0x40, 5), (0x1, -1)]

    def adjtimex(timex: Any) -> int:
        filled = ctypes.cast(timex, ctypes.POINTER(clock_error._Timex)).contents
        assert filled.modes == 0
        filled.maxerror = 31_500
        filled.status, code = said.pop(0)
        return code

    monkeypatch.setattr(clock_error, "_ADJTIMEX", adjtimex)
    assert [kernel_clock_error_us() for _ in range(3)] == [31_500, None, None]
    monkeypatch.setattr(clock_error, "_ADJTIMEX", None)
    assert kernel_clock_error_us() is None


def test_this_machine_s_kernel_answers_something_sensible() -> None:
    bound_us = kernel_clock_error_us()
    assert bound_us is None or 0 <= bound_us <= 16_000_000
