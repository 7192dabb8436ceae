"""As many pass as the limit says, however many clients ask at once: over both engines, each with its connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc.aio
import pytest

from borderpost_base.world import World
from borderpost_proto.rate_limit_pb2 import RateLimitDescriptor, RateLimitResponse
from borderpost_ratelimit.charges import Charge, Phase, Unanswered, Verdicts
from borderpost_ratelimit.limits import Algorithm, Unit
from borderpost_ratelimit.rules import PHASE_DONE, PHASE_KEY, REQUEST_KEY
from borderpost_ratelimit.service import SHOULD_RATE_LIMIT, RateLimitService
from borderpost_ratelimit.settings import ServiceSettings
from borderpost_ratelimit.statistics import Statistics
from borderpost_ratelimit.stores.memory import MemoryStore
from borderpost_wire.options import ServerOptions, UnixListen
from support.ratelimit_parts import ListedRules, StillClock, descriptor_of, limit_of, request_of, rule_of
from support.wire_server import EngineThread, each_engine, serving

__all__ = ["each_engine"]
CLIENTS = 64
CALLS_EACH = 4
TICK_US = 1000
LIMITS = {
    "fixed": limit_of(100, Unit.HOUR),
    "sliding": limit_of(100, Unit.HOUR, algorithm=Algorithm.SLIDING_WINDOW),
    "bucket": limit_of(100, Unit.SECOND, algorithm=Algorithm.TOKEN_BUCKET, burst=50),
    "leases": limit_of(9, Unit.HOUR, algorithm=Algorithm.CONCURRENCY),
    "budget": limit_of(700, Unit.HOUR, algorithm=Algorithm.BUDGET),
}
RULES = ListedRules(*(((("kind", kind),), rule_of(kind, limit)) for kind, limit in LIMITS.items()))

Ask = Callable[[RateLimitDescriptor], Awaitable[bool]]
"""Asks whether a request may pass."""


class TickingClock(StillClock):
    """Goes on by a millisecond with each look."""

    def wall_us(self) -> int:
        self.now_us += TICK_US
        return self.now_us


class Served:
    """A service on an engine, and its store."""

    def __init__(self) -> None:
        self.clock = TickingClock()
        self.store = MemoryStore(10_000)
        self.service = RateLimitService(
            rules=RULES, store=self.store, world=World(clock=self.clock), statistics=Statistics(),
            settings=ServiceSettings(),
        )  # fmt: skip

    def used(self, thread: EngineThread, kind: str) -> int:
        """Return how much of a limit is in use."""
        match = RULES.match("shop", (("kind", kind),))
        assert match is not None
        told: list[Verdicts | Unanswered] = []
        look = (Charge(LIMITS[kind], match.keys[0], 1, Phase.LOOK),)
        thread.call(lambda: self.store.take([look], self.clock.now_us, told.extend))
        assert not isinstance(told[0], Unanswered)
        return told[0][0].used


def at_once(address: str, client: Callable[[Ask, int], Awaitable[int]]) -> int:
    """Run the clients, each with a connection of its own, and return the sum of what they count."""

    async def connected(number: int) -> int:
        async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            method = channel.unary_unary(SHOULD_RATE_LIMIT, response_deserializer=RateLimitResponse.FromString)

            async def ask(descriptor: RateLimitDescriptor) -> bool:
                answer = await method(request_of(descriptor), timeout=30)
                return bool(answer.overall_code == RateLimitResponse.OK)

            return await client(ask, number)

    async def all_of_them() -> int:
        return sum(await asyncio.gather(*(connected(number) for number in range(CLIENTS))))

    return asyncio.run(all_of_them())


@pytest.mark.usefixtures("each_engine")
def test_64_clients_get_what_the_limit_says(tmp_path: Path) -> None:
    served = Served()
    with serving(ServerOptions(listen=(UnixListen(tmp_path / "s.sock"),)), served.service) as thread:
        address = thread.engine.addresses[0]

        async def hurried(ask: Ask, kind: str) -> int:
            descriptor = descriptor_of(("kind", kind))
            return sum(await asyncio.gather(*(ask(descriptor) for _ in range(CALLS_EACH))))

        assert at_once(address, lambda ask, _: hurried(ask, "fixed")) == 100
        assert served.used(thread, "fixed") == CLIENTS * CALLS_EACH
        assert at_once(address, lambda ask, _: hurried(ask, "sliding")) == 100
        begun_us = served.clock.now_us + TICK_US
        passed = at_once(address, lambda ask, _: hurried(ask, "bucket"))
        assert passed == 50 + (served.clock.now_us - begun_us) // 10_000


@pytest.mark.usefixtures("each_engine")
def test_64_clients_hold_no_more_leases_than_there_are_and_settle_a_budget_exactly(tmp_path: Path) -> None:
    served = Served()
    held = most = 0

    async def leasing(ask: Ask, number: int) -> int:
        nonlocal held, most
        passed = 0
        for call in range(3):
            named = (("kind", "leases"), (REQUEST_KEY, f"{number}-{call}"))
            if await ask(descriptor_of(*named)):
                passed += 1
                held += 1
                most = max(most, held)
                await asyncio.sleep(0)
                held -= 1
                await ask(descriptor_of(*named, (PHASE_KEY, PHASE_DONE)))
        return passed

    async def spending(ask: Ask, number: int) -> int:
        named = (("kind", "budget"), (REQUEST_KEY, f"{number}"))
        if not await ask(descriptor_of(*named, hits=50)):
            return 0
        await ask(descriptor_of(*named, (PHASE_KEY, PHASE_DONE), hits=number % 7))
        return number % 7

    with serving(ServerOptions(listen=(UnixListen(tmp_path / "s.sock"),)), served.service) as thread:
        address = thread.engine.addresses[0]
        assert at_once(address, leasing) >= 9
        assert 1 <= most <= 9
        assert served.used(thread, "leases") == 0
        spent = at_once(address, spending)
        assert served.used(thread, "budget") == spent
        assert served.store.holds.free == 10_000
