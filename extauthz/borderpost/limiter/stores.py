"""The stores of counters that a configuration asks for, and how they are doing."""

from __future__ import annotations

from typing import Final, NamedTuple

from borderpost.health import Check, Outcome
from borderpost_base.world import World
from borderpost_ratelimit.away.guarded import Guarded
from borderpost_ratelimit.charges import Store
from borderpost_ratelimit.config import LimitsSpec
from borderpost_ratelimit.files.keys import KeyStyle
from borderpost_ratelimit.stores.memory import MemoryStore
from borderpost_ratelimit.stores.scoped import Scoped

REGION: Final = "region"
GLOBAL: Final = "global"
"""Names of the stores in metrics and health, by the scope of the limits that are counted there."""


class Stores(NamedTuple):
    """What a limiter counts by."""

    store: Store
    """What the service asks."""
    memory: MemoryStore
    """Counts by itself, or by estimate while a server is away."""
    guarded: dict[str, Guarded]
    """Each store that can be away, by its scope."""

    def checks(self) -> list[Check]:
        """Return a warning for each store that is away: its limits go on as their files say for that time."""
        found = []
        for scope, guarded in self.guarded.items():
            away_s = guarded.away_us() / 1e6
            outcome = Outcome.WARNING if away_s else Outcome.PASSED
            detail = f"has not answered for {away_s:.1f} s" if away_s else "answers"
            found.append(Check(f"limiter/store-{scope}", outcome, detail))
        return found


def stores_of(spec: LimitsSpec, world: World) -> Stores:
    """Return the stores, not started yet. Raises BorderpostError BP1631."""
    memory = MemoryStore(spec.memory.counters_max)
    style = KeyStyle(spec.key_style)
    store: Store = memory
    guarded: dict[str, Guarded] = {}
    if spec.store is None and spec.global_store is None:
        return Stores(store, memory, guarded)
    from borderpost_ratelimit.stores.making import redis_store  # its client takes a while to load: only where used

    if spec.store is not None:
        store = guarded[REGION] = Guarded(redis_store(spec.store, style, world), memory, spec.away.settings(), world)
    if spec.global_store is not None:
        shared = redis_store(spec.global_store, style, world)
        guarded[GLOBAL] = Guarded(shared, memory, spec.away.settings(), world)
        store = Scoped(store, guarded[GLOBAL])
    return Stores(store, memory, guarded)
