"""One connection to a server: commands go out in order, replies come back in the same order.

Several commands may be on their way. The replies are parsed by hiredis, fed by the event loop itself: on this path
redis-py's own connection costs two to three times as much a reply (its reader is a coroutine with a timeout each).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import hiredis

from borderpost_base import limits
from borderpost_ratelimit.charges import Unanswered

OVERLOADED: Final = Unanswered("overloaded", "the server does not read what it was sent")
_GARBAGE: Final = Unanswered("garbage", "what came back is not Redis' protocol")
_CLOSED: Final = Unanswered("unreachable", "the connection is closed")
_LOST: Final = Unanswered("unreachable", "the connection was lost")

Taker = Callable[[object], None]
"""Takes one reply: a value, a `hiredis.ReplyError`, or an Unanswered if there is none. Must not raise."""


def packed(*words: bytes | str | int) -> bytes:
    """Return a command as it is sent."""
    command: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub says: one word
    return command


class Link:
    """One connection, from its making to its loss. An `asyncio.Protocol` by its methods."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._unread_bytes = 0
        self._waiting: deque[tuple[Taker, float]] = deque()
        self._closed: Unanswered | None = None
        self.lost: asyncio.Future[Unanswered] = loop.create_future()
        """Done once the connection has gone, with why."""

    @property
    def in_flight(self) -> int:
        """Return how many commands have no reply yet."""
        return len(self._waiting)

    @property
    def oldest_s(self) -> float:
        """Return when the command was sent that waits longest, by the loop's clock; the present if none does."""
        return self._waiting[0][1] if self._waiting else self._loop.time()

    def send(self, command: bytes, taker: Taker, replies: int = 1) -> None:
        """Send packed commands; their replies go to the taker, one by one, later. Where they cannot be sent, or a reply
        does not come, the taker is told so once for each."""
        if self._closed is not None or self._transport is None:
            for _ in range(replies):
                taker(self._closed or _CLOSED)
            return
        if self._transport.get_write_buffer_size() > limits.LIMITER_STORE_UNSENT_BYTES_MAX:
            for _ in range(replies):
                taker(OVERLOADED)
            return
        waiting = (taker, self._loop.time())
        for _ in range(replies):
            self._waiting.append(waiting)
        self._transport.write(command)

    def close(self, why: Unanswered = _CLOSED) -> None:
        """Cut the connection; what waits gets this. Idempotent."""
        if self._closed is not None:
            return
        self._closed = why
        if self._transport is not None:
            self._transport.abort()
        while self._waiting:
            self._waiting.popleft()[0](why)
        if not self.lost.done():
            self.lost.set_result(why)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin."""
        self._transport = transport
        if self._closed is not None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hand out the replies that are whole."""
        self._unread_bytes += len(data)
        try:
            self._reader.feed(data)
            reply = self._reader.gets()
            while reply is not False:
                self._unread_bytes = 0
                if not self._waiting:
                    self.close(_GARBAGE)
                    return
                self._waiting.popleft()[0](reply)
                reply = self._reader.gets()
        except hiredis.HiredisError:
            self.close(_GARBAGE)
            return
        if self._unread_bytes > limits.LIMITER_STORE_REPLY_BYTES_MAX:
            self.close(_GARBAGE)

    def eof_received(self) -> bool:
        """Note that the server sends no more."""
        return False

    def pause_writing(self) -> None:
        """Nothing: `send` looks at the buffer itself."""

    def resume_writing(self) -> None:
        """Nothing."""

    def connection_lost(self, error: Exception | None) -> None:
        """Answer what waits."""
        self.close(_LOST)
