"""Errors of area 05: the gRPC server."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP0501",
        "no such user or group",
        "`server.user` or `server.group` names nobody on this machine.",
        "Create the user or group, or give its number.",
    ),
    ErrorSpec(
        "BP0502",
        "cannot listen",
        "The socket or port of a worker cannot be set up.",
        "Free the address, or set `server.directory`, `server.host` or `server.port`.",
    ),
)
