"""A wire engine in a thread of its own, and services to put behind it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import pytest
import uvloop

from borderpost_wire.engine import Engine
from borderpost_wire.engines import make_engine
from borderpost_wire.options import ServerOptions
from borderpost_wire.service import Call, MethodKind, Service

T = TypeVar("T")

_default_name = "auto"


@pytest.fixture(params=["grpcio", "wire"])
def each_engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test on either engine, and tell it which that is."""
    global _default_name
    _default_name = request.param
    yield request.param
    _default_name = "auto"


class EngineThread:
    """Runs an engine on a uvloop in a thread, so that a test can use blocking clients."""

    def __init__(self, options: ServerOptions, services: Sequence[Service], name: str | None = None) -> None:
        self.engine: Engine = make_engine(name or _default_name, options, services)
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Callable[[], Awaitable[T]], timeout_s: float = 20) -> T:
        """Await something on the engine's loop."""

        async def awaited() -> T:
            return await work()

        return asyncio.run_coroutine_threadsafe(awaited(), self.loop).result(timeout_s)

    def call(self, work: Callable[[], T]) -> T:
        """Call something on the engine's loop."""

        async def called() -> T:
            return work()

        return self.run(called)

    def start(self) -> EngineThread:
        """Start the engine; on failure the thread ends too."""
        try:
            self.run(self.engine.start)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Stop engine, loop and thread."""
        try:
            self.run(self.engine.stop)
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(10)
            self.loop.close()


@contextmanager
def serving(options: ServerOptions, *services: Service) -> Iterator[EngineThread]:
    """Serve for the length of a with block."""
    thread = EngineThread(options, services).start()
    try:
        yield thread
    finally:
        thread.close()


class ScriptedService:
    """Does with each batch what a test says, and keeps what it saw."""

    def __init__(
        self, methods: Mapping[str, MethodKind], act: Callable[[Sequence[tuple[Call, bytes]]], None] | None = None
    ) -> None:
        self._methods = methods
        self.act = act or answer_all
        self.batches: list[list[tuple[Call, bytes]]] = []
        self.gone_calls: list[Call] = []

    @property
    def methods(self) -> Mapping[str, MethodKind]:
        """Return the methods that the test gave."""
        return self._methods

    @property
    def seen(self) -> list[bytes]:
        """Return every message so far."""
        return [message for batch in self.batches for _, message in batch]

    def messages(self, batch: Sequence[tuple[Call, bytes]]) -> None:
        """Keep the batch, then act."""
        self.batches.append(list(batch))
        self.act(batch)

    def gone(self, call: Call) -> None:
        """Keep the call."""
        self.gone_calls.append(call)


def answer_all(batch: Sequence[tuple[Call, bytes]]) -> None:
    """Answer each message with itself behind `re:`."""
    for call, message in batch:
        call.reply(b"re:" + message)


def answer_nothing(batch: Sequence[tuple[Call, bytes]]) -> None:
    """Leave every call open."""
