"""One server of a real Redis Cluster stops: what it counts is estimated, and the others count on exactly."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from borderpost_base.world import World
from borderpost_ratelimit.away import GuardedServers
from borderpost_ratelimit.charges import Charge, Source, Verdict
from borderpost_ratelimit.limits import Unit
from borderpost_ratelimit.stores.config import RedisStoreSpec
from borderpost_ratelimit.stores.memory import MemoryStore
from borderpost_ratelimit.stores.redis.store import RedisStore
from support.ratelimit_asking import verdict
from support.ratelimit_parts import limit_of
from support.ratelimit_replicas import SETTINGS, eventually
from support.redis_cluster import redis_cluster

LIMIT = limit_of(1000, Unit.WEEK)


@pytest.mark.full
def test_a_stopped_server_of_a_cluster(tmp_path: Path) -> None:
    async def run() -> None:
        with redis_cluster(tmp_path) as cluster:
            world = World()
            store = RedisStore(RedisStoreSpec(cluster=cluster.places), world)
            guard = GuardedServers(store, MemoryStore(10_000), SETTINGS, world)
            await guard.start()
            keys: dict[int, str] = {}
            for number in range(1000):
                keys.setdefault(store.place_of(Charge(LIMIT, f"k{number}", 1), 0), f"k{number}")
            assert sorted(keys) == [0, 1, 2]

            async def ask(place: int) -> Verdict:
                return await verdict(guard, Charge(LIMIT, keys[place], 1))

            try:
                for place in keys:
                    assert (await ask(place)).source is Source.STORE
                cluster.servers[1].pause()
                found = {place: {(await ask(place)).source for _ in range(30)} for place in (1, 0, 2)}
                assert found == {1: {Source.ESTIMATE}, 0: {Source.STORE}, 2: {Source.STORE}}
                assert guard.standing().opened == 1
                cluster.servers[1].go_on()

                async def back() -> bool:
                    return (await ask(1)).source is Source.STORE and not guard.standing().owed

                await eventually(back)
                asked = guard.standing().estimated + 1
                assert (await ask(0)).used == (await ask(2)).used == 32
                assert (await ask(1)).used >= asked, "what passed meanwhile has been told"
            finally:
                await guard.close()

    asyncio.run(run())
