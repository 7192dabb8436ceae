"""A blocking gRPC client of an engine in a thread, and requests that a test gives one by one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
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

    def eventually(self, true: Callable[[], bool], *, within_s: float = 5) -> None:
        """Wait until something holds on the engine's loop."""
        until = time.monotonic() + within_s
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


LOST = "LOST"
"""How a call ended of which the client never heard again, not even by its deadline."""


def streams_from_outside(address: str, clients: int, calls_each: int) -> list[tuple[int, list[bytes], str]]:
    """Open streams as Envoy does, of a message each; return each one's number, what it got and how it ended.

    To be run in a process of its own. grpcio's blocking client loses a call for good, past its deadline, in one run of
    some dozens in which the server cancels everything (grpcio 1.80); this one was not seen to, and waits no longer.
    """
    return asyncio.run(_streams(address, clients, calls_each))


async def _streams(address: str, clients: int, calls_each: int) -> list[tuple[int, list[bytes], str]]:
    async def one(call: Any, number: int) -> tuple[int, list[bytes], str]:
        got: list[bytes] = []
        try:
            async with asyncio.timeout(15):
                with contextlib.suppress(grpc.RpcError):
                    async for message in call:
                        got.append(message)
                return number, got, (await call.code()).name
        except TimeoutError:
            return number, got, LOST

    async def client(first: int) -> list[tuple[int, list[bytes], str]]:
        async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            calls = []
            for number in range(first, first + calls_each):
                call = channel.stream_stream(STREAM)(iter([b"%d" % number]), timeout=10)
                calls.append(asyncio.create_task(one(call, number)))
                await asyncio.sleep(0.002)
            return await asyncio.gather(*calls)

    found = await asyncio.gather(*(client(number * calls_each) for number in range(clients)))
    return [outcome for outcomes in found for outcome in outcomes]


def status_of(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()
