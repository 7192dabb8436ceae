"""Logs: structured lines on stderr, JSON when piped, readable in a terminal, never a client address or secret."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

_NEVER_LOGGED = frozenset(
    {"address", "client_address", "authorization", "cookie", "token", "jwt", "payload", "headers"}
)


def _scrub(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace the value of any field that could carry an identity or a secret."""
    for key in event.keys() & _NEVER_LOGGED:
        event[key] = "[not logged]"
    return event


def configure_logs(
    *, level: str = "info", json: bool | None = None, stream: TextIO | None = None, process: str | None = None
) -> None:
    """Set up structlog for this process.

    `json=None` means: JSON unless the stream is a terminal. `process` is bound to every line
    (`steward`, `worker-0`).
    """
    out = stream or sys.stderr
    as_json = (not out.isatty()) if json is None else json
    colours = not as_json and "NO_COLOR" not in os.environ
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=colours)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _scrub,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    if process is not None:
        structlog.contextvars.bind_contextvars(process=process)


def get_logger(name: str) -> Any:
    """Return a logger whose lines carry `logger=name`."""
    return structlog.get_logger(logger=name)
