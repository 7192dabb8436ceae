"""The Redis store on a real server: what is sent, what is kept, and who is let through."""

from __future__ import annotations

import asyncio
import dataclasses
import struct
from collections.abc import Iterator

import pytest
import redis

from borderpost_base.limits import LIMITER_HOLDS_MAX
from borderpost_base.world import SystemClock, World
from borderpost_ratelimit.charges import Charge, Phase, Source, Unanswered
from borderpost_ratelimit.limits import Algorithm, Limit, Unit
from borderpost_ratelimit.stores.redis.batch import GRACE_US
from borderpost_ratelimit.stores.redis.store import RedisStore
from support.ratelimit_asking import answers, redis_store, verdict
from support.ratelimit_parts import limit_of
from support.redis_server import RedisServer, redis_server

ALL_LIMITS = {
    "f": limit_of(10, Unit.HOUR),
    "s": limit_of(10, Unit.HOUR, algorithm=Algorithm.SLIDING_WINDOW),
    "b": limit_of(10, Unit.HOUR, algorithm=Algorithm.TOKEN_BUCKET, burst=10),
    "c": limit_of(10, Unit.HOUR, algorithm=Algorithm.CONCURRENCY),
    "g": limit_of(10, Unit.HOUR, algorithm=Algorithm.BUDGET),
}
HOSTILE = (
    "PEXPIRE\r\n",
    "",
    "}",
    "{}",
    "\x00\r\n$5\r\n",
    "ключ",
    "\U0001f6c2" * 64,
    "\ud800",
    "x" * 65_536,
    "*",
    "a{b}c",
)


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


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with server.client as client:
        yield client


async def passed(store: RedisStore, charge: Charge, count: int) -> int:
    """Ask so often, each as a turn of its own, with 64 on their way; return how many are let through."""
    free = asyncio.Semaphore(64)

    async def one(number: int) -> bool:
        async with free:
            return not (await verdict(store, charge._replace(request=str(number)))).over

    return sum(await asyncio.gather(*(one(number) for number in range(count))))


@pytest.mark.parametrize("letter", ALL_LIMITS)
def test_64_at_once_at_two_limiters_pass_as_often_as_the_limit_says(server: RedisServer, letter: str) -> None:
    limit = ALL_LIMITS[letter]

    async def run() -> int:
        async with redis_store(server.url) as one, redis_store(server.url, near=100) as two:
            charge = Charge(limit, f"exact{letter}", 1)
            return sum(await asyncio.gather(passed(one, charge, 100), passed(two, charge, 100)))

    assert asyncio.run(run()) == 10


def calls(client: redis.Redis) -> dict[str, int]:
    told = client.info("commandstats")
    names = ("evalsha", "incrby", "pexpire", "set", "time")
    return {name: told[f"cmdstat_{name}"]["calls"] for name in names if f"cmdstat_{name}" in told}


