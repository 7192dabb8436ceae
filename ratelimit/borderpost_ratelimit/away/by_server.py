"""A store of several servers, such as a Cluster: each of them can be away by itself, and has a guard of its own.

A request that is counted by several servers is asked of each in part, and joined again: where one is away, its part is
estimated, and what the others count stays exact.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from borderpost_base.world import World
from borderpost_ratelimit.away.breaker import AwaySettings
from borderpost_ratelimit.away.guarded import Guarded
from borderpost_ratelimit.away.standing import Standing, together
from borderpost_ratelimit.away.timers import Timers
from borderpost_ratelimit.away.told import Told
from borderpost_ratelimit.charges import Charge, Done, Store
from borderpost_ratelimit.stores.divided import Divided


class ServedStore(Store, Protocol):
    """A store that knows which of its servers counts what."""

    def place_of(self, charge: Charge, now_us: int) -> int:
        """Return the number of the server that counts a charge."""
        ...


class _Server:
    """One of a store's servers, as a store that others start and close."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def name(self) -> str:
        """Return the store's kind."""
        return self._store.name

    async def start(self) -> None:
        """Do nothing: the whole store is started."""

    async def close(self) -> None:
        """Do nothing: the whole store is closed."""

    def take(self, requests: Sequence[tuple[Charge, ...]], now_us: int, done: Done) -> None:
        """Have the store make charges that all lie on one server."""
        self._store.take(requests, now_us, done)


class GuardedServers(Divided):
    """A `Guarded` for each server, made when it is first asked."""

    def __init__(
        self,
        store: ServedStore,
        local: Store,
        settings: AwaySettings,
        world: World,
        *,
        timers: Timers | None = None,
        label: str = "",
    ) -> None:
        """As `Guarded`."""
        self._store = store
        self._local = local
        self._settings = settings
        self._world = world
        self._timers = timers
        self._label = label or store.name
        self._told = Told()
        self.guards: dict[int, Guarded] = {}
        """By the number of the server."""

    @property
    def name(self) -> str:
        """Return the wrapped store's kind."""
        return self._store.name

    def standing(self) -> Standing:
        """Return how the servers are doing, as one."""
        return together(guard.standing() for guard in self.guards.values())

    async def start(self) -> None:
        """Start both stores."""
        if self._timers is None:
            self._timers = asyncio.get_running_loop()
        await self._local.start()
        await self._store.start()

    async def close(self) -> None:
        """Close both stores. What still waits is answered as if the servers were away."""
        for guard in self.guards.values():
            guard.end()
        await self._store.close()
        for guard in self.guards.values():
            guard.answer_all()
        await self._local.close()

    def place_of(self, charge: Charge, now_us: int) -> int:
        """Return the number of the server that counts a charge."""
        return self._store.place_of(charge, now_us)

    def store_at(self, place: int) -> Guarded:
        """Return the guard of a server."""
        guard = self.guards.get(place)
        if guard is None:
            guard = self.guards[place] = Guarded(
                _Server(self._store),
                self._local,
                self._settings,
                self._world,
                timers=self._timers,
                told=self._told,
                label=f"{self._label}, server {place}",
            )
        return guard
