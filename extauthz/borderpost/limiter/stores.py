"""The stores of counters that a configuration asks for, and how they are doing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from borderpost.health import Check, Outcome
from borderpost_base.world import World
from borderpost_ratelimit.away.by_server import GuardedServers
from borderpost_ratelimit.away.guarded import Guarded
from borderpost_ratelimit.charges import Store
from borderpost_ratelimit.config import LimitsSpec
from borderpost_ratelimit.files.keys import KeyStyle
from borderpost_ratelimit.stores.memory import MemoryStore
from borderpost_ratelimit.stores.scoped import Scoped

if TYPE_CHECKING:
    from borderpost_ratelimit.stores.redis.store import RedisStore

REGION: Final = "region"
GLOBAL: Final = "global"
"""Names of the stores in metrics and health, by the scope of the limits that are counted there."""


class Stores(NamedTuple):
    """What a limiter counts by."""

    store: Store
    """What the service asks."""
    memory: MemoryStore
    """Counts by itself, or by estimate while a server is away."""
    guarded: dict[str, Guarded | GuardedServers]
    """Each store that can be away, by its scope."""
    servers: dict[str, RedisStore]
    """Each store on servers, by its scope."""

    def checks(self) -> list[Check]:
        """Return a warning for each store that is away: its limits go on as their files say for that time.

        And one while memory has no room for a new key's counter: such keys are counted together.
        """
        found = []
        if self.memory.shared:
            detail = f"no room for new keys of {self.memory.shared} limits: they are counted together"
            found.append(Check("limiter/memory", Outcome.WARNING, detail))
        for scope, guarded in self.guarded.items():
            away_s = guarded.standing().away_us / 1e6
            if away_s:
                outcome, detail = Outcome.WARNING, f"has not answered for {away_s:.1f} s"
            elif not self.connected(scope):
                outcome, detail = Outcome.WARNING, "has no connection"
            else:
                outcome, detail = Outcome.PASSED, "connected"
            found.append(Check(f"limiter/store-{scope}", outcome, detail))
        return found

    def connected(self, scope: str) -> bool:
        """Return whether each server of a store has a connection."""
        servers = self.servers[scope].servers.all()
        return bool(servers) and all(server.connected for server in servers)


def stores_of(spec: LimitsSpec, world: World) -> Stores:
    """Return the stores, not started yet. Raises BorderpostError BP1631."""
    memory = MemoryStore(spec.memory.counters_max)
    style = KeyStyle(spec.key_style)
    guarded: dict[str, Guarded | GuardedServers] = {}
    if spec.store is None and spec.global_store is None:
        return Stores(memory, memory, guarded, {})
    from borderpost_ratelimit.stores.making import redis_store  # its client takes a while to load: only where used

    servers: dict[str, RedisStore] = {}
    for scope, place in ((REGION, spec.store), (GLOBAL, spec.global_store)):
        if place is not None:
            servers[scope] = redis_store(place, style, world)
            guard = GuardedServers if place.cluster else Guarded
            guarded[scope] = guard(servers[scope], memory, spec.away.settings(), world, label=scope)
    store: Store = guarded.get(REGION, memory)
    return Stores(Scoped(store, guarded[GLOBAL]) if GLOBAL in guarded else store, memory, guarded, servers)
