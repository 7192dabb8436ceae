"""The HTTP/2 core against another implementation's client, and against itself: splits, shortcuts, any frames."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from borderpost_wire.h2 import Connection, ErrorCode, EventKind, Limits, frames
from borderpost_wire.h2.states import ROWS, TABLE, Event, State, Verdict, as_markdown
from support.h2_frames import (
    EAGER,
    GREETING,
    HEAD,
    TRAILERS,
    data,
    drive,
    headers,
    split,
    stateless_connection,
)
from support.wire_fuzz import FRAMES, PLACES, check_shortcuts, check_splits, prepared


@given(FRAMES, PLACES, st.booleans())
def test_any_split_of_the_same_bytes_means_the_same(sent: list[bytes], places: list[int], ready: bool) -> None:
    check_splits(sent, places, ready)


@pytest.mark.plain
@given(FRAMES, PLACES, st.booleans())
def test_shortcuts_mean_the_same_as_the_plain_form(sent: list[bytes], places: list[int], ready: bool) -> None:
    check_shortcuts(sent, places, ready)


@given(st.binary(max_size=200), PLACES)
def test_garbage_is_refused_and_never_raises(text: bytes, places: list[int]) -> None:
    fresh, greeted = Connection(), prepared(Connection, True)
    drive(fresh, split(text, places))
    drive(greeted, split(text, places))
    if not frames.PREFACE.startswith(text[: len(frames.PREFACE)]):
        assert fresh.failed is ErrorCode.PROTOCOL_ERROR


def test_every_byte_by_itself() -> None:
    text = GREETING + frames.SETTINGS_ACK + headers(1) + data(1, b"abc") + data(1, b"d", end=True)
    connection = Connection()
    seen = drive(connection, [text[n : n + 1] for n in range(len(text))])
    assert [(EventKind(kind), payload) for kind, _, payload in seen] == [
        (EventKind.REQUEST, None),
        (EventKind.BODY, b"abc"),
        (EventKind.BODY, b"d"),
        (EventKind.ENDED, None),
    ]


def test_state_table_decides_everything() -> None:
    assert set(TABLE) == set(State)
    for state, row in TABLE.items():
        assert set(row) == set(Event), state
        assert [int(row[event]) for event in Event] == list(ROWS[state])
    assert all(TABLE[state][Event.RECV_PUSH_PROMISE] is Verdict.CONNECTION_PROTOCOL_ERROR for state in State)
    assert len(as_markdown().splitlines()) == len(Event) + 2


class Client:
    """Another implementation's client, wired to our core."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.core = Connection(limits)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=False))
        self.h2.initiate_connection()
        self.bodies: dict[int, bytes] = {}
        self.requests: dict[int, bytes] = {}
        self.over: dict[int, object] = {}
        self.unused: dict[int, int] = {}
        self.exchange()

    def exchange(self) -> None:
        """Pass bytes to and fro until there are none."""
        while True:
            sent = self.h2.data_to_send()
            events = self.core.receive(sent, 0.0)
            for kind, stream, payload in events:
                if kind == EventKind.BODY:
                    self.requests[stream.id] = self.requests.get(stream.id, b"") + payload
                elif kind == EventKind.ENDED:
                    self.core.out.respond(stream, HEAD, self.requests.get(stream.id, b"")[::-1], TRAILERS)
            received = self.core.out.take()
            if not (sent or received):
                return
            for event in self.h2.receive_data(received):
                if isinstance(event, h2.events.DataReceived):
                    self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                    self.unused[event.stream_id] = self.unused.get(event.stream_id, 0) + event.flow_controlled_length
                elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                    self.over[event.stream_id] = event

    def use(self, stream_id: int, count: int) -> None:
        """Open the windows for as much as was received of a stream."""
        count = min(count, self.unused.get(stream_id, 0))
        if count:
            self.unused[stream_id] -= count
            self.h2.increment_flow_control_window(count)
            if self.over.get(stream_id) is None:  # its answer is not
                self.h2.increment_flow_control_window(count, stream_id)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["open", "send", "send", "end", "reset", "ping", "window", "use"]),
        st.integers(0, 6),
        st.integers(0, 120_000),
    ),
    max_size=30,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(ACTIONS)
