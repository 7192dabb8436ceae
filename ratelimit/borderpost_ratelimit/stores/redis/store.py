"""A store on Redis or Valkey: what a loop turn asks is sent to the servers, what is known to be over is not asked."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final

from borderpost_base.world import World
from borderpost_ratelimit.charges import Charge, Done
from borderpost_ratelimit.limits import Algorithm
from borderpost_ratelimit.stores.config import RedisStoreSpec
from borderpost_ratelimit.stores.joining import NOBODY_WAITS, Joined, Waiter
from borderpost_ratelimit.stores.redis.batch import Batch
from borderpost_ratelimit.stores.redis.names import Names
from borderpost_ratelimit.stores.redis.near_cache import NearCache
from borderpost_ratelimit.stores.redis.servers import NOBODY, servers_of
from borderpost_ratelimit.stores.redis.slots import key_slot
from borderpost_ratelimit.stores.redis.turn import Turn

_FIXED_WINDOW: Final = Algorithm.FIXED_WINDOW


class RedisStore:
    """A `borderpost_ratelimit.charges.Store`."""

    def __init__(
        self,
        spec: RedisStoreSpec,
        world: World,
        *,
        by_second: bool = False,
        secret: bytes | None = None,
        told_time: bool = False,
    ) -> None:
        """`by_second` names counters as envoyproxy/ratelimit does; `secret` has all keys replaced by their hash under
        it; with `told_time` the `now_us` of `take` is the time, not the servers' clock."""
        self._names = Names(
            spec.prefix,
            secret=secret,
            by_second=by_second,
            tag=None if not spec.cluster else "domain" if spec.one_slot_a_domain else "key",
        )
        self.servers = servers_of(spec, self._names, world)
        """Who is asked."""
        alone = self.servers.alone
        self._alone = alone.sender if alone is not None else None
        self._by_second = by_second
        self._told_time = told_time
        self._mono_us = world.clock.mono_us
        self.near: NearCache | None = NearCache(spec.near_cache_entries) if spec.near_cache_entries else None
        """What is known to be over."""

    @property
    def name(self) -> str:
        """Return `redis`."""
        return "redis"

    async def start(self) -> None:
        """Connect; a server that does not answer is tried again later."""
        await self.servers.start()

    async def close(self) -> None:
        """Let go of the connections."""
        await self.servers.close()

    def take(self, requests: Sequence[tuple[Charge, ...]], now_us: int, done: Done) -> None:
        """Have the requests counted."""
        if not requests:
            done(())
            return
        told_us = now_us if self._told_time else 0
        near_us = told_us or self._mono_us()
        turn = Turn(requests, done, self.near, near_us)
        look = self.near is not None and self.near.learnt > 0
        alone = self._alone
        batch: Batch | None = None
        for index, charges in enumerate(requests):
            if look and self._known(charges, turn, index, near_us, now_us):
                continue
            if alone is None:
                self._ask(charges, turn, index, now_us)
                continue
            if batch is None:
                batch = alone.gather(0, told_us)
            batch.add(charges, turn, index)
        self._push()

    def place_of(self, charge: Charge, now_us: int) -> int:
        """Return the number of the server that counts a charge; each can be away by itself."""
        if self.servers.alone is not None:
            return 0
        return self.servers.place(key_slot(self._names.place(charge, now_us)))

    def _known(self, charges: tuple[Charge, ...], turn: Turn, index: int, near_us: int, now_us: int) -> bool:
        """Answer what is known to be over without asking; return whether the rest of the request is taken care of."""
        near = self.near
        assert near is not None
        verdicts = [near.look(charge, near_us) for charge in charges]
        known = [place for place, verdict in enumerate(verdicts) if verdict is not None]
        if not known:
            return False
        rest = [place for place, verdict in enumerate(verdicts) if verdict is None]
        if rest and any(charge.limit.algorithm is not _FIXED_WINDOW for charge in charges):
            return False  # what else the request is charged depends on all of it
        near.answered += len(known)
        answer = tuple([verdict for verdict in verdicts if verdict is not None])
        if not rest:
            turn.give(index, answer)
            return True
        joined = Joined(charges, (known, rest), turn, index, functools.partial(self._undo, now_us=now_us))
        joined.give(0, answer)
        self._ask(joined.part(1), joined, 1, now_us)
        return True

    def _ask(self, charges: tuple[Charge, ...], waiter: Waiter, index: int, now_us: int) -> None:
        """Add a request to the batch of who counts it; in parts where those are several."""
        alone = self._alone
        if alone is not None:
            alone.gather(0, now_us if self._told_time else 0).add(charges, waiter, index)
            return
        by_slot: dict[int, list[int]] = {}
        for place, charge in enumerate(charges):
            by_slot.setdefault(key_slot(self._names.place(charge, now_us)), []).append(place)
        if len(by_slot) < 2:
            self._ask_slot(next(iter(by_slot), 0), charges, waiter, index, now_us)
            return
        joined = Joined(charges, tuple(by_slot.values()), waiter, index, functools.partial(self._undo, now_us=now_us))
        for number, slot in enumerate(by_slot):
            self._ask_slot(slot, joined.part(number), joined, number, now_us)

    def _ask_slot(self, slot: int, charges: tuple[Charge, ...], waiter: Waiter, index: int, now_us: int) -> None:
        server = self.servers.of(slot)
        if server is None:
            waiter.give(index, NOBODY)
            return
        named_us = now_us if self._by_second else 0
        server.sender.gather(slot, now_us if self._told_time else 0, named_us).add(charges, waiter, index)

    def _push(self) -> None:
        if self._alone is not None:
            self._alone.push()
            return
        for server in self.servers.all():
            server.sender.push()

    def _undo(self, charges: tuple[Charge, ...], now_us: int) -> None:
        """Make charges that nobody waits for."""
        self._ask(charges, NOBODY_WAITS, 0, now_us)
        self._push()
