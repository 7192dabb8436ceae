"""The experiments about size, run once and briefly: figures are not looked at, what is checked must hold."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from borderpost_bench import flood, idle, scaling, soak
from borderpost_bench.measure import Settings
from borderpost_bench.sizes import Size

pytestmark = [
    pytest.mark.full,
    pytest.mark.blackbox,
    pytest.mark.skipif(shutil.which("go") is None, reason="needs go"),
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(runs=1, seconds=0.5, directory=tmp_path)


@pytest.mark.parametrize("size", [Size(3, 10), Size(300, 1000)], ids=str)
def test_a_worker_of_any_size_answers_by_the_law(settings: Settings, size: Size) -> None:
    cost = scaling.measure_size(size, settings, "auto")
    assert cost.faults == ()
    assert cost.log_bytes > 500


def test_floods_of_distinct_facts_are_answered_and_on_record(settings: Settings) -> None:
    found = flood.FLOOD.run(settings, "auto")
    assert found.faults == ()
    assert found.figures["repeating_cpu_us"] > 0


def test_a_worker_serves_beside_idle_streams(settings: Settings) -> None:
    found = idle.measure_idle(settings, "auto", streams=2000, connections=2)
    assert found.faults == ()
    assert found.figures["cpu_us"] > 0


def test_many_addresses_ask_and_closed_segments_go(settings: Settings) -> None:
    found = soak.soak(settings, "auto", requests=100_000, addresses=50_000)
    assert found.faults == ()
    assert found.details["segments_removed"] > 0
    assert len(found.curves["memory_mib"].points) > 2
