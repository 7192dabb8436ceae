"""The circuit breaker: whether the store is asked, and when it is tried again. No I/O, no clock of its own.

    CLOSED   every request asks the store and waits for it, within the bound
       │  too many batches in a row, or more than one in five for long, had no answer in time
       ▼
    OPEN     no request waits; the store is not asked
       │  the time of the next probe has come, and a request
       ▼
    PROBING  no request waits; the store is asked about one request, which has had its answer already
       │  answered in time: CLOSED, and one failure more opens it again    │  otherwise: OPEN, for twice as long

Times are of a monotonic clock, in microseconds.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from borderpost_base.world import Randomness

_FAILURE_WEIGHT: Final = 4
"""What a failure adds to the score of which a success takes 1 off: above one failure in five the score only rises."""


@dataclass(frozen=True, slots=True)
class AwaySettings:
    """How long requests wait for the store, and how it is tried again."""

    wait_us: int = 10_000
    """The longest that a request waits for the store. Envoy's rate limit filter waits 20 ms for the whole answer by
    default, and what it does not get in time it lets pass, unless `failure_mode_deny` is set."""
    failures: int = 3
    """So many batches in a row without an answer in time open the breaker."""
    probe_first_us: int = 100_000
    """How long after opening the store is tried again."""
    probe_max_us: int = 2_000_000
    """The time between two tries doubles up to this."""


class State(enum.Enum):
    """What the breaker lets through."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Breaker:
    """Decides whether the store is asked. One owner, one thread."""

    def __init__(self, settings: AwaySettings, randomness: Randomness) -> None:
        self.state: State = State.CLOSED
        self._settings = settings
        self._randomness = randomness
        self._score = 0
        self._score_max = _FAILURE_WEIGHT * settings.failures
        self._delay_us = 0
        self._probe_at_us = 0
        self._closed_at_us = -settings.probe_max_us - 1

    def succeeded(self) -> None:
        """Note an answer in time to a batch that waited for it."""
        if self._score:
            self._score -= 1

    def found(self, mono_us: int) -> bool:
        """Note an answer in time to a probe; return True if that closed the breaker."""
        if self.state is not State.PROBING:
            return False
        self.state = State.CLOSED
        self._closed_at_us = mono_us
        # What has just come back has no credit yet: under its whole load it may fail as before.
        self._score = self._score_max - _FAILURE_WEIGHT
        return True

    def failed(self, mono_us: int) -> bool:
        """Note that no answer came in time, or that it was none; return True if that opened the breaker."""
        if self.state is State.PROBING:
            self._open(mono_us, min(2 * self._delay_us, self._settings.probe_max_us))
            return False
        if self.state is State.OPEN:
            return False
        self._score += _FAILURE_WEIGHT
        if self._score < self._score_max:
            return False
        # A store that fails again as soon as it is asked in full is tried less and less often.
        flaps = mono_us - self._closed_at_us <= self._settings.probe_max_us
        first = self._settings.probe_first_us
        self._open(mono_us, min(2 * self._delay_us, self._settings.probe_max_us) if flaps else first)
        return True

    def undecided(self, mono_us: int) -> None:
        """Note that a probe was answered without the store: the next request may probe."""
        if self.state is State.PROBING:
            self.state = State.OPEN
            self._probe_at_us = mono_us

    def heard(self, mono_us: int) -> None:
        """Note a late answer to what was asked before the breaker opened: the store lives and may be probed now."""
        if self.state is State.OPEN:
            self._probe_at_us = min(self._probe_at_us, mono_us)

    def may_probe(self, mono_us: int) -> bool:
        """Return True if the store is to be asked about one request now."""
        return self.state is State.OPEN and mono_us >= self._probe_at_us

    def probe(self) -> None:
        """Note that it is asked; the caller says what came of it."""
        self.state = State.PROBING

    def _open(self, mono_us: int, delay_us: int) -> None:
        """Open, and try again after 50 to 100 % of the delay, so that a fleet's limiters do not try in step."""
        self.state = State.OPEN
        self._score = 0
        self._delay_us = delay_us
        share = int.from_bytes(self._randomness.token(2), "big")
        self._probe_at_us = mono_us + delay_us // 2 + (delay_us // 2) * share // 0xFFFF
