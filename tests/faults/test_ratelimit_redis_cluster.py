"""A real Redis Cluster: counters spread over its servers, slots that move, servers that go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from borderpost_base.world import World
from borderpost_ratelimit.charges import Charge, Phase, Unanswered
from borderpost_ratelimit.limits import Algorithm, Unit
from borderpost_ratelimit.stores.redis.names import Names
from borderpost_ratelimit.stores.redis.slots import key_slot
from borderpost_ratelimit.stores.redis.store import RedisStore
from support.ratelimit_asking import answers, reason, redis_store, until, verdict
from support.ratelimit_parts import limit_of
from support.redis_cluster import RedisCluster, redis_cluster

pytestmark = pytest.mark.full

KINDS = {algorithm: limit_of(10, Unit.DAY, algorithm=algorithm, burst=10) for algorithm in Algorithm}
LIMIT = KINDS[Algorithm.FIXED_WINDOW]
NAMES = Names("borderpost:", tag="key")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(running: RedisCluster) -> RedisCluster:
    running.flush()
    return running


def slot_of(charge: Charge) -> int:
    return key_slot(NAMES.place(charge, 0))


def charges_at(cluster: RedisCluster, *servers: int, algorithm: Algorithm = Algorithm.FIXED_WINDOW) -> list[Charge]:
    """Return charges of counters that lie at these servers, each in a slot of its own."""
    found: dict[int, Charge] = {}
    number = 0
    for server in servers:
        while True:
            number += 1
            charge = Charge(KINDS[algorithm], f"{algorithm.value}{number}", 1, request="r")
            if cluster.primary_of(slot_of(charge)) == server and slot_of(charge) not in found:
                found[slot_of(charge)] = charge
                break
    return list(found.values())


@pytest.mark.parametrize("algorithm", Algorithm)
def test_64_at_once_at_two_limiters_pass_as_often_as_the_limit_says(
    cluster: RedisCluster, algorithm: Algorithm
) -> None:
    charges = charges_at(cluster, 0, 1, 2, algorithm=algorithm)

    async def one(store: RedisStore, charge: Charge, number: int) -> bool:
        return not (await verdict(store, charge._replace(request=str(number)))).over

    async def run() -> None:
        places = cluster.places
        async with redis_store(cluster=places[:1]) as first, redis_store(cluster=places[2:]) as second:
            for charge in charges:
                asked = [one(store, charge, number) for number in range(32) for store in (first, second)]
                assert sum(await asyncio.gather(*asked)) == 10

    asyncio.run(run())
    assert all(cluster.calls())


def test_slots_are_asked_at_the_same_time_and_one_refuses_for_all(cluster: RedisCluster) -> None:
    bucket, lease, budget = (
        charges_at(cluster, at, algorithm=algorithm)[0]
        for at, algorithm in ((0, Algorithm.TOKEN_BUCKET), (1, Algorithm.CONCURRENCY), (2, Algorithm.BUDGET))
    )
    none = Charge(limit_of(0, Unit.DAY), "none", 1)

    async def run() -> None:
        async with redis_store(cluster=cluster.places) as store:
            ((one, two, three, over),) = await answers(store, (bucket, lease, budget, none))
            assert [one.over, two.over, three.over, over.over] == [False, False, False, True]
            for charge in (bucket, lease, budget):
                async with asyncio.timeout(20):
                    while (await verdict(store, charge._replace(phase=Phase.LOOK))).used:
                        await asyncio.sleep(0.005)
            ((one, two, three),) = await answers(store, (bucket, lease, budget))
            assert [one.used, two.used, three.used] == [1, 1, 1], "a request that passes stays charged"
            ((kept,),) = await answers(store, (bucket._replace(phase=Phase.LOOK),))
            assert kept.used == 1

    asyncio.run(run())


def test_a_domain_in_one_slot_is_one_call(cluster: RedisCluster) -> None:
    charges = tuple(charges_at(cluster, 0, 1, 2, algorithm=Algorithm.SLIDING_WINDOW))

    async def run() -> None:
        async with redis_store(cluster=cluster.places, one_slot_a_domain=True) as store:
            found = await answers(store, charges, charges, *[(charge,) for charge in charges])
            assert not any(isinstance(told, Unanswered) for told in found)

    asyncio.run(run())
    assert sorted(cluster.calls()) == [0, 0, 1]


def test_envoyproxys_names(cluster: RedisCluster) -> None:
    """Each window lies in a slot of its own."""

    async def run() -> None:
        async with redis_store(cluster=cluster.places, prefix="", by_second=True) as store:
            for number in range(20):
                assert (await verdict(store, Charge(LIMIT, f"d_k_{number}_", 2))).used == 2

    asyncio.run(run())
    day = World().now_us() // LIMIT.window_us * 86_400
    found = set()
    for server in cluster.servers:
        with server.client as client:
            found |= set(client.scan_iter())
    assert found == {b"d_k_%d_%d" % (number, day) for number in range(20)}


def test_a_slot_that_moves(cluster: RedisCluster) -> None:
    (charge,) = charges_at(cluster, 0)
    slot = slot_of(charge)
    new = charge._replace(key=f"{charge.key}}}x")
    assert slot_of(new) == slot

    async def run() -> None:
        async with redis_store(cluster=cluster.places) as store:
            assert (await verdict(store, charge)).used == 1
            await asyncio.to_thread(cluster.begin_move, slot, 0, 1)
            assert (await verdict(store, charge)).used == 2, "it is still there"
            assert (await verdict(store, new)).used == 1, "ASK: it is counted where the slot goes"
            await asyncio.to_thread(cluster.end_move, slot, 0, 1)
            assert [(await verdict(store, one)).used for one in (charge, new)] == [3, 2], "MOVED"
            asked = cluster.calls()[0]
            assert [(await verdict(store, one)).used for one in (charge, new)] == [4, 3]
            assert cluster.calls()[0] == asked, "and learnt"
            await asyncio.to_thread(cluster.begin_move, slot, 1, 0)
            await asyncio.to_thread(cluster.end_move, slot, 1, 0)
            assert (await verdict(store, charge)).used == 5

    asyncio.run(run())


def test_a_server_that_goes_takes_its_slots_along_and_no_others(cluster: RedisCluster) -> None:
    here, there = charges_at(cluster, 0, 2)

    async def run() -> None:
        async with redis_store(cluster=cluster.places) as store:
            assert [await reason(store, charge) for charge in (here, there)] == ["", ""]
            cluster.servers[2].kill()
            await until(lambda: sum(server.connected for server in store.servers.all()) == 2)
            assert (await reason(store, there)) == "unreachable"
            assert (await verdict(store, here)).used == 2
            found = await answers(store, (here, there), (here,))
            assert isinstance(found[0], Unanswered) and not isinstance(found[1], Unanswered)
            await asyncio.to_thread(cluster.servers[2].start)
            await asyncio.to_thread(cluster.wait)
            await until(lambda: sum(server.connected for server in store.servers.all()) == 3)
            assert await reason(store, there) == ""

    asyncio.run(run())


def test_a_replica_that_takes_over(cluster: RedisCluster, tmp_path: Path) -> None:
    """Whatever is asked meanwhile is counted once, at the old primary or the new one."""
    (charge,) = charges_at(cluster, 1)

    async def run() -> None:
        async with redis_store(cluster=cluster.places) as store:
            assert (await verdict(store, charge)).used == 1
            before = store.servers.of(slot_of(charge))
            with cluster.replica_of(1, tmp_path) as replica:
                promoted = asyncio.create_task(asyncio.to_thread(cluster.promote, replica))
                counted = 1
                while not promoted.done() or store.servers.of(slot_of(charge)) is before:
                    (answer,) = await answers(store, (charge,))
                    counted += not isinstance(answer, Unanswered)
                    await asyncio.sleep(0.01)
                await promoted
                assert await reason(store, charge._replace(hits=0)) == ""
                assert (await verdict(store, charge._replace(hits=0))).used == counted
                await asyncio.to_thread(cluster.promote, cluster.servers[1])
            await until(lambda: not [1 for server in store.servers.all() if not server.connected])

    asyncio.run(run())


def test_a_cluster_that_is_not_there_yet() -> None:
    async def run() -> None:
        async with redis_store(cluster=("127.0.0.1:1",)) as store:
            assert await reason(store, Charge(LIMIT, "k", 1)) == "unreachable"

    asyncio.run(run())
