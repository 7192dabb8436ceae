"""What the Redis store does not ask again, and what it counts in two stores."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import redis

from borderpost_base.world import World
from borderpost_ratelimit.charges import Charge, Phase, Source, Unanswered, Verdict
from borderpost_ratelimit.limits import Algorithm, Scope, Unit
from borderpost_ratelimit.stores.memory import MemoryStore
from borderpost_ratelimit.stores.redis.near_cache import NearCache
from borderpost_ratelimit.stores.scoped import Scoped
from support.ratelimit_asking import answers, reason, redis_store, until, verdict
from support.ratelimit_parts import limit_of
from support.redis_server import RedisServer, redis_server

LIMIT = limit_of(2, Unit.DAY)
NOW_US = 1_000_000_000
OVER = Verdict(True, 5, 0, reset_us=9_000, retry_us=3_000)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> Iterator[RedisServer]:
    with running.client as client:
        client.flushall()
        client.config_resetstat()
    yield running


def calls(client: redis.Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


def test_what_is_over_is_not_asked_again(server: RedisServer) -> None:
    async def run() -> None:
        async with redis_store(server.url, near=100) as store:
            with server.client as client:
                await answers(store, *[(Charge(LIMIT, "k", 1),)] * 3)
                asked = calls(client)
                given: list[object] = []
                store.take([(Charge(LIMIT, "k", 1),)] * 2, 0, given.extend)
                assert [one[0].source for one in given] == [Source.NEAR_CACHE] * 2, "at once"  # type: ignore[index]
                assert calls(client) == asked
                first = given[0][0]  # type: ignore[index]
                assert (first.over, first.used, first.remaining) == (True, 3, 0)
                assert 0 < first.retry_us == first.reset_us <= Unit.DAY.length_us
                ((known, told),) = await answers(store, (Charge(LIMIT, "k", 1), Charge(LIMIT, "k2", 1)))
                assert (known.source, told.source, told.used) == (Source.NEAR_CACHE, Source.STORE, 1)
                assert (await verdict(store, Charge(LIMIT, "k", 1, Phase.LOOK))).used == 3, "what is left is asked"
                assert store.near is not None and store.near.answered == 3
                assert (await verdict(store, Charge(LIMIT, "k", -2))).used == 1, "given back"
                assert (await verdict(store, Charge(LIMIT, "k", 1))).over is False

    asyncio.run(run())


def test_a_request_that_has_more_than_fixed_windows_is_asked_whole(server: RedisServer) -> None:
    bucket = limit_of(9, Unit.DAY, algorithm=Algorithm.TOKEN_BUCKET, burst=9)

    async def run() -> None:
        async with redis_store(server.url, near=100) as store:
            charges = (Charge(LIMIT, "k", 1), Charge(bucket, "b", 1))
            found = [await answers(store, charges) for _ in range(4)]
            assert [(f.over, f.source, b.used) for ((f, b),) in found] == [
                (False, Source.STORE, 1), (False, Source.STORE, 2), (True, Source.STORE, 2), (True, Source.STORE, 2),
            ]  # fmt: skip

    asyncio.run(run())


def test_a_flood_of_keys_that_are_over_is_bounded(server: RedisServer) -> None:
    none = limit_of(0, Unit.DAY)

    async def run() -> None:
        async with redis_store(server.url, near=64) as store:
            for turn in range(20):
                await answers(store, *[(Charge(none, f"k{turn}-{number}", 1),) for number in range(50)])
            assert store.near is not None and store.near.learnt == 1000 and len(store.near) <= 64

    asyncio.run(run())


def known(charge: Charge, told: Verdict = OVER) -> NearCache:
    near = NearCache(100)
    near.learn(charge, told, NOW_US)
    return near


def test_it_is_known_until_it_may_pass_and_no_longer() -> None:
    near = known(Charge(LIMIT, "k", 1))
    assert near.look(Charge(LIMIT, "k", 1), NOW_US) == Verdict(True, 5, 0, 9_000, 3_000, Source.NEAR_CACHE)
    assert near.look(Charge(LIMIT, "k", 1), NOW_US + 2_999) == Verdict(True, 5, 0, 6_001, 1, Source.NEAR_CACHE)
    assert near.look(Charge(LIMIT, "k", 1), NOW_US + 3_000) is None


def test_it_is_known_of_this_counter_and_limit_only() -> None:
    near = known(Charge(LIMIT, "k", 1))
    assert near.look(Charge(LIMIT, "k2", 1), NOW_US) is None
    assert near.look(Charge(limit_of(3, Unit.DAY), "k", 1), NOW_US) is None, "a file has raised the limit"
    assert near.look(Charge(limit_of(2, Unit.DAY), "k", 1), NOW_US) is not None, "a file has been read again"


@pytest.mark.parametrize("algorithm", [Algorithm.SLIDING_WINDOW, Algorithm.TOKEN_BUCKET])
def test_a_smaller_cost_may_pass_where_a_larger_one_did_not(algorithm: Algorithm) -> None:
    limit = limit_of(10, Unit.DAY, algorithm=algorithm, burst=10)
    near = known(Charge(limit, "k", 5))
    assert near.look(Charge(limit, "k", 4), NOW_US) is None
    assert near.look(Charge(limit, "k", 5), NOW_US) is not None
    assert known(Charge(limit, "k", 0)).look(Charge(limit, "k", 1), NOW_US) is not None, "0 asks for room for one"


def test_a_window_that_is_over_is_so_for_any_hits() -> None:
    assert known(Charge(LIMIT, "k", 5)).look(Charge(LIMIT, "k", 0), NOW_US) is not None


@pytest.mark.parametrize("algorithm", [Algorithm.CONCURRENCY, Algorithm.BUDGET])
def test_what_gets_free_at_any_time_is_asked_each_time(algorithm: Algorithm) -> None:
    limit = limit_of(10, Unit.DAY, algorithm=algorithm)
    assert known(Charge(limit, "k", 5)).look(Charge(limit, "k", 5), NOW_US) is None


@pytest.mark.parametrize(
    ("charge", "told"),
    [
        (Charge(LIMIT, "k", 1, Phase.LOOK), OVER),
        (Charge(LIMIT, "k", 1), OVER._replace(source=Source.NEAR_CACHE)),
        (Charge(LIMIT, "k", 1), OVER._replace(source=Source.ESTIMATE)),
    ],
)
def test_only_what_the_store_said_of_a_charge_is_learnt(charge: Charge, told: Verdict) -> None:
    assert known(charge, told).look(Charge(LIMIT, "k", 1), NOW_US) is None


# Two stores


HERE = limit_of(5, Unit.DAY)
BUCKET_HERE = limit_of(5, Unit.DAY, algorithm=Algorithm.TOKEN_BUCKET, burst=5)
ABROAD = {algorithm: limit_of(2, Unit.DAY, algorithm=algorithm, burst=2, scope=Scope.GLOBAL) for algorithm in Algorithm}


def test_limits_are_counted_where_their_scope_says(server: RedisServer) -> None:
    async def run() -> None:
        region = MemoryStore(100)
        async with redis_store(server.url, secret=b"s" * 16) as world:
            store = Scoped(region, world)
            assert store.name == "memory+redis"
            abroad = ABROAD[Algorithm.FIXED_WINDOW]
            found = await answers(
                store,
                (Charge(HERE, "a", 1),),
                (Charge(abroad, "b", 1),),
                (Charge(abroad, "c", 1), Charge(HERE, "a", 2)),
            )
            assert [[one.used for one in told] for told in found if not isinstance(told, Unanswered)] == [
                [1],
                [1],
                [1, 3],
            ]
            assert len(region) == 1
            with server.client as client:
                assert client.dbsize() == 2
            given: list[object] = []
            store.take([(Charge(HERE, "a", 1),)], World().now_us(), given.extend)
            assert len(given) == 1, "what stays in the region waits for nobody"

    asyncio.run(run())


@pytest.mark.parametrize("algorithm", [a for a in Algorithm if a is not Algorithm.FIXED_WINDOW])
def test_what_a_refused_request_was_charged_elsewhere_is_given_back(server: RedisServer, algorithm: Algorithm) -> None:
    async def run() -> None:
        async with redis_store(server.url, secret=b"s" * 16) as world:
            store = Scoped(MemoryStore(100), world)
            charges = (
                Charge(ABROAD[algorithm], "g", 1, request="r"),
                Charge(limit_of(1, Unit.DAY), "h", 1, request="r"),
            )
            first, second = [(await answers(store, charges))[0] for _ in range(2)]
            assert [one.over for one in first] == [False, False]
            assert [one.over for one in second] == [False, True], "refused in the region"
            look = charges[0]._replace(phase=Phase.LOOK)
            async with asyncio.timeout(20):
                while (await verdict(world, look)).used != 1:
                    await asyncio.sleep(0.005)
            both = (Charge(ABROAD[algorithm], "g", 2, request="q"), Charge(BUCKET_HERE, "h2", 1, request="q"))
            ((over, told),) = await answers(store, both)
            assert (over.over, told.over, told.used) == (True, False, 1), "refused abroad"
            ((given_back,),) = await answers(store, (Charge(BUCKET_HERE, "h2", 1, Phase.LOOK),))
            assert given_back.used == 0

    asyncio.run(run())


def test_one_store_without_an_answer_is_none_for_the_request(server: RedisServer) -> None:
    async def run() -> None:
        async with redis_store(server.url) as here, redis_store("redis://127.0.0.1:1") as away:
            store = Scoped(here, away)
            abroad = ABROAD[Algorithm.FIXED_WINDOW]
            found = await answers(store, (Charge(HERE, "a", 1), Charge(abroad, "b", 1)), (Charge(HERE, "a", 1),))
            assert isinstance(found[0], Unanswered) and found[0].reason == "unreachable"
            assert not isinstance(found[1], Unanswered)
            await store.close()
            await until(lambda: here.servers.alone is not None and not here.servers.alone.connected)
            assert await reason(here, Charge(HERE, "a", 1)) == "unreachable"

    asyncio.run(run())
