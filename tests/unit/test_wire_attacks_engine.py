"""Attacks that concern the engine around the core: what open streams, shut windows and TLS sessions may cost."""

from __future__ import annotations

import contextlib
import shutil
import ssl
import subprocess
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import h2.settings
import pytest

from borderpost_wire.h2 import Limits
from borderpost_wire.hpack import encode_fields
from borderpost_wire.listeners import tls_context
from borderpost_wire.options import ServerOptions, TcpListen, TlsOptions
from borderpost_wire.rpc.framing import framed
from borderpost_wire.service import Call
from support.h2_frames import FIELDS, data, headers
from support.wire_certificates import Authority
from support.wire_raw import METHODS, STREAM, Raw, asked
from support.wire_server import EngineThread, ScriptedService, answer_all, answer_nothing


def _until(thread: EngineThread, true: Callable[[], bool]) -> None:
    """Wait until something holds on the engine's loop."""
    until = time.monotonic() + 10
    while not thread.call(true):
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.005)


def test_idle_streams_keep_no_fields(tmp_path: Path) -> None:
    """1000 open streams whose requests had 12 KiB of fields each: less than 4 KiB each is kept."""
    count = 1000
    service = ScriptedService(METHODS, answer_nothing)
    with asked(tmp_path, service) as (client, thread):
        fields = [*FIELDS[:2], (b":path", STREAM.encode()), (b"content-type", b"application/grpc")]
        client.socket.sendall(client.h2.data_to_send())
        sent = []
        for n in range(1, 2 * count, 2):
            block = encode_fields([*fields, (b"x-long", b"%06d" % n * 2000)])
            sent.append(headers(n, block=block) + data(n, framed(b"a")))
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for piece in sent:
                client.socket.sendall(piece)
            _until(thread, lambda: len(service.seen) == count)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert thread.call(lambda: thread.engine.calls_in_progress) == count
        assert grown < count * 4096


def test_replies_for_shut_windows_are_bounded(tmp_path: Path) -> None:
    """A peer that takes nothing: output is held up to the connection's bound, then calls end with a status."""
    reply = b"x" * (1 << 20)

    def answer_long(batch: Sequence[tuple[Call, bytes]]) -> None:
        for call, _ in batch:
            call.reply(reply)

    with asked(tmp_path, ScriptedService(METHODS, answer_long)) as (client, thread):
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        streams = [client.ask(framed(b"a"), path=STREAM, end=False) for _ in range(30)]
        last, _ = client.response(streams[-1])
        assert last[b"grpc-status"] == b"8"
        (protocol,) = thread.engine._connections  # type: ignore[attr-defined]
        held = thread.call(lambda: protocol.out.queued_bytes)
        assert Limits().queued_bytes_max < held <= Limits().queued_bytes_max + len(framed(reply))
        for stream_id in streams[: held // len(framed(reply))]:
            client.h2.reset_stream(stream_id)
        client.socket.sendall(client.h2.data_to_send())
        _until(thread, lambda: protocol.out.queued_bytes == 0)


def test_replies_for_shut_windows_are_bounded_over_all_connections(tmp_path: Path) -> None:
    """Many connections, each within its own bound: those that wait are refused, those that read are served."""
    with asked(tmp_path, unsent_bytes_max=50_000) as (reading, thread), contextlib.ExitStack() as undo:
        idle = [Raw(thread.engine.addresses[0]) for _ in range(4)]
        for client in idle:
            undo.enter_context(client.socket)
            client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
            client.ask(framed(b"a" * 15_000), path=STREAM, end=False)
        _until(thread, lambda: thread.engine.unsent_bytes > 60_000)  # type: ignore[attr-defined]
        for client in idle:
            fields, _ = client.response(client.ask(framed(b"b"), path=STREAM, end=False))
            assert fields[b"grpc-status"] == b"8"
        assert reading.response(reading.ask(framed(b"c")))[1] == framed(b"re:c")


def test_tls_is_new_enough_and_sessions_are_not_renegotiated(tmp_path: Path) -> None:
    """As HTTP/2 demands (RFC 9113 section 9.2.1); a client that tries loses its connection and nobody else notices."""
    tls = TlsOptions(*Authority(tmp_path).issue("localhost"))
    listen = TcpListen("127.0.0.1", 0, tls)
    context = tls_context(listen)
    assert context is not None
    assert context.options & ssl.OP_NO_RENEGOTIATION and context.options & ssl.OP_NO_COMPRESSION
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    thread = EngineThread(ServerOptions(listen=(listen,)), [ScriptedService(METHODS, answer_all)], "wire").start()
    try:
        address = thread.engine.addresses[0]
        command = [openssl, "s_client", "-connect", address, "-alpn", "h2", "-tls1_2", "-legacy_renegotiation"]
        done = subprocess.run(command, input=b"R\n", capture_output=True, timeout=20)
        assert b"ALPN protocol: h2" in done.stdout
        assert b"RENEGOTIATING" in done.stdout + done.stderr
        assert b"no renegotiation" in done.stderr, done.stderr
        _until(thread, lambda: not thread.engine._connections)  # type: ignore[attr-defined]
        older = subprocess.run([*command[:-2], "-tls1_1"], input=b"", capture_output=True, timeout=20)
        assert older.returncode != 0
    finally:
        thread.close()
