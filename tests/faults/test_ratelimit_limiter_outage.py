"""Two limiters in processes of their own, one of them with a clock that is wrong, on one Redis that stops answering."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.limiter_process import LimiterProcess, limiter_process
from support.redis_server import RedisServer, redis_server

pytestmark = pytest.mark.slow

LIBRARIES = [path for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1") if path.is_file()]
BOUND_MS = 10
LIMITS = {
    "format": "borderpost/1",
    "domain": "shop",
    "descriptors": [
        {"key": "local", "limits": [{"algorithm": "fixed_window", "amount": 40, "every": "week"}]},
        {
            "key": "open",
            "when_store_away": "allow",
            "limits": [{"algorithm": "fixed_window", "amount": 40, "every": "week"}],
        },
        {
            "key": "closed",
            "when_store_away": "refuse",
            "limits": [{"algorithm": "fixed_window", "amount": 40, "every": "week"}],
        },
        {"key": "bystander", "limits": [{"algorithm": "fixed_window", "amount": 1_000_000, "every": "day"}]},
    ],
}
AWAY = {"wait_ms": BOUND_MS, "probe_first_ms": 20, "probe_max_ms": 100}
_WITHIN_S = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def limiters(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[LimiterProcess]]:
    if not LIBRARIES:
        pytest.skip("needs faketime")
    wrong = {"LD_PRELOAD": str(LIBRARIES[0]), "FAKETIME": "+90s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    directory = tmp_path_factory.mktemp("limiters")
    store = {"url": server.url, "near_cache_entries": 0}
    with (
        limiter_process(directory / "one", LIMITS, store=store, away=AWAY) as one,
        limiter_process(directory / "two", LIMITS, store=store, away=AWAY, environ=wrong) as two,
    ):
        for limiter in (one, two):
            limiter.until_ready()
        yield [one, two]


def eventually(limiter: LimiterProcess, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, limiter.log
        assert limiter.passes(("bystander", "b"))
        time.sleep(0.01)


def away(limiter: LimiterProcess) -> float:
    return limiter.metric('limiter_store_away{scope="region"}')


def test_limiters_whose_store_stops_and_goes_on(server: RedisServer, limiters: list[LimiterProcess]) -> None:
    for limiter in limiters:
        assert [limiter.passed(5, (key, "a")) for key in ("local", "open", "closed")] == [5, 5, 5]
        assert away(limiter) == 0
    server.pause()
    try:
        for limiter in limiters:
            limiter.waits_s.clear()
            assert limiter.passed(100, ("bystander", "b")) == 100
            assert limiter.passed(100, ("local", "a")) in (30, 35), "as much as the store had left when it last spoke"
            assert limiter.passed(60, ("open", "a")) == 60
            assert limiter.passed(10, ("closed", "a")) == 0
            # Who waits for a stopped server without a bound waits for as long as it is stopped; with a bound alone,
            # each of these would have waited for it.
            assert statistics.median(limiter.waits_s) < BOUND_MS / 1000
            assert away(limiter) == 1
            assert limiter.metric('limiter_store_away_seconds{scope="region"}') > 0
            assert limiter.metric('limiter_store_unanswered_total{reason="timeout",scope="region"}') >= 3
            assert limiter.status("/readyz") == 200, "it answers: Envoy goes on asking it"
    finally:
        server.go_on()
    for limiter in limiters:
        eventually(limiter, lambda limiter=limiter: away(limiter) == 0)  # type: ignore[misc]
        eventually(limiter, lambda limiter=limiter: limiter.metric('limiter_store_owed{scope="region"}') == 0)  # type: ignore[misc]
    for limiter in limiters:
        assert limiter.passed(5, ("local", "a")) == 0, "what both let through has been told to the store"
    # 5 each before, and nothing of what was refused: 30 are left, whoever asks, whatever their clocks say.
    assert sum(limiter.passed(20, ("closed", "a")) for limiter in limiters) == 30
    with server.client as client:
        assert sum(b"local" in key for key in client.keys("*")) == 1, "one window, by the store's clock"


def test_the_outage_is_told_without_saying_where_or_who(limiters: list[LimiterProcess], server: RedisServer) -> None:
    for limiter in limiters:
        assert limiter.log.count("BP1640") >= 1 and "answers again" in limiter.log
        assert str(server.port) not in limiter.log and "bystander" not in limiter.log
