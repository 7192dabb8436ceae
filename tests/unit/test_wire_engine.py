"""The engine's promises to services, on a real gRPC client over a Unix socket."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import grpc
import pytest

from borderpost_wire.engines import make_engine, methods_of
from borderpost_wire.errors import EngineUnavailable, OptionsError
from borderpost_wire.options import ServerOptions, TcpListen, UnixListen
from borderpost_wire.service import Call, MethodKind, StatusCode
from support.wire_client import CLIENT, MANY, METHODS, STREAM, UNARY, Feed, served, status_of
from support.wire_server import ScriptedService, answer_all, answer_nothing, serving

pytestmark = pytest.mark.usefixtures("each_engine")


def test_unary(tmp_path: Path) -> None:
    with served(tmp_path) as it:
        assert it.unary(b"a") == b"re:a"
        assert it.unary(b"") == b"re:"
        assert it.service.gone_calls == []


def test_one_message_a_stream_then_the_peer_resets(tmp_path: Path) -> None:
    """Envoy's way: one message, one answer, RST_STREAM."""
    with served(tmp_path) as it:
        feed = Feed(b"a")
        call = it.stream(iter(feed))
        assert next(call) == b"re:a"
        call.cancel()
        it.eventually(lambda: it.thread.engine.calls_in_progress == 0)
        feed.give(close=True)
        assert len(it.service.gone_calls) == 1
        assert it.thread.engine.counters.gone_unanswered == 0


def test_several_messages_a_stream(tmp_path: Path) -> None:
    with served(tmp_path) as it:
        feed = Feed()
        call = it.stream(iter(feed))
        for number in range(5):
            feed.give(b"%d" % number)
            assert next(call) == b"re:%d" % number
        feed.give(close=True)
        assert list(call) == []
        assert call.code() is grpc.StatusCode.OK
        assert len({id(call) for batch in it.service.batches for call, _ in batch}) == 1


def test_messages_before_the_first_answer_reach_the_service(tmp_path: Path) -> None:
    def after_three(batch: Sequence[tuple[Call, bytes]]) -> None:
        for call, message in batch:
            call.state = [*(call.state or []), message]
            if len(call.state) == 3:
                for each in call.state:
                    call.reply(each)

    with served(tmp_path, after_three) as it:
        assert list(it.stream(iter([b"1", b"2", b"3"]))) == [b"1", b"2", b"3"]


def test_answers_later_and_in_any_order(tmp_path: Path) -> None:
    with served(tmp_path, answer_nothing) as it, ThreadPoolExecutor(4) as clients:
        waiting = [clients.submit(it.unary, b"%d" % number) for number in range(4)]
        it.eventually(lambda: len(it.service.seen) == 4)

        def answer_backwards() -> None:
            pairs = [pair for batch in it.service.batches for pair in batch]
            answer_all(list(reversed(pairs)))

        it.thread.call(answer_backwards)
        assert [each.result(5) for each in waiting] == [b"re:%d" % number for number in range(4)]


def test_concurrent_calls_arrive_in_batches(tmp_path: Path) -> None:
    count = 200
    with served(tmp_path) as it:
        it.unary(b"connect")
        futures = []
        gate = threading.Event()
        it.thread.loop.call_soon_threadsafe(gate.wait, 10)  # the loop sleeps while the calls pile up
        for number in range(count):
            futures.append(it.channel.unary_unary(UNARY).future(b"%d" % number))
        time.sleep(0.2)
        gate.set()
        assert sorted(future.result(10) for future in futures) == sorted(b"re:%d" % number for number in range(count))
        counters = it.thread.engine.counters
        assert counters.messages == count + 1
        assert max(len(batch) for batch in it.service.batches) > 1
        assert counters.batches == len(it.service.batches) < counters.messages


