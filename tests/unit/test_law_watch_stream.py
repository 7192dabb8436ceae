"""The law watch over a stream of a real redis-server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from borderpost import events_stream
from borderpost.health import Outcome
from borderpost.law_watch import LawWatch
from borderpost.policy.events import EventList
from support.law_watch_case import Case, fired
from support.redis_server import RedisServer, redis_server
from support.worker_parts import until

KEY = "borderpost:events"


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    case = Case(tmp_path)
    yield case
    case.page.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@asynccontextmanager
async def following(
    case: Case, server: RedisServer, restored: EventList | None = None, **events: Any
) -> AsyncIterator[LawWatch]:
    """Follow the server's stream with this case's signers."""
    case.begin(restored, redis={"url": server.url, "sink": "fleet"}, signers=case.writer.config(), **events)
    case.law.start()
    try:
        yield case.law
    finally:
        await case.law.stop()


@pytest.fixture
def emptied(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    monkeypatch.setattr(events_stream, "_LOOK_S", 0.05)
    monkeypatch.setattr(events_stream, "_AGAIN_S", 0.1)
    with server.client as client:
        client.flushall()
    yield server


def test_nothing_is_known_before_the_stream_was_read_or_vouched_to_be_empty(case: Case, emptied: RedisServer) -> None:
    async def main() -> None:
        async with following(case, emptied) as law:
            await until(lambda: case.check("events/current") is Outcome.WARNING)
            assert not law.known
            assert case.check("events/known") is Outcome.FAILED
            with emptied.client as client:
                client.set(f"{KEY}:heartbeat", case.writer.heartbeat(datetime.now(UTC)))
            await until(lambda: law.known)
            assert case.published == [[]]
            assert case.check("events/known") is None
            await until(lambda: case.check("events/current") is None)
            assert case.check("events/stream") is Outcome.PASSED

    asyncio.run(main())


def test_what_comes_by_the_stream_is_published_at_once(case: Case, emptied: RedisServer) -> None:
    async def main() -> None:
        with emptied.client as client:
            client.xadd(KEY, {"line": case.writer.add("a")})
            async with following(case, emptied, max_age_s=60) as law:
                await until(lambda: case.ids == ["a"])
                client.xadd(KEY, {"line": case.writer.add("b", at=datetime.now(UTC))})
                await until(lambda: case.ids == ["a", "b"])
                assert case.published == [["a"], ["a", "b"]]
                assert case.page.events_fresh_until_us == 0
                client.set(f"{KEY}:heartbeat", case.writer.heartbeat(datetime.now(UTC)))
                await until(lambda: case.page.events_fresh_until_us > 0)
                law.set_gauges()
                assert case.metrics.events_lines.get() == 2
                assert case.metrics.events_lag_seconds.get() < 5
                assert case.metrics.events_stream_connected.get() == 1

    asyncio.run(main())


def test_a_server_that_comes_back_empty_takes_no_law_away_over_a_restart(case: Case, emptied: RedisServer) -> None:
    async def main() -> None:
        with emptied.client as client:
            client.xadd(KEY, {"line": case.writer.add("a")})
            async with following(case, emptied) as law:
                await until(lambda: case.ids == ["a"])
                law.add_own(fired())
            client.flushall()
            last = case.law.book.current()
            async with following(case, emptied, last) as law:
                assert law.known
                await until(lambda: case.check("events/current") is Outcome.WARNING)
                assert set(case.ids) == {"a", "fired"}
                client.xadd(KEY, {"line": case.writer.lines[0]})
                await until(lambda: case.check("events/current") is None)
                assert set(case.ids) == {"a", "fired"}

    asyncio.run(main())


def test_another_server_is_followed_after_a_reload(case: Case, emptied: RedisServer, tmp_path: Path) -> None:
    async def main() -> None:
        with emptied.client as client, redis_server(tmp_path) as other, other.client as its:
            client.xadd(KEY, {"line": case.writer.add("a")})
            its.xadd(KEY, {"line": case.writer.lines[0]})
            async with following(case, emptied):
                await until(lambda: case.ids == ["a"])
                case.reload(redis={"url": other.url, "sink": "fleet"}, signers=case.writer.config())
                its.xadd(KEY, {"line": case.writer.add("b")})
                await until(lambda: case.ids == ["a", "b"])
                case.write()
                case.reload(file="list.jsonl", signers=case.writer.config())
                case.write("c")
                await case.law.look()
                assert case.ids == ["a", "b", "c"]
            assert json.dumps(case.published).count('"c"') == 1

    asyncio.run(main())
