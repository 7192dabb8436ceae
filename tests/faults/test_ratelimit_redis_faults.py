"""A real Redis that fails: what is answered meanwhile, how long that takes, and what the counters hold afterwards.

Every test ends with the check that no request waited longer than the bound, but for what the loop itself was late.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from borderpost.demo.children import free_port
from borderpost_ratelimit.away import State
from borderpost_ratelimit.charges import Phase, Source
from borderpost_ratelimit.limits import Algorithm, Unit, WhenAway
from support.ratelimit_parts import limit_of
from support.ratelimit_replicas import Replica, eventually, replicas
from support.redis_server import RedisServer, redis_server

BYSTANDER = limit_of(1_000_000, Unit.DAY)
WEEK_US = Unit.WEEK.length_us


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), "--repl-diskless-sync-delay", "0") as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> Iterator[RedisServer]:
    with running.client as client:
        client.flushall()
    yield running
    running.go_on()
    with running.client as client:
        client.config_set("maxmemory", "0")
        client.replicaof("NO", "ONE")


def test_a_killed_server_that_comes_back_empty(server: RedisServer) -> None:
    limit = limit_of(10, Unit.WEEK)

    async def run() -> None:
        replica = Replica(server.url)
        async with replicas(replica):
            assert await replica.passed(limit, 4) == (4, {Source.STORE})
            server.kill()
            await replica.until(State.OPEN, BYSTANDER)
            assert await replica.passed(limit, 8) == (6, {Source.ESTIMATE}), "10 in all"
            server.start()
            await replica.settled(BYSTANDER)
            # The 4 are lost with the server; the 6 that passed without it are not.
            assert await replica.in_store(limit) == 6
            assert await replica.passed(limit, 5) == (4, {Source.STORE})

    asyncio.run(run())


def test_a_stopped_server_holds_nobody_up_and_counts_once_what_it_reads_late(server: RedisServer) -> None:
    windows, sliding = limit_of(1000, Unit.WEEK), limit_of(1000, Unit.WEEK, algorithm=Algorithm.SLIDING_WINDOW)
    limits = {"windows": windows, "sliding": sliding}

    async def run() -> None:
        replica = Replica(server.url)
        async with replicas(replica) as lag:
            for key, limit in limits.items():
                await replica.passed(limit, 5, key=key)
            replica.waits_s.clear()
            server.pause()
            asked = [replica.ask(limit, key=key) for _ in range(20) for key, limit in limits.items()]
            verdicts = await asyncio.gather(*asked)
            assert {verdict.source for verdict in verdicts} == {Source.ESTIMATE}
            assert {verdict.over for verdict in verdicts} == {False}
            assert replica.guard.state is not State.CLOSED
            replica.waits_s.clear()
            for key, limit in limits.items():
                assert await replica.passed(limit, 10, key=key) == (10, {Source.ESTIMATE})
            assert max(replica.waits_s) <= await lag.worst(), "the breaker is open: there is nothing to wait for"
            server.go_on()
            await replica.settled(BYSTANDER)
            assert replica.guard.counters.late > 0
            for key, limit in limits.items():
                assert await replica.in_store(limit, key) == 35, key

    asyncio.run(run())


@pytest.mark.parametrize("reason", ["read-only", "out-of-memory"])
def test_a_server_that_takes_no_writes(server: RedisServer, reason: str) -> None:
    limit = limit_of(10, Unit.WEEK)

    def refuse(refuses: bool) -> None:
        with server.client as client:
            if reason == "out-of-memory":
                client.config_set("maxmemory-policy", "noeviction")
                client.config_set("maxmemory", "1" if refuses else "0")
            elif refuses:
                client.replicaof("127.0.0.1", str(free_port()))
            else:
                client.replicaof("NO", "ONE")

    async def run() -> None:
        replica = Replica(server.url)
        async with replicas(replica):
            await replica.passed(limit, 3)
            refuse(True)
            await replica.until(State.OPEN, BYSTANDER)
            # A connection to a server that turned read-only is given up, which is told in its own words afterwards.
            assert reason in replica.guard.counters.unanswered
            assert await replica.passed(limit, 9) == (7, {Source.ESTIMATE})
            refuse(False)
            await replica.settled(BYSTANDER)
            assert await replica.in_store(limit) == 10
            assert await replica.passed(limit, 2) == (0, {Source.STORE})

    asyncio.run(run())


def test_each_limit_does_as_its_file_says(server: RedisServer) -> None:
    async def run() -> None:
        replica = Replica(server.url)
        async with replicas(replica):
            await replica.ask(BYSTANDER)
            server.pause()
            await replica.until(State.OPEN, BYSTANDER)
            found = {
                choice: await replica.passed(limit_of(2, Unit.WEEK, when_away=choice), 5, key=choice.value)
                for choice in WhenAway
            }
            assert found == {
                WhenAway.LOCAL: (2, {Source.ESTIMATE}),
                WhenAway.ALLOW: (5, {Source.ASSUMED}),
                WhenAway.REFUSE: (0, {Source.ASSUMED}),
            }
            server.go_on()
            await replica.settled(BYSTANDER)

    asyncio.run(run())


@pytest.mark.slow
def test_an_outage_longer_than_a_window_does_not_poison_the_next(server: RedisServer) -> None:
    """The store is stopped in one window, with charges unread and charges owed, and goes on in a later one."""
    limit = limit_of(5, Unit.SECOND)

    async def run() -> None:
        replica = Replica(server.url)
        async with replicas(replica):
            await replica.passed(limit, 5)
            server.pause()
            for _ in range(3):
                await asyncio.gather(*[replica.ask(limit) for _ in range(12)])
                await asyncio.sleep(0.4)
            assert replica.guard.state is not State.CLOSED
            now_us = replica.world.now_us()
            await asyncio.sleep((1_000_000 - now_us % 1_000_000 + 20_000) / 1e6)
            server.go_on()
            await replica.settled(BYSTANDER)
            first, sources = await replica.passed(limit, 5)
            assert sources == {Source.STORE}
            assert first == 5, "nothing of what was counted in windows before"

    asyncio.run(run())


def test_leases_survive_a_stopped_server(server: RedisServer) -> None:
    limit = limit_of(2, algorithm=Algorithm.CONCURRENCY, window_us=WEEK_US)

    async def run() -> None:
        replica = Replica(server.url)
        async with replicas(replica):
            assert not (await replica.ask(limit, request="a")).over
            assert not (await replica.ask(limit, request="b")).over
            server.pause()
            await replica.until(State.OPEN, BYSTANDER)
            assert (await replica.ask(limit, request="c")).over
            await replica.ask(limit, 0, phase=Phase.DONE, request="a")
            assert not (await replica.ask(limit, request="c")).over
            server.go_on()
            await replica.settled(BYSTANDER)
            assert await replica.in_store(limit) <= 1, "a's lease does not stay until it runs out"
            await replica.ask(limit, 0, phase=Phase.DONE, request="b")
            await replica.ask(limit, 0, phase=Phase.DONE, request="c")
            assert await replica.in_store(limit) == 0

    asyncio.run(run())


def test_two_replicas_are_right_again_as_soon_as_the_store_is_back(server: RedisServer) -> None:
    limit = limit_of(10, Unit.WEEK)

    async def run() -> None:
        one, two = Replica(server.url), Replica(server.url)
        async with replicas(one, two):
            assert (await one.passed(limit, 2))[0] + (await two.passed(limit, 2))[0] == 4
            server.pause()
            for replica in (one, two):
                await replica.until(State.OPEN, BYSTANDER)
            # Each knows what the store told it last, and counts on for itself: 8 of its own, 6.
            found = [(await replica.passed(limit, 10))[0] for replica in (one, two)]
            assert found == [8, 6]
            server.go_on()
            for replica in (one, two):
                await replica.settled(BYSTANDER)
            assert await one.in_store(limit) == 4 + 14
            assert [await replica.passed(limit, 3) for replica in (one, two)] == [(0, {Source.STORE})] * 2

    asyncio.run(run())


@pytest.mark.parametrize("ahead_s", [-90, 90, 40 * 86_400])
def test_clocks_that_differ_between_replicas_change_nothing(server: RedisServer, ahead_s: int) -> None:
    limit = limit_of(20, Unit.DAY)

    async def run() -> None:
        one, two = Replica(server.url), Replica(server.url, ahead_us=ahead_s * 1_000_000)
        async with replicas(one, two):
            found = [await replica.passed(limit, 4) for _ in range(4) for replica in (one, two)]
            assert sum(passed for passed, _ in found) == 20, "the window is the store's"
            other = limit_of(20, Unit.DAY)
            await one.passed(other, 3, key="other")
            await two.passed(other, 3, key="other")
            server.pause()
            for replica in (one, two):
                await replica.until(State.OPEN, BYSTANDER)
            found = [await replica.passed(other, 2, key="other") for replica in (one, two)]
            assert found == [(2, {Source.ESTIMATE})] * 2
            server.go_on()
            for replica in (one, two):
                await replica.settled(BYSTANDER)
            assert await one.in_store(other, "other") == 10, "told to the window that runs by the store's clock"

    asyncio.run(run())


GARBAGE = {
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "noise": bytes(range(128, 256)) * 8,
    "a long number": b":" + b"9" * 70_000,
    "a huge string": b"$2147483647\r\n" + bytes(4096),
    "half a reply": b"*3\r\n:1",
    "the wrong shape": b"+OK\r\n" * 64,
    "more than was asked for": b"*2\r\n:1\r\n:1\r\n" * 64,
    "an end": b"",
}


@asynccontextmanager
async def babbling(port: int, words: bytes) -> AsyncIterator[None]:
    """A server that says this to whatever it is asked, and closes if it has nothing to say."""

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            if not words:
                break
            writer.write(words)
        writer.close()

    listening = await asyncio.start_server(babble, "127.0.0.1", port)
    try:
        yield
    finally:
        listening.close()


def test_what_is_no_redis_is_no_store() -> None:
    limit = limit_of(5, Unit.WEEK)

    async def babbled(words: bytes) -> None:
        port = free_port()
        async with babbling(port, words):
            replica = Replica(f"redis://127.0.0.1:{port}/0", timeout_s=0.2)
            async with replicas(replica):
                passed, sources = await replica.passed(limit, 30)
                assert (passed, sources) == (5, {Source.ESTIMATE}), words[:20]
                assert replica.guard.state is not State.CLOSED

    async def run() -> None:
        await asyncio.gather(*[babbled(words) for words in GARBAGE.values()])

    asyncio.run(run())


def test_a_server_that_is_not_there_at_the_start_is_found_once_it_is(server: RedisServer) -> None:
    limit = limit_of(5, Unit.WEEK)

    async def run() -> None:
        server.kill()
        replica = Replica(server.url)
        async with replicas(replica):
            assert await replica.passed(limit, 7) == (5, {Source.ESTIMATE})
            server.start()
            await replica.settled(BYSTANDER)
            assert await replica.passed(limit, 2) == (0, {Source.STORE})

    asyncio.run(run())


def test_a_server_that_is_killed_again_and_again(server: RedisServer) -> None:
    limit = limit_of(1000, Unit.WEEK)

    async def run() -> None:
        replica = Replica(server.url)
        async with replicas(replica):
            for _ in range(4):
                server.kill()
                await replica.until(State.OPEN, BYSTANDER)
                assert await replica.passed(limit, 3) == (3, {Source.ESTIMATE})
                server.start()
                await replica.settled(BYSTANDER)
                assert await replica.in_store(limit) == 3, "each time empty, and told what was let through"
            assert replica.guard.counters.opened >= 4

    asyncio.run(run())


def test_a_near_cache_does_not_take_a_store_that_is_away_for_one_that_is_there(server: RedisServer) -> None:
    limit, full = limit_of(10, Unit.WEEK), limit_of(1, Unit.WEEK)

    async def run() -> None:
        replica = Replica(server.url, near=100)
        async with replicas(replica):
            assert await replica.passed(full, 9, key="full") == (1, {Source.STORE, Source.NEAR_CACHE})
            server.pause()
            await replica.until(State.OPEN, BYSTANDER)
            # What the near cache knows, the estimate was told as well; and it closes no breaker.
            for _ in range(20):
                assert await replica.passed(full, 1, key="full") == (0, {Source.ESTIMATE})
                await asyncio.sleep(0.01)
            assert replica.guard.state is not State.CLOSED
            server.go_on()
            await replica.settled(BYSTANDER)
            assert await replica.passed(limit, 1) == (1, {Source.STORE})

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize("dropped", [False, True], ids=["connected", "connection lost"])
def test_what_a_stopped_server_reads_too_late_is_not_counted(server: RedisServer, dropped: bool) -> None:
    """Commands have lain in its buffer for longer than their window: it must not count them into a new one."""
    sliding = limit_of(1000, Unit.SECOND, algorithm=Algorithm.SLIDING_WINDOW)
    leases = limit_of(1000, algorithm=Algorithm.CONCURRENCY, window_us=WEEK_US)

    async def run() -> None:
        replica = Replica(server.url, timeout_s=0.3 if dropped else 3.0)
        async with replicas(replica):
            await replica.ask(BYSTANDER)
            server.pause()
            names = [f"request {number}" for number in range(300)]
            await asyncio.gather(
                *[replica.ask(sliding, key="sliding") for _ in names],
                *[replica.ask(leases, key="leases", request=name) for name in names],
            )
            for name in names:
                await replica.ask(leases, 0, key="leases", phase=Phase.DONE, request=name)
            await asyncio.sleep(1.1)
            server.go_on()
            await replica.settled(BYSTANDER)
            assert await replica.in_store(sliding, "sliding") == 0
            await eventually(lambda: _released(replica))
            assert await replica.passed(sliding, 20, key="sliding") == (20, {Source.STORE})

    async def _released(replica: Replica) -> bool:
        await replica.ask(BYSTANDER)
        return await replica.in_store(leases, "leases") == 0

    asyncio.run(run())


def test_a_servers_clock_that_is_set_costs_no_answer(server: RedisServer) -> None:
    limit = limit_of(10, Unit.DAY)

    async def run() -> None:
        replica = Replica(server.url)
        async with replicas(replica):
            await replica.ask(limit)
            for by_s in (-3600, 3600):  # what this limiter knows of the server's clock is wrong by so much at once
                sender = replica.redis.servers.all()[0].sender
                sender.learn_time(sender.now_us() - by_s * 1_000_000)
                assert await replica.passed(limit, 2) == (2, {Source.STORE})
            assert replica.guard.counters.unanswered == {}

    asyncio.run(run())
