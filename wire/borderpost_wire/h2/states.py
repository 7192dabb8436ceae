"""The states of a stream (RFC 9113 section 5.1), as one table. Whatever decides on a stream's state is here.

A server that never pushes has no reserved streams, so five of the RFC's states are left: idle, open, two half
closed, closed. A sixth splits closed in two, because frames mean another thing after our own RST_STREAM: they
may have been under way when we sent it, so they are ignored; on a stream that the peer itself ended they are
an error.

`TABLE` says for every state and every event what follows: another state, or a verdict. The rest of the core
walks it by `step` and never compares states to decide where to go. An event that ends a direction comes on
its own: a HEADERS frame with END_STREAM is RECV_HEADERS, then RECV_END_STREAM.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class State(enum.IntEnum):
    """Where a stream is."""

    IDLE = 0
    OPEN = 1
    HALF_CLOSED_REMOTE = 2
    """The peer has sent everything."""
    HALF_CLOSED_LOCAL = 3
    """We have sent everything."""
    CLOSED = 4
    """Ended on both sides, reset by the peer, or skipped by it."""
    RESET = 5
    """Reset by us."""


class Event(enum.IntEnum):
    """What can happen to a stream."""

    RECV_HEADERS = 0
    RECV_DATA = 1
    RECV_END_STREAM = 2
    RECV_RST_STREAM = 3
    RECV_WINDOW_UPDATE = 4
    RECV_PRIORITY = 5
    RECV_PUSH_PROMISE = 6
    SEND_HEADERS = 7
    SEND_DATA = 8
    SEND_END_STREAM = 9
    SEND_RST_STREAM = 10


class Verdict(enum.IntEnum):
    """What follows where no state does."""

    NOT_OURS_TO_SEND = -1
    """A mistake on our side: LocalFault."""
    STREAM_CLOSED = -2
    """Stream error STREAM_CLOSED."""
    CONNECTION_STREAM_CLOSED = -3
    """Connection error STREAM_CLOSED."""
    CONNECTION_PROTOCOL_ERROR = -4
    """Connection error PROTOCOL_ERROR."""


Outcome = State | Verdict

_S, _E, _V = State, Event, Verdict

TABLE: Mapping[State, Mapping[Event, Outcome]] = {
    _S.IDLE: {
        _E.RECV_HEADERS: _S.OPEN,
        _E.RECV_DATA: _V.CONNECTION_PROTOCOL_ERROR,
        _E.RECV_END_STREAM: _V.CONNECTION_PROTOCOL_ERROR,
        _E.RECV_RST_STREAM: _V.CONNECTION_PROTOCOL_ERROR,
        _E.RECV_WINDOW_UPDATE: _V.CONNECTION_PROTOCOL_ERROR,
        _E.RECV_PRIORITY: _S.IDLE,
        _E.RECV_PUSH_PROMISE: _V.CONNECTION_PROTOCOL_ERROR,  # section 8.4: a client cannot push
        _E.SEND_HEADERS: _V.NOT_OURS_TO_SEND,
        _E.SEND_DATA: _V.NOT_OURS_TO_SEND,
        _E.SEND_END_STREAM: _V.NOT_OURS_TO_SEND,
        _E.SEND_RST_STREAM: _V.NOT_OURS_TO_SEND,
    },
    _S.OPEN: {
        _E.RECV_HEADERS: _S.OPEN,
        _E.RECV_DATA: _S.OPEN,
        _E.RECV_END_STREAM: _S.HALF_CLOSED_REMOTE,
        _E.RECV_RST_STREAM: _S.CLOSED,
        _E.RECV_WINDOW_UPDATE: _S.OPEN,
        _E.RECV_PRIORITY: _S.OPEN,
        _E.RECV_PUSH_PROMISE: _V.CONNECTION_PROTOCOL_ERROR,
        _E.SEND_HEADERS: _S.OPEN,
        _E.SEND_DATA: _S.OPEN,
        _E.SEND_END_STREAM: _S.HALF_CLOSED_LOCAL,
        _E.SEND_RST_STREAM: _S.RESET,
    },
    _S.HALF_CLOSED_REMOTE: {
        _E.RECV_HEADERS: _V.STREAM_CLOSED,
        _E.RECV_DATA: _V.STREAM_CLOSED,
        _E.RECV_END_STREAM: _V.STREAM_CLOSED,
        _E.RECV_RST_STREAM: _S.CLOSED,
        _E.RECV_WINDOW_UPDATE: _S.HALF_CLOSED_REMOTE,
        _E.RECV_PRIORITY: _S.HALF_CLOSED_REMOTE,
        _E.RECV_PUSH_PROMISE: _V.CONNECTION_PROTOCOL_ERROR,
        _E.SEND_HEADERS: _S.HALF_CLOSED_REMOTE,
        _E.SEND_DATA: _S.HALF_CLOSED_REMOTE,
        _E.SEND_END_STREAM: _S.CLOSED,
        _E.SEND_RST_STREAM: _S.RESET,
    },
    _S.HALF_CLOSED_LOCAL: {
        _E.RECV_HEADERS: _S.HALF_CLOSED_LOCAL,
        _E.RECV_DATA: _S.HALF_CLOSED_LOCAL,
        _E.RECV_END_STREAM: _S.CLOSED,
        _E.RECV_RST_STREAM: _S.CLOSED,
        _E.RECV_WINDOW_UPDATE: _S.HALF_CLOSED_LOCAL,
        _E.RECV_PRIORITY: _S.HALF_CLOSED_LOCAL,
        _E.RECV_PUSH_PROMISE: _V.CONNECTION_PROTOCOL_ERROR,
        _E.SEND_HEADERS: _V.NOT_OURS_TO_SEND,
        _E.SEND_DATA: _V.NOT_OURS_TO_SEND,
        _E.SEND_END_STREAM: _V.NOT_OURS_TO_SEND,
        _E.SEND_RST_STREAM: _S.RESET,
    },
    _S.CLOSED: {
        _E.RECV_HEADERS: _V.CONNECTION_STREAM_CLOSED,
        _E.RECV_DATA: _V.CONNECTION_STREAM_CLOSED,
        _E.RECV_END_STREAM: _V.CONNECTION_STREAM_CLOSED,
        _E.RECV_RST_STREAM: _S.CLOSED,  # may have crossed our END_STREAM
        _E.RECV_WINDOW_UPDATE: _S.CLOSED,  # likewise
        _E.RECV_PRIORITY: _S.CLOSED,
        _E.RECV_PUSH_PROMISE: _V.CONNECTION_PROTOCOL_ERROR,
        _E.SEND_HEADERS: _V.NOT_OURS_TO_SEND,
        _E.SEND_DATA: _V.NOT_OURS_TO_SEND,
        _E.SEND_END_STREAM: _V.NOT_OURS_TO_SEND,
        _E.SEND_RST_STREAM: _V.NOT_OURS_TO_SEND,
    },
    _S.RESET: {
        _E.RECV_HEADERS: _S.RESET,
        _E.RECV_DATA: _S.RESET,
        _E.RECV_END_STREAM: _S.RESET,
        _E.RECV_RST_STREAM: _S.RESET,
        _E.RECV_WINDOW_UPDATE: _S.RESET,
        _E.RECV_PRIORITY: _S.RESET,
        _E.RECV_PUSH_PROMISE: _V.CONNECTION_PROTOCOL_ERROR,
        _E.SEND_HEADERS: _V.NOT_OURS_TO_SEND,
        _E.SEND_DATA: _V.NOT_OURS_TO_SEND,
        _E.SEND_END_STREAM: _V.NOT_OURS_TO_SEND,
        _E.SEND_RST_STREAM: _V.NOT_OURS_TO_SEND,
    },
}

ROWS: Final[tuple[tuple[int, ...], ...]] = tuple(tuple(int(TABLE[state][event]) for event in Event) for state in State)
"""The same for the fast path: `ROWS[state][event]`, a verdict below zero."""

OPEN_TO_PEER = frozenset(int(state) for state in State if TABLE[state][Event.RECV_END_STREAM] >= 0) - {int(State.RESET)}
"""States in which the peer may still send."""


def as_markdown() -> str:
    """Return the table for people: a row for each event, a column for each state."""
    states = list(State)
    lines = ["| event | " + " | ".join(state.name for state in states) + " |", "|---" * (len(states) + 1) + "|"]
    for event in Event:
        cells = (TABLE[state][event] for state in states)
        words = (cell.name if isinstance(cell, State) else f"*{cell.name}*" for cell in cells)
        lines.append(f"| {event.name} | " + " | ".join(words) + " |")
    return "\n".join(lines) + "\n"
