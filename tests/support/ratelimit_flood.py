"""A flood of requests that all differ, through a whole service: what it costs in memory, and what it lets through."""

from __future__ import annotations

import random
import resource
from pathlib import Path
from typing import Any, NamedTuple

from borderpost_base.world import World
from borderpost_ratelimit.files import load
from borderpost_ratelimit.service import RateLimitService
from borderpost_ratelimit.settings import ServiceSettings
from borderpost_ratelimit.statistics import Statistics
from borderpost_ratelimit.stores.memory import MemoryStore
from borderpost_wire.service import StatusCode
from support.ratelimit_parts import METHOD, NOW_US, StillClock, descriptor_of, request_of

LIMITS = """
format: borderpost/1
domain: shop
descriptors:
  - key: address
    detailed_metric: true
    limits:
      - {algorithm: fixed_window, amount: 5, every: minute}
  - key: path
    value: "*"
    value_to_metric: true
    descriptors:
      - key: user
        limits:
          - {algorithm: token_bucket, amount: 5, every: hour}
          - {algorithm: concurrency, amount: 5, hold: 1h}
          - {algorithm: budget, amount: 50, every: day, reserve: 10}
  - key: tenant
    limits:
      - {algorithm: fixed_window, amount: 30, every: hour}
"""
BATCH = 100
TICK_US = 1000
"""Between batches, so 100,000 requests are a second."""


class Flooded(NamedTuple):
    """What became of a flood."""

    grown_bytes: int
    """By how much the process has grown since before it."""
    grown_late_bytes: int
    """By how much in the second half."""
    names: int
    """Rules that the statistics tell apart."""
    counters: int
    overflowed: int
    tenant_passed: int
    """How many of a tenant's requests passed, which came between."""
    codes: dict[str, int]
    """Statuses of calls that got no answer."""


class _Call:
    """A call of which only its end is kept."""

    method = METHOD
    state: Any = None
    alive = True

    def __init__(self) -> None:
        self.answer = b""
        self.failure = ""

    def reply(self, message: bytes) -> None:
        self.answer = message

    def ask(self, message: bytes) -> None:
        raise AssertionError("nothing is asked of a unary call")

    def fail(self, status: StatusCode, text: str) -> None:
        self.failure = status.name

    def finish(self) -> None:
        raise AssertionError("a unary call is not finished")


def hostile(chance: random.Random, number: int) -> bytes:
    """Return a request that no other one is like."""
    kind = number % 20
    if kind == 0:
        value = bytes(chance.randrange(256) for _ in range(40)) + b"%d" % number
    elif kind == 1:
        value = f"\0\r\n\x1b[31m{number}\u202e\U0001f6a8".encode()
    elif kind == 2 and number % 1000 == 2:
        value = b"%d" % number + b"x" * 65_536
    else:
        value = b"2001:db8::%x" % number
    if kind < 10:
        return request_of(descriptor_of(("address", value)))
    if kind < 19:
        return request_of(
            descriptor_of(("path", b"/" + value), ("user", value), ("borderpost.request", b"%d" % number))
        )
    return request_of(descriptor_of(("path", ""), ("user", value)), descriptor_of((f"unheard-of {number}", value)))


def flood(folder: Path, requests: int, counters_max: int) -> Flooded:
    """Ask so many requests, and one of a tenant with each batch; measures the whole process."""
    (folder / "shop.yaml").write_text(LIMITS)
    clock, chance, statistics = StillClock(NOW_US), random.Random(8), Statistics()
    store = MemoryStore(counters_max)
    service = RateLimitService(
        rules=load([folder]), store=store, world=World(clock=clock), statistics=statistics, settings=ServiceSettings()
    )  # fmt: skip
    tenant = request_of(descriptor_of(("tenant", "acme")))
    sizes = [_resident_bytes()]
    passed, codes = 0, dict[str, int]()
    for first in range(0, requests, BATCH):
        calls = [(_Call(), hostile(chance, number)) for number in range(first, first + BATCH)]
        mine = _Call()
        service.messages([*calls, (mine, tenant)])
        passed += mine.answer[:2] == b"\x08\x01"
        for call, _ in calls:
            if call.failure:
                codes[call.failure] = codes.get(call.failure, 0) + 1
        clock.now_us += TICK_US
        if first == requests // 2:
            sizes.append(_resident_bytes())
    sizes.append(_resident_bytes())
    grown, late = sizes[2] - sizes[0], sizes[2] - sizes[1]
    return Flooded(grown, late, len(list(statistics.rules())), len(store), store.overflowed, passed, codes)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
