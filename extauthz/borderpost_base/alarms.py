"""Trouble that many requests have, told in the log now and then with how many they were."""

from __future__ import annotations

from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from borderpost_base.logs import get_logger
from borderpost_base.world import World


class Alarm:
    """One trouble, told in the log at most once in `limits.ALARM_INTERVAL_S`."""

    def __init__(self, trouble: str, world: World, *, logger: str) -> None:
        self._trouble = trouble
        self._world = world
        self._told_us: int | None = None
        self._requests = 0
        self._log = get_logger(logger)

    def ring(self, error: BorderpostError | None) -> None:
        """Count a request that has it; tell of all since the last line if that is long enough ago.

        Without an error it is the exception under way that is told.
        """
        self._requests += 1
        now_us = self._world.clock.mono_us()
        if self._told_us is not None and now_us - self._told_us < limits.ALARM_INTERVAL_S * 1_000_000:
            return
        told = error.as_dict() if error is not None else {}
        self._log.error(self._trouble, requests=self._requests, exc_info=error is None, **told)
        self._told_us, self._requests = now_us, 0
