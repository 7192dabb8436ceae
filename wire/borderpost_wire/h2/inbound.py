"""The receiving half of a connection: what each type of frame means (RFC 9113 section 6).

A method takes one whole frame of its type. It appends to `_events` what the frame tells, and to `out` what it
is answered by; it raises StreamFault or ConnectionFault for what the peer must not send. Whether a frame fits its
stream's state is asked of `states.py` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from borderpost_wire.h2 import frames, settings
from borderpost_wire.h2.errors import ConnectionFault, ErrorCode, StreamFault
from borderpost_wire.h2.events import BODY, ENDED, REQUEST, RESET, Told
from borderpost_wire.h2.frames import (
    ACK,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    PADDED,
    PRIORITIZED,
    SETTINGS,
    STREAM_ID_MASK,
    WINDOW_DEFAULT,
)
from borderpost_wire.h2.limits import Budget, Budgets, Limits
from borderpost_wire.h2.outbound import Outbound
from borderpost_wire.h2.request import NO_LENGTH, Malformed, Request, RequestMemo, check_trailers
from borderpost_wire.h2.states import ROWS, Event, State, Verdict
from borderpost_wire.h2.stream import Stream, Streams
from borderpost_wire.hpack import Decoder, Fields, FieldsTooLong, HpackError

_IDLE: Final = int(State.IDLE)
_CLOSED: Final = int(State.CLOSED)

SHUTDOWN_PING: Final = b"\0goaway\0"
"""Payload of the PING whose ACK ends the first step of a graceful shutdown."""

_VERDICTS: Final = {
    int(Verdict.CONNECTION_STREAM_CLOSED): ErrorCode.STREAM_CLOSED,
    int(Verdict.CONNECTION_PROTOCOL_ERROR): ErrorCode.PROTOCOL_ERROR,
}


class Inbound:
    """State of the receiving half, and a method for each type of frame. `Connection` drives it."""

    __slots__ = (
        "_began_s",
        "_block",
        "_block_began_s",
        "_budgets",
        "_decoder",
        "_events",
        "_frame_began_s",
        "_greeted",
        "_last_taken_id",
        "_limits",
        "_memo",
        "_new_stream",
        "_now_s",
        "_pending",
        "_received_bytes",
        "_settings_acked",
        "_settings_came",
        "_shutdown_began_s",
        "_stalled_frames",
        "_stalled_s",
        "_stateless",
        "_stream_window_half",
        "_streams_max",
        "_table_waived",
        "_window_half",
        "draining",
        "failed",
        "last_words",
        "out",
        "streams",
    )  # fmt: skip

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        now_s: float = 0.0,
        new_stream: Callable[[int, Request], Stream] = Stream,
        memo: RequestMemo | None = None,
    ) -> None:
        self._limits = limits = limits or Limits()
        self._memo = memo if memo is not None else RequestMemo()
        self._new_stream = new_stream
        self._budgets = Budgets(limits)
        self._decoder = Decoder(limits.fields_bytes_max)
        self.streams = Streams(limits.resets_remembered)
        self.out = Outbound(self.streams)
        """The sending half."""
        self.failed: ErrorCode | None = None
        """Why the connection is over: write what is left, then close."""
        self.last_words = ""
        """The same in words, for a log; nothing of the peer's."""
        self.draining = False
        """GOAWAY was sent: no new streams."""
        self._events: list[Told] = []
        self._pending = b""
        """The beginning of a frame."""
        self._greeted = 0
        """Bytes of the preface so far."""
        self._settings_came = False
        self._block: tuple[int, int, list[bytes]] | None = None
        """A block whose end is still to come: stream, flags of its HEADERS, fragments."""
        self._received_bytes = 0
        """Bytes of DATA for which the connection's window was not replenished yet."""
        self._window_half = limits.connection_window_bytes // 2
        self._stream_window_half = limits.stream_window_bytes // 2
        self._streams_max = limits.streams_max
        self._last_taken_id: int | None = None
        """Once draining: the last stream that was taken."""
        self._settings_acked = 0
        """How many of our SETTINGS the peer has acknowledged; there are one or two."""
        self._table_waived = False
        """We have asked for blocks without a dynamic table."""
        self._stateless = False
        """Blocks mean the same at any time, so the memo may be asked (`Decoder.stateless`)."""
        self._now_s = self._began_s = now_s
        self._block_began_s = self._frame_began_s = now_s
        self._shutdown_began_s: float | None = None
        self._stalled_s: float | None = None
        """Since when output waits and no DATA was sent."""
        self._stalled_frames = 0
        """How many DATA frames had been sent then."""
        announced = {
            settings.MAX_CONCURRENT_STREAMS: limits.streams_max,
            settings.INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
            settings.MAX_HEADER_LIST_SIZE: limits.fields_bytes_max,
            settings.NO_RFC7540_PRIORITIES: 1,
        }
        self.out.pieces.append(frames.settings(announced))
        if limits.connection_window_bytes > WINDOW_DEFAULT:
            more = limits.connection_window_bytes - WINDOW_DEFAULT
            self.out.pieces.append(frames.window_update(0, more))

    # Any frame

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if not self._settings_came and (kind != SETTINGS or flags & ACK):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS have to come first")
        if self._block is not None and (kind != CONTINUATION or stream_id != self._block[0]):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame within a block")
        if kind >= len(_TAKERS):
            self._spend(self._budgets.ignored)
            return
        on_stream, take = _TAKERS[kind]
        if on_stream is not None and on_stream != bool(stream_id):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame on the wrong kind of stream")
        try:
            take(self, flags, stream_id, payload)
        except StreamFault as fault:
            self._reset_for(fault)

    def _reset_for(self, fault: StreamFault) -> None:
        """End a stream for the peer's fault. It costs as much as a reset by the peer, so it counts as one."""
        stream = self.streams.open.get(fault.stream_id)
        if stream is not None:
            self.out.reset(stream, fault.code)
            self._events.append((RESET, stream, int(fault.code)))
        elif self.streams.state_of(fault.stream_id) == _IDLE:
            raise ConnectionFault(fault.code, str(fault))  # an idle stream cannot be reset (section 6.4)
        else:
            self.out.pieces.append(frames.rst_stream(fault.stream_id, fault.code))
            self.streams.note_reset(fault.stream_id)
        self._spend(self._budgets.resets, earned=self.out.answers)

    def _spend(self, budget: Budget, count: int = 1, earned: int = 0) -> None:
        if not budget.take(count, self._now_s, earned):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")

    def _next_state(self, stream_id: int, event: Event) -> int:
        """Walk the table; raise what its verdict says."""
        outcome = ROWS[self.streams.state_of(stream_id)][event]
        if outcome >= 0:
            return outcome
        if outcome == Verdict.STREAM_CLOSED:
            raise StreamFault(stream_id, ErrorCode.STREAM_CLOSED, "a frame behind the end of its stream")
        raise ConnectionFault(_VERDICTS[outcome], f"{event.name} in the wrong state")

    def _take_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        # Windows are replenished as soon as half is used, so no frame can exceed what is left of one: a half is at
        # least as long as a frame (`Limits`). Padding counts (section 6.9.1).
        size = len(payload)
        self._received_bytes += size
        if self._received_bytes >= self._window_half:
            self.out.pieces.append(frames.window_update(0, self._received_bytes))
            self._received_bytes = 0
        body = _unpadded(flags, payload)
        self._next_state(stream_id, Event.RECV_DATA)
        stream = self.streams.open.get(stream_id)
        if stream is None:
            self._spend(self._budgets.ignored)
            return
        stream.uncredited_bytes += size
        stream.body_bytes += len(body)
        if NO_LENGTH < stream.request.content_length < stream.body_bytes:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "more than content-length")
        if body:
            self._events.append((BODY, stream, body))
        elif not flags & END_STREAM:
            self._spend(self._budgets.empty_data)
        if flags & END_STREAM:
            self._end(stream)
        elif stream.uncredited_bytes >= self._stream_window_half:
            self.out.pieces.append(frames.window_update(stream_id, stream.uncredited_bytes))
            stream.uncredited_bytes = 0

    def _end(self, stream: Stream) -> None:
        """Take END_STREAM."""
        if stream.request.content_length not in (NO_LENGTH, stream.body_bytes):
            raise StreamFault(stream.id, ErrorCode.PROTOCOL_ERROR, "less than content-length")
        stream.phase = self._next_state(stream.id, Event.RECV_END_STREAM)
        self._events.append((ENDED, stream, None))
        if stream.phase == _CLOSED:
            self.streams.forget(stream.id)

    # HEADERS and CONTINUATION

    def _take_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        fragment = _unpadded(flags, payload)
        if flags & PRIORITIZED:
            _check_priority(stream_id, fragment[:5])
            fragment = fragment[5:]
        if flags & END_HEADERS:
            self._take_block(stream_id, flags, fragment)
        else:
            self._block = (stream_id, flags, [fragment])
            self._block_began_s = self._now_s

    def _take_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of nothing")
        _, first_flags, fragments = self._block
        fragments.append(payload)
        limits = self._limits
        if len(fragments) > limits.continuations_max + 1 or sum(map(len, fragments)) > limits.block_bytes_max:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a block of too many frames or bytes")
        if flags & END_HEADERS:
            self._block = None
            self._take_block(stream_id, first_flags, b"".join(fragments))

    def _take_block(self, stream_id: int, flags: int, block: bytes) -> None:
        """Take a whole block. It is decoded whatever the stream's state, to keep the decoder's (section 4.3)."""
        is_new = self.streams.state_of(stream_id) == _IDLE
        request = self._memo.find(block) if self._stateless and is_new else None
        fields = None if request is not None else self._decode(block)
        self._next_state(stream_id, Event.RECV_HEADERS)
        if is_new:
            self._open(stream_id, request, fields, block)
            stream = self.streams.open.get(stream_id)
            if stream is not None and flags & END_STREAM:
                self._end(stream)
            return
        stream = self.streams.open.get(stream_id)
        if stream is None:
            self._spend(self._budgets.ignored)
            return
        if fields is None or not flags & END_STREAM:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "trailers that end nothing, or too long")
        try:
            check_trailers(fields)
        except Malformed as error:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, str(error)) from error
        self._end(stream)

    def _open(self, stream_id: int, request: Request | None, fields: Fields | None, block: bytes) -> None:
        """Open a new stream, from a remembered request or from fields; None for fields that are too long."""
        if not stream_id & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "an even stream id")
        self.streams.last_id = stream_id
        if len(self.streams.open) >= self._streams_max:
            raise StreamFault(stream_id, ErrorCode.REFUSED_STREAM, "too many streams, or none any more")
        if request is None:
            if fields is None:
                raise StreamFault(stream_id, ErrorCode.ENHANCE_YOUR_CALM, "too many fields")
            try:
                request = Request(fields)
            except Malformed as error:
                raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, str(error)) from error
            if self._stateless:
                self._memo.add(block, request)
        stream = self.streams.open[stream_id] = self._new_stream(stream_id, request)
        self._events.append((REQUEST, stream, None))
        if stream_id >= self._limits.waive_table_at_id and not self._table_waived:
            self._table_waived = True
            self.out.pieces.append(frames.settings({settings.HEADER_TABLE_SIZE: 0}))

    def _decode(self, block: bytes) -> Fields | None:
        try:
            return self._decoder.decode(block)
        except FieldsTooLong:
            return None
        except HpackError as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, str(error)) from error
        finally:
            self._stateless = self._decoder.stateless

    # The other types

    def _take_priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 5:
            raise StreamFault(stream_id, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of a wrong length")
        _check_priority(stream_id, payload)
        self._spend(self._budgets.ignored)

    def _take_rst_stream(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM of a wrong length")
        state = self._next_state(stream_id, Event.RECV_RST_STREAM)
        stream = self.streams.open.get(stream_id)
        if stream is None:
            self._spend(self._budgets.ignored)
            return
        stream.phase = state
        self.out.discard(stream)
        self.streams.forget(stream_id)
        self._events.append((RESET, stream, int.from_bytes(payload, "big")))
        if not stream.answered:
            self._spend(self._budgets.resets, earned=self.out.answers)

    def _take_settings(self, flags: int, _stream_id: int, payload: bytes) -> None:
        if flags & ACK:
            if payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "an ACK with a payload")
            self._spend(self._budgets.settings)
            if self._settings_acked <= self._table_waived:  # one that answers nothing is ignored
                self._settings_acked += 1
                if self._settings_acked == 2:
                    self._decoder.allow(0)
            return
        entries = settings.parse(payload)
        self._settings_came = True
        self._spend(self._budgets.settings, 1 + len(entries))
        self.out.pieces.append(frames.SETTINGS_ACK)  # before what a wider window lets go (section 6.5.3)
        for identifier, value in entries:
            if identifier == settings.INITIAL_WINDOW_SIZE:
                self.out.set_initial_window(value)
            elif identifier == settings.MAX_FRAME_SIZE:
                self.out.frame_bytes_max = value
            elif identifier == settings.HEADER_TABLE_SIZE:
                self.out.take_table_size(value)

    def _take_push_promise(self, _flags: int, stream_id: int, _payload: bytes) -> None:
        self._next_state(stream_id, Event.RECV_PUSH_PROMISE)

    def _take_ping(self, flags: int, _stream_id: int, payload: bytes) -> None:
        if len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING of a wrong length")
        self._spend(self._budgets.pings, earned=self.out.answers)
        if not flags & ACK:
            self.out.pieces.append(frames.frame(frames.PING, ACK, 0, payload))
        elif payload == SHUTDOWN_PING and self._shutdown_began_s is not None:
            self._refuse_new_streams()

    def _refuse_new_streams(self) -> None:
        """End the first step of a graceful shutdown: from here on, no stream is taken."""
        self._shutdown_began_s = None
        self.draining = True
        self._streams_max = 0
        self._last_taken_id = self.streams.last_id
        self.out.pieces.append(frames.goaway(self.streams.last_id, ErrorCode.NO_ERROR))

    def _take_goaway(self, _flags: int, _stream_id: int, payload: bytes) -> None:
        if len(payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of a wrong length")
        self._spend(self._budgets.ignored)  # it speaks of streams that we would open, and we open none

    def _take_window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE of a wrong length")
        self._spend(self._budgets.window_updates, earned=2 * self.out.data_frames)
        increment = int.from_bytes(payload, "big") & frames.WINDOW_MAX
        if not stream_id:
            if not increment:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            self.out.widen(increment)
            return
        self._next_state(stream_id, Event.RECV_WINDOW_UPDATE)
        stream = self.streams.open.get(stream_id)
        if stream is None:
            return
        if not increment:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
        self.out.widen_stream(stream, increment)


def _unpadded(flags: int, payload: bytes) -> bytes:
    """Return the payload without its padding (section 6.1)."""
    if not flags & PADDED:
        return payload
    if not payload:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "no room for the length of the padding")
    if payload[0] >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - payload[0]]


def _check_priority(stream_id: int, fields: bytes) -> None:
    """Check the fields of a priority, which is otherwise ignored (section 5.3.2).

    A stream that depends on itself was an error in RFC 7540 (section 5.3.1), and no client sends it.
    """
    if len(fields) < 5:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "no room for the priority")
    if int.from_bytes(fields[:4], "big") & STREAM_ID_MASK == stream_id:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself")


_TAKERS: Final[tuple[tuple[bool | None, Callable[[Inbound, int, int, bytes], None]], ...]] = (
    (True, Inbound._take_data),
    (True, Inbound._take_headers),
    (True, Inbound._take_priority),
    (True, Inbound._take_rst_stream),
    (False, Inbound._take_settings),
    (None, Inbound._take_push_promise),
    (False, Inbound._take_ping),
    (False, Inbound._take_goaway),
    (None, Inbound._take_window_update),
    (True, Inbound._take_continuation),
)
"""By type of frame: whether it is sent on a stream (None: on either), and who takes it."""
