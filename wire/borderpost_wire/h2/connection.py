"""A connection and its life: bytes in, events out.

`receive` walks the frames in what has come. Three kinds make up almost all traffic of a proxy: HEADERS whose
block was seen before, DATA that fits its windows, RST_STREAM behind an answer. They are taken in the loop itself;
every other frame, and every one of these that is not quite so simple, goes to its method in `inbound.py`. Both
ways mean the same, and the loop takes a shortcut only where it can see that nothing else applies.

No byte sequence makes `receive` raise. What breaks one stream is answered by RST_STREAM, what breaks the
connection by GOAWAY, after which `failed` is set and nothing more is taken.

The same bytes give the same events and the same output however they are split.
"""

from __future__ import annotations

from typing import Final

from borderpost_wire.h2 import frames
from borderpost_wire.h2.errors import ConnectionFault, ErrorCode
from borderpost_wire.h2.events import BODY, ENDED, REQUEST, RESET, Told
from borderpost_wire.h2.frames import (
    DATA,
    END_HEADERS,
    FRAME_BYTES_DEFAULT,
    HEADERS,
    PREFACE,
    RST_STREAM,
    STREAM_ID_MASK,
)
from borderpost_wire.h2.inbound import SHUTDOWN_PING, Inbound
from borderpost_wire.h2.request import NO_LENGTH
from borderpost_wire.h2.states import ROWS, Event, State

_OPEN: Final = int(State.OPEN)
_RECV_RST_STREAM: Final = int(Event.RECV_RST_STREAM)
_AFTER_END: Final = ROWS[_OPEN][Event.RECV_END_STREAM]


