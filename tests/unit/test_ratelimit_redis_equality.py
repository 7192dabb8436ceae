"""The Redis store and the memory store give the same verdicts to the same requests at the same times."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from borderpost_base.world import World
from borderpost_ratelimit.algorithms.counter import Counter, Room, Share
from borderpost_ratelimit.algorithms.making import new_counter
from borderpost_ratelimit.charges import Charge, Phase, Unanswered, Verdicts
from borderpost_ratelimit.limits import Algorithm, Limit, Unit
from borderpost_ratelimit.stores.config import RedisStoreSpec
from borderpost_ratelimit.stores.memory import MemoryStore
from borderpost_ratelimit.stores.redis.store import RedisStore
from support.redis_server import RedisServer, redis_server

START_US = 1_763_000_000_123_456
REQUESTS = 400
WINDOWS_US = (1_000_000, 60_000_000, 3_600_000_000)
NAMES = ("", "a", "b", "c/1", "ü")

Stream = list[tuple[int, tuple[Charge, ...]]]
"""Requests, each with its time. What is asked at one time may be counted in any order, so no two times are the same."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


def limits(random_: random.Random, algorithms: tuple[Algorithm, ...], amounts: tuple[int, ...]) -> list[Limit]:
    made = []
    for _ in range(6):
        algorithm = random_.choice(algorithms)
        amount = random_.choice(amounts)
        made.append(
            Limit(
                domain="d",
                algorithm=algorithm,
                amount=amount,
                unit=Unit.UNKNOWN,
                window_us=random_.choice(WINDOWS_US),
                burst=random_.choice((1, 3, 40) if amount <= 1000 else (amount,))
                if algorithm is Algorithm.TOKEN_BUCKET
                else 0,
                binding=random_.random() < 0.8,
            )
        )
    return made


def stream_of(seed: int, algorithms: tuple[Algorithm, ...]) -> Stream:
    """Return requests, each with its time, which does not go back."""
    random_ = random.Random(seed)
    known = limits(random_, algorithms, (0, 1, 2, 7, 20, 1000))
    now_us = START_US
    stream = []
    for _ in range(REQUESTS):
        now_us += random_.choice((1, 1, 2, 1_000, 150_000, 900_000, 20_000_000, 70_000_000, 2_000_000_000))
        charges = []
        name = random_.choice(NAMES)
        for _ in range(random_.choice((1, 1, 1, 2, 3))):
            at = random_.randrange(len(known))
            phase = random_.choice((Phase.BEGIN,) * 5 + (Phase.DONE, Phase.LOOK))
            hits = random_.choice((0, 1, 1, 1, 2, 5, 30, -1, -4) if phase is Phase.BEGIN else (0, 1, 3, 40))
            charges.append(Charge(known[at], f"s{seed}-{at}", hits, phase, name))
        stream.append((now_us, tuple(charges)))
    return stream


def wavering_stream(seed: int, algorithm: Algorithm) -> Stream:
    """Return requests that all pass, so that each is kept with its time, which may go back by anything."""
    random_ = random.Random(seed)
    known = limits(random_, (algorithm,), (10_000_000,))
    now_us = START_US
    stream = []
    for _ in range(REQUESTS):
        now_us += random_.choice((1, 1_000, 150_000, -700_000, 20_000_000, -30_000_000, 70_000_000, -2_000_000_000))
        at = random_.randrange(len(known))
        phase, hits = random_.choice(((Phase.BEGIN, 1), (Phase.BEGIN, 20), (Phase.DONE, 3)))
        stream.append((now_us, (Charge(known[at], f"w{seed}-{at}", hits, phase, random_.choice(NAMES)),)))
    return stream


async def verdicts(store: MemoryStore | RedisStore, stream: Stream) -> list[object]:
    answers: list[Verdicts | Unanswered] = []
    await store.start()
    for now_us, charges in stream:
        store.take([charges], now_us, answers.extend)
    while len(answers) < len(stream):
        await asyncio.sleep(0.005)
    await store.close()
    return list(answers)


def counted(stream: Stream) -> list[object]:
    """Return the verdicts of counters that nobody drops."""
    counters: dict[str, Counter] = {}
    given: list[object] = []
    for now_us, ((limit, key, hits, phase, request),) in stream:
        if key not in counters:
            counters[key] = new_counter(limit, key, Share(limit, Room(10_000), Room(10_000)), now_us)
        counter = counters[key]
        made = counter.done if phase is Phase.DONE else counter.charge
        given.append((made(hits, now_us, request),))
    return given


async def same(server: RedisServer, stream: Stream, expected: list[object]) -> None:
    found = await verdicts(
        RedisStore(RedisStoreSpec(url=server.url, near_cache_entries=0), World(), told_time=True), stream
    )
    for place, (mine, its) in enumerate(zip(expected, found, strict=True)):
        assert its == mine, (place, stream[place])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("algorithm", [*Algorithm, None], ids=lambda a: a.value if a else "all")
def test_ratelimit_redis_verdicts_are_those_of_memory(
    server: RedisServer, algorithm: Algorithm | None, seed: int
) -> None:
    algorithms = tuple(Algorithm) if algorithm is None else (algorithm,)
    seed += 100 * list(Algorithm).index(algorithms[0]) + 10 * len(algorithms)
    stream = stream_of(seed, algorithms)
    asyncio.run(same(server, stream, asyncio.run(verdicts(MemoryStore(100_000), stream))))


@pytest.mark.parametrize("algorithm", [a for a in Algorithm if a is not Algorithm.FIXED_WINDOW], ids=lambda a: a.value)
def test_ratelimit_redis_verdicts_are_those_of_memory_where_the_clock_goes_back(
    server: RedisServer, algorithm: Algorithm
) -> None:
    """Fixed windows are left out: in Redis their counters are named by the window, so the one before is found again."""
    stream = wavering_stream(1000 + list(Algorithm).index(algorithm), algorithm)
    asyncio.run(same(server, stream, counted(stream)))
