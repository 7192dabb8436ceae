"""One probe of one region: connect, and for HTTP ask and look at the status line. Always ends, within the timeout.

The latency is the time to connect, which is one way there and back whatever the server does afterwards. A name is
looked up before the clock starts. Of the reply only the status line is read: the first line that the server sends
must be one (RFC 9112, section 4), within a bound, or the probe has failed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Literal

from borderpost.regions.config import ProbeSpec, split_host_port
from borderpost_base import limits
from borderpost_base.world import Clock

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\r?\n")

Outcome = Literal["ok", "refused", "timeout", "unresolved", "status", "malformed"]
"""How a probe ended; the label of the probe counter."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How one probe ended."""

    outcome: Outcome
    latency_us: int | None = None
    """Time to connect; None if no connection came about."""
    status: int | None = None
    """HTTP status, if a status line came."""

    @property
    def ok(self) -> bool:
        """Return True for a healthy answer."""
        return self.outcome == "ok"


async def probe_once(spec: ProbeSpec, clock: Clock) -> ProbeResult:
    """Probe once. Never raises for what the network or the server does."""
    latency_us: int | None = None
    try:
        async with asyncio.timeout(spec.timeout_s):
            host, port = split_host_port(spec.address)
            family, target = await _resolve(host, port)
            began_us = clock.mono_us()
            reader, writer = await asyncio.open_connection(
                target, port, family=family, limit=limits.PROBE_REPLY_BYTES_MAX
            )
            latency_us = clock.mono_us() - began_us
            try:
                if spec.kind == "tcp":
                    return ProbeResult("ok", latency_us)
                return await _ask(spec, reader, writer, latency_us)
            finally:
                writer.transport.abort()  # the rest of the reply is of no interest
    except TimeoutError:
        return ProbeResult("timeout", latency_us)
    except socket.gaierror:
        return ProbeResult("unresolved")
    except OSError:
        return ProbeResult("refused", latency_us)


async def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    """Return family and address of a host, its first one if it is a name. Raises socket.gaierror."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, target = found[0]
        return family, str(target[0])
    return (socket.AF_INET6 if address.version == 6 else socket.AF_INET), host


async def _ask(
    spec: ProbeSpec, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, latency_us: int
) -> ProbeResult:
    host = spec.host or spec.address
    writer.write(
        f"GET {spec.path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: borderpost-probe\r\naccept: */*\r\n"
        "connection: close\r\n\r\n".encode("ascii")
    )
    try:
        line = await reader.readuntil(b"\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return ProbeResult("malformed", latency_us)
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        return ProbeResult("malformed", latency_us)
    status = int(found[1])
    return ProbeResult("ok" if status in spec.expect else "status", latency_us, status)
