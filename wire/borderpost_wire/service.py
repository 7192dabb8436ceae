"""The one interface between an engine and a service.

An engine owns sockets and the protocol; a service owns meaning. The engine hands over what arrived as a
batch of `(call, message)` pairs, in order of arrival: whatever one turn of its event loop brought, over all
connections. The service answers each call whenever it can, on the engine's event loop, in any order, by
`Call.reply` or `Call.fail`. There is no coroutine a request; one message and one reply a stream is the fast
path, and longer streams are the same interface with more messages.

    engine ── Service.messages([(call, bytes), …]) ──▶ service
    engine ◀── call.reply(bytes) / call.fail(status, text) ── service     (later, same loop)

What an engine promises:

* Every callback runs on the engine's own event loop thread. A service must not block in it.
* A call that got a message and no answer is never ended with status OK, whatever happens: an exception in
  the service, a drain, a half-close; what `ask` sends is no answer. For Envoy's external processing a clean
  end before an answer means "let the request through", so the engine ends such a call with a non-OK status.
* An exception out of `Service.messages` fails the calls of that batch that are still unanswered with
  INTERNAL, and nothing else on the connection notices.
* `reply` and `fail` on a call whose peer has gone do nothing.
* A peer that resets the stream after it got its answer is normal and is not reported as an error.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class StatusCode(enum.IntEnum):
    """gRPC status codes (grpc/doc/statuscodes.md)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class MethodKind(enum.Enum):
    """How many messages go each way."""

    UNARY = "unary"
    """One message in, one out; `reply` ends the call with OK."""
    STREAM = "stream"
    """Any number each way; the call ends by `finish`, `fail`, or the peer's reset or half-close after
    every message got its answer."""
    CLIENT_STREAM = "client_stream"
    """Any number in, one out, for as long as the peer likes: `reply` answers all messages so far, and the last one
    given is sent, with OK, once the peer has sent everything and no message came after it (or by `finish`)."""
    SERVER_STREAM = "server_stream"
    """One message in, any number out, for as long as the service likes: the peer's half-close does not end
    the call, only `finish`, `fail` or the peer's reset."""


class Call(Protocol):
    """One RPC in progress."""

    method: str
    """Full path, `/package.Service/Method`."""
    state: Any
    """For the service's own use; None at first."""

    @property
    def alive(self) -> bool:
        """Return False once the peer has gone or the call has ended."""
        ...

    def reply(self, message: bytes) -> None:
        """Send one response message; on a unary call it also ends the call with OK.

        On a client stream it takes the place of the reply before, and is sent once the peer has sent everything.
        """
        ...

    def ask(self, message: bytes) -> None:
        """Send a message that answers nothing and asks the peer of a stream for its next one.

        The message before stays unanswered and the next one takes its place: one `reply` answers both. A peer that
        half-closes instead gets a non-OK status. For streams, while a message is unanswered and nothing was asked;
        ValueError otherwise.
        """
        ...

    def fail(self, status: StatusCode, text: str) -> None:
        """End the call with a non-OK status; `text` is ASCII, without personal data."""
        ...

    def finish(self) -> None:
        """End a stream with OK. Refused (ends with INTERNAL) while a message has no answer yet.

        A client stream's last reply is sent before.
        """
        ...


class Service(Protocol):
    """What handles the messages of some methods."""

    @property
    def methods(self) -> Mapping[str, MethodKind]:
        """Return the full paths this service answers."""
        ...

    def messages(self, batch: Sequence[tuple[Call, bytes]]) -> None:
        """Take what arrived in one turn; answer each call now or later. Must not block."""
        ...

    def gone(self, call: Call) -> None:
        """Note that a call ended otherwise than by the service's own `reply`, `fail` or `finish`.

        That is: by its peer (reset, deadline, half-close after its answers, connection lost), by a drain or
        stop of the engine, or by an exception out of `messages`. Called once a call, and only for calls of
        which the service got a message.
        """
        ...
