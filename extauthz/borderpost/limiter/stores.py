"""The store of counters that a configuration asks for."""

from __future__ import annotations

from borderpost_base.world import World
from borderpost_ratelimit.charges import Store
from borderpost_ratelimit.config import LimitsSpec
from borderpost_ratelimit.stores.memory import MemoryStore


def store_of(spec: LimitsSpec, world: World) -> Store:
    """Return the store, not started yet."""
    return MemoryStore(spec.memory.counters_max)
