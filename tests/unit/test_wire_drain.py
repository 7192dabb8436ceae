"""Draining and stopping an engine: what is open is answered or refused, never ended with OK unanswered."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from borderpost_wire.options import ServerOptions, TcpListen, UnixListen
from borderpost_wire.service import Call
from support.wire_client import LOST, METHODS, UNARY, Feed, served, status_of, streams_from_outside
from support.wire_server import EngineThread, ScriptedService, answer_all, answer_nothing, serving

pytestmark = pytest.mark.usefixtures("each_engine")


def test_drain_answers_what_is_open_and_refuses_what_is_new(tmp_path: Path) -> None:
    with served(tmp_path, answer_nothing) as it, ThreadPoolExecutor(2) as threads:
        unary = it.channel.unary_unary(UNARY).future(b"u")
        feed = Feed(b"s")
        stream = it.stream(iter(feed))
        it.eventually(lambda: len(it.service.seen) == 2)
        draining = threads.submit(it.thread.run, lambda: it.thread.engine.drain(10))
        time.sleep(0.1)
        assert status_of(lambda: it.unary(b"new")) == (grpc.StatusCode.UNAVAILABLE, "draining")
        assert not draining.done()
        it.thread.call(lambda: answer_all([pair for batch in it.service.batches for pair in batch]))
        assert unary.result(5) == b"re:u"
        assert next(stream) == b"re:s"
        assert status_of(lambda: next(stream)) == (grpc.StatusCode.UNAVAILABLE, "draining")
        draining.result(5)
        assert it.thread.engine.calls_in_progress == 0
        feed.give(close=True)


def test_drain_leaves_an_answered_call_the_time_for_its_normal_end(tmp_path: Path) -> None:
    """Envoy resets a call once it has its answer; a failure that comes before would undo the answer."""
    with served(tmp_path, answer_nothing) as it, ThreadPoolExecutor(1) as threads:
        stream = it.stream(iter(Feed(b"s")))
        it.eventually(lambda: len(it.service.seen) == 1)
        draining = threads.submit(it.thread.run, lambda: it.thread.engine.drain(10))
        time.sleep(0.05)
        it.thread.call(lambda: answer_all([pair for batch in it.service.batches for pair in batch]))
        assert next(stream) == b"re:s"
        time.sleep(0.05)
        assert stream.is_active()
        stream.cancel()
        draining.result(5)
        assert it.thread.engine.calls_in_progress == 0


def test_drain_past_its_grace_ends_the_unanswered_with_a_failure(tmp_path: Path) -> None:
    with served(tmp_path, answer_nothing) as it:
        unary = it.channel.unary_unary(UNARY).future(b"u")
        stream = it.stream(iter([b"s"]))
        it.eventually(lambda: len(it.service.seen) == 2)
        began = time.monotonic()
        it.thread.run(lambda: it.thread.engine.drain(0.2))
        assert 0.15 < time.monotonic() - began < 2
        assert status_of(unary.result)[0] is grpc.StatusCode.UNAVAILABLE
        assert status_of(lambda: list(stream))[0] is grpc.StatusCode.UNAVAILABLE
        it.eventually(lambda: len(it.service.gone_calls) == 2)


def test_stop_under_load_never_ends_a_call_with_ok_unanswered(tmp_path: Path) -> None:
    """Streams as Envoy opens them, half of them never answered, while the server stops."""

    def answer_half(batch: Sequence[tuple[Call, bytes]]) -> None:
        for call, message in batch:
            if int(message) % 2:
                call.reply(message)

    outside = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    with served(tmp_path, answer_half) as it, outside:
        asking = outside.submit(streams_from_outside, it.thread.engine.addresses[0], 3, 60)
        it.eventually(lambda: len(it.service.seen) > 60, within_s=30)
        it.thread.run(it.thread.engine.stop)
        outcomes = asking.result(60)
    assert len(outcomes) == 180
    for number, got, code in outcomes:
        if code == "OK":
            assert got == [b"%d" % number] and number % 2
    codes = [code for _, _, code in outcomes]
    assert {*codes} >= {"OK", "UNAVAILABLE"}
    assert codes.count(LOST) < 10


def test_retire_sends_peers_to_the_successor_and_answers_what_is_open(tmp_path: Path, each_engine: str) -> None:
    """The successor takes the path while the first serves; the client's channel follows, and only then is it over."""

    def answer_but_one(batch: Sequence[tuple[Call, bytes]]) -> None:
        answer_all([pair for pair in batch if pair[1] != b"open"])

    successor = ScriptedService(METHODS)
    options = ServerOptions(listen=(UnixListen(tmp_path / "s.sock", takes_over=True),))
    with served(tmp_path, answer_but_one) as it, ThreadPoolExecutor(1) as threads:
        open_call = it.channel.unary_unary(UNARY).future(b"open")
        it.eventually(lambda: it.service.seen == [b"open"])
        second = EngineThread(options, [successor], "wire").start()
        assert it.unary(b"before") == b"re:before"
        retiring = threads.submit(it.thread.run, lambda: it.thread.engine.retire(10))
        failed = 0
        until = time.monotonic() + 30
        while not successor.seen:
            assert time.monotonic() < until
            try:
                assert it.unary(b"next", wait_for_ready=True) == b"re:next"
            except grpc.RpcError:
                failed += 1
        assert not retiring.done()
        it.thread.call(lambda: answer_all(it.service.batches[0]))
        assert open_call.result(5) == b"re:open"
        retiring.result(5)
        it.thread.run(it.thread.engine.stop)
        assert it.unary(b"last") == b"re:last"
        assert successor.seen[-1] == b"last"
        second.close()
    assert failed == 0 or each_engine == "grpcio"


def test_retire_gives_up_on_a_peer_that_stays(tmp_path: Path) -> None:
    with served(tmp_path, answer_nothing) as it:
        call = it.channel.unary_unary(UNARY).future(b"u")
        it.eventually(lambda: len(it.service.seen) == 1)
        began = time.monotonic()
        it.thread.run(lambda: it.thread.engine.retire(0.3))
        assert 0.25 < time.monotonic() - began < 3
        it.thread.run(it.thread.engine.stop)
        with pytest.raises(grpc.RpcError):
            call.result(5)


def test_retire_lets_go_of_a_network_address_at_once(tmp_path: Path) -> None:
    service = ScriptedService(METHODS)
    with serving(ServerOptions(listen=(TcpListen("127.0.0.1", 0),)), service) as first:
        port = int(first.engine.addresses[0].rpartition(":")[2])
        with grpc.insecure_channel(first.engine.addresses[0]) as channel:
            assert channel.unary_unary(UNARY)(b"a") == b"re:a"
            first.run(lambda: first.engine.retire(5))
            with serving(ServerOptions(listen=(TcpListen("127.0.0.1", port),)), ScriptedService(METHODS)):
                assert channel.unary_unary(UNARY)(b"b", wait_for_ready=True) == b"re:b"
    assert service.seen == [b"a"]


def test_wait_returns_after_stop(tmp_path: Path) -> None:
    with served(tmp_path) as it, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(it.thread.run, it.thread.engine.wait)
        time.sleep(0.05)
        assert not waiting.done()
        it.thread.run(it.thread.engine.stop)
        assert waiting.result(5) is None
