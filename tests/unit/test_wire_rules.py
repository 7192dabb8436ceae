"""What RFC 9113 forbids a client, paragraph by paragraph, and what each breach costs: the stream or the connection."""

from __future__ import annotations

import pytest

from borderpost_wire.h2 import (
    Connection,
    ErrorCode,
    EventKind,
    Limits,
    LocalFault,
    Request,
    ResponseHead,
    Trailers,
    frames,
)
from borderpost_wire.h2.request import Malformed, RequestMemo, check_trailers
from borderpost_wire.hpack import encode_fields
from support.h2_frames import BLOCK, EAGER, FIELDS, GREETING, HEAD, TRAILERS, data, drive, headers, stateless_connection

PROTOCOL, SIZE, FLOW = ErrorCode.PROTOCOL_ERROR, ErrorCode.FRAME_SIZE_ERROR, ErrorCode.FLOW_CONTROL_ERROR
CLOSED, COMPRESSION = ErrorCode.STREAM_CLOSED, ErrorCode.COMPRESSION_ERROR
TRAILER = encode_fields([(b"x", b"y")])
OPEN = headers(1)
OVER = headers(1, end=True)
"""Stream 1 is half-closed."""
GONE = OVER + frames.rst_stream(1, 8)
frame = frames.frame


def entry(identifier: int, value: int) -> bytes:
    return frames.settings({identifier: value})