@example([("open", 0, 0), *[("send", 0, 16_384)] * 4, ("end", 0, 0)])  # an answer that is larger than the first window
def test_whatever_another_client_does_it_gets_its_answers(actions: list[tuple[str, int, int]]) -> None:
    client = Client()
    streams: list[int] = []
    bodies: dict[int, bytes] = {}
    for action, which, size in actions:
        if action == "open":
            streams.append(client.h2.get_next_available_stream_id())
            path = b"/%d" % which
            fields = [
                (b":method", b"POST"),
                (b":path", path),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b"x-%d" % size, b"v"),
            ]
            client.h2.send_headers(streams[-1], fields)
            bodies[streams[-1]] = b""
        elif action == "ping":
            client.h2.ping(b"%08d" % size)
        elif action == "window":
            client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: size})
        elif streams:
            stream_id = streams[which % len(streams)]
            if action == "use":
                client.use(stream_id, size)
            elif stream_id in bodies and stream_id not in client.over:
                if action == "send":
                    size = min(size, client.h2.local_flow_control_window(stream_id), 16_384)
                    piece = bytes(n % 251 for n in range(size))
                    client.h2.send_data(stream_id, piece, pad_length=which if size + which < 16_000 and which else None)
                    bodies[stream_id] += piece
                elif action == "end":
                    client.h2.end_stream(stream_id)
                    client.over[stream_id] = None
                else:
                    client.h2.reset_stream(stream_id)
                    del bodies[stream_id]
        client.exchange()
    client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65_535})
    for stream_id in bodies:
        if stream_id not in client.over:
            client.h2.end_stream(stream_id)
    for _ in range(60):
        client.exchange()
        for stream_id in list(client.unused):
            client.use(stream_id, 1 << 20)
    assert client.core.failed is None
    assert not client.core.streams.open and not client.core.out.queued_bytes
    for stream_id, body in bodies.items():
        assert client.requests.get(stream_id, b"") == body
        assert client.bodies.get(stream_id, b"") == body[::-1]
        assert isinstance(client.over[stream_id], h2.events.StreamEnded)


def test_requests_in_blocks_that_repeat_are_remembered() -> None:
    connection = stateless_connection(Connection(EAGER))
    drive(connection, [headers(5)])
    drive(connection, [headers(7) + data(7, b"abc")])
    first, second = connection.streams.open[5], connection.streams.open[7]
    assert first.request is second.request
    assert second.request.fields == () and second.request.path == b"/a.B/C"


def test_graceful_shutdown_in_two_steps() -> None:
    connection = Connection()
    drive(connection, [GREETING + frames.SETTINGS_ACK + headers(1)])
    connection.out.take()
    connection.shut_down()
    said = connection.out.take()
    assert said.startswith(frames.goaway(frames.STREAM_ID_MASK, 0))
    drive(connection, [headers(3)])  # crossed it
    ping = said[len(frames.goaway(0, 0)) :]
    drive(connection, [ping[:4] + b"\x01" + ping[5:]])
    assert connection.out.take() == frames.goaway(3, 0)
    drive(connection, [headers(5)])
    assert connection.out.take() == frames.rst_stream(5, ErrorCode.REFUSED_STREAM)
    assert not connection.finished
    for n in (1, 3):
        connection.out.respond(connection.streams.open[n], HEAD, b"", TRAILERS)
    assert connection.finished


def test_a_shutdown_whose_ping_is_not_answered_goes_on() -> None:
    connection = Connection()
    drive(connection, [GREETING])
    connection.shut_down()
    connection.tick(0.5)
    assert not connection.finished
    connection.tick(2.0)
    assert connection.finished and connection.failed is None


@pytest.mark.parametrize("window", [0, 1, 10])
def test_output_waits_for_windows_and_keeps_its_order(window: int) -> None:
    connection = Connection()
    drive(connection, [frames.PREFACE + frames.settings({4: window}) + headers(1) + headers(3)])
    connection.out.take()
    for n in (1, 3):
        connection.out.respond(connection.streams.open[n], HEAD, b"0123456789ab", TRAILERS)
    text = connection.out.take()
    body = b""
    for _ in range(20):
        connection.receive(frames.window_update(1, 1), 0.0)
        text += connection.out.take()
    at = 0
    while at < len(text):
        size = int.from_bytes(text[at : at + 3], "big")
        if text[at + 3] == frames.DATA and text[at + 8] == 1:
            body += text[at + 9 : at + 9 + size]
        at += 9 + size
    assert body == b"0123456789ab"
    assert connection.out.queued_bytes == max(0, 12 - window)
    assert 1 not in connection.streams.open and 3 in connection.streams.open
