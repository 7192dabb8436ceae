"""What a hostile peer can make one connection do: each attack with the most work and memory that it gets.

Work is counted in frames taken before the connection ends, memory in bytes that Python allocates meanwhile. Nothing
here is timed. `FLOODS` is the table that `wire/README.md` shows; a test keeps the two the same.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from borderpost_wire.h2 import Connection, ErrorCode, EventKind, Limits, RequestMemo, frames
from borderpost_wire.hpack import encode_fields
from borderpost_wire.hpack.integers import encode_integer
from support.h2_frames import BLOCK, FIELDS, GREETING, HEAD, TRAILERS, data, drive, headers, stateless_connection

README = Path(__file__).resolve().parents[2] / "wire" / "README.md"
CALM = ErrorCode.ENHANCE_YOUR_CALM
READY = GREETING + frames.SETTINGS_ACK
BEGUN = READY + frames.frame(frames.HEADERS, 0, 1, BLOCK)
BOMB = b"\x40\x01a" + encode_integer(4000, 7, 0) + b"b" * 4000
"""An entry that fills the dynamic table."""
LIMITS = Limits()


def nth(count: int) -> int:
    """Return the id of a client's nth stream, from 0."""
    return 2 * count + 1


@dataclass(frozen=True, slots=True)
class Flood:
    """A unit of frames sent again and again on one connection, with no pause."""

    name: str
    unit: Callable[[int], bytes]
    """The nth unit, from 0."""
    units_max: int
    """Which unit ends the connection, counted from 1."""
    per_s: float
    """Units a second that are borne for ever: what the budget is refilled by."""
    memory_kib_max: int
    """Most memory that all of it takes, output included, which here nobody fetches."""
    opening: bytes = READY
    code: ErrorCode = CALM
    precedent: str = ""


FLOODS = (
    Flood(
        "rapid reset: HEADERS, RST_STREAM", lambda n: headers(nth(n)) + frames.rst_stream(nth(n), 8),
        16_385, 500, 64, precedent="CVE-2023-44487",
    ),
    Flood(
        "resets that we are made to send: HEADERS, WINDOW_UPDATE by 0",
        lambda n: headers(nth(n)) + frames.window_update(nth(n), 0), 16_385, 500, 2048, precedent="CVE-2025-8671",
    ),
    Flood(
        "half-closed: HEADERS with END_STREAM, then DATA", lambda n: headers(nth(n), end=True) + data(nth(n), b"x"),
        16_385, 500, 2048, precedent="CVE-2025-8671",
    ),
    Flood(
        "requests that are none", lambda n: headers(nth(n), block=b"\x82"), 16_385, 500, 2048,
        precedent="CVE-2025-8671",
    ),
    Flood("streams beyond the limit", lambda n: headers(nth(n)), 8192 + 16_385, 500, 8192),
    Flood("PING", lambda _n: frames.frame(frames.PING, 0, 0, b"12345678"), 1001, 500, 128, precedent="CVE-2019-9512"),
    Flood("PING with ACK", lambda _n: frames.frame(frames.PING, frames.ACK, 0, b"12345678"), 1001, 500, 16),
    Flood("empty SETTINGS", lambda _n: frames.settings({}), 999, 50, 64, precedent="CVE-2019-9515"),
    Flood("SETTINGS that move every window", lambda n: frames.settings({4: n % 2 * 65_535}), 500, 25, 64),
    Flood("SETTINGS of many entries", lambda _n: frames.settings(dict.fromkeys(range(99, 1099), 1)), 1, 0, 512),
    Flood("SETTINGS with ACK", lambda _n: frames.SETTINGS_ACK, 999, 50, 16),
    Flood("WINDOW_UPDATE", lambda _n: frames.window_update(0, 1), 20_001, 5000, 16),
    Flood("WINDOW_UPDATE of a stream", lambda _n: frames.window_update(1, 1), 20_001, 5000, 16, READY + headers(1)),
    Flood(
        "empty DATA", lambda _n: data(1, b""), 1001, 100, 16, READY + headers(1), precedent="CVE-2019-9518",
    ),
    Flood(
        "DATA of padding alone", lambda _n: frames.frame(frames.DATA, frames.PADDED, 1, b"\xff" + b"\0" * 255),
        1001, 100, 16, READY + headers(1),
    ),
    Flood(
        "PRIORITY", lambda n: frames.frame(frames.PRIORITY, 0, nth(n), b"\0\0\0\0\3"), 10_001, 1000, 16,
        precedent="CVE-2019-9513",
    ),
    Flood("frames of unknown types", lambda n: frames.frame(16 + n % 200, 0, 0, b"x" * 100), 10_001, 1000, 16),
    Flood("GOAWAY", lambda _n: frames.goaway(0, 0), 10_001, 1000, 16),
    Flood(
        "DATA for a stream that was reset", lambda _n: data(1, b"x" * 100), 10_001, 1000, 64,
        READY + headers(1) + frames.window_update(1, 0),
    ),
    Flood(
        "RST_STREAM of a stream that is over", lambda _n: frames.rst_stream(1, 8), 10_001, 1000, 16,
        READY + headers(1) + frames.rst_stream(1, 8),
    ),
    Flood(
        "CONTINUATION, empty", lambda _n: frames.frame(frames.CONTINUATION, 0, 1, b""), 17, 0, 16, BEGUN,
        precedent="CVE-2024-27316",
    ),
    Flood(
        "CONTINUATION, full", lambda _n: frames.frame(frames.CONTINUATION, 0, 1, b"\x82" * 16_384), 4, 0, 128, BEGUN,
        precedent="CVE-2024-27316",
    ),
    Flood(
        "WINDOW_UPDATE beyond the largest window", lambda _n: frames.window_update(0, frames.WINDOW_MAX), 1, 0, 16,
        code=ErrorCode.FLOW_CONTROL_ERROR,
    ),
)  # fmt: skip


