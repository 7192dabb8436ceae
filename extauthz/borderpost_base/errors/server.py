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
    ErrorSpec(
        "BP0504",
        "certificates cannot be taken",
        "The files of `server.tls` cannot be used: they do not fit together, are not PEM, are past or before their "
        "time, or cannot be read.",
        "See the message; put a certificate, its key and the authority in place that belong together, each whole "
        "(write beside it and rename). The ones before stay in use until then, for as long as they are valid.",
    ),
    ErrorSpec(
        "BP0505",
        "name that no caller has, or that means several",
        "`server.tls.client_sans` holds names that are compared whole, and `server.tls.client_trust_domains` bare "
        "SPIFFE trust domains. A wildcard or half an identity would let nobody in, or more than was meant.",
        "Write each caller's full name, such as `spiffe://cluster.local/ns/ai-gateway/sa/ai-gateway`, or the trust "
        "domain alone, such as `cluster.local`, under `client_trust_domains`.",
    ),
    ErrorSpec(
        "BP0506",
        "admin token unusable",
        "`admin.token_file` cannot be read, or holds a token that can be guessed.",
        "Write a random token of 16 bytes or more into it: `openssl rand -hex 32`. Until then only `/livez` and "
        "`/readyz` are answered.",
    ),
)
