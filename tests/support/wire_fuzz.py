"""Any bytes, in any pieces, at the wire engine without sockets: strategies, and what has to hold whatever comes.

Used by a test with few examples and by `tools/fuzz.py` with as many as its time allows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import hpack as oracle
from hypothesis import strategies as st

from borderpost_wire.h2 import Connection, frames
from borderpost_wire.h2.frames import WINDOW_DEFAULT
from borderpost_wire.hpack import encode_fields
from borderpost_wire.options import ServerOptions, TcpListen
from borderpost_wire.rpc.framing import MessageReader, framed
from borderpost_wire.service import Call, MethodKind, StatusCode
from borderpost_wire.wire_engine import WireEngine
from borderpost_wire.wire_protocol import WireProtocol
from support.h2_frames import (
    EAGER,
    GREETING,
    PlainConnection,
    any_frame,
    data,
    drive,
    headers,
    split,
    stateless_connection,
)
from support.wire_server import ScriptedService

METHODS = {
    "/f.F/Unary": MethodKind.UNARY,
    "/f.F/Stream": MethodKind.STREAM,
    "/f.F/Client": MethodKind.CLIENT_STREAM,
    "/f.F/Many": MethodKind.SERVER_STREAM,
}
LISTEN = TcpListen("127.0.0.1", 0)
OPTIONS = ServerOptions(
    listen=(LISTEN,), message_bytes_max=2000, streams_per_connection_max=8, replies_waiting_max=5, calls_max=6
)
_NUMBERS = st.integers(0, 7)
_SIZES = st.sampled_from([0, 1, 5, 100, 1900, 2001])

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), _NUMBERS, st.sampled_from(["Unary", "Stream", "Stream", "Client", "Many", "None"])),
        st.tuples(st.just("message"), _NUMBERS, _SIZES),
        st.tuples(st.just("message"), _NUMBERS, _SIZES),
        st.tuples(st.just("piece"), _NUMBERS, st.binary(max_size=12)),
        st.tuples(st.just("end"), _NUMBERS, st.none()),
        st.tuples(st.just("reset"), _NUMBERS, st.sampled_from([0, 8, 99])),
        st.tuples(st.just("window"), _NUMBERS, st.sampled_from([1, 7, 1000, 65_535])),
        st.tuples(st.just("connection window"), _NUMBERS, st.sampled_from([1, 1000, 1 << 20])),
        st.tuples(st.just("initial window"), _NUMBERS, st.sampled_from([0, 1, 100, 65_535])),
        st.tuples(st.just("table size"), _NUMBERS, st.sampled_from([0, 100, 4096])),
        st.tuples(st.just("ack"), _NUMBERS, st.none()),
        st.tuples(st.just("frame"), _NUMBERS, any_frame()),
        st.tuples(st.just("bytes"), _NUMBERS, st.binary(max_size=20)),
    ),
    max_size=30,
)
"""What a client does, mostly right; the number says on which of its streams."""
FRAMES = st.lists(any_frame(), max_size=25)
PLACES = st.lists(st.integers(0, 1 << 20), max_size=12)


def prepared(kind: type[Connection], ready: bool) -> Connection:
    """Return a connection that was greeted; with `ready`, one whose blocks are remembered."""
    connection = kind(EAGER)
    if ready:
        return stateless_connection(connection)
    drive(connection, [GREETING])
    return connection


def check_splits(sent: Sequence[bytes], places: Sequence[int], ready: bool) -> None:
    """Hold the core to this: the same bytes mean the same, however they come."""
    text = b"".join(sent)
    whole, parts = prepared(Connection, ready), prepared(Connection, ready)
    events = whole.receive(text, 5.0)
    told = [(kind, stream.id, payload) for kind, stream, payload in events]
    again = []
    for chunk in split(text, places):
        again += [(kind, stream.id, payload) for kind, stream, payload in parts.receive(chunk, 5.0)]
    assert again == told
    assert parts.out.take() == whole.out.take()
    assert (parts.failed, parts.last_words) == (whole.failed, whole.last_words)


def check_shortcuts(sent: Sequence[bytes], places: Sequence[int], ready: bool) -> None:
    """Hold the core to this: its shortcuts mean the same as the plain form."""
    short, plain = prepared(Connection, ready), prepared(PlainConnection, ready)
    chunks = split(b"".join(sent), places)
    assert drive(short, chunks, answer=True) == drive(plain, chunks, answer=True)
    assert short.out.take() == plain.out.take()
    assert short.failed == plain.failed
    assert {n: s.phase for n, s in short.streams.open.items()} == {n: s.phase for n, s in plain.streams.open.items()}


@dataclass(slots=True)
class Script:
    """The bytes of some actions, and what was asked on which stream."""

    text: bytes = frames.PREFACE + frames.settings({})
    streams: list[int] = field(default_factory=list)
    asked: dict[int, set[bytes]] = field(default_factory=dict)
    tampered: bool = False
    """There are frames that may ask for anything."""


def written(actions: Sequence[tuple[str, int, Any]]) -> Script:
    """Return a client's actions as bytes."""
    script = Script()
    for action, which, what in actions:
        stream_id = script.streams[which % len(script.streams)] if script.streams else 1
        if action == "open":
            stream_id = 2 * len(script.streams) + 1
            script.streams.append(stream_id)
            fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", f"/f.F/{what}".encode())]
            script.text += headers(stream_id, block=encode_fields([*fields, (b"content-type", b"application/grpc")]))
        elif action == "message":
            message = b"%d." % stream_id + b"m" * what
            script.asked.setdefault(stream_id, set()).add(message)
            script.text += data(stream_id, framed(message))
        elif action in ("frame", "bytes"):
            script.tampered = True
            script.text += what
        else:
            script.text += _CODED[action](stream_id, what)
    return script


