"""Noting an exception that came out of a service, by kind and places: its text may quote what a client sent."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

from borderpost_wire.engine import Counters

log = logging.getLogger("borderpost_wire")


def note_service_exception(counters: Counters, where: str, error: Exception) -> None:
    """Count and log an exception out of the service's method `where`."""
    counters.service_exceptions += 1
    frames = traceback.extract_tb(error.__traceback__)
    trail = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    log.error("service raised %s out of %s at %s", type(error).__name__, where, trail)