COSTS_THE_CONNECTION = [
    ("3.4 no SETTINGS first", None, frames.PREFACE + OPEN, PROTOCOL),
    ("3.4 an ACK first", None, frames.PREFACE + frames.SETTINGS_ACK, PROTOCOL),
    ("4.2 a frame longer than allowed", b"", data(1, b"x" * 16_385), SIZE),
    ("4.3 a block that cannot be decoded", b"", headers(1, block=b"\xbf"), COMPRESSION),
    ("4.3 the same on a stream that is over", GONE, headers(1, block=b"\xbf"), COMPRESSION),
    ("5.1 idle: DATA", b"", data(1, b"x"), PROTOCOL),
    ("5.1 idle: RST_STREAM", b"", frames.rst_stream(1, 8), PROTOCOL),
    ("5.1 idle: WINDOW_UPDATE", b"", frames.window_update(1, 1), PROTOCOL),
    ("5.1 closed: HEADERS", GONE, headers(1), CLOSED),
    ("5.1 closed: DATA", GONE, data(1, b"x"), CLOSED),
    ("5.1.1 an even stream", b"", headers(2), PROTOCOL),
    ("5.1.1 a stream below one that was used", headers(5), headers(3), CLOSED),
    ("5.3 a stream that depends on itself", b"", frame(frames.PRIORITY, 0, 1, b"\0\0\0\x01\0"), PROTOCOL),
    ("5.3 the same in HEADERS", b"", frame(frames.HEADERS, 0x24, 1, b"\0\0\0\x01\0" + BLOCK), PROTOCOL),
    ("6.1 DATA on no stream", b"", data(0, b"x"), PROTOCOL),
    ("6.1 padding without its length", OPEN, frame(frames.DATA, frames.PADDED, 1, b""), SIZE),
    ("6.1 more padding than payload", OPEN, frame(frames.DATA, frames.PADDED, 1, b"\x02ab"), None),
    ("6.1 as much padding as payload", OPEN, frame(frames.DATA, frames.PADDED, 1, b"\x03ab"), PROTOCOL),
    ("6.2 HEADERS on no stream", b"", headers(0), PROTOCOL),
    ("6.2 HEADERS within a block", frame(frames.HEADERS, 0, 1, BLOCK), headers(3), PROTOCOL),
    ("6.2 no room for the priority", b"", frame(frames.HEADERS, 0x24, 1, b"\0\0\0"), SIZE),
    ("6.2 more padding than payload", b"", frame(frames.HEADERS, 0x0C, 1, b"\xff" + BLOCK), PROTOCOL),
    ("6.3 PRIORITY on no stream", b"", frame(frames.PRIORITY, 0, 0, b"\0\0\0\x03\0"), PROTOCOL),
    ("6.3 PRIORITY of another length, idle", b"", frame(frames.PRIORITY, 0, 1, b"\0\0\0\x03"), SIZE),
    ("6.4 RST_STREAM on no stream", b"", frames.rst_stream(0, 8), PROTOCOL),
    ("6.4 RST_STREAM of another length", OPEN, frame(frames.RST_STREAM, 0, 1, b"\0\0\x08"), SIZE),
    ("6.5 SETTINGS on a stream", b"", frame(frames.SETTINGS, 0, 1, b""), PROTOCOL),
    ("6.5 an ACK with a payload", b"", frame(frames.SETTINGS, 1, 0, b"\0" * 6), SIZE),
    ("6.5 SETTINGS of a broken length", b"", frame(frames.SETTINGS, 0, 0, b"\0" * 5), SIZE),
    ("6.5.2 ENABLE_PUSH", b"", entry(2, 2), PROTOCOL),
    ("6.5.2 INITIAL_WINDOW_SIZE", b"", entry(4, 1 << 31), FLOW),
    ("6.5.2 MAX_FRAME_SIZE, too small", b"", entry(5, 16_383), PROTOCOL),
    ("6.5.2 MAX_FRAME_SIZE, too large", b"", entry(5, 1 << 24), PROTOCOL),
    ("6.5.2 an unknown setting", b"", entry(0x99, 7), None),
    ("6.6 PUSH_PROMISE", OPEN, frame(frames.PUSH_PROMISE, 4, 1, b"\0\0\0\x02" + BLOCK), PROTOCOL),
    ("6.7 PING on a stream", b"", frame(frames.PING, 0, 1, b"12345678"), PROTOCOL),
    ("6.7 PING of another length", b"", frame(frames.PING, 0, 0, b"1234567"), SIZE),
    ("6.8 GOAWAY on a stream", b"", frame(frames.GOAWAY, 0, 1, b"\0" * 8), PROTOCOL),
    ("6.8 GOAWAY of another length", b"", frame(frames.GOAWAY, 0, 0, b"\0" * 7), SIZE),
    ("6.9 WINDOW_UPDATE by nothing", b"", frames.window_update(0, 0), PROTOCOL),
    ("6.9 WINDOW_UPDATE of another length", b"", frame(frames.WINDOW_UPDATE, 0, 0, b"\0\0\x01"), SIZE),
    ("6.9.1 a window beyond 2^31-1", b"", frames.window_update(0, frames.WINDOW_MAX), FLOW),
    (
        "6.9.2 the same by SETTINGS", entry(4, 0) + OPEN + frames.window_update(1, frames.WINDOW_MAX - 1), entry(4, 2),
        FLOW,
    ),
    ("6.10 CONTINUATION of nothing", OPEN, frame(frames.CONTINUATION, 4, 1, BLOCK), PROTOCOL),
    ("6.10 of another stream", frame(frames.HEADERS, 0, 1, b""), frame(frames.CONTINUATION, 4, 3, BLOCK), PROTOCOL),
    ("6.10 on no stream", frame(frames.HEADERS, 0, 1, b""), frame(frames.CONTINUATION, 4, 0, BLOCK), PROTOCOL),
]  # fmt: skip
"""Paragraph and breach, what comes before (None: not even a greeting), the breach, what GOAWAY says (None: nothing)."""

