"""Two stores as one: limits of the region are counted in the region, those whose scope is global in another store.

What a request is charged in both is counted by each at the same time; see `joining`.
"""

from __future__ import annotations

from typing import Final

from borderpost_ratelimit.charges import Charge, Store
from borderpost_ratelimit.limits import Scope
from borderpost_ratelimit.stores.divided import Divided

_GLOBAL: Final = Scope.GLOBAL


class Scoped(Divided):
    """A `charges.Store` over two: `region` for all limits but those whose scope is global."""

    def __init__(self, region: Store, world: Store) -> None:
        self._region = region
        self._world = world

    @property
    def name(self) -> str:
        """Return the kinds of both."""
        return f"{self._region.name}+{self._world.name}"

    async def start(self) -> None:
        """Get both ready."""
        await self._region.start()
        await self._world.start()

    async def close(self) -> None:
        """Let go of both."""
        await self._region.close()
        await self._world.close()

    def place_of(self, charge: Charge, now_us: int) -> int:
        """Return 1 for a global limit."""
        return 1 if charge.limit.scope is _GLOBAL else 0

    def store_at(self, place: int) -> Store:
        """Return the store of the region (0) or the other one."""
        return self._world if place else self._region
