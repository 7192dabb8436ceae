"""Limiters' stores before a real Redis: what each request was answered, and how long it waited for that."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from borderpost_base.world import SystemClock, World
from borderpost_ratelimit.away import AwaySettings, Guarded, State
from borderpost_ratelimit.charges import Charge, Phase, Source, Unanswered, Verdict, Verdicts
from borderpost_ratelimit.limits import Limit
from borderpost_ratelimit.stores.config import RedisStoreSpec
from borderpost_ratelimit.stores.memory import MemoryStore
from borderpost_ratelimit.stores.redis.store import RedisStore
from support.ratelimit_asking import verdict

BOUND_US = 100_000
"""Ten times the product's own: on a loaded machine a server that is well may need more than that."""
SETTINGS = AwaySettings(wait_us=BOUND_US, failures=3, probe_first_us=20_000, probe_max_us=100_000)
PATIENCE_S = 20.0
_TICK_S = 0.001


class SkewedClock(SystemClock):
    """A clock that is wrong by so much."""

    def __init__(self, ahead_us: int) -> None:
        self._ahead_us = ahead_us

    def wall_us(self) -> int:
        return super().wall_us() + self._ahead_us


class Lag:
    """How late this loop calls back: what it adds to every wait, whoever is waited for."""

    def __init__(self) -> None:
        self._worst_s = 0.0

    async def worst(self) -> float:
        """Return the worst so far, in seconds, with that of a moment ago."""
        await asyncio.sleep(10 * _TICK_S)
        return self._worst_s

    async def measure(self) -> None:
        while True:
            since = time.monotonic()
            await asyncio.sleep(_TICK_S)
            self._worst_s = max(self._worst_s, time.monotonic() - since - _TICK_S)


class Replica:
    """One limiter's store: Redis, guarded."""

    def __init__(
        self,
        url: str | None = None,
        *,
        ahead_us: int = 0,
        settings: AwaySettings = SETTINGS,
        near: int = 0,
        **spec: Any,
    ) -> None:
        """`near`: how many counters that are over are remembered; the other settings are Redis'."""
        self.world = World(clock=SkewedClock(ahead_us))
        self.redis = RedisStore(RedisStoreSpec(url=url, near_cache_entries=near, **spec), self.world)
        self.guard = Guarded(self.redis, MemoryStore(100_000), settings, self.world)
        self.waits_s: list[float] = []

    async def ask(self, limit: Limit, hits: int = 1, *, key: str = "k", **more: Any) -> Verdict:
        """Ask about one charge."""
        came: asyncio.Future[Sequence[Verdicts | Unanswered]] = asyncio.get_running_loop().create_future()
        since = time.monotonic()

        def done(answers: Sequence[Verdicts | Unanswered]) -> None:
            self.waits_s.append(time.monotonic() - since)
            came.set_result(answers)

        self.guard.take([(Charge(limit, key, hits, **more),)], self.world.now_us(), done)
        answer = (await came)[0]
        assert not isinstance(answer, Unanswered)
        return answer[0]

    async def until(self, state: State, limit: Limit, *, key: str = "asked meanwhile") -> None:
        """Ask until the breaker is in this state."""
        await eventually(lambda: self._asked_until(state, limit, key))

    async def settled(self, limit: Limit) -> None:
        """Ask until the store answers, and has been told all that it is owed."""
        await self.until(State.CLOSED, limit)
        await eventually(lambda: self._asked_until_told(limit))

    async def in_store(self, limit: Limit, key: str = "k") -> int:
        """Return what Redis itself holds of a counter."""
        return (await verdict(self.redis, Charge(limit, key, 0, Phase.LOOK))).used

    async def passed(self, limit: Limit, count: int, *, key: str = "k") -> tuple[int, set[Source]]:
        """Ask so often, one after the other; return how many passed, and who said so."""
        verdicts = [await self.ask(limit, key=key) for _ in range(count)]
        return sum(not verdict.over for verdict in verdicts), {verdict.source for verdict in verdicts}

    async def _asked_until(self, state: State, limit: Limit, key: str) -> bool:
        if self.guard.state is state:
            return True
        await self.ask(limit, key=key)
        return self.guard.state is state

    async def _asked_until_told(self, limit: Limit) -> bool:
        await self.ask(limit, key="brings it along")
        return not len(self.guard.owed)


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds; fail if it does not for long."""
    deadline = time.monotonic() + PATIENCE_S
    while not await holds():
        assert time.monotonic() < deadline, "it does not come"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def replicas(*made: Replica) -> AsyncIterator[Lag]:
    """Start them; give how late the loop was while they ran. No request may have waited beyond the bound and that."""
    lag = Lag()
    measuring = asyncio.get_running_loop().create_task(lag.measure())
    try:
        for replica in made:
            await replica.guard.start()
        yield lag
        late_s = await lag.worst()
        for replica in made:
            bound_s = replica.guard._settings.wait_us / 1e6
            assert max(replica.waits_s, default=0.0) <= bound_s + late_s + _TICK_S, late_s
    finally:
        measuring.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await measuring
        for replica in made:
            await replica.guard.close()
