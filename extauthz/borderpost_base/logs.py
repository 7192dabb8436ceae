"""Logs: structured lines on stderr, JSON when piped, readable in a terminal, never a client address or secret."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

NEVER_LOGGED = frozenset(
    {
        "address",
        "authorization",
        "claim",
        "claims",
        "client_address",
        "cookie",
        "downstream_address",
        "headers",
        "jwt",
        "password",
        "payload",
        "peer_address",
        "private_key",
        "remote_address",
        "san",
        "sans",
        "secret",
        "source_address",
        "token",
        "x_forwarded_for",
    }
)
"""Names of fields, lower case and with underscores, whose values could carry an identity or a secret."""

SCRUBBED = "[not logged]"

_SCRUB_DEPTH_MAX = 4


def scrub(value: Any, depth: int = 0) -> Any:
    """Return the value with every field of `NEVER_LOGGED` replaced, at any level up to four; deeper is cut off."""
    if not isinstance(value, Mapping):
        return [scrub(item, depth) for item in value] if isinstance(value, (list, tuple)) else value
    if depth > _SCRUB_DEPTH_MAX:
        return SCRUBBED
    return {
        key: SCRUBBED if str(key).lower().replace("-", "_") in NEVER_LOGGED else scrub(inner, depth + 1)
        for key, inner in value.items()
    }


def _scrub_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: value if key in {"exc_info", "_record"} else scrub({key: value})[key] for key, value in event.items()}


def _name_logger(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Write the name as `logger`, a word that structlog keeps for itself as an argument."""
    if "logger_name" in event:
        event["logger"] = event.pop("logger_name")
    return event


def configure_logs(
    *, level: str = "info", json: bool | None = None, stream: TextIO | None = None, process: str | None = None
) -> None:
    """Set up structlog for this process, and the standard library's logging through it.

    `json=None` means JSON unless the stream is a terminal. `process` is bound to every line (`steward`, `worker-0`).
    What other libraries log (asyncio, grpc, uvicorn) comes out in the same form, from `warning` upwards.
    """
    out = stream or sys.stderr
    as_json = (not out.isatty()) if json is None else json
    colours = not as_json and "NO_COLOR" not in os.environ and out.isatty()
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _name_logger,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _scrub_event,
    ]
    render: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        # A plain traceback: the prettier one shows local variables, and those hold client addresses.
        else [structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)]
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*common, *render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    if process is not None:
        structlog.contextvars.bind_contextvars(process=process)
    _adopt_standard_logging(out, max(number, logging.WARNING), common, render)


def _adopt_standard_logging(out: TextIO, number: int, common: list[Processor], render: list[Processor]) -> None:
    handler = logging.StreamHandler(out)
    name: Processor = structlog.stdlib.add_logger_name
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[name, *common],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(number)


def get_logger(name: str) -> Any:
    """Return a logger whose lines carry `logger=name`."""
    return structlog.get_logger(logger_name=name)
