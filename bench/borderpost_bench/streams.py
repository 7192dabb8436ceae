"""The driver that asks as Envoy does: one stream a question, reset once answered, and no question twice.

It is a program in Go of `bench/rivals/go/drive`, because it has to outrun the servers that it drives. h2load drives
them too, as a check on it from another hand, but it sends one message over and over and ends streams otherwise.
"""

from __future__ import annotations

import json
import sys
import tempfile
from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from borderpost_base.errors import BorderpostError
from borderpost_bench.arrivals import Pace
from borderpost_bench.constant import CHECK, PROCESS
from borderpost_bench.latency import Percentiles
from borderpost_bench.load import Load, grpc_frame, question, run_tool
from borderpost_bench.traffic import Request
from borderpost_envoy import Via
from borderpost_ratelimit.service import SHOULD_RATE_LIMIT

MARKER = "%" * 12
"""Where the driver writes the number of a question, in hex. No header has it otherwise."""
ADDRESS_MARKER = "$$$$:$$$$"
"""Where it writes the number of an address: the last two groups of an IPv6 address."""
_WAITING_MAX = 16384
"""Questions of an open loop that may be without an answer at a time; the server's own bound is lower."""
_PORT_MIN, _PORTS = 32768, 28232
"""Of clients: what Linux draws from (ip(7), ip_local_port_range)."""


def messages(requests: Sequence[Request], via: Via, *, raw_headers: bool = True) -> bytes:
    """Return the driver's messages: one a request, in gRPC frames, each from a port of its own."""
    return b"".join(
        grpc_frame(question(request, via, MARKER, _PORT_MIN + number * 7919 % _PORTS, raw_headers=raw_headers))
        for number, request in enumerate(requests)
    )


def run_streams(
    driver: Path, socket: Path, messages: Path, *, via: Via | None, seconds: float, in_flight: int,
    connections: int = 1, prefix: Sequence[str] = (), first: int = 0, addresses: int = 1,
) -> Load:  # fmt: skip
    """Drive a gRPC server on a Unix socket in a closed loop, from the question of a number on.

    `via` None is a rate limit service. `addresses` is how many values `ADDRESS_MARKER` takes in turn. Raises
    BorderpostError BP0921.
    """
    output = run_tool([
        *prefix, str(driver), "-unix", str(socket), *_door(via), "-messages", str(messages),
        "-connections", str(connections), "-in-flight", str(in_flight),
        "-seconds", f"{seconds:g}", "-first", str(first), "-addresses", str(addresses),
    ], seconds)  # fmt: skip
    return parse_streams(output)


def _door(via: Via | None) -> tuple[str, ...]:
    """Return what the driver is told of whom it asks."""
    if via is None:
        return "-path", SHOULD_RATE_LIMIT, "-limits"
    return ("-path", PROCESS) if via is Via.EXT_PROC else ("-path", CHECK, "-unary")


def run_streams_open(
    driver: Path, socket: Path, messages: Path, *, via: Via | None, seconds: float, pace: Pace,
    prefix: Sequence[str] = (), first: int = 0,
) -> Load:  # fmt: skip
    """Drive it in an open loop, on one connection; latencies count from when each question was due.

    Raises BorderpostError BP0921, or BP0923 without the histogram's package.
    """
    with tempfile.NamedTemporaryFile(prefix="latencies-", dir=messages.parent) as file:
        output = run_tool([
            *prefix, str(driver), "-unix", str(socket), *_door(via), "-messages", str(messages),
            "-in-flight", str(_WAITING_MAX), "-seconds", f"{seconds:g}", "-first", str(first),
            "-rate", f"{pace.rate_s:g}", "-arrivals", pace.arrivals, "-seed", str(pace.seed),
            "-latencies", file.name,
        ], seconds)  # fmt: skip
        took = array("I", Path(file.name).read_bytes())
    if sys.byteorder == "big":
        took.byteswap()
    told, late = Percentiles.of(took), json.loads(output)
    return replace(
        parse_streams(output), p50_ms=told.p50_ms, p90_ms=told.p90_ms, p99_ms=told.p99_ms, p999_ms=told.p999_ms,
        offered_s=pace.rate_s, late_p50_ms=late["late_p50_us"] / 1000, late_p99_ms=late["late_p99_us"] / 1000,
    )  # fmt: skip


def parse_streams(output: str) -> Load:
    """Read the line of JSON that the driver prints. Raises BorderpostError BP0921."""
    try:
        told = json.loads(output)
        return Load(
            answered=told["answered"],
            refused=told["refused"],
            failed=told["failed"],
            seconds=told["duration_us"] / 1e6,
            p50_ms=told["p50_us"] / 1000,
            p90_ms=told["p90_us"] / 1000,
            p99_ms=told["p99_us"] / 1000,
            p999_ms=told["p99_9_us"] / 1000,
            by_cluster=dict(told["clusters"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BorderpostError("BP0921", f"the driver gave no result:\n{output[-1000:]}") from error
