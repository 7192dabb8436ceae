"""Where each microsecond goes: the steps of one decision, each by itself, in one process without sockets and disk.

Each step is repeated over a batch as large as a driver keeps in flight; the least of many repeats is taken, because
whatever else runs on the machine only adds. The steps add up to less than a worker spends: system calls, the event
loop and the sync of the log are not in them (`docs/internals/microseconds.md` has these from a profile).
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from borderpost.answers import AnswerSettings, ExtProcDoor
from borderpost.audit.record import NO_RECORD, RecordMaker, decision_ids
from borderpost.recognition import Recogniser
from borderpost.requests import ProcessReader
from borderpost_base.world import SystemRandomness
from borderpost_bench.cold import sized_view
from borderpost_bench.constant import PROCESS
from borderpost_bench.experiment import Experiment, Round
from borderpost_bench.load import question
from borderpost_bench.measure import Settings
from borderpost_bench.sizes import Size
from borderpost_bench.traffic import requests_of
from borderpost_envoy import Via
from borderpost_wire.hpack import encode_fields
from borderpost_wire.options import ServerOptions, UnixListen
from borderpost_wire.service import Call, MethodKind
from borderpost_wire.wire_engine import WireEngine
from borderpost_wire.wire_protocol import WireProtocol

BATCH: Final = 64
"""Decisions in flight, as the driver keeps them."""
REPEATS: Final = 60
_ANSWER_BYTES: Final = 180
_HEADERS: Final = (
    (b":method", b"POST"), (b":scheme", b"http"), (b":path", PROCESS.encode()), (b":authority", b"borderpost"),
    (b"te", b"trailers"), (b"content-type", b"application/grpc"),
)  # fmt: skip
_DATA, _HEAD, _RESET, _SETTINGS, _WINDOW = 0, 1, 3, 4, 8


def measure_steps(_settings: Settings, _engine: str) -> Round:
    """Measure each step once."""
    view = sized_view(Size(3, 10))
    reader, door = ProcessReader(), ExtProcDoor(AnswerSettings("https://gateway.example", 5))
    messages = [
        question(request, Via.EXT_PROC, f"{number:012x}", 40_000 + number)
        for number, request in enumerate(requests_of("one", BATCH))
    ]
    recogniser: Recogniser[object] = Recogniser(1024)
    place_of = view.locator.place_number
    for message in messages:
        parsed = reader.parse(message)
        raw, _ = reader.read(parsed, view.reading)
        recogniser.remember(message, parsed, raw.address, place_of, view)
    now_us = time.time_ns() // 1000

    def recognise() -> None:
        for message in messages:
            recogniser.find(message, place_of)

    def read() -> None:
        for message in messages:
            raw, _ = reader.read(reader.parse(message), view.reading)
            view.answer(raw, now_us)

    raw, _ = reader.read(reader.parse(messages[0]), view.reading)
    decision = view.answer(raw, now_us)
    maker = RecordMaker("bench.example/gateway/worker-0", "ab" * 10, SystemRandomness())
    prepared = maker.prepare("decision", {**decision.record, "via": "ext_proc"})
    found = recogniser.find(messages[0], place_of)
    assert found is not None, "what was remembered is recognised"
    entries = [(prepared, found[1])] * BATCH
    lines, head = maker.follow(entries, NO_RECORD, at_us=now_us, mono_us=1)
    pieces = door.template(decision.answer, decision.facts)
    ids = decision_ids(maker.epoch, 0, BATCH)

    def record() -> None:
        maker.follow(entries, head, at_us=now_us, mono_us=1)
        decision_ids(maker.epoch, 0, BATCH)

    def answer() -> None:
        for identity in ids:
            identity.join(pieces)

    steps: Mapping[str, Callable[[], None]] = {
        "recognise": recognise, "read_instead": read, "record": record, "answer": answer,
    }  # fmt: skip
    figures = {f"{name}_us": least_us(step) for name, step in steps.items()}
    figures["engine_us"] = asyncio.run(_measure_engine())
    return Round(figures={name: round(value, 2) for name, value in figures.items()},
                 details={"record_bytes": len(lines[0]) + 1, "message_bytes": len(messages[0])})  # fmt: skip


def least_us(step: Callable[[], None], count: int = BATCH) -> float:
    """Return the microseconds that one of `count` takes, the least of many repeats."""
    best_ns = min(_timed_ns(step) for _ in range(REPEATS))
    return best_ns / 1000 / count


def _timed_ns(step: Callable[[], None]) -> int:
    began_ns = time.perf_counter_ns()
    step()
    return time.perf_counter_ns() - began_ns


class _Constant:
    """A service that gives every question the same answer."""

    methods: Mapping[str, MethodKind] = {PROCESS: MethodKind.STREAM}

    def messages(self, batch: Sequence[tuple[Call, bytes]]) -> None:
        for call, _ in batch:
            call.reply(b"x" * _ANSWER_BYTES)

    def gone(self, call: Call) -> None:
        pass


class _Transport:
    """A transport that swallows what is written."""

    def write(self, data: bytes) -> None:
        pass

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        pass

    def get_extra_info(self, name: str) -> Any:
        return None

    def close(self) -> None:
        raise AssertionError("the engine ended the connection")

    abort = close


async def _measure_engine() -> float:
    """Return the microseconds of a call in the engine: frames in, batch to the service, frames out."""
    service = _Constant()
    listen = UnixListen(Path("/nowhere"))
    engine: Any = WireEngine(ServerOptions(listen=(listen,)), {PROCESS: (MethodKind.STREAM, service)})
    engine.time = time.monotonic  # as `start` would, but without sockets
    protocol = WireProtocol(engine, listen)
    protocol.connection_made(cast("asyncio.BaseTransport", _Transport()))
    window = struct.pack(">HL", 4, 1 << 20)
    protocol.data_received(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, window) + _frame(_SETTINGS, 1, 0)
        + _frame(_WINDOW, 0, 0, struct.pack(">L", 1 << 30))
    )  # fmt: skip
    block = encode_fields(_HEADERS)
    message = b"m" * 260
    body = struct.pack(">BL", 0, len(message)) + message
    chunks = []
    for first in range(1, 2 * BATCH * (REPEATS + 2), 2 * BATCH):
        asked = range(first, first + 2 * BATCH, 2)
        before = range(max(1, first - 2 * BATCH), first, 2)
        chunks.append(
            b"".join(_frame(_RESET, 0, stream, bytes(4)) for stream in before)
            + b"".join(_frame(_HEAD, 4, stream, block) + _frame(_DATA, 0, stream, body) for stream in asked)
        )
    protocol.data_received(chunks[0])
    engine._turn()
    # From here on the peer keeps no table, which the engine asked for with the first streams (RFC 7541, section 4.2).
    protocol.data_received(_frame(_SETTINGS, 1, 0))
    second = 1 + 2 * BATCH
    chunks[1] = chunks[1].replace(_frame(_HEAD, 4, second, block), _frame(_HEAD, 4, second, b"\x20" + block))
    protocol.data_received(chunks[1])
    engine._turn()

    left = iter(chunks[2:])

    def turn() -> None:
        protocol.data_received(next(left))
        engine._turn()

    return least_us(turn)


def _frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return struct.pack(">HBBBL", len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream_id) + payload


STEPS = Experiment(name="steps", title="the steps of one decision, each by itself", run=measure_steps, rounds_max=1)
