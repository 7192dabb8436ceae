"""A store for a test: started, asked, closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from borderpost_base.world import World
from borderpost_ratelimit.charges import Charge, Store, Unanswered, Verdict, Verdicts
from borderpost_ratelimit.stores.config import RedisStoreSpec
from borderpost_ratelimit.stores.redis.store import RedisStore

PATIENCE_S = 20.0


@asynccontextmanager
async def redis_store(
    url: str | None = None, *, world: World | None = None, near: int = 0, by_second: bool = False,
    secret: bytes | None = None, **spec: Any,
) -> AsyncIterator[RedisStore]:  # fmt: skip
    """Give a started store; `near`: how many counters that are over are remembered; `spec`: its other settings."""
    settings = RedisStoreSpec(url=url, near_cache_entries=near, **spec)
    store = RedisStore(settings, world or World(), by_second=by_second, secret=secret)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


async def answers(store: Store, *requests: tuple[Charge, ...]) -> Sequence[Verdicts | Unanswered]:
    """Ask in one turn."""
    came: asyncio.Future[Sequence[Verdicts | Unanswered]] = asyncio.get_running_loop().create_future()
    store.take(requests, World().now_us(), came.set_result)
    return await asyncio.wait_for(came, PATIENCE_S)


async def verdict(store: Store, charge: Charge) -> Verdict:
    """Ask about one charge, which must have an answer."""
    (answer,) = await answers(store, (charge,))
    assert not isinstance(answer, Unanswered), answer
    return answer[0]


async def reason(store: Store, charge: Charge) -> str:
    """Ask about one charge; return why it has no answer, empty if it has one."""
    (answer,) = await answers(store, (charge,))
    return answer.reason if isinstance(answer, Unanswered) else ""


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.005)
