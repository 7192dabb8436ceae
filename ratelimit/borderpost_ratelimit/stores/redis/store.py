"""Counters on one Redis or Valkey server."""

from __future__ import annotations

from collections.abc import Sequence

from borderpost_base.world import World
from borderpost_ratelimit.charges import Charge, Done
from borderpost_ratelimit.stores.config import Endpoint, RedisStoreSpec
from borderpost_ratelimit.stores.redis.batch import Batch
from borderpost_ratelimit.stores.redis.names import Names
from borderpost_ratelimit.stores.redis.server import Server
from borderpost_ratelimit.stores.redis.waiting import Turn


class RedisStore:
    """A `borderpost_ratelimit.charges.Store` on one server."""

    def __init__(self, spec: RedisStoreSpec, world: World, *, told_time: bool = False) -> None:
        """With `told_time` the `now_us` of `take` is the time, not the server's clock."""
        self._endpoint = spec.endpoint
        self._names = Names(spec.prefix)
        self._server = Server(self._find, spec, mono_us=world.clock.mono_us)
        self._told_time = told_time

    @property
    def name(self) -> str:
        """Return `redis`."""
        return "redis"

    async def start(self) -> None:
        """Connect; a server that does not answer is tried again later."""
        await self._server.start()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._server.close()

    def take(self, requests: Sequence[tuple[Charge, ...]], now_us: int, done: Done) -> None:
        """Have the requests counted by one script call."""
        if not requests:
            done(())
            return
        told_us = now_us if self._told_time else 0
        batch = Batch(self._names, told_us or self._server.now_us(), told_us)
        turn = Turn(len(requests), done)
        for index, charges in enumerate(requests):
            batch.add(charges, turn, index)
        self._server.run(batch)

    async def _find(self) -> Endpoint:
        return self._endpoint
