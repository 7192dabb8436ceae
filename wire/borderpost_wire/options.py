"""What a server can be told: where it listens, with which certificates, and its bounds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from borderpost_wire.callers import ANYBODY, Callers
from borderpost_wire.errors import OptionsError

UNIX_PATH_BYTES_MAX = 107
"""`sun_path` holds 108 bytes, one of them the closing NUL (unix(7))."""


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Certificates of a network listener. Files are PEM, read when the engine starts and by `Engine.renew`.

    With `client_ca` every client must show a certificate of that authority (mTLS). `callers`, where it names
    anybody, says which of these may call; calls of others end with PERMISSION_DENIED.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    callers: Callers = ANYBODY

    def __post_init__(self) -> None:
        if self.callers and self.client_ca is None:
            raise OptionsError("callers need client_ca: without it no client certificate is asked for")


@dataclass(frozen=True, slots=True)
class TcpListen:
    """A network listener. Port 0 takes a free one; `Engine.addresses` tells which."""

    host: str
    port: int
    tls: TlsOptions | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise OptionsError(f"port {self.port} is not in 0..65535")

    @property
    def address(self) -> str:
        """Return `host:port`, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixListen:
    """A Unix socket in a directory of its own.

    The directory is made with mode 0750 if it is absent, owned like the socket. `uid` and `gid` are numbers;
    None leaves the process's own.

    `peer_uids` and `peer_gids`, where either is not empty, are the users and primary groups of the processes that
    may connect (SO_PEERCRED, unix(7)); one of the two has to fit. Others are cut off. Engine `wire` only.

    `takes_over` allows that a live server listens at the path: the new socket takes the path in one step, and whoever
    connects from then on reaches it. Connections that stand stay where they are; `Engine.retire` sends them on.
    """

    path: Path
    mode: int = 0o660
    uid: int | None = None
    gid: int | None = None
    peer_uids: frozenset[int] = frozenset()
    peer_gids: frozenset[int] = frozenset()
    takes_over: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.mode <= 0o777:
            raise OptionsError(f"socket mode {self.mode:o} is not a file mode")
        if self.mode & 0o007:
            raise OptionsError(f"socket mode {self.mode:04o} would let every local user connect")
        if not self.path.is_absolute():
            raise OptionsError(f"socket path {self.path} is not absolute")

    @property
    def address(self) -> str:
        """Return `unix:/path`, which is also what a gRPC client is given."""
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Everything an engine is made from. Every bound has a default that suits Envoy as the only client."""

    listen: tuple[UnixListen | TcpListen, ...]
    message_bytes_max: int = 1 << 20
    """Longest message taken; a longer one ends its call with RESOURCE_EXHAUSTED. Envoy's headers are bounded
    by 60 KiB, metadata may add to them."""
    streams_per_connection_max: int = 8192
    """Announced to the peer, which opens another connection or waits beyond it. Well above Envoy's own
    default breaker of 1024 requests a cluster, so that it is the breaker that is hit first."""
    calls_max: int = 65_536
    """Calls at a time over all connections; further ones end with RESOURCE_EXHAUSTED."""
    connections_max: int = 1024
    """Connections at a time; further ones are closed. Envoy opens a few for each of its threads. Engine `wire` only:
    gRPC bounds calls alone."""
    unfinished_bytes_max: int = 1 << 26
    """Pieces of messages, over all connections, that wait for their rest; beyond it the calls they belong to end with
    RESOURCE_EXHAUSTED. Engine `wire` only."""
    unsent_bytes_max: int = 1 << 28
    """Replies, over all connections, that wait for peers to take them, looked at once a second; beyond it calls on
    connections that keep replies waiting end with RESOURCE_EXHAUSTED. Engine `wire` only."""
    replies_waiting_max: int = 1024
    """Replies of one call that wait for a peer that does not read; beyond it the call ends."""
    ping_interval_min_ms: int = 200
    """Shortest time between a peer's pings that is tolerated. Envoy's `connection_keepalive` is often set to
    some hundred ms, while gRPC's own default (5 minutes) answers that with a GOAWAY."""

    def __post_init__(self) -> None:
        if not self.listen:
            raise OptionsError("a server needs at least one listener")
        named = [listener.address for listener in self.listen if not listener.address.endswith(":0")]
        if len(set(named)) != len(named):
            raise OptionsError("two listeners have the same address")
        for name in (
            "message_bytes_max", "streams_per_connection_max", "calls_max", "connections_max", "replies_waiting_max",
            "unfinished_bytes_max", "unsent_bytes_max",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise OptionsError(f"{name} must be at least 1")
        if self.ping_interval_min_ms < 0:
            raise OptionsError("ping_interval_min_ms must not be negative")
