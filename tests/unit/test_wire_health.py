"""gRPC health checking, asked as any gRPC health client asks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost_wire import health
from borderpost_wire.health import CHECK, WATCH, HealthService
from borderpost_wire.options import ServerOptions, UnixListen
from borderpost_wire.service import MethodKind, StatusCode
from support.wire_server import EngineThread, serving

pytestmark = pytest.mark.usefixtures("each_engine")

SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"


def request(service: str) -> bytes:
    name = service.encode()
    return b"\x0a" + bytes((len(name),)) + name


@pytest.fixture
def service() -> HealthService:
    return HealthService({"": True, "a.B": False})


@pytest.fixture
def thread(tmp_path: Path, service: HealthService) -> Iterator[EngineThread]:
    with serving(ServerOptions(listen=(UnixListen(tmp_path / "h.sock"),)), service) as running:
        yield running


@pytest.fixture
def channel(thread: EngineThread) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(thread.engine.addresses[0]) as made:
        yield made


def test_check(channel: grpc.Channel) -> None:
    check = channel.unary_unary(CHECK)
    assert check(b"") == SERVING, "an absent name is the empty one"
    assert check(request("")) == SERVING
    assert check(request("a.B")) == NOT_SERVING
    with pytest.raises(grpc.RpcError) as caught:
        check(request("a.C"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as caught:
        check(b"\x0a\x05ab")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_watch(channel: grpc.Channel, thread: EngineThread, service: HealthService) -> None:
    watch = channel.unary_stream(WATCH)
    known, unknown = watch(request("a.B"), timeout=10), watch(request("a.C"), timeout=10)
    assert (next(known), next(unknown)) == (NOT_SERVING, SERVICE_UNKNOWN)
    for name, serving_now in (("a.B", True), ("a.B", True), ("a.B", False), ("a.C", True)):
        thread.call(partial(service.set_status, name, serving_now))
    assert [next(known), next(known)] == [SERVING, NOT_SERVING], "a status that stays is not sent again"
    assert next(unknown) == SERVING
    known.cancel()
    unknown.cancel()


def test_watches_are_forgotten_and_bounded(
    channel: grpc.Channel, thread: EngineThread, service: HealthService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "WATCHERS_MAX", 1)
    watch = channel.unary_stream(WATCH)
    for _ in range(3):
        first = watch(b"", timeout=10)
        next(first)
        with pytest.raises(grpc.RpcError) as caught:
            next(watch(b"", timeout=10))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        first.cancel()
        while thread.call(lambda: thread.engine.calls_in_progress):
            pass
    assert thread.call(lambda: service._watchers) == {}


def test_drain_ends_a_watch(channel: grpc.Channel, thread: EngineThread) -> None:
    watching = channel.unary_stream(WATCH)(b"", timeout=10)
    next(watching)
    thread.run(lambda: thread.engine.drain(5), timeout_s=2)
    with pytest.raises(grpc.RpcError) as caught:
        next(watching)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


class Recorded:
    """A call that keeps what it is told."""

    def __init__(self) -> None:
        self.method, self.state, self.alive = CHECK, None, True
        self.told: list[bytes | StatusCode] = []

    def reply(self, message: bytes) -> None:
        self.told.append(message)

    def fail(self, status: StatusCode, text: str) -> None:
        self.told.append(status)

    def finish(self) -> None:
        raise AssertionError


def ask(message: bytes) -> bytes | StatusCode:
    call = Recorded()
    HealthService({"": True, "a": False}).messages([(call, message)])
    (told,) = call.told
    return told


@given(st.binary(max_size=40))
def test_any_bytes_get_exactly_one_answer(message: bytes) -> None:
    assert ask(message) in {SERVING, NOT_SERVING, StatusCode.NOT_FOUND, StatusCode.INVALID_ARGUMENT}


@given(st.sampled_from([b"\x10\x96\x01", b"\x19" + b"x" * 8, b"\x25" + b"x" * 4, b"\x12\x02ab"]), st.booleans())
def test_unknown_fields_are_skipped(field: bytes, first: bool) -> None:
    assert ask(field + b"\x0a\x01a" if first else b"\x0a\x01a" + field) == NOT_SERVING


@pytest.mark.parametrize(
    "message", [b"\x0a", b"\x0a\x02a", b"\x0a\x01\xff", b"\x0b", b"\x00\x00", b"\x08" + b"\xff" * 11, b"\x19x", b"\x80"]
)
def test_malformed_request(message: bytes) -> None:
    assert ask(message) is StatusCode.INVALID_ARGUMENT


def test_methods() -> None:
    assert HealthService().methods == {CHECK: MethodKind.UNARY, WATCH: MethodKind.SERVER_STREAM}
