"""One RPC on grpcio's asyncio server: a coroutine that reads, and a task that writes while there is something.

The rules that keep a call safe all live here:

* The reading coroutine is the call's life. grpcio frees its call object when that coroutine ends, so nothing
  may be sent afterwards: `_attached` is cleared in its `finally`, and whoever sends looks at it first.
* A status goes out behind the replies that were given before it, because one task does both.
* Status OK is only ever the return of the reading coroutine, and it returns only when every message of the
  call has got its answer.
"""

from __future__ import annotations

import asyncio
import collections
from typing import Any, Protocol

import grpc
from grpc import aio

from borderpost_wire.service import MethodKind, Service, StatusCode

GRPC_STATUS: dict[StatusCode, grpc.StatusCode] = {StatusCode(code.value[0]): code for code in grpc.StatusCode}


class CallRegister(Protocol):
    """What a call tells its engine."""

    replies_waiting_max: int

    def opened(self, call: GrpcioCall) -> None:
        """Note a new call."""
        ...

    def arrived(self, call: GrpcioCall, message: bytes) -> None:
        """Queue a message for delivery with whatever else this turn of the loop brings."""
        ...

    def answered(self, count: int) -> None:
        """Note that so many messages wait for an answer no more."""
        ...

    def closed(self, call: GrpcioCall, unanswered: int) -> None:
        """Note that a call is over, and how many of its messages were unanswered when its peer ended it."""
        ...


