"""Which server counts what: one server, or those of a Cluster by slot."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Final

from borderpost_base.world import World
from borderpost_ratelimit.charges import Unanswered
from borderpost_ratelimit.stores.config import Endpoint, RedisStoreSpec
from borderpost_ratelimit.stores.redis.batch import Batch
from borderpost_ratelimit.stores.redis.connecting import CONNECT_ERRORS, ask_once
from borderpost_ratelimit.stores.redis.names import Names
from borderpost_ratelimit.stores.redis.replies import SPOILT
from borderpost_ratelimit.stores.redis.sending import Sender
from borderpost_ratelimit.stores.redis.sentinel import Sentinels
from borderpost_ratelimit.stores.redis.server import Fixed, Server, Whereabouts
from borderpost_ratelimit.stores.redis.slots import REDIS_CLUSTER_HASH_SLOTS, moved_to, primaries

_REFRESH_S: Final = 10.0
"""How often a Cluster is asked who counts what, where nothing says that it has changed."""
_REFRESH_AGAIN_S: Final = 0.25
"""How soon it is asked again where a server is away, or has sent us on."""
NOBODY: Final = Unanswered("unreachable", "no server of the cluster counts this slot")


class Servers:
    """All servers of a store."""

    alone: Server | None = None
    """The one that counts everything; None in a Cluster."""

    @abstractmethod
    async def start(self) -> None:
        """Connect."""
        raise NotImplementedError

    @abstractmethod
    async def close(self) -> None:
        """Let go of the connections."""
        raise NotImplementedError

    @abstractmethod
    def of(self, slot: int) -> Server | None:
        """Return who counts a slot; None if nobody does."""
        raise NotImplementedError

    @abstractmethod
    def place(self, slot: int) -> int:
        """Return the number of who counts a slot, from 0, in the order of the slots; 0 too if nobody does."""
        raise NotImplementedError

    @abstractmethod
    def all(self) -> list[Server]:
        """Return those that there are at present."""
        raise NotImplementedError


class OneServer(Servers):
    """One server, wherever it is."""

    def __init__(self, spec: RedisStoreSpec, names: Names, world: World) -> None:
        self._server = self.alone = Server(_whereabouts(spec), spec, Sender(names, world.clock.mono_us))

    async def start(self) -> None:
        """Connect; a server that does not answer is tried again later."""
        await self._server.start()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._server.close()

    def of(self, slot: int) -> Server | None:
        """Return the server."""
        return self._server

    def place(self, slot: int) -> int:
        """Return 0."""
        return 0

    def all(self) -> list[Server]:
        """Return the server."""
        return [self._server]


class Cluster(Servers):
    """The primaries of a Cluster."""

    def __init__(self, spec: RedisStoreSpec, names: Names, world: World) -> None:
        self._spec = spec
        self._seeds = spec.cluster_endpoints
        self._names = names
        self._mono_us = world.clock.mono_us
        self._servers: dict[Endpoint, Server] = {}
        self._by_slot: list[Server | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._places = [0] * REDIS_CLUSTER_HASH_SLOTS
        self._tender: asyncio.Task[None] | None = None
        self._stale = asyncio.Event()

    async def start(self) -> None:
        """Learn who counts what, and connect."""
        await self._learn()
        self._tender = asyncio.get_running_loop().create_task(self._tend())

    async def close(self) -> None:
        """Let go of the connections."""
        tender, self._tender = self._tender, None
        if tender is not None:
            tender.cancel()
            await asyncio.wait({tender})
        for server in self._servers.values():
            await server.close()

    def of(self, slot: int) -> Server | None:
        """Return the slot's primary."""
        server = self._by_slot[slot]
        if server is None:
            self._stale.set()
        return server

    def place(self, slot: int) -> int:
        """Return the primary's number. A replica that becomes the primary of the same slots has the same."""
        return self._places[slot]

    def all(self) -> list[Server]:
        """Return the primaries."""
        return list(self._servers.values())

    def _moved(self, batch: Batch, error: str) -> None:
        """Send a batch on to the server that counts its slot."""
        try:
            moved = moved_to(error)
        except ValueError:
            batch.fail(SPOILT)
            return
        self._stale.set()
        server = self._servers.get(self._seeds[0]._replace(host=moved.host, port=moved.port))
        if server is None:
            batch.fail(NOBODY)
            return
        if not moved.asking:
            self._by_slot[moved.slot] = server
        server.sender.send(batch, asking=moved.asking)

    async def _tend(self) -> None:
        while True:
            whole = all(server.connected for server in self._servers.values()) and None not in self._by_slot
            try:
                async with asyncio.timeout(_REFRESH_S if whole else _REFRESH_AGAIN_S):  # wait_for loses cancellations
                    await self._stale.wait()
            except TimeoutError:
                pass
            await self._learn()
            self._stale.clear()
            await asyncio.sleep(_REFRESH_AGAIN_S)

    async def _learn(self) -> None:
        """Ask one of the servers who counts what; without an answer all stays as it is."""
        for endpoint in (*self._servers, *self._seeds):
            server = self._servers.get(endpoint)
            if server is not None and not server.connected:
                continue
            try:
                told = await ask_once(endpoint, self._spec, "CLUSTER", "SLOTS")
                found = primaries(told, endpoint)
            except CONNECT_ERRORS:
                continue
            await self._adopt(found)
            return

    async def _adopt(self, found: dict[Endpoint, list[range]]) -> None:
        new = {
            endpoint: Server(Fixed(endpoint), self._spec, Sender(self._names, self._mono_us, self._moved))
            for endpoint in found
            if endpoint not in self._servers
        }
        await asyncio.gather(*(server.start() for server in new.values()))
        gone = [server for endpoint, server in self._servers.items() if endpoint not in found]
        self._servers = {endpoint: new.get(endpoint) or self._servers[endpoint] for endpoint in found}
        by_slot: list[Server | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        places = [0] * REDIS_CLUSTER_HASH_SLOTS
        in_order = sorted(found, key=lambda endpoint: min(slots.start for slots in found[endpoint]))
        for place, endpoint in enumerate(in_order):
            for slots in found[endpoint]:
                by_slot[slots.start : slots.stop] = [self._servers[endpoint]] * len(slots)
                places[slots.start : slots.stop] = [place] * len(slots)
        self._by_slot, self._places = by_slot, places
        for server in gone:
            await server.close()


def servers_of(spec: RedisStoreSpec, names: Names, world: World) -> Servers:
    """Return the servers that a configuration names."""
    return Cluster(spec, names, world) if spec.cluster else OneServer(spec, names, world)


def _whereabouts(spec: RedisStoreSpec) -> Whereabouts:
    if spec.url is not None:
        return Fixed(spec.endpoint)
    assert spec.primary is not None
    return Sentinels(spec.sentinel_endpoints, spec.primary, spec.sentinel_login, database=spec.database)
