"""A Sentinel's failover in the middle of the day: no request waits for it, and counting goes on at the new primary."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from borderpost_ratelimit.away import State
from borderpost_ratelimit.charges import Phase, Source
from borderpost_ratelimit.limits import Algorithm, Unit
from support.ratelimit_parts import limit_of
from support.ratelimit_replicas import Replica, replicas
from support.redis_sentinel import PRIMARY, watched_pair

BYSTANDER = limit_of(1_000_000, Unit.DAY)


@pytest.mark.full
def test_a_sentinels_failover(tmp_path: Path) -> None:
    limit = limit_of(20, Unit.WEEK)
    leases = limit_of(2, algorithm=Algorithm.CONCURRENCY, window_us=Unit.WEEK.length_us)

    async def run() -> None:
        with watched_pair(tmp_path) as watched:
            one, two = (Replica(sentinels=(watched.sentinel,), primary=PRIMARY) for _ in range(2))
            async with replicas(one, two):
                assert await one.passed(limit, 5) == (5, {Source.STORE})
                assert await two.passed(limit, 5) == (5, {Source.STORE})
                await one.ask(leases, key="leases", request="a")
                with watched.primary.client as client:
                    client.set("written after all that", 1)
                    assert client.wait(1, 5000) == 1, "the replica has it all"
                watched.primary.kill()
                for replica in (one, two):
                    await replica.until(State.OPEN, BYSTANDER)
                assert await one.passed(limit, 3) == (3, {Source.ESTIMATE})
                assert await two.passed(limit, 3) == (3, {Source.ESTIMATE})
                await one.ask(leases, 0, key="leases", phase=Phase.DONE, request="a")
                for replica in (one, two):
                    await replica.settled(BYSTANDER)
                assert await one.in_store(limit) == 16, "10 of before, and what both let through meanwhile"
                assert await one.in_store(leases, "leases") == 0
                # The old primary comes back and takes itself for one until the Sentinel tells it otherwise.
                watched.primary.start()
                found = [await replica.passed(limit, 3) for replica in (one, two)]
                assert sum(passed for passed, _ in found) == 4, "20 in all"

    asyncio.run(run())
