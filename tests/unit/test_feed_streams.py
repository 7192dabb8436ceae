"""Feeds that a fleet shares, over a real server: what one gateway is told, every gateway hears."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from borderpost.config.events import EventsSection
from borderpost.events.feeds import signature_of
from borderpost.feeds import Feeds
from borderpost.law_watch import LawWatch
from borderpost.policy.fields import EPOCH, format_instant
from borderpost_base.errors import BorderpostError
from borderpost_base.metrics import local_metrics
from borderpost_base.world import World
from support.redis_server import RedisServer, redis_server
from support.signed_lists import ListWriter
from support.triggered_law import TriggeredLaw
from support.worker_parts import until

SECRET = b"a secret of its own"
WEBHOOK_KEY = "borderpost:events:feed:alerts"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    with running.client as client:
        client.flushall()
    return running


def signed() -> ListWriter:
    written = ListWriter()
    written.trigger("war", valid_until="2999-01-01")
    written.trigger("quake", when={"feed": "ground", "equals": "shaking"}, valid_until="2999-01-01")
    return written


class Gateway:
    """The feeds of one gateway of the fleet."""

    def __init__(self, directory: Path, server: RedisServer, written: ListWriter) -> None:
        (directory / "secret").write_bytes(SECRET)
        feeds = {"alerts": {"webhook": {"secret_file": directory / "secret"}}, "ground": {"stream": "ground"}}
        redis = {"url": server.url, "sink": "redis", "timeout_s": 1.0}
        section = {"feeds": feeds, "redis": redis, "signers": written.config()}
        self.law, self.world, self.metrics = TriggeredLaw(written), World(), local_metrics()
        self.feeds = Feeds(
            EventsSection.model_validate(section), law=cast(LawWatch, self.law), is_published=lambda: True,
            world=self.world, metrics=self.metrics,
        )  # fmt: skip

    @property
    def fired(self) -> list[str]:
        return [event.id for event in self.law.fired]

    def message(self, value: object) -> bytes:
        return said(value, self.world)


def said(value: object, world: World) -> bytes:
    at = EPOCH.fromtimestamp(world.now_us() / 1e6, EPOCH.tzinfo)
    return json.dumps({"value": value, "at": format_instant(at)}).encode()


@asynccontextmanager
async def gateways(directory: Path, server: RedisServer, count: int = 2) -> AsyncIterator[list[Gateway]]:
    written = signed()
    found = [Gateway(directory, server, written) for _ in range(count)]
    try:
        for each in found:
            each.feeds.start()
        yield found
    finally:
        for each in found:
            await each.feeds.stop()


def test_a_webhook_s_message_fires_on_every_gateway_and_on_one_that_comes_late(
    tmp_path: Path, server: RedisServer
) -> None:
    async def main() -> None:
        async with gateways(tmp_path, server) as (one, other):
            raw = one.message(9)
            (fired,) = await one.feeds.deliver("alerts", raw, signature_of(raw, SECRET))
            await until(lambda: other.fired == [fired])
            assert one.fired == [fired]
            quiet = one.message(0)
            await other.feeds.deliver("alerts", quiet, signature_of(quiet, SECRET))
        async with gateways(tmp_path, server, 1) as (late,):
            await until(lambda: late.fired == [fired])

    asyncio.run(main())


def test_a_stream_fires_and_what_is_no_message_in_it_is_told(tmp_path: Path, server: RedisServer) -> None:
    async def main() -> None:
        async with gateways(tmp_path, server, 1) as (one,):
            with server.client as client:
                client.xadd("ground", {"note": "no message"})
                client.xadd("ground", {"message": "{"})
                await until(lambda: bool(one.feeds.checks()))
                assert [check.name for check in one.feeds.checks()] == ["feed/ground"]
                client.xadd("ground", {"message": one.message("shaking")})
                await until(lambda: len(one.fired) == 1)
                assert one.feeds.checks() == []
                assert one.fired[0].startswith("quake.")

    asyncio.run(main())


def test_nobody_without_the_secret_speaks_through_the_server(tmp_path: Path, server: RedisServer) -> None:
    async def main() -> None:
        async with gateways(tmp_path, server, 1) as (one,):
            with server.client as client, capture_logs() as told:
                client.xadd(WEBHOOK_KEY, {"message": one.message(9), "signature": "sha256=00"})
                client.xadd(WEBHOOK_KEY, {"message": one.message(9)})
                await until(lambda: one.metrics.feed_messages_total.get("alerts", "unreadable") == 2)
            assert one.fired == []
            assert {line["code"] for line in told if "code" in line} == {"BP1032"}

    asyncio.run(main())


def test_a_server_that_is_gone_is_told_and_what_was_heard_here_stands(tmp_path: Path) -> None:
    async def main() -> None:
        with redis_server(tmp_path) as server:
            async with gateways(tmp_path, server, 1) as (one,):
                server.kill()
                raw = one.message(9)
                with pytest.raises(BorderpostError) as caught:
                    await one.feeds.deliver("alerts", raw, signature_of(raw, SECRET))
                assert caught.value.code == "BP1033"  # the sender is to send it again, for the others
                assert len(one.fired) == 1
                await until(lambda: any(check.name == "feeds/redis" for check in one.feeds.checks()))
                server.start()
                await one.feeds.deliver("alerts", raw, signature_of(raw, SECRET))
                await until(lambda: one.feeds.checks() == [])
                with server.client as client:
                    assert client.xlen(WEBHOOK_KEY) == 1
                assert len(one.fired) == 1

    asyncio.run(main())
