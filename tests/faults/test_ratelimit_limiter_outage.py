"""Two limiters in processes of their own, one of them with a clock that is wrong, on one Redis that stops answering."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from borderpost_proto.rate_limit_pb2 import RateLimitResponse
from support.limiter_serving import Limiter, asker
from support.redis_server import RedisServer, redis_server

pytestmark = pytest.mark.slow

LIBRARIES = [path for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1") if path.is_file()]
BOUND_MS = 100
WINDOWS = {"algorithm": "fixed_window", "amount": 40, "every": "week"}
LIMITS = yaml.safe_dump(
    {
        "format": "borderpost/1",
        "domain": "shop",
        "descriptors": [
            {"key": "local", "limits": [WINDOWS]},
            {"key": "open", "when_store_away": "allow", "limits": [WINDOWS]},
            {"key": "closed", "when_store_away": "refuse", "limits": [WINDOWS]},
            {"key": "bystander", "limits": [{**WINDOWS, "amount": 1_000_000}]},
        ],
    }
)
AWAY = {"wait_ms": BOUND_MS, "probe_first_ms": 20, "probe_max_ms": 100}
_WITHIN_S = 20.0


class Asked:
    """A limiter, and how long each question to it took."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.waits_s: list[float] = []
        self._ask = asker(limiter.channel())

    def passed(self, count: int, key: str) -> int:
        """Ask so often, one after the other; return how many passed."""
        passed = 0
        for _ in range(count):
            since = time.monotonic()
            passed += self._ask((key, "somebody")).overall_code == RateLimitResponse.OK
            self.waits_s.append(time.monotonic() - since)
        return passed

    def metric(self, name: str, *labels: str) -> float:
        """Return a metric of the store, 0 where it has none yet."""
        inner = ",".join([*labels, 'scope="region"'])
        _, text = self.limiter.http("/metrics")
        found = re.search(rf"^borderpost_limiter_store_{name}{{{inner}}} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def until(self, holds: Callable[[], bool]) -> None:
        """Go on asking until something holds."""
        deadline = time.monotonic() + _WITHIN_S
        while not holds():
            assert time.monotonic() < deadline, self.limiter.lines()
            assert self.passed(1, "bystander")
            time.sleep(0.01)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def limiters(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Asked]]:
    if not LIBRARIES:
        pytest.skip("needs faketime")
    wrong = {"LD_PRELOAD": str(LIBRARIES[0]), "FAKETIME": "+90s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    section = {"store": {"url": server.url, "near_cache_entries": 0}, "away": AWAY}
    right_at, wrong_at = (tmp_path_factory.mktemp(name) for name in ("right", "wrong"))
    with (
        Limiter(right_at, {"shop.yaml": LIMITS}, **section) as right,
        Limiter(wrong_at, {"shop.yaml": LIMITS}, environ=wrong, **section) as ahead,
    ):
        yield [Asked(right), Asked(ahead)]


def test_limiters_whose_store_stops_and_goes_on(server: RedisServer, limiters: list[Asked]) -> None:
    for limiter in limiters:
        assert [limiter.passed(5, key) for key in ("local", "open", "closed")] == [5, 5, 5]
        assert limiter.metric("away") == 0
    server.pause()
    try:
        for limiter, left in zip(limiters, (35, 30), strict=True):
            limiter.waits_s.clear()
            assert limiter.passed(100, "bystander") == 100
            assert limiter.passed(100, "local") == left, "as much as the store had left when it last spoke"
            assert limiter.passed(60, "open") == 60
            assert limiter.passed(10, "closed") == 0
            # Who waits for a stopped server without a bound waits for as long as it is stopped; with a bound alone,
            # each of these would have waited for it.
            assert statistics.median(limiter.waits_s) < BOUND_MS / 1000
            assert limiter.metric("away") == 1 and limiter.metric("away_seconds") > 0
            assert limiter.metric("unanswered_total", 'reason="timeout"') >= 3
            assert limiter.limiter.http("/readyz")[0] == 200, "it answers: Envoy goes on asking it"
    finally:
        server.go_on()
    for limiter in limiters:
        limiter.until(lambda limiter=limiter: limiter.metric("away") == 0)  # type: ignore[misc]
        limiter.until(lambda limiter=limiter: limiter.metric("owed") == 0)  # type: ignore[misc]
    for limiter in limiters:
        assert limiter.passed(5, "local") == 0, "what both let through has been told to the store"
    # 5 each before, and nothing of what was refused: 30 are left, whoever asks, whatever their clocks say.
    assert sum(limiter.passed(20, "closed") for limiter in limiters) == 30
    with server.client as client:
        assert sum(b"local" in key for key in client.keys("*")) == 1, "one window, by the store's clock"


def test_the_outage_is_told_without_saying_where_or_who(limiters: list[Asked], server: RedisServer) -> None:
    for limiter in limiters:
        told = [line for line in limiter.limiter.lines() if line.get("code") == "BP1640"]
        assert told and f"no answer within {BOUND_MS} ms" in told[0]["detail"]
        limiter.limiter.until_logged("the store of counters answers again")
        text = limiter.limiter.process.log.read_text()
        assert str(server.port) not in text and "somebody" not in text
