"""One stream, and the set of those that a connection has open."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Final

from borderpost_wire.h2.states import State

if TYPE_CHECKING:
    from borderpost_wire.h2.outbound import Queued
    from borderpost_wire.h2.request import Request

_IDLE: Final = int(State.IDLE)
_OPEN: Final = int(State.OPEN)
_CLOSED: Final = int(State.CLOSED)
_RESET: Final = int(State.RESET)


class Stream:
    """A request and its response. Whoever drives the core may use a subclass, so that a call is one object."""

    __slots__ = ("answered", "body_bytes", "credit_bytes", "id", "phase", "queue", "request", "uncredited_bytes")

    def __init__(self, stream_id: int, request: Request) -> None:
        self.id = stream_id
        self.request = request
        self.phase = _OPEN
        """A `State`, as a number. (The name `state` is left to subclasses.)"""
        self.answered = False
        """The head of our response was sent."""
        self.body_bytes = 0
        """Bytes of DATA so far, padding not counted; kept only where content-length was announced."""
        self.uncredited_bytes = 0
        """Bytes received for which the peer has got no WINDOW_UPDATE yet."""
        self.credit_bytes = 0
        """What may be sent beyond (or, below zero, short of) the peer's initial window."""
        self.queue: collections.deque[Queued] | None = None
        """Output that waits for a window."""


class Streams:
    """The streams of one connection: open ones by id, and as much of the others as frames may still refer to."""

    __slots__ = ("_resets", "_resets_order", "last_id", "open")

    def __init__(self, resets_remembered: int) -> None:
        self.open: dict[int, Stream] = {}
        self.last_id = 0
        """Highest id that the peer has used."""
        self._resets: set[int] = set()
        self._resets_order: collections.deque[int] = collections.deque(maxlen=resets_remembered)

    def state_of(self, stream_id: int) -> int:
        """Return the state of any stream (section 5.1.1: a new id closes the idle ones below it)."""
        stream = self.open.get(stream_id)
        if stream is not None:
            return stream.phase
        if stream_id > self.last_id or not stream_id & 1:
            return _IDLE  # even ids would be our own, and we open none
        return _RESET if stream_id in self._resets else _CLOSED

    def forget(self, stream_id: int) -> None:
        """Let go of a stream that has ended."""
        self.open.pop(stream_id, None)

    def note_reset(self, stream_id: int) -> None:
        """Let go of a stream that we reset, and ignore what still comes for it."""
        self.open.pop(stream_id, None)
        order = self._resets_order
        if len(order) == order.maxlen:
            self._resets.discard(order[0])
        order.append(stream_id)
        self._resets.add(stream_id)
