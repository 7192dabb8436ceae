"""What sets timers: an event loop, or a test's own clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Handle(Protocol):
    """A timer that has been set."""

    def cancel(self) -> object:
        """Do not call back."""
        ...


class Timers(Protocol):
    """Where timers are set: an event loop."""

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Handle:
        """Call back after so many seconds."""
        ...
