"""Errors of area 05: the gRPC server."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP0501",
        "no such user or group",
        "`user`, `group`, `peer_users` or `peer_groups` of the `server` section names nobody on this machine.",
        "Create the user or group, or give its number.",
    ),
    ErrorSpec(
        "BP0502",
        "cannot listen",
        "The socket or port of a worker cannot be set up.",
        "Free the address, or set `server.directory`, `server.host` or `server.port`; a port of the kernel's "
        "range for outgoing connections (`net.ipv4.ip_local_port_range`) may be taken by any of those.",
    ),
    ErrorSpec(
        "BP0503",
        "peers cannot be checked",
        "`server.peer_users` and `server.peer_groups` name local users, whom only the engine `wire` asks for, and only "
        "on a Unix socket.",
        "Set `server.listen: unix` and `server.engine: wire` (or `auto`), or leave the two lists empty; on a network "
        "address `server.tls.client_sans` names who may ask.",
    ),
)