class Connection(Inbound):
    """One HTTP/2 connection, on the server's side.

    `new_stream(stream_id, request)` makes the stream objects (a `Stream` or a subclass). A `memo` may be shared
    by connections with the same limits. `now_s` is any clock that does not run backwards.
    """

    __slots__ = ()

    # Driven from outside

    def receive(self, data: bytes, now_s: float) -> list[Told]:
        """Take bytes from the peer; return what they mean, in order. Output may have come up."""
        if self.failed is not None:
            return []
        self._now_s = now_s
        events = self._events = []
        try:
            if self._greeted < len(PREFACE):
                data = self._take_preface(data)
            self._walk(data)
        except ConnectionFault as fault:
            self.fail(fault.code, str(fault))
        return events

    def tick(self, now_s: float) -> None:
        """Let time pass: ends a peer that keeps us waiting, and a graceful shutdown whose PING is not answered."""
        limits = self._limits
        self._now_s = max(self._now_s, now_s)
        if self._shutdown_began_s is not None and now_s - self._shutdown_began_s > limits.shutdown_ack_wait_s:
            self._refuse_new_streams()
        if not self.out.stalled:
            self._stalled_s = None
        elif self._stalled_s is None or self._stalled_frames != self.out.data_frames:
            self._stalled_s = now_s
            self._stalled_frames = self.out.data_frames
        waits = (
            (not self._settings_came, self._began_s, limits.preface_wait_s, ErrorCode.PROTOCOL_ERROR, "preface"),
            (not self._settings_acked, self._began_s, limits.settings_ack_wait_s, ErrorCode.SETTINGS_TIMEOUT, "ACK"),
            (
                self._block is not None, self._block_began_s,
                limits.block_wait_s, ErrorCode.ENHANCE_YOUR_CALM, "rest of a block",
            ),
            (bool(self._pending), self._frame_began_s, limits.frame_wait_s, ErrorCode.ENHANCE_YOUR_CALM, "frame"),
            (
                self._stalled_s is not None, self._stalled_s or 0.0,
                limits.stall_wait_s, ErrorCode.ENHANCE_YOUR_CALM, "window",
            ),
        )  # fmt: skip
        for waiting, since_s, wait_s, code, what in waits:
            if waiting and now_s - since_s > wait_s and self.failed is None:
                self.fail(code, f"waited too long for a {what}")

    def shut_down(self) -> None:
        """Begin a graceful end (section 6.8): say that no more streams are taken, and go on with those there are.

        Streams that were under way are taken until the peer has shown, by the ACK of a PING, that it knows.
        """
        if self._shutdown_began_s is None and not self.draining and self.failed is None:
            self._shutdown_began_s = self._now_s
            self.out.pieces.append(frames.goaway(STREAM_ID_MASK, ErrorCode.NO_ERROR))
            self.out.pieces.append(frames.frame(frames.PING, 0, 0, SHUTDOWN_PING))

    def fail(self, code: ErrorCode, text: str) -> None:
        """End the connection at once."""
        if self.failed is None:
            self.failed = code
            self.last_words = text
            last_id = self.streams.last_id if self._last_taken_id is None else self._last_taken_id
            self.out.pieces.append(frames.goaway(last_id, code, text))

    @property
    def finished(self) -> bool:
        """Return whether the connection can be closed: it has failed, or was shut down and has no streams left."""
        return self.failed is not None or (self.draining and not self.streams.open)

    # The loop

    def _take_preface(self, data: bytes) -> bytes:
        """Compare the preface (section 3.4) as it comes; return what is behind it."""
        expected = PREFACE[self._greeted : self._greeted + len(data)]
        if not data.startswith(expected):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "this is not HTTP/2")
        self._greeted += len(expected)
        return data[len(expected) :]

    def _walk(self, data: bytes) -> None:
        began_before = bool(self._pending)
        if began_before:
            data = self._pending + data
            self._pending = b""
        unpack = frames.HEAD.unpack_from
        streams = self.streams
        open_streams = streams.open
        find_stream = open_streams.get
        new_stream = self._new_stream
        append = self._events.append
        window_half, stream_window_half = self._window_half, self._stream_window_half
        at, end = 0, len(data)
        while end - at >= 9:
            high, low, kind, flags, stream_id = unpack(data, at)
            size = high << 8 | low
            if size > FRAME_BYTES_DEFAULT:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a frame longer than allowed")
            body = at + 9
            if body + size > end:
                break
            at = body + size
            if self._block is not None:
                pass  # nothing but the rest of the block may come
            elif kind == DATA:
                # A whole frame of an open stream, without padding, within every window.
                stream = find_stream(stream_id)
                if (
                    stream is not None and flags < 2 and size and stream.phase == _OPEN
                    and stream.uncredited_bytes + size < stream_window_half
                    and self._received_bytes + size < window_half
                    and stream.request.content_length == NO_LENGTH
                ):  # fmt: skip
                    self._received_bytes += size
                    stream.uncredited_bytes += size
                    append((BODY, stream, data[body:at]))
                    if flags:
                        stream.phase = _AFTER_END
                        append((ENDED, stream, None))
                    continue
            elif kind == HEADERS:
                # A new stream, still without its body, whose block was seen before.
                if (
                    flags == END_HEADERS and stream_id > streams.last_id and stream_id & 0x8000_0001 == 1
                    and self._stateless and len(open_streams) < self._streams_max
                ):  # fmt: skip
                    request = self._memo.get(data[body:at])
                    if request is not None:
                        streams.last_id = stream_id
                        stream = open_streams[stream_id] = new_stream(stream_id, request)
                        append((REQUEST, stream, None))
                        continue
            elif kind == RST_STREAM:
                # The end of a stream that has got its answer: not abuse, and nothing to count.
                stream = find_stream(stream_id)
                if stream is not None and stream.answered and stream.queue is None and size == 4:
                    stream.phase = ROWS[stream.phase][_RECV_RST_STREAM]
                    del open_streams[stream_id]
                    append((RESET, stream, int.from_bytes(data[body:at], "big")))
                    continue
            self._frame(kind, flags, stream_id & STREAM_ID_MASK, data[body:at])
        if at < end:
            self._pending = data[at:] if at else data
            if at or not began_before:
                self._frame_began_s = self._now_s
