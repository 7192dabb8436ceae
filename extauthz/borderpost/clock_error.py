"""How far this machine's clock may be from UTC, as the kernel estimates it: ε, by which events narrow early.

Events hold at instants, and the clocks of those who sign them and of those who follow them differ. Whoever keeps the
clock (chrony, ntpd, systemd-timesyncd) tells the kernel how wrong it may be at most; the kernel lets that bound grow
while nobody corrects the clock, and says so when the clock is not kept at all (adjtimex(2)).

The bound changes all the time, and each change would be another list of events for every worker and every record. So
ε is the bound rounded up to 1, 2 or 5 times a power of ten; it grows at once, and shrinks only to what has sufficed
for an hour.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final, Literal, cast

from borderpost_base.limits import CLOCK_ERROR_FALLBACK_US

_STA_UNSYNC: Final = 0x40
"""linux/timex.h: nobody keeps this clock."""
_STEPS_US: Final[tuple[int, ...]] = tuple(factor * 10**power for power in range(3, 8) for factor in (1, 2, 5))
"""From a millisecond, below which nothing is gained, to 50 s. A kernel whose bound nobody renews says that its clock
is not kept when it comes to 16 s (NTP_PHASE_LIMIT)."""
_SHRINKS_AFTER_US: Final = 3600 * 1_000_000

Origin = Literal["set", "kernel", "fallback"]
"""Whence ε comes: from the configuration, from the kernel's bound, or from the limit that stands in for one."""


class _Timex(ctypes.Structure):
    """struct timex of linux/timex.h, as adjtimex(2) fills it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),  # nothing that is read here; more than any kernel writes
    )


def _load_adjtimex() -> Callable[[object], int] | None:
    """Return the C library's adjtimex; None where there is none."""
    try:
        return cast("Callable[[object], int]", ctypes.CDLL(None, use_errno=True).adjtimex)
    except (OSError, AttributeError):
        return None


_ADJTIMEX = _load_adjtimex()


def kernel_clock_error_us() -> int | None:
    """Return the kernel's bound on the clock's error, microseconds; None if the clock is not kept or nobody says.

    Reads only (`modes` is 0), which needs no right.
    """
    if _ADJTIMEX is None:
        return None
    timex = _Timex()
    if _ADJTIMEX(ctypes.byref(timex)) < 0 or timex.status & _STA_UNSYNC or timex.maxerror < 0:
        return None
    return int(timex.maxerror)


def rounded_up(error_us: int) -> int:
    """Return the least step that is not below; the coarsest one if none is."""
    return next((step_us for step_us in _STEPS_US if step_us >= error_us), _STEPS_US[-1])


class ClockError:
    """ε as it is in force."""

    def __init__(
        self, setting_ms: Literal["auto"] | int, *, read: Callable[[], int | None] = kernel_clock_error_us
    ) -> None:
        self.value_us = 0
        """ε, microseconds. Right from the first `look`."""
        self.origin: Origin = "set"
        """Whence it comes."""
        self._setting_ms = setting_ms
        self._read = read
        self._sufficed_since_us: int | None = None
        self._sufficed_us = 0

    def look(self, mono_us: int) -> bool:
        """Measure again; return True if ε or its origin is another than before."""
        before = self.value_us, self.origin
        if self._setting_ms != "auto":
            self.value_us = self._setting_ms * 1000
            return (self.value_us, self.origin) != before
        measured_us = self._read()
        self.origin = "fallback" if measured_us is None else "kernel"
        self._follow(CLOCK_ERROR_FALLBACK_US if measured_us is None else rounded_up(measured_us), mono_us)
        return (self.value_us, self.origin) != before

    def _follow(self, needed_us: int, mono_us: int) -> None:
        if needed_us >= self.value_us:
            self.value_us, self._sufficed_since_us = needed_us, None
            return
        if self._sufficed_since_us is None:
            self._sufficed_since_us, self._sufficed_us = mono_us, needed_us
        self._sufficed_us = max(self._sufficed_us, needed_us)
        if mono_us - self._sufficed_since_us >= _SHRINKS_AFTER_US:
            self.value_us, self._sufficed_since_us = self._sufficed_us, None
