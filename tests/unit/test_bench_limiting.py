"""The bench of limiters: what must be refused is known, and costs are held against the rival's of the same round."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from borderpost_bench import limiter_traffic as traffic
from borderpost_bench import limiting
from borderpost_bench.arrivals import Pace
from borderpost_bench.cpu import Usage
from borderpost_bench.limiter_stage import Limiter, LimiterUsage, Store
from borderpost_bench.load import Load
from borderpost_bench.measure import Settings
from borderpost_bench.streams import MARKER
from borderpost_proto import rate_limit_pb2
from borderpost_ratelimit.files import load
from borderpost_ratelimit.rules import REQUEST_KEY


def limit_of(tenant: str, directory: Path) -> int:
    (directory / "bench.yaml").write_text(traffic.LIMITS)
    match = load([directory]).match(traffic.DOMAIN, ((traffic.TENANT, tenant),))
    assert match is not None
    return match.rule.limits[0].amount


def test_few_tenants_have_a_limit_that_they_reach(tmp_path: Path) -> None:
    amounts = [limit_of(tenant, tmp_path) for tenant in traffic.tenants()[: 2 * traffic.SMALL_EVERY]]
    assert [number for number, amount in enumerate(amounts) if amount == traffic.SMALL_AMOUNT] == [
        0, traffic.SMALL_EVERY,
    ]  # fmt: skip
    assert len(set(traffic.tenants())) == traffic.TENANTS


@pytest.mark.parametrize(("asked", "refused"), [
    (0, 0),
    (traffic.TENANTS * traffic.SMALL_AMOUNT, 0),
    (traffic.TENANTS * traffic.SMALL_AMOUNT + 1, 1),
    (traffic.TENANTS * traffic.SMALL_AMOUNT + traffic.SMALL_EVERY, 1),
    (traffic.TENANTS * traffic.SMALL_AMOUNT + traffic.SMALL_EVERY + 1, 2),
    (traffic.TENANTS * (traffic.SMALL_AMOUNT + 3), 3 * traffic.TENANTS // traffic.SMALL_EVERY),
])  # fmt: skip
def test_how_many_must_be_refused_is_known(asked: int, refused: int) -> None:
    assert traffic.refused_of(asked) == refused


@pytest.mark.parametrize("named", [False, True])
def test_messages_are_the_tenants_in_turn(named: bool) -> None:
    data, read = traffic.limiter_messages(named=named), []
    while data:
        size = 5 + int.from_bytes(data[1:5], "big")
        read.append(rate_limit_pb2.RateLimitRequest.FromString(data[5:size]))
        data = data[size:]
    entries = [[(one.key, one.value.decode()) for one in request.descriptors[0].entries] for request in read]
    assert [one[0] for one in entries] == [(traffic.TENANT, tenant) for tenant in traffic.tenants()]
    assert all(one[1:] == ([(REQUEST_KEY, f"3f2b6c1e-8a4d-4f7e-9b0a-{MARKER}")] if named else []) for one in entries)


def measured(requests: int, cpu_us: float, redis_cpu_us: float, *, half: bool = True) -> limiting.Measured:
    load = Load(requests, 0, 0, 1.0, 1.0, 4.0, 2.0, 8.0)
    return limiting.Measured(load, cpu_us, redis_cpu_us, 0.0, 20.0, load if half else None, ("late",) * (cpu_us > 99))


def test_ratios_are_of_the_rival_s_figures() -> None:
    assert limiting.ratios("redis", measured(300, 20.0, 5.0), measured(200, 80.0, 10.0)) == {
        "throughput_ratio_redis": 1.5, "cpu_ratio_redis": 0.25, "p99_ratio_redis": 1.0, "store_cpu_ratio_redis": 0.5,
        "half_p99_ratio_redis": 1.0,
    }  # fmt: skip
    memory = limiting.ratios("memory", measured(800, 8.0, 0.0, half=False), measured(200, 80.0, 10.0))
    assert memory == {"throughput_ratio_memory": 4.0, "cpu_ratio_memory": 0.1, "p99_ratio_memory": 1.0}


def test_every_target_is_a_figure_of_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    def stand_in(limiter: Limiter, *_args: object, **_more: object) -> limiting.Measured:
        ours = limiter.engine is not None
        return measured(400, 10.0 if ours else 100.0, 5.0 if limiter.store is Store.REDIS else 0.0)

    monkeypatch.setattr(limiting, "measure_limiter", stand_in)
    for experiment in (limiting.RATELIMIT_DIRECT, limiting.RATELIMIT_ENVOY):
        found = experiment.run(Settings(), "wire")
        assert {target.figure for target in experiment.targets} <= set(found.figures)
        assert found.faults == ("rival: late",)
        assert found.figures["cpu_ratio_memory"] == 0.1


class StandIn:
    """A stage whose limiter answers a hundred requests a second."""

    asked: ClassVar[list[float | None]] = []

    def __init__(self, *_args: object, **_more: object) -> None:
        self.cpu_s = 0.0

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *_: object) -> None:
        """Take nothing down."""

    def drive(self, *, seconds: float, pace: Pace | None = None) -> Load:
        self.asked.append(None if pace is None else pace.rate_s)
        self.cpu_s += 1e-5 * 100
        return Load(100, 0, 0, 1.0, 1.0, 4.0, 2.0, 8.0)

    def usage(self) -> LimiterUsage:
        return LimiterUsage(Usage(self.cpu_s, 3 << 20), Usage(2 * self.cpu_s), Usage())

    def faults(self, loads: int) -> tuple[str, ...]:
        return (f"{loads} loads",)

    def end(self) -> None:
        """End nothing."""


@pytest.mark.parametrize(("half_s", "asked"), [(0.0, [None, None]), (50.0, [None, None, 50.0]), (90.0, [None, None])])
def test_a_limiter_is_asked_at_half_only_if_it_keeps_that_up(
    monkeypatch: pytest.MonkeyPatch, half_s: float, asked: list[float | None]
) -> None:
    StandIn.asked.clear()
    monkeypatch.setattr(limiting, "LimiterStage", StandIn)
    found = limiting.measure_limiter(limiting.RIVAL, Settings(), envoy=False, half_s=half_s)
    assert StandIn.asked == asked
    assert (found.at_half is not None) is (len(asked) == 3)
    assert (found.cpu_us, found.redis_cpu_us, found.envoy_cpu_us, found.memory_mib) == (10.0, 20.0, 0.0, 3.0)
    assert found.faults == (f"{len(asked)} loads",)
