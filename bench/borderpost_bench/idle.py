"""10,000 idle streams: a decision must hardly notice them.

One in ten watches the server's health, as many as the health service takes; the others are open to the decision
service without having asked: what an access log or a client that keeps a stream looks like to the engine. The same
worker is asked without them and with them, by turns.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from types import TracebackType

from borderpost_base.errors import BorderpostError
from borderpost_bench.alone import Alone, faults_of, need_driver
from borderpost_bench.constant import PROCESS
from borderpost_bench.experiment import Experiment, Round
from borderpost_bench.load import Load, grpc_frame
from borderpost_bench.measure import WARM_UP_S, Settings
from borderpost_bench.stage import ADDRESSES
from borderpost_bench.streams import messages
from borderpost_bench.targets import Target
from borderpost_bench.traffic import requests_of
from borderpost_envoy import Via

STREAMS, CONNECTIONS, WATCHING = 10_000, 4, 10
TURNS = 2
"""How often it is asked without and with them."""

WATCH = "/grpc.health.v1.Health/Watch"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_WAIT_S = 30.0


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def fields(path: str) -> bytes:
    """Return the header block of a call, every field a literal without indexing (RFC 7541, section 6.2.2)."""
    named = {
        ":method": "POST", ":scheme": "http", ":path": path, ":authority": "borderpost", "te": "trailers",
        "content-type": "application/grpc",
    }  # fmt: skip
    return b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in named.items()
    )


class IdleConnection:
    """One connection with streams that stay open, used as a context. Nobody reads it while it is idle."""

    def __init__(self, path: Path, streams: int) -> None:
        """Connect, and open so many streams, one in `WATCHING` of them watching.

        Raises BorderpostError BP0921 if the server ends one, or does not say that it serves.
        """
        self._transport = socket.socket(socket.AF_UNIX)
        try:
            self._transport.settimeout(_WAIT_S)
            self._transport.connect(str(path))
            self._read = self._transport.makefile("rb")
            self._open(streams)
        except BaseException:
            self._transport.close()
            raise

    def __enter__(self) -> IdleConnection:
        return self

    def __exit__(self, *_: TracebackType | object) -> None:
        self._read.close()
        self._transport.close()

    def _open(self, streams: int) -> None:
        self._transport.sendall(_PREFACE + frame(_SETTINGS, 0, 0))
        watching: set[int] = set()
        for number in range(streams):
            stream = 2 * number + 1
            if number % WATCHING == 0:
                watching.add(stream)
                asked = frame(_DATA, _END_STREAM, stream, grpc_frame(b""))
                self._transport.sendall(frame(_HEADERS, _END_HEADERS, stream, fields(WATCH)) + asked)
            else:
                self._transport.sendall(frame(_HEADERS, _END_HEADERS, stream, fields(PROCESS)))
        self._transport.sendall(frame(_PING, 0, 0, b"allthere"))
        told = False
        while watching or not told:
            kind, flags, stream, payload = self._next()
            if kind == _DATA:
                watching.discard(stream)
            elif kind == _SETTINGS and not flags & _ACK:
                self._transport.sendall(frame(_SETTINGS, _ACK, 0))
            elif kind == _PING and flags & _ACK:
                told = True
            elif kind == _PING:
                self._transport.sendall(frame(_PING, _ACK, 0, payload))
            elif kind in {_RST_STREAM, _GOAWAY} or (kind == _HEADERS and flags & _END_STREAM):
                raise BorderpostError("BP0921", f"an idle stream was ended by a frame of type {kind}: {payload!r}")

    def _next(self) -> tuple[int, int, int, bytes]:
        header = self._read.read(9)
        if len(header) < 9:
            raise BorderpostError("BP0921", "a connection with idle streams was closed")
        size = int.from_bytes(header[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", header[3:])
        return kind, flags, stream, self._read.read(size)


def measure_idle(settings: Settings, engine: str, *, streams: int = STREAMS, connections: int = CONNECTIONS) -> Round:
    """Ask without and with so many idle streams. Raises BorderpostError."""
    costs: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    loads: list[Load] = []
    memory: dict[bool, int] = {}
    with Alone(settings, engine=engine) as alone:
        questions = alone.questions(messages(requests_of("routed", ADDRESSES), Via.EXT_PROC))
        loads.append(alone.drive(questions, seconds=WARM_UP_S))
        for turn in range(2 * TURNS):
            crowded = turn % 2 == 1
            held = [IdleConnection(alone.socket, streams // connections) for _ in range(connections if crowded else 0)]
            try:
                before = alone.usage()
                loads.append(alone.drive(questions, seconds=settings.seconds))
                after = alone.usage()
            finally:
                for one in held:
                    one.__exit__()
            memory.setdefault(crowded, after.memory_bytes)
            costs[crowded].append(((after.cpu_s - before.cpu_s) / max(1, loads[-1].answered), loads[-1].p50_ms))
        alone.end()
        log = alone.count()
    return Round(figures=figures_of(costs, memory, streams), faults=faults_of(log, loads))


def figures_of(costs: dict[bool, list[tuple[float, float]]], memory: dict[bool, int], streams: int) -> dict[str, float]:
    """Return how much a decision slows, from (CPU s, p50 ms) of each turn without and with idle streams."""

    def mean(crowded: bool, which: int) -> float:
        return sum(one[which] for one in costs[crowded]) / len(costs[crowded])

    return {
        "cpu_slowdown": _ratio(mean(True, 0), mean(False, 0)),
        "p50_slowdown": _ratio(mean(True, 1), mean(False, 1)),
        "cpu_us": round(mean(False, 0) * 1e6, 2),
        "cpu_with_idle_us": round(mean(True, 0) * 1e6, 2),
        "memory_a_stream_bytes": round((memory[True] - memory[False]) / streams, 1),
    }


def _ratio(one: float, other: float) -> float:
    return round(one / other, 3) if other else 0.0


_SLOWER = 1.05
IDLE = Experiment(
    name="idle-streams",
    title="10,000 idle streams beside the load",
    run=measure_idle,
    need=need_driver,
    targets=(
        Target(figure="cpu_slowdown", most=_SLOWER, what="CPU per decision beside 10,000 idle streams"),
        Target(figure="p50_slowdown", most=_SLOWER, what="p50 beside 10,000 idle streams"),
    ),
)
