"""A blocking gRPC client of an engine in a thread, and requests that a test gives one by one."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from borderpost_wire.options import ServerOptions, UnixListen
from borderpost_wire.service import Call, MethodKind
from support.wire_server import EngineThread, ScriptedService, answer_all, serving

UNARY, STREAM, MANY = "/test.Echo/Unary", "/test.Echo/Stream", "/test.Echo/Many"
CLIENT = "/test.Echo/Client"
METHODS = {
    UNARY: MethodKind.UNARY,
    STREAM: MethodKind.STREAM,
    MANY: MethodKind.SERVER_STREAM,
    CLIENT: MethodKind.CLIENT_STREAM,
}


class Served:
    """One engine, one scripted service, one client channel."""

    def __init__(self, thread: EngineThread, service: ScriptedService, channel: grpc.Channel) -> None:
        self.thread = thread
        self.service = service
        self.channel = channel
        self.unary: Callable[..., bytes] = channel.unary_unary(UNARY)
        self.stream: Callable[..., Any] = channel.stream_stream(STREAM)

    def eventually(self, true: Callable[[], bool]) -> None:
        """Wait until something holds on the engine's loop."""
        until = time.monotonic() + 5
        while not self.thread.call(true):
            assert time.monotonic() < until, "it never came true"
            time.sleep(0.005)


@contextlib.contextmanager
def served(
    directory: Path, act: Callable[[Sequence[tuple[Call, bytes]]], None] = answer_all, **bounds: int
) -> Iterator[Served]:
    service = ScriptedService(METHODS, act)
    options = ServerOptions(listen=(UnixListen(directory / "s.sock"),), **bounds)
    with serving(options, service) as thread, grpc.insecure_channel(thread.engine.addresses[0]) as channel:
        yield Served(thread, service, channel)


class Feed:
    """Requests of a stream that a test gives one by one."""

    def __init__(self, *first: bytes) -> None:
        self._items = list(first)
        self._more = threading.Condition()
        self._closed = False

    def give(self, *items: bytes, close: bool = False) -> None:
        with self._more:
            self._items.extend(items)
            self._closed = self._closed or close
            self._more.notify()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self._more:
                while not self._items and not self._closed:
                    self._more.wait(10)
                if not self._items:
                    return
                item = self._items.pop(0)
            yield item


def status_of(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()
