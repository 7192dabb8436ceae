"""100,000 distinct requests a second: memory and names stay bounded, and nobody gets more than the limit."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from support.ratelimit_flood import Flooded, flood


def held(found: Flooded, requests: int, counters_max: int, grown_mib: int) -> None:
    assert found.grown_bytes < grown_mib << 20, found
    assert found.grown_late_bytes < grown_mib << 18, found
    assert found.names <= 1000 + 4
    assert found.counters <= counters_max
    assert found.overflowed > requests
    assert found.tenant_passed == 30
    assert not found.codes


def test_a_flood_of_requests_that_all_differ(tmp_path: Path) -> None:
    held(flood(tmp_path, 5000, 1000), 5000, 1000, 16)


@pytest.mark.full
def test_a_second_of_a_flood_of_requests_that_all_differ(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(flood, tmp_path, 100_000, 20_000).result()
    held(found, 100_000, 20_000, 32)
