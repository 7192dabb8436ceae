"""All error tables joined into one, checked for duplicate codes at import."""

from __future__ import annotations

from borderpost_base.errors import (
    audit,
    cli,
    config,
    counters,
    doctor,
    events,
    facts,
    limiter,
    mesh,
    payload,
    policy,
    processes,
    proof,
    regions,
    render,
    requests,
    server,
)
from borderpost_base.errors.model import ErrorSpec

_TABLES = (
    cli.TABLE,
    config.TABLE,
    policy.TABLE,
    facts.TABLE,
    audit.TABLE,
    server.TABLE,
    processes.TABLE,
    regions.TABLE,
    requests.TABLE,
    render.TABLE,
    events.TABLE,
    counters.TABLE,
    proof.TABLE,
    payload.TABLE,
    mesh.TABLE,
    doctor.TABLE,
    limiter.TABLE,
)


def _join() -> dict[str, ErrorSpec]:
    joined: dict[str, ErrorSpec] = {}
    for table in _TABLES:
        for spec in table:
            if spec.code in joined:
                raise ValueError(f"error code {spec.code} is registered twice")
            joined[spec.code] = spec
    return dict(sorted(joined.items()))


ERRORS: dict[str, ErrorSpec] = _join()
"""Every registered error by its code, in order of code."""


def find_spec(code: str) -> ErrorSpec:
    """Return the registered error; KeyError for a code that nobody registered (a bug in the caller)."""
    return ERRORS[code]
