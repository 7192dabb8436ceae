"""What a connection sends: frames in order, held back by the peer's windows (RFC 9113 section 5.2)."""

from __future__ import annotations

import collections
import struct
from typing import Final

from borderpost_wire.h2 import frames
from borderpost_wire.h2.errors import ConnectionFault, ErrorCode, LocalFault, StreamFault
from borderpost_wire.h2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES_DEFAULT,
    HEADERS,
    WINDOW_DEFAULT,
    WINDOW_MAX,
)
from borderpost_wire.h2.states import ROWS, Event, State
from borderpost_wire.h2.stream import Stream, Streams
from borderpost_wire.hpack.decoder import TABLE_BYTES_DEFAULT
from borderpost_wire.hpack.encoder import EMPTY_TABLE_UPDATE

Queued = tuple[bytes | memoryview, int]
"""What waits for a window: a payload and one of the three below."""
MORE: Final = 0
LAST: Final = 1
TRAILERS: Final = 2

_SEND_HEADERS: Final = int(Event.SEND_HEADERS)
_SEND_DATA: Final = int(Event.SEND_DATA)
_SEND_END_STREAM: Final = int(Event.SEND_END_STREAM)
_SEND_RST_STREAM: Final = int(Event.SEND_RST_STREAM)
_CLOSED: Final = int(State.CLOSED)


class ResponseHead:
    """The block of a response's fields, prepared so that HEADERS and the head of one DATA frame are one packing."""

    __slots__ = ("block", "head", "packed")

    def __init__(self, block: bytes) -> None:
        if len(block) > FRAME_BYTES_DEFAULT:
            raise LocalFault("a block that needs more than one frame")
        self.block = block
        self.head = frames.frame(HEADERS, END_HEADERS, 0, block)[:5]
        self.packed = struct.Struct(f">5sL{len(block)}sHBBBL").pack


class Trailers:
    """The block that ends a response, prepared so that its frame is one packing."""

    __slots__ = ("block", "head", "packed")

    def __init__(self, block: bytes) -> None:
        if len(block) > FRAME_BYTES_DEFAULT:
            raise LocalFault("a block that needs more than one frame")
        self.block = block
        self.head = frames.frame(HEADERS, END_HEADERS | END_STREAM, 0, block)[:5]
        self.packed = struct.Struct(f">5sL{len(block)}s").pack