class GrpcioCall:
    """A call as services see it (`borderpost_wire.service.Call`), and its life below."""

    __slots__ = (
        "_asking",
        "_attached",
        "_closing",
        "_context",
        "_engine",
        "_event",
        "_half_closed",
        "_last_reply",
        "_open",
        "_reader",
        "_replies",
        "_returning",
        "_writer",
        "delivered",
        "ended_by_service",
        "kind",
        "method",
        "service",
        "state",
        "unanswered",
    )

    def __init__(self, engine: CallRegister, method: str, kind: MethodKind, service: Service, context: Any) -> None:
        self.method = method
        self.state: Any = None
        self.kind = kind
        self.service = service
        self.unanswered = 0
        """Messages that came and have no answer yet."""
        self.delivered = False
        """The service got a message of this call."""
        self.ended_by_service = False
        self._engine = engine
        self._context = context
        self._open = True
        """The service may still answer."""
        self._attached = True
        """grpcio's call object lives."""
        self._replies: collections.deque[bytes] = collections.deque()
        self._last_reply: bytes | None = None
        """What ends a client stream."""
        self._asking = False
        """The next message takes the place of the one before."""
        self._half_closed = False
        """The peer has sent everything."""
        self._closing: tuple[StatusCode, str] | None = None
        """The non-OK status that is to follow the replies."""
        self._returning = False
        """`finish` was called: the reading coroutine is to return, which sends OK."""
        self._writer: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[Any] | None = None
        self._event: asyncio.Future[None] | None = None
        """What a reading coroutine that has nothing more to read waits for."""

    # What a service uses

    @property
    def alive(self) -> bool:
        """Return False once the peer has gone or the call has ended."""
        return self._open

    def reply(self, message: bytes) -> None:
        """Send one response message; on a unary call it also ends the call with OK."""
        if not self._open:
            return
        if len(self._replies) >= self._engine.replies_waiting_max:
            self.end(StatusCode.RESOURCE_EXHAUSTED, "too many replies wait for a peer that does not read")
            return
        if self.kind is MethodKind.CLIENT_STREAM:
            self._last_reply = message
            self._forget_unanswered()
            self._wake()
            return
        self._replies.append(message)
        if self.unanswered:
            self.unanswered -= 1
            self._engine.answered(1)
        if self.kind is MethodKind.UNARY:
            self.ended_by_service = True
            self._open = False
        self._wake()

    def ask(self, message: bytes) -> None:
        """Send a message that answers nothing and asks for the next one; ValueError where none can be asked for."""
        if not self._open:
            return
        if self.kind is not MethodKind.STREAM or not self.unanswered or self._asking:
            raise ValueError("nothing can be asked of this peer now")
        if self.unanswered > 1:  # the next one is here already
            self.unanswered -= 1
            self._engine.answered(1)
        elif self._half_closed:
            self.end(StatusCode.ABORTED, "the message that is needed was not sent")
            return
        else:
            self._asking = True
        self._replies.append(message)
        self._wake()

    def fail(self, status: StatusCode, text: str) -> None:
        """End the call with a non-OK status; ValueError for OK."""
        if status is StatusCode.OK:
            raise ValueError("a call cannot fail with OK")
        if self._open:
            self.ended_by_service = True
            self.end(status, text)

    def finish(self) -> None:
        """End a stream with OK, or with INTERNAL while a message has no answer yet."""
        if not self._open:
            return
        self.ended_by_service = True
        if self.kind is MethodKind.UNARY or self.unanswered:
            self.end(StatusCode.INTERNAL, "finished without an answer")
            return
        if self._last_reply is not None:
            self._replies.append(self._last_reply)
        self._open = False
        self._returning = True
        self._wake()

    # What the engine uses

    def end(self, status: StatusCode, text: str) -> None:
        """End the call with a non-OK status behind the replies given so far."""
        if not self._open:
            return
        self._open = False
        self._closing = (status, text)
        self._forget_unanswered()
        self._wake()

    async def run_unary(self, request: bytes) -> bytes:
        """Live the life of a unary call; return its response."""
        self._engine.opened(self)
        try:
            self._engine.arrived(self, request)
            while self._open:
                await self._next_event()
            if self._closing is not None:
                await self._context.abort(GRPC_STATUS[self._closing[0]], self._closing[1])
            return self._replies.popleft()
        finally:
            self._detach()

    async def run_stream(self) -> None:
        """Live the life of a call with a stream in either direction."""
        self._reader = asyncio.current_task()
        self._engine.opened(self)
        try:
            await self._read()
            while self._writer is not None or self._must_stay():
                await self._next_event()
            if self._open and self._last_reply is not None:
                await self._context.write(self._last_reply)
        except asyncio.CancelledError:
            # Either the peer has gone, or `finish` ends the reading and the return sends OK.
            if not (self._returning and self._reader is not None and self._reader.uncancel() == 0):
                raise
        finally:
            self._detach()

    # Inside

    async def _read(self) -> None:
        """Pass messages on until the peer's half-close."""
        received = 0
        while (message := await self._context.read()) is not aio.EOF:
            received += 1
            if received > 1 and self.kind is MethodKind.SERVER_STREAM:
                self.end(StatusCode.INVALID_ARGUMENT, "more than one message")
            elif self._open:
                if self._asking and self.unanswered:
                    self.unanswered -= 1
                    self._engine.answered(1)
                self._asking = False
                self._engine.arrived(self, message)
        self._half_closed = True
        if not received:
            self.end(StatusCode.INVALID_ARGUMENT, "no message")
        elif self._asking and self.unanswered:
            self.end(StatusCode.ABORTED, "the message that is needed was not sent")

    def _must_stay(self) -> bool:
        """Return whether a call whose input has ended is to stay open."""
        return self._open and (self.unanswered > 0 or self.kind is MethodKind.SERVER_STREAM)

    async def _next_event(self) -> None:
        self._event = asyncio.get_running_loop().create_future()
        await self._event

    def _wake(self) -> None:
        """Set going whoever has to act on what just changed."""
        if self.kind is not MethodKind.UNARY and self._writer is None and self._attached:
            self._writer = asyncio.get_running_loop().create_task(self._write())
        if self._event is not None and not self._event.done():
            self._event.set_result(None)

    async def _write(self) -> None:
        """Send what is waiting, then the end if there is one."""
        try:
            while self._attached:
                if self._replies:
                    await self._context.write(self._replies.popleft())
                elif self._closing is not None:
                    await self._context.abort(GRPC_STATUS[self._closing[0]], self._closing[1])
                else:
                    if self._returning and self._reader is not None:
                        self._reader.cancel()
                    return
        except aio.BaseError:
            # `abort` raises once it has sent the status, `write` when the peer has gone. Either way grpcio
            # ends the reading coroutine, which cleans up.
            return
        finally:
            self._writer = None
            if self._event is not None and not self._event.done():
                self._event.set_result(None)

    def _forget_unanswered(self) -> int:
        count, self.unanswered = self.unanswered, 0
        if count:
            self._engine.answered(count)
        return count

    def _detach(self) -> None:
        self._attached = False
        by_peer, self._open = self._open, False
        unanswered = self._forget_unanswered()
        self._replies.clear()
        self._engine.closed(self, unanswered if by_peer else 0)
