"""64 clients at once ask the real limiter: as many pass as each limit says, to the one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.limiter_serving import Limiter
from support.ratelimit_clients import Ask, Leasing, at_once, hurried, spending
from support.ratelimit_parts import descriptor_of
from support.redis_server import redis_server

pytestmark = pytest.mark.blackbox

LIMITS = """
format: borderpost/1
domain: shop
descriptors:
  - {key: kind, value: fixed, limits: [{algorithm: fixed_window, amount: 100, every: year}]}
  - {key: kind, value: sliding, limits: [{algorithm: sliding_window, amount: 100, every: year}]}
  - {key: kind, value: bucket, limits: [{algorithm: token_bucket, amount: 1, every: year, burst: 100}]}
  - {key: kind, value: leases, limits: [{algorithm: concurrency, amount: 9, hold: 1h}]}
  - {key: kind, value: budget, limits: [{algorithm: budget, amount: 700, every: year}]}
"""


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Give the limiter's settings for where it counts; a server is given the time that a loaded machine needs."""
    if request.param == "memory":
        yield {}
        return
    with redis_server(tmp_path) as server:
        yield {"store": {"url": server.url}, "away": {"wait_ms": 1000.0}}


@pytest.mark.parametrize(
    ("engine", "store"),
    [
        ("wire", "memory"),
        ("wire", "redis"),
        pytest.param("grpcio", "memory", marks=pytest.mark.full),
        pytest.param("grpcio", "redis", marks=pytest.mark.full),
    ],
    indirect=["store"],
)
def test_64_clients_of_the_real_limiter_get_what_each_limit_says(
    tmp_path: Path, engine: str, store: dict[str, Any]
) -> None:
    with Limiter(tmp_path, {"shop.yaml": LIMITS}, engine=engine, **store) as limiter:
        for kind in ("fixed", "sliding", "bucket"):
            assert at_once(limiter.address, hurried(kind, 3)) == 100, kind
        leasing = Leasing(3)
        assert at_once(limiter.address, leasing) >= 9
        assert 1 <= leasing.most <= 9
        spent = at_once(limiter.address, spending)

        async def what_is_left(ask: Ask, number: int) -> int:
            if number:
                return 0
            rest = [await ask(descriptor_of(("kind", "budget"), hits=hits)) for hits in (700 - spent, 1)]
            assert rest == [True, False], "to the unit"
            return sum([await ask(descriptor_of(("kind", "leases"))) for _ in range(10)])

        assert at_once(limiter.address, what_is_left) == 9, "every lease was given back"
