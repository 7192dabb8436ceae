"""Many clients of one limiter at once, each with a connection of its own, and what they do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc.aio

from borderpost_proto.rate_limit_pb2 import RateLimitDescriptor, RateLimitResponse
from borderpost_ratelimit.rules import PHASE_DONE, PHASE_KEY, REQUEST_KEY
from borderpost_ratelimit.service import SHOULD_RATE_LIMIT
from support.ratelimit_parts import descriptor_of, request_of

CLIENTS = 64

Ask = Callable[[RateLimitDescriptor], Awaitable[bool]]
"""Asks whether a request may pass."""
Client = Callable[[Ask, int], Awaitable[int]]
"""One client, by its number: asks, and returns what it has counted."""
DONE = (PHASE_KEY, PHASE_DONE)


def at_once(address: str, client: Client) -> int:
    """Run the clients, and return the sum of what they count."""

    async def connected(number: int) -> int:
        async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            method = channel.unary_unary(SHOULD_RATE_LIMIT, response_deserializer=RateLimitResponse.FromString)

            async def ask(descriptor: RateLimitDescriptor) -> bool:
                answer = await method(request_of(descriptor), timeout=60)
                return bool(answer.overall_code == RateLimitResponse.OK)

            return await client(ask, number)

    async def all_of_them() -> int:
        return sum(await asyncio.gather(*(connected(number) for number in range(CLIENTS))))

    return asyncio.run(all_of_them())


def hurried(kind: str, calls_each: int) -> Client:
    """Return a client that asks so many times at once and counts what passes."""

    async def client(ask: Ask, number: int) -> int:
        return sum(await asyncio.gather(*(ask(descriptor_of(("kind", kind))) for _ in range(calls_each))))

    return client


class Leasing:
    """Clients that hold leases one after the other; `most` is how many were held at once."""

    def __init__(self, calls_each: int) -> None:
        self._calls_each = calls_each
        self._held = 0
        self.most = 0

    async def __call__(self, ask: Ask, number: int) -> int:
        """Count what passes."""
        passed = 0
        for call in range(self._calls_each):
            named = (("kind", "leases"), (REQUEST_KEY, f"{number}-{call}"))
            if await ask(descriptor_of(*named)):
                passed += 1
                self._held += 1
                self.most = max(self.most, self._held)
                await asyncio.sleep(0)
                self._held -= 1
                await ask(descriptor_of(*named, DONE))
        return passed


async def spending(ask: Ask, number: int) -> int:
    """Reserve 50 of a budget, use a few, and return how many."""
    named = (("kind", "budget"), (REQUEST_KEY, f"{number}"))
    if not await ask(descriptor_of(*named, hits=50)):
        return 0
    await ask(descriptor_of(*named, DONE, hits=number % 7))
    return number % 7