class Outbound:
    """The sending half of a connection. All that is sent is appended to `pieces`; `take` hands it over."""

    __slots__ = (
        "_corked",
        "_ready",
        "_streams",
        "_table_bytes",
        "_table_update_due",
        "answers",
        "data_frames",
        "frame_bytes_max",
        "initial_window_bytes",
        "pieces",
        "queued_bytes",
        "window_bytes",
    )

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self.pieces: list[bytes | memoryview] = []
        self.window_bytes = WINDOW_DEFAULT
        """What the peer takes on the connection."""
        self.initial_window_bytes = WINDOW_DEFAULT
        """What the peer takes on a stream, before the stream's own `credit_bytes`."""
        self.frame_bytes_max = FRAME_BYTES_DEFAULT
        self.queued_bytes = 0
        """DATA that waits."""
        self.answers = 0
        """Responses begun."""
        self.data_frames = 0
        self._corked = False
        self._ready: dict[Stream, None] = {}
        """Streams whose own window has room, while the connection's has none or the output is corked."""
        self._table_bytes = TABLE_BYTES_DEFAULT
        """The table that the peer keeps for us, as far as we have told it."""
        self._table_update_due = False

    def take(self) -> bytes:
        """Return everything to be written since the last time."""
        pieces = self.pieces
        if not pieces:
            return b""
        written = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return bytes(written)

    # What a server says on a stream

    def respond(self, stream: Stream, head: ResponseHead, data: bytes, trailers: Trailers | None = None) -> None:
        """Send the head of a response, one piece of its body and, if given, the trailers that end it.

        The usual answer, in one go. `head_fields`, `data` and `trailers` by themselves give the same bytes.
        """
        size = len(data)
        room = self.initial_window_bytes + stream.credit_bytes
        if (
            size > room or size > self.window_bytes or size > FRAME_BYTES_DEFAULT
            or self._corked or self._table_update_due or stream.answered
        ):  # fmt: skip
            if not stream.answered:
                self.head_fields(stream, head.block)
            self.data(stream, data)
            if trailers is not None:
                self.trailers(stream, trailers.block)
            return
        row = ROWS[stream.phase]
        if row[_SEND_DATA] < 0:
            raise LocalFault("a response on a stream that takes none")
        stream.answered = True
        stream.credit_bytes -= size
        self.window_bytes -= size
        self.answers += 1
        self.data_frames += 1
        stream_id = stream.id
        pieces = self.pieces
        pieces.append(head.packed(head.head, stream_id, head.block, size >> 8, size & 0xFF, DATA, 0, stream_id))
        pieces.append(data)
        if trailers is not None:
            pieces.append(trailers.packed(trailers.head, stream_id, trailers.block))
            stream.phase = row[_SEND_END_STREAM]
            self._note_end(stream)

    def head_fields(self, stream: Stream, block: bytes, *, end: bool = False) -> None:
        """Send the head of a response; with `end` it is the whole response."""
        if stream.answered:
            raise LocalFault("a second head")
        stream.answered = True
        self.answers += 1
        self._emit_fields(stream, block, end=end)

    def data(self, stream: Stream, data: bytes, *, end: bool = False) -> None:
        """Send a piece of a body, as windows allow."""
        self._queue(stream, data, LAST if end else MORE)

    def trailers(self, stream: Stream, block: bytes) -> None:
        """Send the fields that end a response, behind its body."""
        self._queue(stream, block, TRAILERS)

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """End a stream at once, in both directions."""
        state = ROWS[stream.phase][_SEND_RST_STREAM]
        if state < 0:
            raise LocalFault("RST_STREAM on a stream that is over")
        stream.phase = state
        self.discard(stream)
        self._streams.note_reset(stream.id)
        self.pieces.append(frames.rst_stream(stream.id, code))

    def takes(self, stream: Stream) -> bool:
        """Return whether more may be said on a stream: it is open to us, and its response has not been ended."""
        return ROWS[stream.phase][_SEND_HEADERS] >= 0 and not (stream.queue and stream.queue[-1][1] != MORE)

    # Windows

    def discard(self, stream: Stream) -> None:
        """Throw away what waits on a stream that is over."""
        self._ready.pop(stream, None)
        if stream.queue is not None:
            self.queued_bytes -= sum(len(payload) for payload, what in stream.queue if what != TRAILERS)
            stream.queue = None

    def cork(self) -> None:
        """Hold DATA back: whoever writes has enough."""
        self._corked = True

    def uncork(self) -> None:
        """Send what was held back."""
        self._corked = False
        self._pump()

    @property
    def stalled(self) -> bool:
        """Return whether output waits for the peer."""
        return self.queued_bytes > 0 and not self._corked

    def widen(self, increment: int) -> None:
        """Take a WINDOW_UPDATE of the connection."""
        self.window_bytes += increment
        if self.window_bytes > WINDOW_MAX:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window overflows")
        self._pump()

    def widen_stream(self, stream: Stream, increment: int) -> None:
        """Take a WINDOW_UPDATE of a stream."""
        stream.credit_bytes += increment
        if self.initial_window_bytes + stream.credit_bytes > WINDOW_MAX:
            raise StreamFault(stream.id, ErrorCode.FLOW_CONTROL_ERROR, "the stream's window overflows")
        if stream.queue:
            self._ready[stream] = None
            self._pump()

    def set_initial_window(self, size_bytes: int) -> None:
        """Take SETTINGS_INITIAL_WINDOW_SIZE, which moves the window of every stream (section 6.9.2)."""
        grows = size_bytes > self.initial_window_bytes
        self.initial_window_bytes = size_bytes
        if not grows:
            return
        for stream in self._streams.open.values():
            if size_bytes + stream.credit_bytes > WINDOW_MAX:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window overflows")
            if stream.queue:
                self._ready[stream] = None
        self._pump()

    def take_table_size(self, size_bytes: int) -> None:
        """Take SETTINGS_HEADER_TABLE_SIZE: a table smaller than ours has to be confirmed in the next block.

        We use no table, so we confirm one of no bytes, once, and it never becomes smaller (RFC 9113 section 4.3.1).
        """
        if size_bytes < self._table_bytes:
            self._table_bytes = 0
            self._table_update_due = True

    # Inside

    def _emit_fields(self, stream: Stream, block: bytes | memoryview, *, end: bool) -> None:
        state = ROWS[stream.phase][_SEND_HEADERS]
        if state >= 0 and end:
            state = ROWS[state][_SEND_END_STREAM]
        if state < 0:
            raise LocalFault("HEADERS on a stream that takes none")
        stream.phase = state
        if self._table_update_due:
            self._table_update_due = False
            block = EMPTY_TABLE_UPDATE + bytes(block)
        self.pieces.append(frames.frame(HEADERS, END_HEADERS | END_STREAM if end else END_HEADERS, stream.id, block))
        if end:
            self._note_end(stream)

    def _queue(self, stream: Stream, payload: bytes, what: int) -> None:
        if not self.takes(stream):
            raise LocalFault("more behind the end of a response")
        if stream.queue is None:
            stream.queue = collections.deque()
        if what != TRAILERS:
            self.queued_bytes += len(payload)
        stream.queue.append((payload, what))
        self._advance(stream, many=True)

    def _pump(self) -> None:
        """Send what waited, one frame a stream in turn."""
        ready = self._ready
        while ready and self.window_bytes > 0 and not self._corked:
            stream = next(iter(ready))
            del ready[stream]
            self._advance(stream, many=False)

    def _advance(self, stream: Stream, *, many: bool) -> None:
        """Send what a stream's queue and the windows allow: one DATA frame, or all that is possible."""
        queue = stream.queue
        while queue:
            payload, what = queue[0]
            if what == TRAILERS:
                queue.popleft()
                self._emit_fields(stream, payload, end=True)
                return
            own = self.initial_window_bytes + stream.credit_bytes
            size = max(0, min(len(payload), own, self.window_bytes, self.frame_bytes_max))
            if payload and (not size or self._corked):
                if own > 0:
                    self._ready[stream] = None
                return
            if size < len(payload):
                view = memoryview(payload)
                queue[0] = (view[size:], what)
                self._emit_data(stream, view[:size], end=False)
            else:
                queue.popleft()
                self._emit_data(stream, payload, end=what == LAST)
            if not many and queue and queue[0][1] != TRAILERS:
                if self.initial_window_bytes + stream.credit_bytes > 0:
                    self._ready[stream] = None
                return

    def _emit_data(self, stream: Stream, payload: bytes | memoryview, *, end: bool) -> None:
        state = ROWS[stream.phase][_SEND_DATA]
        if state >= 0 and end:
            state = ROWS[state][_SEND_END_STREAM]
        if state < 0:
            raise LocalFault("DATA on a stream that takes none")
        size = len(payload)
        stream.phase = state
        stream.credit_bytes -= size
        self.window_bytes -= size
        self.queued_bytes -= size
        self.data_frames += 1
        self.pieces.append(frames.HEAD.pack(size >> 8, size & 0xFF, DATA, END_STREAM if end else 0, stream.id))
        if size:
            self.pieces.append(payload)
        if end:
            self._note_end(stream)

    def _note_end(self, stream: Stream) -> None:
        """Let go of a stream whose response was sent; a peer that is still sending may stop (section 8.1)."""
        if stream.phase == _CLOSED:
            self._streams.forget(stream.id)
        else:
            self.reset(stream, ErrorCode.NO_ERROR)
