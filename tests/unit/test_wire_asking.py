"""A service that needs a second message before it can answer: never a clean end in between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest

from borderpost_wire.service import Call, StatusCode
from support.wire_client import CLIENT, Feed, served, status_of

pytestmark = pytest.mark.usefixtures("each_engine")


def ask_first(batch: Sequence[tuple[Call, bytes]]) -> None:
    """Ask for a message behind the first one, and answer the second."""
    for call, message in batch:
        if call.state is None:
            call.state = message
            call.ask(b"more?")
        else:
            call.reply(call.state + b"+" + message)


def test_one_reply_answers_both_messages(tmp_path: Path) -> None:
    with served(tmp_path, ask_first) as it:
        feed = Feed(b"a")
        stream = it.stream(iter(feed))
        assert next(stream) == b"more?"
        feed.give(b"b", close=True)
        assert next(stream) == b"a+b"
        assert list(stream) == []  # a clean end, since all is answered
        assert stream.code() is grpc.StatusCode.OK


def test_both_messages_may_come_at_once(tmp_path: Path) -> None:
    with served(tmp_path, ask_first) as it:
        stream = it.stream(iter([b"a", b"b"]))
        assert list(stream) == [b"more?", b"a+b"]
        assert stream.code() is grpc.StatusCode.OK


def test_a_half_close_instead_of_the_message_is_no_clean_end(tmp_path: Path) -> None:
    with served(tmp_path, ask_first) as it:
        feed = Feed(b"a")
        stream = it.stream(iter(feed))
        assert next(stream) == b"more?"
        feed.give(close=True)
        assert status_of(lambda: list(stream))[0] is grpc.StatusCode.ABORTED
        it.eventually(lambda: len(it.service.gone_calls) == 1)


def test_a_peer_that_has_closed_already_cannot_be_asked(tmp_path: Path) -> None:
    with served(tmp_path, ask_first) as it:
        assert status_of(lambda: list(it.stream(iter([b"a"]))))[0] is grpc.StatusCode.ABORTED


def test_a_drain_waits_for_the_message_and_ends_without_it_by_a_failure(tmp_path: Path) -> None:
    with served(tmp_path, ask_first) as it:
        feed = Feed(b"a")
        stream = it.stream(iter(feed))
        assert next(stream) == b"more?"
        it.thread.run(lambda: it.thread.engine.drain(0.2))
        assert status_of(lambda: list(stream)) == (grpc.StatusCode.UNAVAILABLE, "draining")
        feed.give(close=True)


def test_a_refusal_need_not_wait_for_what_was_asked(tmp_path: Path) -> None:
    with served(tmp_path, ask_first) as it:
        feed = Feed(b"a")
        stream = it.stream(iter(feed))
        assert next(stream) == b"more?"
        call = it.service.batches[0][0][0]
        it.thread.call(lambda: call.reply(b"no"))
        assert next(stream) == b"no"
        feed.give(b"late", close=True)  # has no answer of its own until the service gives one
        assert next(stream) == b"a+late"
        assert list(stream) == []


@pytest.mark.parametrize("kind", ["client-stream", "twice", "answered"])
def test_what_cannot_be_asked_is_an_error_of_the_service(tmp_path: Path, kind: str) -> None:
    caught: list[str] = []

    def act(batch: Sequence[tuple[Call, bytes]]) -> None:
        ((call, _),) = batch
        if kind == "twice":
            call.ask(b"one")
        elif kind == "answered":
            call.reply(b"done")
        try:
            call.ask(b"two")
        except ValueError as error:
            caught.append(str(error))
        call.fail(StatusCode.INTERNAL, "over")

    with served(tmp_path, act) as it:
        rpc = it.channel.stream_unary(CLIENT) if kind == "client-stream" else it.stream
        with pytest.raises(grpc.RpcError):
            list(rpc(iter(Feed(b"a"))))
        assert caught == ["nothing can be asked of this peer now"]
