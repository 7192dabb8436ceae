"""As many pass as the limit says, however many clients ask at once: over both engines, each with its connection."""

from __future__ import annotations

from pathlib import Path

import pytest

from borderpost_base.world import World
from borderpost_ratelimit.charges import Charge, Phase, Unanswered, Verdicts
from borderpost_ratelimit.limits import Algorithm, Unit
from borderpost_ratelimit.service import RateLimitService
from borderpost_ratelimit.settings import ServiceSettings
from borderpost_ratelimit.statistics import Statistics
from borderpost_ratelimit.stores.memory import MemoryStore
from borderpost_wire.options import ServerOptions, UnixListen
from support.ratelimit_clients import CLIENTS, Leasing, at_once, hurried, spending
from support.ratelimit_parts import ListedRules, StillClock, limit_of, rule_of
from support.wire_server import EngineThread, each_engine, serving

__all__ = ["each_engine"]
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


@pytest.mark.usefixtures("each_engine")
def test_64_clients_get_what_the_limit_says(tmp_path: Path) -> None:
    served = Served()
    with serving(ServerOptions(listen=(UnixListen(tmp_path / "s.sock"),)), served.service) as thread:
        address = thread.engine.addresses[0]
        assert at_once(address, hurried("fixed", CALLS_EACH)) == 100
        assert served.used(thread, "fixed") == CLIENTS * CALLS_EACH
        assert at_once(address, hurried("sliding", CALLS_EACH)) == 100
        begun_us = served.clock.now_us + TICK_US
        passed = at_once(address, hurried("bucket", CALLS_EACH))
        assert passed == 50 + (served.clock.now_us - begun_us) // 10_000


@pytest.mark.usefixtures("each_engine")
def test_64_clients_hold_no_more_leases_than_there_are_and_settle_a_budget_exactly(tmp_path: Path) -> None:
    served, leasing = Served(), Leasing(3)
    with serving(ServerOptions(listen=(UnixListen(tmp_path / "s.sock"),)), served.service) as thread:
        address = thread.engine.addresses[0]
        assert at_once(address, leasing) >= 9
        assert 1 <= leasing.most <= 9
        assert served.used(thread, "leases") == 0
        spent = at_once(address, spending)
        assert served.used(thread, "budget") == spent
        assert served.store.holds.free == 10_000