def test_exception_fails_the_unanswered_calls_of_its_batch_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(batch: Sequence[tuple[Call, bytes]]) -> None:
        for call, message in batch:
            if message == b"bad":
                raise LookupError("a secret of the client")
            if message != b"open":
                call.reply(b"re:" + message)

    with served(tmp_path, explode) as it:
        held = Feed(b"open")
        open_call = it.stream(iter(held))
        it.eventually(lambda: it.service.seen == [b"open"])
        assert status_of(lambda: it.unary(b"bad")) == (grpc.StatusCode.INTERNAL, "the service failed")
        assert status_of(lambda: list(it.stream(iter([b"bad"]))))[0] is grpc.StatusCode.INTERNAL
        assert status_of(lambda: list(it.stream(iter([b"good", b"bad"]))))[0] is grpc.StatusCode.INTERNAL
        assert it.unary(b"good") == b"re:good"
        it.thread.call(lambda: it.service.batches[0][0][0].reply(b"late"))
        assert next(open_call) == b"late"
        held.give(close=True)
        assert it.thread.engine.counters.service_exceptions >= 2
    assert "LookupError" in caplog.text
    assert "secret" not in caplog.text


def test_exception_in_gone_harms_nobody(tmp_path: Path) -> None:
    class Rude(ScriptedService):
        def gone(self, call: Call) -> None:
            super().gone(call)
            raise LookupError

    service = Rude(METHODS)
    options = ServerOptions(listen=(UnixListen(tmp_path / "s.sock"),))
    with serving(options, service) as thread, grpc.insecure_channel(thread.engine.addresses[0]) as channel:
        assert list(channel.stream_stream(STREAM)(iter([b"a"]))) == [b"re:a"]
        assert channel.unary_unary(UNARY)(b"b") == b"re:b"
        assert len(service.gone_calls) == 1


def test_fail_ends_the_call_behind_its_replies(tmp_path: Path) -> None:
    def refuse(batch: Sequence[tuple[Call, bytes]]) -> None:
        for call, _ in batch:
            if call.method == STREAM:
                call.reply(b"first")
            call.fail(StatusCode.PERMISSION_DENIED, "no")
            assert not call.alive
            call.reply(b"too late")
            call.fail(StatusCode.ABORTED, "too late")

    with served(tmp_path, refuse) as it:
        assert status_of(lambda: it.unary(b"a")) == (grpc.StatusCode.PERMISSION_DENIED, "no")
        call = it.stream(iter(Feed(b"a")))
        assert next(call) == b"first"
        assert status_of(lambda: next(call)) == (grpc.StatusCode.PERMISSION_DENIED, "no")
        assert it.service.gone_calls == []


def test_every_status_reaches_the_client(tmp_path: Path) -> None:
    def fail_with(batch: Sequence[tuple[Call, bytes]]) -> None:
        for call, message in batch:
            call.fail(StatusCode(int(message)), "as asked")

    with served(tmp_path, fail_with) as it:
        for status in list(StatusCode)[1:]:
            code, text = status_of(partial(it.unary, b"%d" % status))
            assert (code.value[0], text) == (int(status), "as asked")
    with pytest.raises(ValueError, match="OK"):
        it.service.batches[0][0][0].fail(StatusCode.OK, "")


def test_finish_sends_ok_only_when_all_is_answered(tmp_path: Path) -> None:
    def finish(batch: Sequence[tuple[Call, bytes]]) -> None:
        for call, message in batch:
            if message == b"answer":
                call.reply(b"answered")
            call.finish()

    with served(tmp_path, finish) as it:
        call = it.stream(iter(Feed(b"answer")))
        assert list(call) == [b"answered"]
        assert call.code() is grpc.StatusCode.OK
        code, text = status_of(lambda: list(it.stream(iter(Feed(b"nothing")))))
        assert (code, text) == (grpc.StatusCode.INTERNAL, "finished without an answer")
        assert status_of(lambda: it.unary(b"nothing"))[0] is grpc.StatusCode.INTERNAL


def test_half_close_waits_for_the_answer(tmp_path: Path) -> None:
    with served(tmp_path, answer_nothing) as it:
        call = it.stream(iter([b"a", b"b"]))
        it.eventually(lambda: len(it.service.seen) == 2)
        time.sleep(0.1)
        assert call.is_active()
        pairs = [pair for batch in it.service.batches for pair in batch]
        it.thread.call(lambda: answer_all(pairs[:1]))
        assert next(call) == b"re:a"
        time.sleep(0.05)
        assert call.is_active(), "one message has no answer yet"
        it.thread.call(lambda: answer_all(pairs[1:]))
        assert list(call) == [b"re:b"]
        assert call.code() is grpc.StatusCode.OK


