"""The section `limiter`: the rate-limit service with the place where it listens; and its file where it runs alone.

`borderpost ratelimit serve` needs no law. It reads the sections `limiter`, `audit` and `logs` of the one configuration
file, and passes over those that are the gateway's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from borderpost.audit.config import AuditSpec
from borderpost.config.sections import AdminSpec, DoorSpec, LogsSpec
from borderpost_base.strict import StrictModel
from borderpost_ratelimit.config import LimitsSpec


class LimiterDoor(DoorSpec):
    """Where Envoy reaches the limiter. Without `listen`, `borderpost ratelimit serve` listens on `host` and `port`."""

    socket: Path = Path("run/server/limiter.sock")
    """The socket, for `listen: unix`. Its directory should hold sockets of this gateway only. Where `server.directory`
    is set, and this is not, it is `limiter.sock` there."""

    port: int = Field(default=8081, ge=0, le=65535)
    """Port for `listen: tcp`; 8081 is envoyproxy/ratelimit's. 0 lets the system choose."""

    plaintext: bool = False
    """Whether a `tcp` listener beyond loopback may do without `tls.client_ca`: only where something else, such as a
    mesh or a network policy, keeps others out. Whoever reaches the port can use up anybody's limits."""

    @property
    def lets_the_network_in(self) -> bool:
        """Return what `plaintext` says."""
        return self.plaintext


class LimiterAdmin(AdminSpec):
    """Where the limiter's HTTP endpoints are: `/json`, `/rlconfig`, `/healthcheck`, `/livez`, `/readyz`, `/metrics`."""

    port: int = Field(default=8080, ge=0, le=65535)
    """Port of the endpoints; 8080 is envoyproxy/ratelimit's. 0 lets the system choose."""


class LimiterSection(LimitsSpec):
    """The rate-limit service. Inside `borderpost serve` it is one process beside the workers, on a socket of its own:
    a limiter in each worker would multiply every limit."""

    server: LimiterDoor = LimiterDoor()
    """Where Envoy reaches it."""

    admin: LimiterAdmin | None = None
    """Its own HTTP endpoints. null: inside `borderpost serve` there are none, and the gateway's admin server tells its
    metrics and readiness; alone, they are on loopback."""


class LimiterConfig(StrictModel):
    """The part of a configuration file that `borderpost ratelimit serve` reads."""

    limiter: LimiterSection
    audit: AuditSpec | None = None
    """Where refusals are recorded; null records none."""

    logs: LogsSpec = LogsSpec()


def beside_workers(data: Any) -> None:
    """Put the limiter's socket into the folder of the workers' sockets, unless a configuration says otherwise: Envoy
    has that folder already."""
    if not isinstance(data, dict):
        return
    limiter, server = data.get("limiter"), data.get("server")
    if not isinstance(limiter, dict) or not isinstance(server, dict) or not isinstance(server.get("directory"), str):
        return
    door = limiter.get("server")
    if door is None:
        door = limiter["server"] = {}
    if isinstance(door, dict):
        door.setdefault("socket", f"{server['directory']}/limiter.sock")