COSTS_THE_STREAM = [
    ("5.1 half-closed: DATA", OVER, data(1, b"x"), CLOSED),
    ("5.1 half-closed: HEADERS", OVER, headers(1, block=TRAILER, end=True), CLOSED),
    ("6.3 PRIORITY of another length", OPEN, frame(frames.PRIORITY, 0, 1, b"\0\0\0\x03"), SIZE),
    ("6.9 WINDOW_UPDATE by nothing", OPEN, frames.window_update(1, 0), PROTOCOL),
    ("6.9.1 a window beyond 2^31-1", OPEN, frames.window_update(1, frames.WINDOW_MAX), FLOW),
    ("8.1 HEADERS that end nothing", OPEN, headers(1, block=TRAILER), PROTOCOL),
    ("8.1 trailers with a pseudo-header", OPEN, headers(1, end=True), PROTOCOL),
    (
        "8.1.1 a body longer than announced",
        headers(1, block=encode_fields([*FIELDS, (b"content-length", b"2")])), data(1, b"abc"), PROTOCOL,
    ),
    (
        "8.1.1 a body shorter than announced",
        headers(1, block=encode_fields([*FIELDS, (b"content-length", b"2")])), data(1, b"a", end=True), PROTOCOL,
    ),
]  # fmt: skip


def after(before: bytes | None) -> Connection:
    connection = Connection()
    connection.receive(GREETING + frames.SETTINGS_ACK + before if before is not None else b"", 0.0)
    assert connection.failed is None
    connection.out.take()
    return connection


@pytest.mark.parametrize(("name", "before", "breach", "code"), COSTS_THE_CONNECTION, ids=lambda each: str(each)[:48])
def test_what_costs_the_connection(name: str, before: bytes | None, breach: bytes, code: ErrorCode | None) -> None:
    connection = after(before)
    connection.receive(breach, 0.0)
    assert connection.failed is code, name
    goaway = frame(frames.GOAWAY, 0, 0, b"")[3:]
    assert (goaway in connection.out.take()) is (code is not None)


@pytest.mark.parametrize(("name", "before", "breach", "code"), COSTS_THE_STREAM, ids=lambda each: str(each)[:48])
def test_what_costs_the_stream(name: str, before: bytes, breach: bytes, code: ErrorCode) -> None:
    connection = after(before)
    events = connection.receive(breach, 0.0)
    assert connection.failed is None, name
    assert connection.out.take() == frames.rst_stream(1, code)
    assert (events[-1][0], events[-1][2]) == (EventKind.RESET, code)
    assert connection.receive(data(1, b"late") + headers(1, block=TRAILER, end=True), 0.0) == []
    assert connection.failed is None, "what was under way is ignored"
    assert [event[0] for event in connection.receive(headers(3), 0.0)] == [EventKind.REQUEST]


def request(*more: tuple[bytes, bytes], without: bytes = b"", **changed: bytes) -> Request:
    fields = [(name, changed.get(name[1:].decode(), value)) for name, value in FIELDS if name != without]
    return Request([*fields, *more])


@pytest.mark.parametrize(
    "more",
    [
        (b"", b"a"), (b"Name", b"a"), (b"na me", b"a"), (b"na:me", b"a"), (b"name\x7f", b"a"), (b"n\xe9", b"a"),
        (b"x", b"a\0"), (b"x", b"a\r\nb"), (b"x", b"\na"), (b"x", b" a"), (b"x", b"a\t"),
        (b"connection", b"close"), (b"keep-alive", b"1"), (b"proxy-connection", b"a"), (b"upgrade", b"h2c"),
        (b"transfer-encoding", b"chunked"), (b"te", b"gzip"), (b"te", b"trailers, gzip"),
        (b":path", b"/twice"), (b":status", b"200"), (b":late", b"a"),
        (b"content-length", b""), (b"content-length", b"+1"), (b"content-length", b"1e3"),
        (b"content-length", b"9" * 19),        (b"host", b"another"),
    ],
)  # fmt: skip
def test_fields_that_make_no_request(more: tuple[bytes, bytes]) -> None:
    """Sections 8.1.1, 8.2.1, 8.2.2, 8.3, 8.3.1."""
    with pytest.raises(Malformed):
        request(more)


def test_pseudo_headers_that_make_no_request() -> None:
    """Section 8.3.1; 8.5 for CONNECT."""
    for name in (b":method", b":scheme", b":path"):
        with pytest.raises(Malformed):
            request(without=name)
        with pytest.raises(Malformed):
            request(**{name[1:].decode(): b""})
    for changed in ({"method": b"G T"}, {"path": b"a"}, {"path": b"*"}, {"path": b"/\0"}, {"method": b"CONNECT"}):
        with pytest.raises(Malformed):
            request(**changed)
    with pytest.raises(Malformed):
        Request([(b":method", b"CONNECT")])
    with pytest.raises(Malformed):
        Request([(b":method", b"CONNECT"), (b":authority", b"a:1"), (b":path", b"/")])
    with pytest.raises(Malformed):
        request((b"content-length", b"1"), (b"content-length", b"2"))


