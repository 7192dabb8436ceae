"""Frames as clients send them, good and bad, and the core driven by them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import strategies as st

from borderpost_wire.h2 import Connection, Limits, ResponseHead, Trailers, frames
from borderpost_wire.h2.inbound import Inbound
from borderpost_wire.hpack import encode_fields

FIELDS = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a.B/C"), (b":authority", b"x")]
BLOCK = encode_fields(FIELDS)
CONFIRMED = b"\x20" + BLOCK
"""The same behind a table size update to 0."""
HEAD = ResponseHead(encode_fields([(b":status", b"200")]))
TRAILERS = Trailers(encode_fields([(b"grpc-status", b"0")]))

GREETING = frames.PREFACE + frames.settings({})
EAGER = Limits(waive_table_at_id=1)
"""The table is waived with the first stream, so that short tests reach the shortcuts."""

Seen = list[tuple[int, int, Any]]


def headers(stream_id: int, *, end: bool = False, block: bytes = BLOCK) -> bytes:
    return frames.frame(frames.HEADERS, frames.END_HEADERS | (frames.END_STREAM if end else 0), stream_id, block)


def data(stream_id: int, payload: bytes, *, end: bool = False) -> bytes:
    return frames.frame(frames.DATA, frames.END_STREAM if end else 0, stream_id, payload)


def stateless_connection(connection: Connection) -> Connection:
    """Bring a connection to the point where blocks are remembered; streams 1 and 3 are over."""
    seen = drive(connection, [GREETING + frames.SETTINGS_ACK + headers(1, end=True) + frames.rst_stream(1, 8)])
    assert seen
    drive(connection, [frames.SETTINGS_ACK + headers(3, block=CONFIRMED, end=True) + frames.rst_stream(3, 8)])
    connection.out.take()
    return connection


def drive(connection: Connection, chunks: Iterable[bytes], *, answer: bool = False) -> Seen:
    """Feed chunks; return the events. With `answer`, each request is answered at the end of its chunk."""
    seen: Seen = []
    for number, chunk in enumerate(chunks):
        events = connection.receive(chunk, float(number))
        seen.extend((kind, stream.id, payload) for kind, stream, payload in events)
        if answer:
            for kind, stream, _ in events:
                if kind == 0 and connection.out.takes(stream):
                    connection.out.respond(stream, HEAD, b"answer", TRAILERS if stream.id % 4 == 3 else None)
    return seen


class PlainConnection(Connection):
    """A connection without shortcuts: the reference."""

    __slots__ = ()

    def _walk(self, data: bytes) -> None:
        data, self._pending = self._pending + data, b""
        while len(data) >= 9:
            size = int.from_bytes(data[:3], "big")
            if size > frames.FRAME_BYTES_DEFAULT:
                super()._walk(data)  # refuses it
                return
            if len(data) < 9 + size:
                break
            stream_id = int.from_bytes(data[5:9], "big") & frames.STREAM_ID_MASK
            Inbound._frame(self, data[3], data[4], stream_id, data[9 : 9 + size])
            data = data[9 + size :]
        self._pending = data


def split(text: bytes, places: Sequence[int]) -> list[bytes]:
    """Return a text cut at places, which are taken modulo its length."""
    cuts = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[a:b] for a, b in itertools.pairwise(cuts)]


STREAM_IDS = st.sampled_from([0, 1, 2, 3, 5, 5, 7, 9, 9, 11, 13, 0x7FFFFFFF, 0x80000005])
BLOCKS = st.sampled_from(
    [
        BLOCK, BLOCK, BLOCK, CONFIRMED, b"", b"\x82", b"\xbe", BLOCK + b"\x40\x01a\x01b", BLOCK + b"\x00\x01A\x01b",
        encode_fields([*FIELDS, (b"content-length", b"3")]), encode_fields([(b"x", b"y")]), BLOCK[:-1],
        encode_fields([*FIELDS, (b"connection", b"close")]), encode_fields([*FIELDS, (b"x", b"y" * 20_000)])[:9000],
    ]
)  # fmt: skip
BODIES = st.sampled_from([b"", b"abc", b"x" * 100, b"y" * 16_384, b"\x05abc", b"\x00\x00\x00\x00\x01z"])
FLAGS = st.sampled_from([0, 0, 1, 4, 4, 5, 5, 8, 9, 0x0C, 0x20, 0x24, 0x2D, 0xFF])


@st.composite
def any_frame(draw: st.DrawFn) -> bytes:
    """Return a frame that is right more often than not."""
    kind = draw(st.sampled_from([0, 0, 0, 1, 1, 1, 1, 2, 3, 3, 4, 5, 6, 7, 8, 8, 9, 9, 10, 200]))
    payload: bytes
    if kind in (1, 9):
        payload = draw(BLOCKS)
    elif kind == 0:
        payload = draw(BODIES)
    elif kind == 4:
        entry = st.tuples(
            st.sampled_from([1, 2, 3, 4, 5, 6, 8, 99]),
            st.sampled_from([0, 1, 5, 100, 16_384, 65_535, 2**31 - 1, 2**31]),
        )
        payload = b"".join(n.to_bytes(2, "big") + v.to_bytes(4, "big") for n, v in draw(st.lists(entry, max_size=3)))
    elif kind in (3, 8):
        payload = draw(st.sampled_from([0, 1, 2, 7, 65_535, 2**31 - 1])).to_bytes(4, "big")
    else:
        payload = draw(st.sampled_from([b"", b"\0" * 4, b"\0\0\0\3\0", b"12345678", b"\0goaway\0"]))
    if draw(st.integers(0, 30)) == 0:
        payload += b"?"
    flags = 0 if kind in (4, 6) and draw(st.booleans()) else draw(FLAGS)
    return frames.frame(
        kind, flags, draw(STREAM_IDS) if kind not in (4, 6, 7) else draw(st.sampled_from([0, 0, 1])), payload
    )
