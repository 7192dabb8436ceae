"""The real Envoy before a limiter whose Redis stops: Envoy notices nothing, since no answer comes too late for it."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import pytest

from borderpost_base.world import World
from borderpost_ratelimit.away import AwaySettings, Guarded
from borderpost_ratelimit.limits import Unit, WhenAway
from borderpost_ratelimit.service import RateLimitService
from borderpost_ratelimit.settings import ServiceSettings
from borderpost_ratelimit.statistics import Statistics
from borderpost_ratelimit.stores.config import RedisStoreSpec
from borderpost_ratelimit.stores.memory import MemoryStore
from borderpost_ratelimit.stores.redis.store import RedisStore
from support.ratelimit_envoy import LimitedEnvoy, limited_envoy, route
from support.ratelimit_parts import ListedRules, limit_of, rule_of
from support.redis_server import RedisServer, redis_server

pytestmark = [pytest.mark.blackbox, pytest.mark.slow]

SETTINGS = AwaySettings(wait_us=100_000, probe_max_us=100_000)
ENVOY_WAITS_S = 1.0
"""Longer than Envoy's own 20 ms, as the bound is, for a loaded machine; a stopped server answers in no time at all."""
CHOICES = {choice.value: limit_of(15, Unit.WEEK, when_away=choice) for choice in WhenAway}


def _asked_by(kind: str) -> dict[str, object]:
    return {"actions": [{"generic_key": {"descriptor_key": "kind", "descriptor_value": kind}}]}


def _statuses(envoy: LimitedEnvoy, kind: str, count: int) -> Counter[int]:
    return Counter(envoy.send("wire", f"/{kind}").status for _ in range(count))


def _errors(envoy: LimitedEnvoy) -> int:
    """Return how many questions Envoy has had no answer to."""
    stats = envoy.envoy.admin("/stats?filter=ratelimit")
    return sum(int(count) for count in re.findall(r"ratelimit\.(?:error|failure_mode_allowed): (\d+)", stats))


def _stopped(envoy: LimitedEnvoy, server: RedisServer) -> None:
    assert {kind: _statuses(envoy, kind, 5) for kind in CHOICES} == {kind: Counter({200: 5}) for kind in CHOICES}
    server.pause()
    found = {kind: _statuses(envoy, kind, 20) for kind in CHOICES}
    assert found == {
        "local": Counter({200: 10, 429: 10}),
        "allow": Counter({200: 20}),
        "refuse": Counter({429: 20}),
    }
    assert _errors(envoy) == 0, "each question was answered in time"


def test_envoy_notices_nothing_of_a_stopped_redis(tmp_path: Path) -> None:
    rules = ListedRules(*(((("kind", kind),), rule_of(kind, limit)) for kind, limit in CHOICES.items()))
    routes = [route(f"/{kind}", [_asked_by(kind)]) for kind in CHOICES]
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as server:
        world = World()
        store = RedisStore(RedisStoreSpec(url=server.url, near_cache_entries=0), world)
        guard = Guarded(store, MemoryStore(1000), SETTINGS, world)
        service = RateLimitService(
            rules=rules, store=guard, world=world, statistics=Statistics(), settings=ServiceSettings()
        )
        with limited_envoy(tmp_path, {"wire": service}, routes, [], {}, timeout=f"{ENVOY_WAITS_S}s") as envoy:
            engine = envoy.threads["wire"]
            engine.run(guard.start)
            try:
                _stopped(envoy, server)
                server.go_on()
                until = time.monotonic() + 20
                while guard.standing().away_us or guard.standing().owed:
                    assert time.monotonic() < until and envoy.send("wire", "/allow").status in (200, 429)
                    time.sleep(0.02)
                assert _statuses(envoy, "local", 3) == Counter({429: 3}), "15 have passed, and the store knows"
                assert _statuses(envoy, "refuse", 12) == Counter({200: 10, 429: 2})
            finally:
                engine.run(guard.close)