def test_fields_that_make_a_request() -> None:
    assert request((b"te", b"Trailers"), (b"x", b"a b"), (b"y", b"")).fields[2] == (b"y", b"")
    assert request((b"host", b"X")).authority == b"x", "names of hosts have no case"
    assert request((b"host", b"y"), without=b":authority").field(b"host") == b"y"
    assert request((b"content-length", b"12"), (b"content-length", b"12")).content_length == 12
    assert request(method=b"OPTIONS", path=b"*").path == b"*"
    assert Request([(b":method", b"CONNECT"), (b":authority", b"a:1")]).method == b"CONNECT"
    check_trailers([(b"x", b"y")])
    with pytest.raises(Malformed):
        check_trailers([(b":path", b"/")])


def test_trailers_end_a_request() -> None:
    connection = after(OPEN + data(1, b"a"))
    events = connection.receive(headers(1, block=TRAILER, end=True), 0.0)
    assert [event[0] for event in events] == [EventKind.ENDED]


def test_a_request_may_be_padded_prioritised_and_in_pieces() -> None:
    connection = after(b"")
    padded = frame(frames.HEADERS, 0x2C, 1, b"\x02" + b"\0\0\0\x03\x10" + BLOCK + b"\0\0")
    pieces = frame(frames.HEADERS, 1, 3, BLOCK[:3]) + frame(frames.CONTINUATION, 0, 3, BLOCK[3:5])
    seen = drive(connection, [padded + pieces + frame(frames.CONTINUATION, 4, 3, BLOCK[5:])])
    assert [(kind, stream_id) for kind, stream_id, _ in seen] == [(0, 1), (0, 3), (2, 3)]
    seen = drive(connection, [frame(frames.DATA, 0x09, 1, b"\x03abc\0\0\0")])
    assert seen == [(1, 1, b"abc"), (2, 1, None)]


def test_windows_are_replenished_at_half() -> None:
    limits = Limits(connection_window_bytes=65_535, stream_window_bytes=65_535)
    connection = Connection(limits)
    drive(connection, [GREETING + frames.SETTINGS_ACK + OPEN + headers(3)])
    connection.out.take()
    drive(connection, [data(1, b"x" * 16_000) + data(1, b"x" * 16_000)])
    assert connection.out.take() == b""
    drive(connection, [data(1, b"x" * 1000)])
    assert connection.out.take() == frames.window_update(0, 33_000) + frames.window_update(1, 33_000)
    drive(connection, [data(3, b"x" * 16_384) * 2])
    assert connection.out.take() == frames.window_update(0, 32_768) + frames.window_update(3, 32_768)
    with pytest.raises(ValueError, match="windows"):
        Limits(stream_window_bytes=65_534)


def test_a_smaller_table_of_the_peer_is_confirmed_once() -> None:
    """Section 4.3.1: by us, in the first block behind the acknowledgment."""
    connection = after(entry(1, 100) + OPEN + headers(3) + headers(5))
    for stream_id, update in ((1, b"\x20"), (3, b"")):
        connection.out.respond(connection.streams.open[stream_id], HEAD, b"", TRAILERS)
        assert headers(stream_id, block=update + HEAD.block) in connection.out.take()
    connection.receive(entry(1, 4096) + entry(1, 50), 0.0)
    connection.out.head_fields(connection.streams.open[5], HEAD.block, end=True)
    assert connection.out.take().endswith(
        headers(5, block=HEAD.block, end=True) + frames.rst_stream(5, ErrorCode.NO_ERROR)
    ), "a table of nothing cannot become smaller"


