"""One RPC on the wire engine: a stream and a call in one object.

What may happen to a call is decided here; what it costs the connection, in `h2`. A call is open until it is
ended by its service, its peer or its engine, and `_close` is the one way out: it lets go of everything that the
engine keeps for the call, and tells the service if it was not the service that ended it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from borderpost_wire.h2 import Request, Stream
from borderpost_wire.rpc.framing import PREFIX, PREFIX_BYTES, MessageFault, MessageReader
from borderpost_wire.rpc.responses import HEAD, OK_TRAILERS, trailers, trailers_only
from borderpost_wire.service import MethodKind, StatusCode

if TYPE_CHECKING:
    from borderpost_wire.rpc.plan import Route
    from borderpost_wire.wire_protocol import WireProtocol

_UNARY: Final = MethodKind.UNARY
_STREAM: Final = MethodKind.STREAM
_CLIENT_STREAM: Final = MethodKind.CLIENT_STREAM


class WireCall(Stream):
    """A call as services see it (`borderpost_wire.service.Call`), and its life below."""

    __slots__ = (
        "_asking",
        "_connection",
        "_deadline_key",
        "_half_closed",
        "_last_reply",
        "_reader",
        "_received",
        "_replies_turn",
        "_replies_waiting",
        "alive",
        "delivered",
        "ended_by_service",
        "kind",
        "method",
        "route",
        "state",
        "unanswered",
    )

    route: Route
    kind: MethodKind
    method: str
    _last_reply: bytes
    """What ends a client stream; there is one whenever such a call has messages and none is unanswered."""

    def __init__(self, connection: WireProtocol, stream_id: int, request: Request) -> None:
        Stream.__init__(self, stream_id, request)
        self._connection = connection
        self.state: Any = None
        self.alive = False
        """The service may still answer: the call was admitted and has not ended."""
        self.unanswered = 0
        """Messages that came and have no answer yet."""
        self.delivered = False
        """The service got a message of this call."""
        self.ended_by_service = False
        self._asking = False
        """The next message takes the place of the one before."""
        self._received = False
        """A message has come."""
        self._half_closed = False
        """The peer has sent everything."""
        self._reader: MessageReader | None = None
        """Where there is a piece of a message."""
        self._replies_turn = -1
        self._replies_waiting = 0
        """Replies that were not written yet; right only in the turn `_replies_turn`."""
        self._deadline_key: int | None = None

    def admit(self, route: Route, deadline_key: int | None) -> None:
        """Begin the call."""
        self.route = route
        self.kind = route.kind
        self.method = route.method
        self._deadline_key = deadline_key
        self.alive = True

    # What a service uses

    def reply(self, message: bytes) -> None:
        """Send one response message; on a unary call it also ends the call with OK."""
        if not self.alive:
            return
        connection = self._connection
        engine = connection.engine
        if self._replies_turn != connection.turn:
            self._replies_turn = connection.turn
            self._replies_waiting = len(self.queue) if self.queue else 0
        out = connection.out
        if self._replies_waiting >= engine.replies_waiting_max or (out.queued_bytes and connection.is_full):
            self.end(StatusCode.RESOURCE_EXHAUSTED, "too many replies wait for a peer that does not read")
            return
        self._replies_waiting += 1
        if self.unanswered:
            self.unanswered -= 1
            engine.unanswered -= 1
        ending = None
        if self.kind is _STREAM:
            if self._half_closed and not self.unanswered:
                ending = OK_TRAILERS
        elif self.kind is _UNARY:
            self.ended_by_service = True
            ending = OK_TRAILERS
        elif self.kind is _CLIENT_STREAM:
            self._answer_all(message)
            return
        out.respond(self, HEAD, PREFIX.pack(0, len(message)) + message, ending)
        if not connection.touched:
            connection.touch()
        if ending is not None:
            self._close()

    def ask(self, message: bytes) -> None:
        """Send a message that answers nothing and asks for the next one; ValueError where none can be asked for."""
        if not self.alive:
            return
        if self.kind is not _STREAM or not self.unanswered or self._asking:
            raise ValueError("nothing can be asked of this peer now")
        connection = self._connection
        if self.unanswered > 1:  # the next one is here already
            self.unanswered -= 1
            connection.engine.unanswered -= 1
        elif self._half_closed:
            self.end(StatusCode.ABORTED, "the message that is needed was not sent")
            return
        else:
            self._asking = True
        connection.out.respond(self, HEAD, PREFIX.pack(0, len(message)) + message, None)
        connection.touch()

    def fail(self, status: StatusCode, text: str) -> None:
        """End the call with a non-OK status; ValueError for OK."""
        if status is StatusCode.OK:
            raise ValueError("a call cannot fail with OK")
        if self.alive:
            self.ended_by_service = True
            self.end(status, text)

    def finish(self) -> None:
        """End a stream with OK, or with INTERNAL while a message has no answer yet."""
        if not self.alive:
            return
        self.ended_by_service = True
        if self.kind is _UNARY or self.unanswered:
            self.end(StatusCode.INTERNAL, "finished without an answer")
        else:
            self._end_ok()

    # What the engine uses

    def end(self, status: StatusCode, text: str) -> None:
        """End the call with a non-OK status behind the replies given so far."""
        if not self.alive:
            return
        connection = self._connection
        if connection.out.takes(self):
            if self.answered:
                connection.out.trailers(self, trailers(status, text))
            else:
                connection.out.head_fields(self, trailers_only(status, text), end=True)
            connection.touch()
        self._close()

    def take_body(self, piece: bytes) -> None:
        """Take bytes of the request's body: messages, or pieces of them."""
        if self._reader is None:
            size = len(piece) - PREFIX_BYTES
            if size >= 0 and PREFIX.unpack_from(piece) == (0, size) and size <= self._connection.message_bytes_max:
                self._arrive(piece[PREFIX_BYTES:])
                return
            self._reader = MessageReader(self._connection.message_bytes_max)
        self._put_together(self._reader, piece)

    def take_end(self) -> None:
        """Take the end of the request."""
        self._half_closed = True
        if not self.alive:
            return
        if self._reader is not None:
            self.end(StatusCode.INTERNAL, "the last message is cut off")
        elif not self._received:
            self.end(StatusCode.INVALID_ARGUMENT, "no message")
        elif (self.kind is _STREAM or self.kind is _CLIENT_STREAM) and not self.unanswered:
            self._end_ok()
        elif self._asking:
            self.end(StatusCode.ABORTED, "the message that is needed was not sent")

    def take_reset(self) -> None:
        """Take the end of the stream, or of the connection, without a word."""
        if self.alive:
            if self.unanswered:
                self._connection.engine.counters.gone_unanswered += 1
            self._close()

    # Inside

    def _answer_all(self, message: bytes) -> None:
        """Take a reply to all messages of a client stream so far."""
        self._last_reply = message
        self._replies_waiting = 0
        self._connection.engine.unanswered -= self.unanswered
        self.unanswered = 0
        if self._half_closed:
            self._end_ok()

    def _end_ok(self) -> None:
        out = self._connection.out
        if out.takes(self):
            if self.kind is _CLIENT_STREAM:
                out.respond(self, HEAD, PREFIX.pack(0, len(self._last_reply)) + self._last_reply)
            elif not self.answered:
                out.head_fields(self, HEAD.block)
            out.trailers(self, OK_TRAILERS.block)
            self._connection.touch()
        self._close()

    def _arrive(self, message: bytes) -> None:
        """Queue a message for delivery with whatever else this turn of the loop brings."""
        engine = self._connection.engine
        if self._received:
            if not (self.kind is _STREAM or self.kind is _CLIENT_STREAM):
                self.end(StatusCode.INVALID_ARGUMENT, "more than one message")
                return
            if self._asking:
                self._asking = False
                if self.unanswered:
                    self.unanswered -= 1
                    engine.unanswered -= 1
        self._received = True
        self.unanswered += 1
        engine.unanswered += 1
        inbox = self.route.inbox
        if not inbox.pairs:
            engine.wake_for(inbox)
        inbox.pairs.append((self, message))

    def _put_together(self, reader: MessageReader, piece: bytes) -> None:
        engine = self._connection.engine
        held_before = reader.held_bytes
        try:
            messages = reader.feed(piece)
        except MessageFault as fault:
            self.end(fault.status, str(fault))
            return
        finally:
            engine.held_bytes += reader.held_bytes - held_before
        if not reader.held_bytes:
            self._reader = None
        elif engine.held_bytes > engine.held_bytes_max:
            self.end(StatusCode.RESOURCE_EXHAUSTED, "too many unfinished messages")
        for message in messages:
            if self.alive:
                self._arrive(message)

    def _close(self) -> None:
        engine = self._connection.engine
        self.alive = False
        engine.unanswered -= self.unanswered
        self.unanswered = 0
        engine.open_calls -= 1
        if self._deadline_key is not None:
            engine.deadlines.forget(self, self._deadline_key)
        if self._reader is not None:
            engine.held_bytes -= self._reader.held_bytes
            self._reader = None
        if self.delivered and not self.ended_by_service:
            engine.note_gone(self)
