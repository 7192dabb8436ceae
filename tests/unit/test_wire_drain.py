"""Draining and stopping an engine: what is open is answered or refused, never ended with OK unanswered."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from borderpost_wire.service import Call
from support.wire_client import STREAM, UNARY, Feed, served, status_of
from support.wire_server import answer_all, answer_nothing

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

    outcomes: list[tuple[int, list[bytes], grpc.StatusCode]] = []

    def client(address: str, first: int) -> None:
        with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            calls = []
            for number in range(first, first + 60):
                calls.append((number, channel.stream_stream(STREAM)(iter([b"%d" % number]), timeout=10)))
                time.sleep(0.002)
            for number, call in calls:
                got: list[bytes] = []
                with contextlib.suppress(grpc.RpcError):
                    got.extend(call)
                outcomes.append((number, got, call.code()))

    with served(tmp_path, answer_half) as it:
        clients = [threading.Thread(target=client, args=(it.thread.engine.addresses[0], 100 * n)) for n in range(3)]
        for each in clients:
            each.start()
        time.sleep(0.08)
        it.thread.run(it.thread.engine.stop)
        for each in clients:
            each.join(20)
    assert len(outcomes) == 180
    for number, got, code in outcomes:
        if code is grpc.StatusCode.OK:
            assert got == [b"%d" % number] and number % 2
    assert {code for _, _, code in outcomes} >= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}


def test_wait_returns_after_stop(tmp_path: Path) -> None:
    with served(tmp_path) as it, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(it.thread.run, it.thread.engine.wait)
        time.sleep(0.05)
        assert not waiting.done()
        it.thread.run(it.thread.engine.stop)
        assert waiting.result(5) is None