@pytest.mark.parametrize(("keys", "expected"), [
    ("ab", {"incrby": 2, "set": 2}),
    ("abcdefghij", {"evalsha": 1, "time": 1, "incrby": 10, "pexpire": 10}),
])  # fmt: skip
def test_a_turn_is_one_addition_a_counter_and_one_script_call_where_those_are_many(
    server: RedisServer, client: redis.Redis, keys: str, expected: dict[str, int]
) -> None:
    limit = limit_of(30, Unit.HOUR)

    async def run() -> None:
        async with redis_store(server.url) as store:
            client.config_resetstat()
            found = await answers(store, *[(Charge(limit, key, 1),) for key in keys * 32])
            used = [answer[0].used for answer in found if not isinstance(answer, Unanswered)]
            turns = [number // len(keys) for number in range(len(keys) * 32)]
            assert used == [1 + turn for turn in turns], "as if they had come one after the other"
            over = [answer[0].over for answer in found if not isinstance(answer, Unanswered)]
            assert over == [turn >= 30 for turn in turns]

    asyncio.run(run())
    assert calls(client) == expected


def test_a_counter_that_is_known_is_one_command(server: RedisServer, client: redis.Redis) -> None:
    async def run() -> None:
        async with redis_store(server.url) as store:
            for _ in range(5):
                await verdict(store, Charge(ALL_LIMITS["f"], "k", 1))

    asyncio.run(run())
    found = calls(client)
    assert (found["set"], found["incrby"]) == (1, 5) and "evalsha" not in found


def test_a_counter_that_was_known_and_has_gone_ends_too(server: RedisServer, client: redis.Redis) -> None:
    """Evicted, flushed, or lost with a primary."""

    async def run() -> None:
        async with redis_store(server.url) as store:
            charges = [(Charge(ALL_LIMITS["f"], key, 2),) for key in "ab"]
            await answers(store, *charges)
            client.flushall()
            await answers(store, *charges)
            await answers(store, *charges[:1])  # behind what mended them
            assert {client.pttl(key) > 0 for key in client.scan_iter()} == {True} and client.dbsize() == 2
            assert (await verdict(store, charges[0][0])).used == 6

    asyncio.run(run())


@pytest.mark.parametrize("letter", "fs")
def test_what_turns_ask_while_two_are_on_their_way_goes_together(
    server: RedisServer, client: redis.Redis, letter: str
) -> None:
    async def run() -> None:
        async with redis_store(server.url) as store:
            await asyncio.gather(*(verdict(store, Charge(ALL_LIMITS[letter], "k", 1)) for _ in range(12)))

    asyncio.run(run())
    found = calls(client)
    assert found["incrby" if letter == "f" else "evalsha"] == 3, "two at once, and the ten others together"


def test_every_counter_ends(server: RedisServer, client: redis.Redis) -> None:
    """No key is left without a time to live, whatever was done to it first, and none lives longer than it means."""

    async def run() -> None:
        async with redis_store(server.url) as store:
            for letter, limit in ALL_LIMITS.items():
                for hits in (1, 0, -1, 20):
                    for phase in Phase:
                        await answers(store, (Charge(limit, f"{letter}{hits}{phase.value}", hits, phase, "r"),))
                        await answers(store, (Charge(limit, f"{letter}{hits}", hits, phase, "r"),))

    asyncio.run(run())
    lives_ms = {key: client.pttl(key) for key in client.scan_iter()}
    assert len(lives_ms) > 20
    longest_us = 2 * Unit.HOUR.length_us + GRACE_US
    assert {key: life for key, life in lives_ms.items() if not 0 < life <= longest_us // 1000} == {}


def test_a_server_that_forgets_the_script_is_given_it_again(server: RedisServer, client: redis.Redis) -> None:
    limit = limit_of(100, Unit.HOUR, algorithm=Algorithm.SLIDING_WINDOW)

    async def run() -> None:
        async with redis_store(server.url) as store:
            await verdict(store, Charge(limit, "k", 1))
            client.script_flush()
            found = await asyncio.gather(*(verdict(store, Charge(limit, "k", 1)) for _ in range(8)))
            assert sorted(answer.used for answer in found) == list(range(2, 10)), "counted once each"
            assert server_of(store).reloads >= 1

    asyncio.run(run())


def server_of(store: RedisStore) -> object:
    assert store.servers.alone is not None
    return store.servers.alone


def test_clocks_of_limiters_do_not_matter(server: RedisServer, client: redis.Redis) -> None:
    """Windows are the server's, also where one limiter's clock is wrong by hours, and steps."""

    class Wrong(SystemClock):
        ahead_us = 7 * Unit.HOUR.length_us

        def wall_us(self) -> int:
            return super().wall_us() + self.ahead_us

    clock = Wrong()
    limit = limit_of(3, Unit.DAY)

    async def run() -> list[bool]:
        async with redis_store(server.url) as right, redis_store(server.url, world=World(clock=clock)) as wrong:
            found = []
            for store in (right, wrong, wrong, right):
                found.append((await verdict(store, Charge(limit, "k", 1))).over)
                clock.ahead_us -= 3 * Unit.HOUR.length_us
            return found

    assert asyncio.run(run()) == [False, False, False, True]
    seconds, _ = client.time()
    assert list(client.scan_iter()) == [b"borderpost:k:%d" % (seconds // 86_400)]


def test_names_of_counters_in_envoyproxys_style(server: RedisServer, client: redis.Redis) -> None:
    async def run() -> None:
        async with redis_store(server.url, by_second=True, prefix="") as store:
            await verdict(store, Charge(limit_of(3, Unit.DAY), "shop_path_/buy_", 1))

    asyncio.run(run())
    seconds, _ = client.time()
    assert list(client.scan_iter()) == [b"shop_path_/buy_%d" % (seconds // 86_400 * 86_400)]


def test_keys_under_a_secret_tell_nothing(server: RedisServer, client: redis.Redis) -> None:
    async def run(secret: bytes) -> None:
        async with redis_store(server.url, secret=secret) as store:
            for letter, limit in ALL_LIMITS.items():
                await verdict(store, Charge(limit, f"{letter}anna@example.org", 1))

    asyncio.run(run(b"a" * 16))
    asyncio.run(run(b"b" * 16))
    names = list(client.scan_iter())
    assert len(names) == 10, "by another secret they are others"
    assert not [name for name in names if b"anna" in name]


@pytest.mark.parametrize("letter", ALL_LIMITS)
def test_hostile_keys_are_keys_like_others(server: RedisServer, letter: str) -> None:
    async def run() -> None:
        async with redis_store(server.url) as store:
            for _ in range(2):
                found = await answers(
                    store, *[(Charge(ALL_LIMITS[letter], letter + key, 2, request=key),) for key in HOSTILE]
                )
            used = [answer[0].used for answer in found if not isinstance(answer, Unanswered)]
            assert used == [4] * len(HOSTILE)

    asyncio.run(run())


def test_a_key_that_others_use_otherwise_fails_its_own_requests_only(server: RedisServer, client: redis.Redis) -> None:
    limit, bucket = ALL_LIMITS["s"], ALL_LIMITS["b"]
    client.lpush("borderpost:theirs", "x")

    async def run() -> None:
        async with redis_store(server.url) as store:
            mine = (Charge(bucket, "mine", 3),)
            found = await answers(store, mine, (Charge(limit, "theirs", 1), Charge(bucket, "mine", 1)), mine)
            assert [isinstance(answer, Unanswered) for answer in found] == [False, True, False]
            assert found[1] == Unanswered("garbage", "the server says WRONGTYPE")
            assert (await verdict(store, mine[0])).used == 9, "what could not be counted whole was not counted"

    asyncio.run(run())


def test_counters_that_are_full_saturate(server: RedisServer, client: redis.Redis) -> None:
    seconds, _ = client.time()
    client.set(f"borderpost:k:{seconds // 3600}", 2**63 - 2)
    limit = ALL_LIMITS["f"]

    async def run() -> None:
        async with redis_store(server.url) as store:
            for charge in (Charge(limit, "k", 5), Charge(limit, "k", 2**52)):
                told = await verdict(store, charge)
                assert (told.over, told.remaining) == (True, 0)
            mixed = (Charge(limit, "k", 5), Charge(ALL_LIMITS["b"], "b", 1))
            ((fixed, bucket),) = await answers(store, mixed)
            assert (fixed.over, bucket.over, bucket.used) == (True, False, 0)

    asyncio.run(run())


@pytest.mark.parametrize("letter", "cg")
def test_a_counter_with_very_many_holds_takes_no_more(server: RedisServer, client: redis.Redis, letter: str) -> None:
    limit = dataclasses.replace(ALL_LIMITS[letter], amount=10**9)
    start_us = World().now_us() // limit.window_us * limit.window_us
    for size in (LIMITER_HOLDS_MAX - 1, LIMITER_HOLDS_MAX):
        client.hset(f"borderpost:{size}", "s", struct.pack("<dddddd", 5, start_us, size, size, 0, 0))

    async def run() -> list[bool]:
        async with redis_store(server.url) as store:
            sizes = (LIMITER_HOLDS_MAX - 1, LIMITER_HOLDS_MAX)
            return [(await verdict(store, Charge(limit, str(size), 1, request="r"))).over for size in sizes]

    assert asyncio.run(run()) == [False, True]


def limits_of_two(binding: bool) -> tuple[Limit, Limit]:
    return limit_of(1, Unit.HOUR, binding=binding), ALL_LIMITS["b"]


@pytest.mark.parametrize(("binding", "used"), [(True, 1), (False, 2)])
def test_a_refused_request_takes_nothing_out_of_a_bucket(server: RedisServer, binding: bool, used: int) -> None:
    fixed, bucket = limits_of_two(binding)

    async def run() -> None:
        async with redis_store(server.url) as store:
            charges = (Charge(bucket, f"b{binding}", 1), Charge(fixed, f"f{binding}", 1))
            await answers(store, charges)
            ((told, over),) = await answers(store, charges)
            assert (told.over, told.used, over.over, over.used) == (False, used, True, 2)

    asyncio.run(run())


def test_nothing_to_ask_is_answered_at_once(server: RedisServer) -> None:
    async def run() -> None:
        async with redis_store(server.url) as store:
            given: list[object] = []
            store.take((), 0, given.append)
            assert given == [()]
            assert await answers(store, ()) == [()], "a request without charges"

    asyncio.run(run())


def test_the_source_is_the_store(server: RedisServer) -> None:
    async def run() -> None:
        async with redis_store(server.url) as store:
            assert store.name == "redis"
            for letter, limit in ALL_LIMITS.items():
                assert (await verdict(store, Charge(limit, f"{letter}source", 1))).source is Source.STORE

    asyncio.run(run())
