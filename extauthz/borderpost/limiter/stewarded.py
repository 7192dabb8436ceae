"""A limiter's part in the life of a gateway: how it tells the steward how it is.

    <runtime>/limiter-page    the shared page of limiters: its layout is the workers' (`borderpost.snapshots`)
    <runtime>/limiter.json    what the limiter's own checks say, written where they change

The state, the beat and the process id are in the page; what somebody should look at, such as limits files that are
refused, is a few lines in the file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import orjson

from borderpost.health import Check, Outcome
from borderpost.snapshots import SharedPage, WorkerState
from borderpost_base.logs import get_logger

PAGE: Final = "limiter-page"
CHECKS: Final = "limiter.json"
SERVING: Final = "limiter/serving"
"""Name of the check that the page tells already."""


class Stewarded:
    """A limiter under a steward."""

    def __init__(self, runtime: Path, *, stream: int, steward: int, takes_over: bool) -> None:
        """`stream` is the number of its words in the page; `steward` the process id it was started by."""
        self.takes_over = takes_over
        self.stream = stream
        self._runtime = runtime
        self._steward = steward
        self._page = SharedPage(runtime / PAGE, create=False)
        self._told: bytes = b""
        self._orphaned_at_us = 0
        self._log = get_logger("limiter")

    def beat(self, mono_us: int, state: WorkerState, checks: Sequence[Check]) -> None:
        """Say how it is."""
        self._page.beat_worker(self.stream, mono_us=mono_us, state=state, silent_us=0, generation=0)
        if state is WorkerState.SERVING:
            self._tell(checks)
        if not self._orphaned_at_us and os.getppid() != self._steward:
            self._orphaned_at_us = mono_us

    def is_succeeded(self) -> bool:
        """Return whether the steward has gone and another one has begun, whose limiter waits for this one's place."""
        return self._orphaned_at_us != 0 and self._page.steward_beat_us > self._orphaned_at_us

    def _tell(self, checks: Sequence[Check]) -> None:
        told = orjson.dumps([[check.name, check.outcome, check.detail] for check in checks if check.name != SERVING])
        if told == self._told:
            return
        self._told = told
        temporary = self._runtime / f".{CHECKS}.{os.getpid()}"
        try:
            temporary.write_bytes(told)
            temporary.replace(self._runtime / CHECKS)
        except OSError as error:
            self._log.error("the steward cannot be told of the limiter's checks", detail=error.strerror)


def told_checks(runtime: Path) -> list[Check]:
    """Return what the limiter last said of itself, each name beginning with `limiter/`; nothing before its first word,
    or if that cannot be read."""
    try:
        told = orjson.loads((runtime / CHECKS).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return []
    return [
        Check(f"limiter/{str(name).removeprefix('limiter/')}", Outcome(outcome), str(detail))
        for name, outcome, detail in told
    ]