def test_what_whoever_drives_the_core_must_not_ask_for() -> None:
    connection = after(OPEN + headers(3, end=True))
    out, stream, other = connection.out, connection.streams.open[1], connection.streams.open[3]
    out.respond(other, HEAD, b"", TRAILERS)
    for wrong in (
        lambda: out.respond(other, HEAD, b""),
        lambda: out.data(other, b""),
        lambda: out.trailers(other, b""),
        lambda: out.reset(other, ErrorCode.CANCEL),
        lambda: out.data(stream, b"") or out.data(stream, b"", end=True) or out.data(stream, b""),
        lambda: ResponseHead(b"x" * 16_385),
        lambda: Trailers(b"x" * 16_385),
    ):
        with pytest.raises(LocalFault):
            wrong()
    stream = connection.receive(headers(7), 0.0)[0][1]
    out.head_fields(stream, HEAD.block)
    with pytest.raises(LocalFault, match="second head"):
        out.head_fields(stream, HEAD.block)


@pytest.mark.parametrize("ended", ["by the peer", "by us"])
def test_nothing_is_said_on_a_stream_that_is_over(ended: str) -> None:
    connection = after(OPEN)
    out, stream = connection.out, connection.streams.open[1]
    if ended == "by us":
        out.reset(stream, ErrorCode.CANCEL)
    else:
        connection.receive(frames.rst_stream(1, 8), 0.0)
    out.take()
    assert not out.takes(stream)
    for wrong in (
        lambda: out.respond(stream, HEAD, b""),
        lambda: out.head_fields(stream, HEAD.block),
        lambda: out.data(stream, b"x"),
    ):
        stream.answered = False
        with pytest.raises(LocalFault):
            wrong()
    assert out.take() == b""


def test_output_that_is_held_back_goes_out_in_turn() -> None:
    connection = after(OPEN + headers(3))
    out = connection.out
    out.cork()
    for stream_id, body in ((1, b"a" * 20_000), (3, b"b")):
        out.respond(connection.streams.open[stream_id], HEAD, body, TRAILERS)
    assert out.take() == headers(1, block=HEAD.block) + headers(3, block=HEAD.block)
    assert out.queued_bytes == 20_001 and not out.stalled
    out.uncork()
    ends = [headers(n, block=TRAILERS.block, end=True) + frames.rst_stream(n, ErrorCode.NO_ERROR) for n in (1, 3)]
    assert out.take() == data(1, b"a" * 16_384) + data(3, b"b") + ends[1] + data(1, b"a" * 3616) + ends[0]
    assert out.queued_bytes == 0


def test_as_many_resets_are_remembered_as_limits_say() -> None:
    """Late frames are ignored on those streams, and an error on older ones."""
    connection = Connection(Limits(resets_remembered=2))
    drive(connection, [GREETING + b"".join(headers(n) + frames.window_update(n, 0) for n in (1, 3, 5))])
    drive(connection, [data(3, b"late") + data(5, b"late")])
    assert connection.failed is None
    drive(connection, [data(1, b"late")])
    assert connection.failed is CLOSED


def test_requests_in_use_outlive_a_flood_of_others() -> None:
    memo = RequestMemo(4)
    kept, long = request(), b"x" * (RequestMemo.BLOCK_BYTES_MAX + 1)
    memo.add(b"kept", kept)
    memo.add(long, kept)
    for n in range(40):
        memo.add(b"%d" % n, request())
        assert memo.find(b"kept") is kept
    assert memo.find(b"0") is None and memo.find(b"39") is not None and memo.find(long) is None


def test_blocks_are_remembered_only_where_they_mean_the_same_at_any_time() -> None:
    connection = Connection(EAGER)
    drive(connection, [GREETING + frames.SETTINGS_ACK + headers(1)])
    first = connection.streams.open[1].request
    drive(connection, [headers(3)])
    assert connection.streams.open[3].request is not first, "the peer has not confirmed yet"
    ready = stateless_connection(Connection(EAGER))
    drive(ready, [headers(5), headers(7)])
    assert ready.streams.open[5].request is ready.streams.open[7].request
