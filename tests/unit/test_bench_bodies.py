"""The bench's experiment about bodies: what is sent, where it goes, and what is made of the samples."""

from __future__ import annotations

import json
from typing import Any

import pytest

from borderpost_bench import bodies, bootstraps, traffic
from borderpost_bench.measure import Sample
from borderpost_bench.scenarios import BodyUse


def sample(requests_s: float, envoy_cpu_us: float, server_cpu_us: float | None, **changes: Any) -> Sample:
    figures: dict[str, Any] = {
        "p50_ms": 1.0, "p90_ms": 1.5, "p99_ms": 2.0, "answered": 1000, "refused": 0, "failed": 0, "worker_cpu_us": None,
        "upstream_cpu_us": 1.0, "server_memory_mib": None, "records_per_commit": None, "commit_ms": None,
        "load_average": 0.0, "foreign_cores": 0.0, "check": None,
    }  # fmt: skip
    return Sample(
        requests_s=requests_s, envoy_cpu_us=envoy_cpu_us, server_cpu_us=server_cpu_us, **{**figures, **changes}
    )


@pytest.mark.parametrize("kib", bodies.SIZES_KIB)
def test_a_body_is_a_chat_of_its_size(kib: int) -> None:
    text = traffic.chat_of(kib << 10)
    assert len(text) == kib << 10
    assert json.loads(text)["model"] == traffic.MODEL


def test_cost_a_kib_is_that_between_the_outer_sizes() -> None:
    samples = {}
    for kib in bodies.SIZES_KIB:
        for way in bodies.WAYS:
            ours = 10.0 + 2 * kib if way in {"read", "searched"} else 10.0 if way == "headers" else None
            samples[way, kib] = sample(1000.0, 50.0 + kib, ours)
    found = bodies.summed_up(samples)
    assert not found.faults
    figures = found.figures
    assert (figures["buffered_per_kib_cpu_us"], figures["headers_per_kib_cpu_us"]) == (1.0, 1.0)
    assert (figures["read_per_kib_cpu_us"], figures["read_added_per_kib_cpu_us"]) == (3.0, 2.0)
    assert figures["read_64kib_server_cpu_us"] == 138.0
    assert "plain_1kib_server_cpu_us" not in figures
    assert dict(found.curves["read"].points) == {1: 63.0, 16: 108.0, 64: 252.0}
    samples["read", 16] = sample(1000.0, 1.0, 1.0, failed=1)
    assert list(bodies.summed_up(samples).faults) == ["a check failed: read, 16 KiB"]


def test_only_envoys_that_are_to_collect_bodies_do() -> None:
    for whole in (False, True):
        made = json.dumps(bootstraps.upstream(["a"], whole_bodies=whole))
        assert ("buffer.v3.Buffer" in made) == whole
    assert {use for _, use in bodies.WAYS.values()} == set(BodyUse)