def test_half_close_without_any_message_is_not_ok(tmp_path: Path) -> None:
    with served(tmp_path) as it:
        assert status_of(lambda: list(it.stream(iter([])))) == (grpc.StatusCode.INVALID_ARGUMENT, "no message")
        assert it.service.batches == []
        assert it.service.gone_calls == []


def test_client_stream_is_answered_once_at_its_end(tmp_path: Path) -> None:
    """As an access-log service does: many messages, none waiting for an answer, for as long as the peer likes."""

    def count(batch: Sequence[tuple[Call, bytes]]) -> None:
        """Reply once a batch: a reply answers all that has come, and the last one may have come with it."""
        last = dict(batch)
        for call, _ in batch:
            call.state = (call.state or 0) + 1
        for call, message in last.items():
            if message != b"late":
                call.reply(b"%d" % call.state)
            if message == b"enough":
                call.finish()

    with served(tmp_path, count, replies_waiting_max=5) as it:
        many = it.channel.stream_unary(CLIENT)
        assert many(iter([b"m"] * 500)) == b"500"
        assert status_of(lambda: many(iter([])))[0] is grpc.StatusCode.INVALID_ARGUMENT
        assert many(iter(Feed(b"m", b"enough"))) == b"2"
        late = many.future(iter([b"late"]))
        it.eventually(lambda: it.service.seen[-1:] == [b"late"])
        it.thread.call(lambda: it.service.batches[-1][-1][0].reply(b"at last"))
        assert late.result(5) == b"at last"
        assert it.thread.engine.counters.gone_unanswered == 0


def test_a_client_stream_holds_up_no_drain(tmp_path: Path) -> None:
    with served(tmp_path) as it:
        feed = Feed(b"m")
        open_call = it.channel.stream_unary(CLIENT).future(iter(feed))
        it.eventually(lambda: it.service.seen == [b"m"])
        it.thread.run(lambda: it.thread.engine.drain(3600))
        assert status_of(lambda: open_call.result(5))[0] is grpc.StatusCode.UNAVAILABLE
        assert len(it.service.gone_calls) == 1
        feed.give(close=True)