_CODED: dict[str, Callable[[int, Any], bytes]] = {
    "piece": data,
    "end": lambda stream_id, _what: data(stream_id, b"", end=True),
    "reset": frames.rst_stream,
    "window": frames.window_update,
    "connection window": lambda _stream_id, what: frames.window_update(0, what),
    "initial window": lambda _stream_id, what: frames.settings({4: what}),
    "table size": lambda _stream_id, what: frames.settings({1: what}),
    "ack": lambda _stream_id, _what: frames.SETTINGS_ACK,
}


class Loop:
    """The little of an event loop that the engine uses, run by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._soon: list[Callable[[], None]] = []

    def time(self) -> float:
        """Return the time that the test has let pass."""
        return self.now_s

    def call_soon(self, work: Callable[[], None]) -> None:
        """Keep work for `run`."""
        self._soon.append(work)

    def call_later(self, _delay_s: float, _work: Callable[[], None]) -> asyncio.TimerHandle | None:
        """Let nothing happen by itself."""
        return None

    def run(self) -> None:
        """Do what was kept, and what comes of it."""
        while self._soon:
            soon, self._soon = self._soon, []
            for work in soon:
                work()


class Transport:
    """Takes everything."""

    def __init__(self, protocol: WireProtocol, loop: Loop) -> None:
        self.written = b""
        self.closed = False
        self._protocol, self._loop = protocol, loop

    def write(self, text: bytes) -> None:
        """Keep what is sent."""
        assert not self.closed, "written behind the end"
        self.written += text

    def close(self) -> None:
        """End the connection."""
        if not self.closed:
            self.closed = True
            self._loop.call_soon(lambda: self._protocol.connection_lost(None))

    abort = close

    def set_write_buffer_limits(self, _high: int, _low: int) -> None:
        """Set nothing."""

    def get_extra_info(self, _name: str) -> None:
        """Know nothing."""


def act(batch: Sequence[tuple[Call, bytes]]) -> None:
    """Answer, or do whatever else a service may: fail, raise, finish, answer many times or never."""
    for call, message in batch:
        kind = len(message) % 7
        if kind == 1:
            call.fail(StatusCode.ABORTED, "as asked")
        elif kind == 2 and len(batch) % 2:
            raise LookupError
        elif kind == 3:
            call.finish()
        elif kind == 4 and call.method.endswith("Many"):
            for _ in range(7):
                call.reply(b"re:" + message)
        elif kind != 5:
            call.reply(b"re:" + message)


def served(chunks: Sequence[bytes]) -> tuple[bytes, WireEngine, ScriptedService]:
    """Give chunks to a connection of an engine; return what it wrote."""
    service = ScriptedService(METHODS, act)
    engine = WireEngine(OPTIONS, {method: (kind, service) for method, kind in METHODS.items()})
    loop = Loop()
    engine._loop = loop  # type: ignore[assignment]
    engine.time = loop.time
    protocol = WireProtocol(engine, LISTEN)
    transport = Transport(protocol, loop)
    protocol.connection_made(transport)  # type: ignore[arg-type]
    for chunk in chunks:
        if not transport.closed:
            protocol.data_received(chunk)
        loop.run()
        loop.now_s += 0.001
    protocol.connection_lost(None)
    loop.run()
    assert (engine.unanswered, engine.open_calls, engine.held_bytes) == (0, 0, 0)
    assert not engine.deadlines and not any(call.alive for call in service.gone_calls)
    return transport.written, engine, service


class Reader:
    """Reads a server's output as a strict client would, knowing what windows it gave."""

    def __init__(self, text: bytes) -> None:
        self.replies: dict[int, list[bytes]] = {}
        self.statuses: dict[int, int] = {}
        self.sent_bytes: dict[int, int] = {}
        self._heads: set[int] = set()
        self._ended: set[int] = set()
        self._plain: set[int] = set()
        """Answers to what was not gRPC."""
        self._readers: dict[int, MessageReader] = {}
        self._decoder = oracle.Decoder()
        at = 0
        while at < len(text):
            size, kind, flags = int.from_bytes(text[at : at + 3], "big"), text[at + 3], text[at + 4]
            stream_id = int.from_bytes(text[at + 5 : at + 9], "big")
            assert size <= frames.FRAME_BYTES_DEFAULT and at + 9 + size <= len(text)
            self._take(kind, flags, stream_id, text[at + 9 : at + 9 + size])
            at += 9 + size

    def _take(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        assert kind in (0, 1, 3, 4, 6, 7, 8) and not stream_id >> 31
        if kind in (0, 1):
            assert stream_id & 1 and stream_id not in self._ended, "behind the end of its stream"
        if kind == frames.HEADERS:
            fields = dict(self._decoder.decode(payload, raw=True))
            assert (b":status" in fields) == (stream_id not in self._heads)
            self._heads.add(stream_id)
            if fields.get(b":status", b"200") != b"200":
                self._plain.add(stream_id)
            if b"grpc-status" in fields:
                assert flags & frames.END_STREAM
                self.statuses[stream_id] = int(fields[b"grpc-status"])
        elif kind == frames.DATA:
            assert stream_id in self._heads, "a body without a head"
            self.sent_bytes[stream_id] = self.sent_bytes.get(stream_id, 0) + len(payload)
            if stream_id not in self._plain:
                reader = self._readers.setdefault(stream_id, MessageReader(1 << 20))
                self.replies.setdefault(stream_id, []).extend(reader.feed(payload))
        elif kind == frames.RST_STREAM:
            assert stream_id & 1
            self._ended.add(stream_id)
        if kind in (0, 1) and flags & frames.END_STREAM:
            self._ended.add(stream_id)


def check_engine(actions: Sequence[tuple[str, int, Any]], places: Sequence[int]) -> None:
    """Hold an engine to its promises for some actions, and for any split of their bytes."""
    script = written(actions)
    for chunks in ([script.text], split(script.text, places)):
        output, _, service = served(chunks)
        reader = Reader(output)
        for stream_id, replies in reader.replies.items():
            for reply in replies:
                assert reply.startswith(b"re:")
                if not script.tampered:
                    assert reply[3:] in script.asked[stream_id], "an answer on another's stream"
        if not any(action in ("window", "connection window", "frame", "bytes") for action, _, _ in actions):
            assert sum(reader.sent_bytes.values()) <= WINDOW_DEFAULT
        for call, message in (pair for batch in service.batches for pair in batch):
            stream_id = call.id  # type: ignore[attr-defined]
            if not script.tampered:
                assert message in script.asked.get(stream_id, ()) or len(message) < 12
