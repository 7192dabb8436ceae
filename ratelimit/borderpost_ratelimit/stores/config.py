"""The section `limiter.store`: where counters are kept. Shapes only: no I/O."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field, StringConstraints

from borderpost_base.redis_address import RedisAddress, RedisLogin

HostPort = Annotated[str, StringConstraints(pattern=r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253}):[0-9]{1,5}$")]
"""`HOST:PORT`; an IPv6 address stands in brackets."""
Prefix = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7a]{0,64}$")]
"""Printable ASCII without a space and without braces, which are a Cluster's hash tag."""


class Endpoint(NamedTuple):
    """Where one server listens."""

    host: str = ""
    port: int = 0
    socket: str = ""
    """Path of a Unix socket; then host and port say nothing."""
    tls: bool = False
    database: int = 0


class RedisStoreSpec(RedisLogin):
    """Redis or Valkey as the store. One of `url`, `sentinels` and `cluster` says how it is found."""

    url: str | None = None
    """One server: `redis://HOST:PORT/DB`, `rediss://…` for TLS, or `unix:///PATH?db=DB`. Without name and password:
    `username` and `password_file` let you in."""

    timeout_s: float = Field(default=3.0, ge=0.1, le=60.0)
    """How long the server may take to be connected to, or to answer, before the connection is given up. What a request
    waits for at most is said in `away`."""

    prefix: Prefix = "borderpost:"
    """What all names of counters begin with, so that others can use the same server."""

    @property
    def endpoint(self) -> Endpoint:
        """Return where the one server listens."""
        assert self.url is not None
        address = RedisAddress(url=self.url)
        return Endpoint(address.host, address.port, address.socket, address.scheme == "rediss", address.database)