def test_server_stream_outlives_the_half_close(tmp_path: Path) -> None:
    with served(tmp_path) as it:
        call = it.channel.stream_stream(MANY)(iter([b"a"]))
        assert next(call) == b"re:a"
        time.sleep(0.05)
        it.thread.call(lambda: it.service.batches[0][0][0].reply(b"more"))
        assert next(call) == b"more"
        it.thread.call(it.service.batches[0][0][0].finish)
        assert list(call) == []
        assert call.code() is grpc.StatusCode.OK
        second = it.channel.stream_stream(MANY)(iter([b"a", b"b"]))
        assert status_of(lambda: list(second))[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_cancelled_calls_are_told_to_the_service(tmp_path: Path) -> None:
    with served(tmp_path, answer_nothing) as it:
        unary = it.channel.unary_unary(UNARY).future(b"u")
        stream = it.stream(iter(Feed(b"s")))
        it.eventually(lambda: len(it.service.seen) == 2)
        unary.cancel()
        stream.cancel()
        it.eventually(lambda: len(it.service.gone_calls) == 2)
        assert not any(call.alive for call in it.service.gone_calls)
        assert it.thread.engine.counters.gone_unanswered == 2
        it.thread.call(lambda: answer_all([pair for batch in it.service.batches for pair in batch]))
        it.service.act = answer_all
        assert it.unary(b"next") == b"re:next"


def test_deadline_ends_the_call(tmp_path: Path) -> None:
    with served(tmp_path, answer_nothing) as it:
        assert status_of(lambda: it.unary(b"u", timeout=0.1))[0] is grpc.StatusCode.DEADLINE_EXCEEDED
        it.eventually(lambda: len(it.service.gone_calls) == 1)


HOLD_A_STREAM = """
import sys, threading, grpc
channel = grpc.insecure_channel(sys.argv[1])
def requests():
    yield b"s"
    threading.Event().wait()
list(channel.stream_stream(sys.argv[2])(requests()))
"""


def test_lost_connection_is_told(tmp_path: Path) -> None:
    with served(tmp_path, answer_nothing) as it:
        client = subprocess.Popen([sys.executable, "-c", HOLD_A_STREAM, it.thread.engine.addresses[0], STREAM])
        try:
            it.eventually(lambda: len(it.service.seen) == 1)
        finally:
            client.kill()
            client.wait()
        it.eventually(lambda: len(it.service.gone_calls) == 1)
        assert it.thread.engine.counters.gone_unanswered == 1


def test_oversized_message(tmp_path: Path) -> None:
    with served(tmp_path, message_bytes_max=1000) as it:
        assert it.unary(b"x" * 1000)[:3] == b"re:"
        assert status_of(lambda: it.unary(b"x" * 1001))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert status_of(lambda: list(it.stream(iter([b"x" * 1001]))))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(it.service.seen) == 1


def test_compressed_message_is_refused(tmp_path: Path) -> None:
    with served(tmp_path, message_bytes_max=1000) as it:
        code, _ = status_of(lambda: it.unary(b"x" * 100_000, compression=grpc.Compression.Gzip))
        assert code is grpc.StatusCode.UNIMPLEMENTED
        assert it.service.seen == []


def test_unknown_method(tmp_path: Path) -> None:
    with served(tmp_path) as it:
        unknown = it.channel.unary_unary("/test.Echo/Unknown")
        assert status_of(lambda: unknown(b""))[0] is grpc.StatusCode.UNIMPLEMENTED


def test_calls_beyond_the_bound_are_refused(tmp_path: Path) -> None:
    with served(tmp_path, answer_nothing, calls_max=2) as it:
        held = [it.channel.unary_unary(UNARY).future(b"%d" % number) for number in range(2)]
        it.eventually(lambda: len(it.service.seen) == 2)
        assert status_of(lambda: it.unary(b"third"))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        it.thread.call(lambda: answer_all([pair for batch in it.service.batches for pair in batch]))
        assert [each.result(5) for each in held] == [b"re:0", b"re:1"]


def test_replies_to_a_peer_that_does_not_read_are_bounded(tmp_path: Path) -> None:
    def flood(batch: Sequence[tuple[Call, bytes]]) -> None:
        for call, _ in batch:
            for _ in range(100):
                call.reply(b"x" * 100_000)
            assert not call.alive

    over = threading.Event()

    def one_message_and_no_end() -> Iterator[bytes]:
        yield b"a"
        over.wait(30)  # the end of the client's side would end the call in order behind the first reply

    with served(tmp_path, flood, replies_waiting_max=50) as it:
        replies = it.stream(one_message_and_no_end())
        received = 0
        with pytest.raises(grpc.RpcError) as caught:
            for _ in replies:
                received += 1
        over.set()
        assert received == 50
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_two_services_share_an_engine(tmp_path: Path) -> None:
    one, two = ScriptedService({"/a.A/One": MethodKind.UNARY}), ScriptedService({"/a.A/Two": MethodKind.UNARY})
    options = ServerOptions(listen=(UnixListen(tmp_path / "s.sock"),))
    with serving(options, one, two) as thread, grpc.insecure_channel(thread.engine.addresses[0]) as channel:
        assert channel.unary_unary("/a.A/One")(b"1") == b"re:1"
        assert channel.unary_unary("/a.A/Two")(b"2") == b"re:2"
        assert (one.seen, two.seen) == ([b"1"], [b"2"])
    with pytest.raises(OptionsError, match="two services"):
        methods_of([one, one])
    with pytest.raises(OptionsError, match="method path"):
        methods_of([ScriptedService({"Unary": MethodKind.UNARY})])


def test_engine_names() -> None:
    network, local = TcpListen("127.0.0.1", 0), UnixListen(Path("/run/engine/e.sock"))
    for listen, auto in (((network,), "grpcio"), ((local,), "wire"), ((local, network), "grpcio")):
        options = ServerOptions(listen=listen)
        assert make_engine("auto", options, []).name == auto
        assert make_engine("grpcio", options, []).name == "grpcio"
        assert make_engine("wire", options, []).name == "wire"
    with pytest.raises(EngineUnavailable, match="no engine `nginx`"):
        make_engine("nginx", options, [])
