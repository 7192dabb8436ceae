"""gRPC above HTTP/2 on the wire engine: framing, refusals and deadlines, asked by bare frames; who may connect."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import hpack as oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost_wire.deadlines import BUCKET_S, Deadlines
from borderpost_wire.engines import make_engine
from borderpost_wire.errors import OptionsError
from borderpost_wire.h2 import Request, frames
from borderpost_wire.hpack import encode_fields
from borderpost_wire.options import ServerOptions, TcpListen, TlsOptions, UnixListen
from borderpost_wire.rpc.framing import MessageFault, MessageReader, framed
from borderpost_wire.rpc.plan import plan_of
from borderpost_wire.rpc.responses import trailers, trailers_only
from borderpost_wire.service import Call, StatusCode
from support.h2_frames import FIELDS, GREETING, data, headers, split
from support.wire_certificates import Authority
from support.wire_raw import METHODS, STREAM, UNARY, Raw, asked
from support.wire_server import EngineThread, ScriptedService, answer_all, answer_nothing


@given(st.lists(st.binary(max_size=50), max_size=6), st.lists(st.integers(0, 1000), max_size=8))
def test_messages_come_out_of_any_pieces(messages: list[bytes], places: list[int]) -> None:
    reader = MessageReader(50)
    got = [each for piece in split(b"".join(map(framed, messages)), places) for each in reader.feed(piece)]
    assert got == messages
    assert reader.held_bytes == 0


def test_messages_that_are_not_taken() -> None:
    for prefix, status in (
        (b"\x01\0\0\0\1", StatusCode.UNIMPLEMENTED),
        (b"\x02\0\0\0\1", StatusCode.INTERNAL),
        (b"\0\0\0\0\x0b", StatusCode.RESOURCE_EXHAUSTED),
        (b"\0\xff\xff\xff\xff", StatusCode.RESOURCE_EXHAUSTED),
    ):
        with pytest.raises(MessageFault) as caught:
            MessageReader(10).feed(framed(b"first") + prefix)
        assert caught.value.status is status


def fields_of(block: bytes) -> dict[bytes, bytes]:
    return dict(tuple(field) for field in oracle.Decoder().decode(block, raw=True))


@given(st.text(max_size=60))
def test_status_text_is_percent_encoded(text: str) -> None:
    from urllib.parse import unquote

    fields = fields_of(trailers(StatusCode.ABORTED, text))
    value = fields[b"grpc-message"].decode("ascii")
    assert value.isprintable() or not value
    assert unquote(value) == text.encode("utf-8", "replace").decode()


def test_long_status_text_is_cut_between_characters() -> None:
    for size in range(340, 345):
        fields = dict(
            tuple(f) for f in oracle.Decoder().decode(trailers_only(StatusCode.ABORTED, "\n" * size), raw=True)
        )
        assert len(fields[b"grpc-message"]) % 3 == 0
        assert len(fields[b"grpc-message"]) <= 1024


@pytest.mark.plain
def test_timeouts() -> None:
    def timeout(value: bytes) -> float | None:
        fields = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", b"/x"),
            (b"content-type", b"application/grpc"),
        ]
        plan = plan_of(Request([*fields, (b"grpc-timeout", value)]), {b"/x": object()})  # type: ignore[dict-item]
        assert (plan.refusal is None) == (plan.route is not None)
        return plan.timeout_s

    assert [timeout(v) for v in (b"1H", b"2M", b"3S", b"4m", b"0S")] == [3600.0, 120.0, 3.0, 0.004, 0.0]
    assert timeout(b"5u") == pytest.approx(5e-6)
    assert timeout(b"99999999n") == pytest.approx(0.099999999)
    assert {timeout(v) for v in (b"", b"1", b"1s", b"-1S", b"123456789S", b"1.5S")} == {None}


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 30), st.booleans()), max_size=30))
def test_deadlines_come_when_they_are_due(steps: list[tuple[int, float, bool]]) -> None:
    deadlines: Deadlines[int] = Deadlines()
    kept: dict[int, tuple[int, float]] = {}
    now_s = 0.0
    for thing, after_s, forget in steps:
        if thing in kept:
            key, due_s = kept.pop(thing)
            if forget:
                deadlines.forget(thing, key)
                continue
            now_s = max(now_s, due_s + 2 * BUCKET_S)
            due = deadlines.due(now_s)
            assert thing in due
            assert all(each == thing or kept[each][1] <= now_s for each in due)
            kept = {each: value for each, value in kept.items() if each not in due}
            assert all(value[1] >= now_s - 2 * BUCKET_S for value in kept.values())
        else:
            kept[thing] = (deadlines.add(thing, now_s + after_s), now_s + after_s)
    assert bool(deadlines) == bool(kept)


def test_what_is_not_grpc_gets_an_http_answer(tmp_path: Path) -> None:
    with asked(tmp_path) as (client, _):
        fields, body = client.response(client.ask(content_type="text/plain"))
        assert (fields[b":status"], fields[b"content-type"]) == (b"415", b"text/plain")
        assert b"gRPC" in body
        fields, _ = client.response(client.ask(method="PUT"))
        assert (fields[b":status"], fields[b"allow"]) == (b"405", b"POST")
        fields, body = client.response(client.ask(framed(b"a"), content_type="application/grpc+proto"))
        assert (fields[b"grpc-status"], body) == (b"0", framed(b"re:a"))


def test_refusals_are_trailers_only(tmp_path: Path) -> None:
    with asked(tmp_path) as (client, _):
        fields, body = client.response(client.ask(framed(b"a"), path="/test.Echo/Other"))
        assert (fields[b":status"], fields[b"grpc-status"], body) == (b"200", b"12", b"")
        fields, _ = client.response(client.ask(framed(b"a"), grpc_timeout="soon"))
        assert fields[b"grpc-status"] == b"3"
        fields, _ = client.response(client.ask(b"\x01" + framed(b"a")[1:]))
        assert (fields[b"grpc-status"], fields[b"grpc-accept-encoding"]) == (b"12", b"identity")
        fields, _ = client.response(client.ask(framed(b"a")[:-1]))
        assert (fields[b"grpc-status"], fields[b"grpc-message"]) == (b"13", b"the last message is cut off")
        fields, _ = client.response(client.ask(framed(b"a"), framed(b"b")))
        assert fields[b"grpc-status"] == b"3", "two messages on a unary call"


def test_messages_split_and_joined(tmp_path: Path) -> None:
    with asked(tmp_path) as (client, _):
        text = framed(b"one") + framed(b"") + framed(b"three")
        pieces = [text[n : n + 1] for n in range(len(text))]
        assert client.response(client.ask(*pieces, path=STREAM))[1] == framed(b"re:one") + framed(b"re:") + framed(
            b"re:three"
        )
        assert client.response(client.ask(text, path=STREAM))[1] == framed(b"re:one") + framed(b"re:") + framed(
            b"re:three"
        )


def test_deadline_is_kept_by_the_server(tmp_path: Path) -> None:
    service = ScriptedService(METHODS, answer_nothing)
    with asked(tmp_path, service) as (client, thread):
        began = time.monotonic()
        fields, _ = client.response(client.ask(framed(b"a"), path=STREAM, end=False, grpc_timeout="100m"))
        assert fields[b"grpc-status"] == b"4"
        assert 0.09 < time.monotonic() - began < 2
        assert thread.call(lambda: len(service.gone_calls)) == 1
        assert thread.call(lambda: bool(thread.engine.deadlines)) is False  # type: ignore[attr-defined]


def test_unfinished_messages_are_bounded(tmp_path: Path) -> None:
    with asked(tmp_path, message_bytes_max=1000, unfinished_bytes_max=1000) as (client, thread):
        first = client.ask(framed(b"x" * 1000)[:700], path=STREAM, end=False)
        fields, _ = client.response(client.ask(framed(b"y" * 1000)[:700], path=STREAM, end=False))
        assert fields[b"grpc-status"] == b"8"
        client.h2.send_data(first, framed(b"x" * 1000)[700:], end_stream=True)
        client.socket.sendall(client.h2.data_to_send())
        assert client.response(first)[1] == framed(b"re:" + b"x" * 1000)
        assert thread.call(lambda: thread.engine.held_bytes) == 0  # type: ignore[attr-defined]


def test_long_message_through_small_windows(tmp_path: Path) -> None:
    with asked(tmp_path, message_bytes_max=1 << 20) as (client, _):
        stream_id = client.ask(path=STREAM, end=False)
        left = memoryview(framed(b"z" * (1 << 20)))
        received = b""
        client.h2.increment_flow_control_window(1 << 24)
        client.h2.increment_flow_control_window(1 << 24, stream_id)
        while left:
            room = min(client.h2.local_flow_control_window(stream_id), 16_384, len(left))
            if room:
                client.h2.send_data(stream_id, bytes(left[:room]), end_stream=room == len(left))
                left = left[room:]
            client.socket.sendall(client.h2.data_to_send())
            if not room:
                client.events += client.h2.receive_data(client.socket.recv(65_536))
        _, received = client.response(stream_id)
        assert received == framed(b"re:" + b"z" * (1 << 20))


def test_peers_are_admitted_by_user_or_group(tmp_path: Path) -> None:
    def connect(**allowed: frozenset[int]) -> bool:
        options = ServerOptions(listen=(UnixListen(tmp_path / "p.sock", **allowed),))
        thread = EngineThread(options, [ScriptedService(METHODS)], "wire").start()
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5)
                client.connect(str(tmp_path / "p.sock"))
                try:
                    admitted = bool(client.recv(9))
                except ConnectionResetError:
                    admitted = False
            assert thread.engine.counters.refused == (not admitted)
            return admitted
        finally:
            thread.close()

    me, mine = frozenset({os.getuid()}), frozenset({os.getgid()})
    others = frozenset({os.getuid() + 1})
    assert connect()
    assert connect(peer_uids=me) and connect(peer_gids=mine) and connect(peer_uids=others, peer_gids=mine)
    assert not connect(peer_uids=others) and not connect(peer_gids=frozenset({os.getgid() + 1}))
    with pytest.raises(OptionsError, match="need the engine `wire`"):
        make_engine("grpcio", ServerOptions(listen=(UnixListen(tmp_path / "q", peer_uids=me),)), [])


def test_connections_are_bounded(tmp_path: Path) -> None:
    with asked(tmp_path, connections_max=1) as (client, thread):
        client.response(client.ask(framed(b"a")))
        other = Raw(thread.engine.addresses[0])
        with contextlib.closing(other.socket), pytest.raises((AssertionError, ConnectionError)):
            other.response(other.ask(framed(b"a")))
        assert client.response(client.ask(framed(b"b")))[1] == framed(b"re:b")


def test_one_write_and_one_batch_for_what_one_read_brought(tmp_path: Path) -> None:
    service = ScriptedService(METHODS, answer_all)
    with asked(tmp_path, service) as (client, _):
        client.response(client.ask(framed(b"first")))
        streams = []
        for n in range(50):
            streams.append(client.say(framed(b"%d" % n), path=STREAM, end=False))
        client.socket.sendall(client.h2.data_to_send())
        received = client.socket.recv(1 << 20)
        client.h2.receive_data(received)
        assert [len(batch) for batch in service.batches] == [1, 50]
        assert received.count(framed(b"re:")[-3:]) == 50
        for stream_id in streams:
            client.h2.reset_stream(stream_id, 2)
        client.socket.sendall(client.h2.data_to_send())
        client.response(client.ask(framed(b"last")))
        assert len(service.gone_calls) == 50
    assert all(not call.alive for call in service.gone_calls)


def test_peer_that_does_not_read_stops_being_read(tmp_path: Path) -> None:
    """Unread answers are bounded by the transport's buffer; the rest waits in the peer's own socket."""

    def flood(batch: Sequence[tuple[Call, bytes]]) -> None:
        for call, _ in batch:
            call.reply(b"x" * 500_000)

    service = ScriptedService(METHODS, flood)
    with asked(tmp_path, service, message_bytes_max=1 << 20) as (client, thread):
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
        client.h2.increment_flow_control_window(2**31 - 1 - 65_535)
        client.socket.sendall(client.h2.data_to_send())
        client.socket.setblocking(False)
        asked_for = 0
        until = time.monotonic() + 1.0
        while time.monotonic() < until and asked_for < 500:
            try:
                client.ask(framed(b"a"), path=STREAM, end=False)
                asked_for += 1
            except BlockingIOError:
                break
            time.sleep(0.005)  # one question a read: what a single read brings is answered whole
        time.sleep(0.1)
        delivered = thread.call(lambda: len(service.seen))
        assert 0 < delivered < asked_for
        assert delivered * 500_000 < 50_000_000, "output is bounded"
        client.socket.close()
        until = time.monotonic() + 5
        while thread.call(lambda: thread.engine.calls_in_progress) and time.monotonic() < until:
            time.sleep(0.01)
        assert thread.engine.calls_in_progress == 0


def test_what_is_not_http2_is_told_so(tmp_path: Path) -> None:
    options = ServerOptions(listen=(UnixListen(tmp_path / "s.sock"),))
    thread = EngineThread(options, [ScriptedService(METHODS)], "wire").start()
    with contextlib.closing(thread), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(tmp_path / "s.sock"))
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        received = b""
        while piece := client.recv(1000):
            received += piece
    assert received[3] == 4, "SETTINGS first"
    assert b"this is not HTTP/2" in received, "then GOAWAY, and the connection is closed"


def frames_until(client: socket.socket, kind: int) -> list[tuple[int, int, int, bytes]]:
    """Return type, flags, stream and payload of frames up to the first of a type."""
    seen = []
    while not seen or seen[-1][0] != kind:
        head = client.recv(9, socket.MSG_WAITALL)
        assert len(head) == 9, seen
        size = int.from_bytes(head[:3], "big")
        payload = client.recv(size, socket.MSG_WAITALL) if size else b""
        seen.append((head[3], head[4], int.from_bytes(head[5:], "big"), payload))
    return seen


def test_goaway_comes_twice_and_what_crossed_the_first_is_answered(tmp_path: Path) -> None:
    block = encode_fields([*FIELDS[:2], (b":path", STREAM.encode()), (b"content-type", b"application/grpc")])
    with asked(tmp_path) as (client, thread), ThreadPoolExecutor(1) as threads:
        wire = client.socket
        wire.sendall(GREETING + frames.SETTINGS_ACK + headers(1, block=block) + data(1, framed(b"a")))
        assert frames_until(wire, frames.DATA)[-1][2:] == (1, framed(b"re:a"))
        retired = threads.submit(thread.run, lambda: thread.engine.retire(10))
        *_, first, ping = frames_until(wire, frames.PING)
        assert first == (frames.GOAWAY, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0")
        wire.sendall(headers(3, block=block) + data(3, framed(b"b")) + frames.frame(frames.PING, 1, 0, ping[3]))
        *answer, second = frames_until(wire, frames.GOAWAY)
        answer += frames_until(wire, frames.DATA) if not answer else []
        assert answer[-1][2:] == (3, framed(b"re:b"))
        assert second == (frames.GOAWAY, 0, 0, b"\0\0\0\x03\0\0\0\0")
        wire.sendall(headers(5, block=block))
        assert frames_until(wire, frames.RST_STREAM)[-1][2:] == (5, b"\0\0\0\x07"), "REFUSED_STREAM"
        wire.sendall(frames.rst_stream(1, 8) + frames.rst_stream(3, 8))
        assert wire.recv(1) == b"", "closed behind its last stream"
        retired.result(10)


def test_a_failing_service_costs_its_own_call_and_no_other_on_the_connection(tmp_path: Path) -> None:
    def explode(batch: Sequence[tuple[Call, bytes]]) -> None:
        for call, message in batch:
            if message == b"bad":
                raise LookupError
            call.reply(b"re:" + message)

    with asked(tmp_path, ScriptedService(METHODS, explode)) as (client, thread):
        before = client.ask(framed(b"first"), path=STREAM, end=False)
        bad, after = client.ask(framed(b"bad"), path=STREAM, end=False), client.ask(path=UNARY, end=False)
        assert client.response(bad)[0][b"grpc-status"] == b"13"
        client.h2.send_data(after, framed(b"good"), end_stream=True)
        client.h2.send_data(before, framed(b"second"), end_stream=True)
        client.socket.sendall(client.h2.data_to_send())
        assert client.response(after)[1] == framed(b"re:good")
        assert client.response(before)[1] == framed(b"re:first") + framed(b"re:second")
        assert thread.engine.counters.service_exceptions == 1


@pytest.mark.parametrize("protocols", [[], ["http/1.1"], ["http/1.1", "h2"]])
def test_tls_without_h2_in_alpn_is_cut_off(protocols: list[str], tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = TlsOptions(*authority.issue("localhost"))
    options = ServerOptions(listen=(TcpListen("127.0.0.1", 0, tls),))
    thread = EngineThread(options, [ScriptedService(METHODS, answer_all)], "wire").start()
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if protocols:
        context.set_alpn_protocols(protocols)
    try:
        port = int(thread.engine.addresses[0].rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port), 5) as bare,
            context.wrap_socket(bare, server_hostname="localhost") as client,
        ):
            try:
                received = client.recv(9)
            except (ConnectionResetError, ssl.SSLEOFError):
                received = b""
        assert bool(received) is ("h2" in protocols)
    finally:
        thread.close()