def opened(flood: Flood, limits: Limits | None = None) -> Connection:
    """Return a connection on which a flood is about to begin."""
    connection = Connection(limits)
    connection.receive(flood.opening, 0.0)
    connection.out.take()
    assert connection.failed is None
    return connection


def table() -> str:
    """Return the floods and their bounds for people."""
    lines = ["| flood | ends at | borne for ever | memory, at most | precedent |", "|---|---|---|---|---|"]
    for each in FLOODS:
        rate = f"{each.per_s:g} a second" if each.per_s else "–"
        memory = f"{each.memory_kib_max} KiB"
        lines.append(f"| {each.name} | {each.units_max:,} | {rate} | {memory} | {each.precedent or '–'} |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "flood",
    [pytest.param(each, id=each.name, marks=[pytest.mark.slow] if each.units_max > 15_000 else []) for each in FLOODS],
)
def test_a_flood_ends_its_connection(flood: Flood) -> None:
    """At the unit that the table says, with the code that it says, within the memory that it says."""
    connection = opened(flood)
    units = [flood.unit(n) for n in range(flood.units_max)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for unit in units:
            assert connection.failed is None
            connection.receive(unit, 0.0)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert connection.failed is flood.code
    assert connection.receive(units[0] * 1000, 0.0) == [], "nothing is taken any more"
    assert peak <= flood.memory_kib_max * 1024


@pytest.mark.parametrize("flood", [each for each in FLOODS if each.per_s], ids=lambda flood: flood.name)
def test_what_is_no_flood_goes_on_for_ever(flood: Flood) -> None:
    """Half a budget at once, then units at the rate that the table says."""
    small = Limits(streams_max=100)  # so that those who fill it are soon at their rate
    connection = opened(flood, small)
    at_once = min(flood.units_max // 2, 500)
    for n in range(at_once + 1500):
        connection.receive(flood.unit(n), max(0, n - at_once) / flood.per_s)
        connection.out.take()
    assert connection.failed is None


def test_the_readme_shows_the_table() -> None:
    assert table() in README.read_text(encoding="utf-8")


def test_an_answer_earns_a_reset_and_pings() -> None:
    """Whoever works may also change its mind: budgets grow with answers."""
    connection = stateless_connection(Connection(Limits(streams_max=10, waive_table_at_id=1)))
    for n in range(5, 8005, 4):
        drive(connection, [headers(n) + data(n, b"abc", end=True) + headers(n + 2)])
        connection.out.respond(connection.streams.open[n], HEAD, b"")
        drive(connection, [frames.rst_stream(n, 8) + frames.rst_stream(n + 2, 8)])
        drive(connection, [frames.frame(frames.PING, 0, 0, b"12345678")])
        connection.out.pieces.clear()
    assert connection.failed is None


@pytest.mark.parametrize("queued", [False, True])
def test_resets_behind_an_answer_are_never_counted(queued: bool) -> None:
    """A proxy that ends every one of 100,000 streams by RST_STREAM once it has its answer, whatever the code."""
    connection = stateless_connection(Connection(Limits(streams_max=10, waive_table_at_id=1)))
    if queued:  # the answers' bodies wait for a window, so that no shortcut is taken
        connection.receive(frames.settings({4: 0}), 0.0)
    receive, respond, streams = connection.receive, connection.out.respond, connection.streams
    for n in range(5, 200_005 if not queued else 20_005, 2):
        receive(headers(n) + data(n, b"abc"), 0.0)
        respond(streams.open[n], HEAD, b"answer")
        receive(frames.rst_stream(n, n % 14), 0.0)
        connection.out.pieces.clear()
    assert connection.failed is None
    assert not streams.open and not connection.out.queued_bytes


def test_every_stream_may_time_out_at_once_twice() -> None:
    """A proxy whose every request runs out of time resets all of its streams; that is no abuse either."""
    connection = Connection()
    connection.receive(READY, 0.0)
    for round_ in range(2):
        ids = [nth(round_ * LIMITS.streams_max + n) for n in range(LIMITS.streams_max)]
        connection.receive(b"".join(headers(n) for n in ids), 0.0)
        connection.receive(b"".join(frames.rst_stream(n, 8) for n in ids), 0.0)
    assert connection.failed is None


@pytest.mark.parametrize(
    ("name", "block", "code"),
    [
        ("one long entry, then references to it", b"\x20\x3f\xe1\x1f" + BOMB + b"\xbe" * 60_000, CALM),
        ("references to long static names", b"\x82" * 65_000, CALM),
        ("table size updates", b"\x20" * 65_000 + BLOCK, None),
        ("entries that push each other out", b"\x40\x01a\x01b" * 13_000, CALM),
        ("an integer of too many octets", b"\x7f" + b"\x80" * 60_000, ErrorCode.COMPRESSION_ERROR),
        ("an integer of zeros", b"\x3f" + b"\x80" * 5 + b"\x00", ErrorCode.COMPRESSION_ERROR),
        ("a length beyond all memory", b"\x00\x7f\xff\xff\xff\x7f", ErrorCode.COMPRESSION_ERROR),
        ("an index that no table has", b"\xff\xff\xff\x7f", ErrorCode.COMPRESSION_ERROR),
    ],
)
def test_hpack_bombs(name: str, block: bytes, code: ErrorCode | None) -> None:
    """A block costs time for its own bytes, at most 64 KiB, and memory for 16 KiB of fields and for its table."""
    connection = Connection()
    connection.receive(READY, 0.0)
    parts = [block[at : at + 16_384] for at in range(0, len(block), 16_384)] or [b""]
    kinds = [frames.HEADERS, *[frames.CONTINUATION] * (len(parts) - 1)]
    text = b"".join(
        frames.frame(kind, frames.END_HEADERS if at == len(parts) - 1 else 0, 1, part)
        for at, (kind, part) in enumerate(zip(kinds, parts, strict=True))
    )
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        events = connection.receive(text, 0.0)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    if code is CALM:  # the fields are too long: the stream is over, and the connection's state is intact
        assert connection.failed is None and events == []
        assert connection.out.take().endswith(frames.rst_stream(1, CALM))
        assert [event[0] for event in connection.receive(headers(3), 0.0)] == [EventKind.REQUEST]
    elif code is None:
        assert [event[0] for event in events] == [EventKind.REQUEST]
    else:
        assert connection.failed is code
    assert peak < 300 * 1024, name


def test_a_block_of_more_than_64_kib_is_not_decoded() -> None:
    assert LIMITS.block_bytes_max == 65_536 and LIMITS.continuations_max == 16
    connection = Connection()
    part = b"\xff" * 16_384  # no block: decoding it would be a COMPRESSION_ERROR
    text = frames.frame(frames.HEADERS, 0, 1, part) + frames.frame(frames.CONTINUATION, 0, 1, part) * 4
    connection.receive(READY + text, 0.0)
    assert connection.failed is CALM


@pytest.mark.slow
def test_distinct_blocks_fill_no_memory() -> None:
    """The memo of requests is bounded whatever blocks come: two generations of 1024 of at most 2 KiB."""
    memo = RequestMemo(1024)
    connection = stateless_connection(Connection(Limits(waive_table_at_id=1), memo=memo))
    path = b"/" + b"x" * 1900

    def flood(first: int) -> None:
        for n in range(first, first + 5000):
            fields = [*FIELDS[:2], (b":path", path + b"%d" % n), FIELDS[3]]
            connection.receive(headers(nth(n), end=True, block=encode_fields(fields)), n / 100)
            connection.receive(frames.rst_stream(nth(n), 8), n / 100)

    flood(2)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        flood(5002)
        grown, peak = (each - before for each in tracemalloc.get_traced_memory())
    finally:
        tracemalloc.stop()
    assert connection.failed is None
    assert max(grown, peak) < 2 * 1024 * 3 * 2100, "what replaces the two generations that were not traced"


def test_a_frame_that_is_too_long_is_refused_by_its_head() -> None:
    for kind in range(12):
        connection = Connection()
        connection.receive(READY, 0.0)
        connection.receive(frames.HEAD.pack(16_385 >> 8, 16_385 & 0xFF, kind, 0, 1), 0.0)
        assert connection.failed is ErrorCode.FRAME_SIZE_ERROR


def test_an_unfinished_frame_keeps_no_more_than_its_bytes() -> None:
    connection = Connection()
    connection.receive(READY + headers(1), 0.0)
    text = data(1, b"x" * 16_384)
    for n in range(len(text) - 1):
        assert connection.receive(text[n : n + 1], 0.0) == []
    assert [event[2] for event in connection.receive(text[-1:], 0.0)] == [b"x" * 16_384]


def test_slow_peers_are_given_their_time_and_no_more() -> None:
    begun = frames.frame(frames.HEADERS, 0, 1, BLOCK)
    for chunk, wait_s, code in (
        (b"", LIMITS.preface_wait_s, ErrorCode.PROTOCOL_ERROR),
        (frames.PREFACE, LIMITS.preface_wait_s, ErrorCode.PROTOCOL_ERROR),
        (READY + begun, LIMITS.block_wait_s, CALM),
        (READY + headers(1)[:-1], LIMITS.frame_wait_s, CALM),
        (GREETING, LIMITS.settings_ack_wait_s, ErrorCode.SETTINGS_TIMEOUT),
    ):
        connection = Connection()
        connection.receive(chunk, 0.0)
        connection.tick(wait_s - 0.1)
        assert connection.failed is None
        connection.tick(wait_s + 0.1)
        assert connection.failed is code


@pytest.mark.parametrize("kind", [frames.HEADERS, frames.DATA])
def test_a_byte_now_and_then_buys_no_time(kind: int) -> None:
    """Slow headers: what counts is when the frame, or the block, began."""
    connection = Connection()
    connection.receive(READY, 0.0)
    now_s = 0.0
    for octet in headers(1, block=BLOCK * 10) if kind == frames.HEADERS else data(1, b"x" * 100):
        now_s += LIMITS.frame_wait_s / 50
        connection.receive(bytes((octet,)), now_s)
        connection.tick(now_s)
        if connection.failed is not None:
            break
    assert connection.failed is CALM and now_s < LIMITS.frame_wait_s * 1.1
    connection = Connection()
    connection.receive(BEGUN, 0.0)
    for n in range(12):
        connection.receive(frames.frame(frames.CONTINUATION, 0, 1, b""), float(n))
        connection.tick(float(n))
    assert connection.failed is CALM


def test_windows_that_stay_shut_hold_output_for_two_minutes() -> None:
    connection = Connection()
    connection.receive(frames.PREFACE + frames.settings({4: 0}) + frames.SETTINGS_ACK + headers(1), 0.0)
    connection.out.respond(connection.streams.open[1], HEAD, b"x" * 1000)
    connection.tick(0.0)
    connection.tick(LIMITS.stall_wait_s - 1)
    assert connection.failed is None and connection.out.queued_bytes == 1000
    connection.tick(LIMITS.stall_wait_s + 1)
    assert connection.failed is CALM


def test_one_shut_window_ends_no_connection_that_is_in_use() -> None:
    connection = Connection()
    connection.receive(READY + headers(1) + frames.window_update(0, 1 << 20), 0.0)
    connection.out.respond(connection.streams.open[1], HEAD, b"x" * 100_000)
    for n in range(1, 10):
        now_s = n * LIMITS.stall_wait_s / 2
        connection.receive(headers(nth(n), end=True), now_s)
        connection.out.respond(connection.streams.open[nth(n)], HEAD, b"answer", TRAILERS)
        connection.tick(now_s)
        assert connection.failed is None and connection.out.queued_bytes
    connection.tick(now_s + LIMITS.stall_wait_s + 1)
    assert connection.failed is CALM


def test_garbage_is_refused_at_its_first_wrong_byte() -> None:
    for text in (b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00", b"\0", frames.PREFACE[:-1] + b"?"):
        wrong = next((n for n, octet in enumerate(text) if octet != frames.PREFACE[n]), None)
        assert wrong is not None
        connection = Connection()
        for octet in text[:wrong]:
            connection.receive(bytes((octet,)), 0.0)
            assert connection.failed is None
        connection.receive(text[wrong : wrong + 1], 0.0)
        assert connection.failed is ErrorCode.PROTOCOL_ERROR


def test_the_last_stream_id_uses_up_the_connection_and_nothing_else() -> None:
    connection = Connection()
    connection.receive(READY + headers(frames.STREAM_ID_MASK), 0.0)
    assert list(connection.streams.open) == [frames.STREAM_ID_MASK]
    connection.receive(headers(1), 0.0)
    assert connection.failed is ErrorCode.STREAM_CLOSED
