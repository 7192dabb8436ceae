"""Our limiter beside envoyproxy/ratelimit: the same limits, the same requests, the same Redis, one core each.

    ratelimit-direct   asked by the driver over a Unix socket, limiter on one core, driver and redis-server on the other
    ratelimit-envoy    asked by a real Envoy's filter; Envoy is what is full, so what counts is CPU and latency

Each round measures envoyproxy/ratelimit on Redis, ours in memory and ours on Redis. That every request was counted once
is part of it: how many must be refused is known. Latency is compared twice: at 64 requests in flight, where each server
is at its own peak, and in an open loop at half of the rival's peak, where both have the same to do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from borderpost_bench.cpu import Usage
from borderpost_bench.experiment import Experiment, Round
from borderpost_bench.limiter_stage import Limiter, LimiterStage, Store
from borderpost_bench.load import Load, need
from borderpost_bench.measure import WARM_UP_S, Settings
from borderpost_bench.rivals import programs, ratelimit_programs
from borderpost_bench.shared_list import redis_program
from borderpost_bench.targets import Target

RIVAL = Limiter(None, Store.REDIS)
_HEADROOM = 1.2
"""How much more than the rate of an open loop a server must have given at its peak: beyond, a queue grows for ever."""
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Measured:
    """One limiter under one load. Costs are microseconds of CPU a request."""

    load: Load
    cpu_us: float
    redis_cpu_us: float
    envoy_cpu_us: float
    memory_mib: float
    at_half: Load | None
    """At half of the rival's peak, in an open loop; None where that was not asked for."""
    faults: tuple[str, ...]

    def figures(self, name: str) -> dict[str, float]:
        """Return what is told of it."""
        told = {
            "requests_s": round(self.load.requests_s), "cpu_us": self.cpu_us, "redis_cpu_us": self.redis_cpu_us,
            "envoy_cpu_us": self.envoy_cpu_us, "p50_ms": self.load.p50_ms, "p99_ms": self.load.p99_ms,
            "memory_mib": self.memory_mib,
        }  # fmt: skip
        if self.at_half is not None:
            told |= {"half_p50_ms": self.at_half.p50_ms, "half_p99_ms": self.at_half.p99_ms}
        return {f"{name}_{figure}": value for figure, value in told.items() if value}


def measure_limiter(limiter: Limiter, settings: Settings, *, envoy: bool, half_s: float = 0.0) -> Measured:
    """Measure one limiter. `half_s` is the rate of the open loop, 0 for none; one that cannot keep it up is spared."""
    with LimiterStage(limiter, settings, envoy=envoy) as stage:
        loads = [stage.drive(seconds=WARM_UP_S)]
        before = stage.usage()
        loads.append(stage.drive(seconds=settings.seconds))
        after = stage.usage()
        carries = loads[1].requests_s > half_s * _HEADROOM
        if half_s and carries:
            loads.append(stage.drive(seconds=settings.seconds, pace=replace(settings.pace, rate_s=half_s)))
        faults = [*stage.faults(len(loads)), *(f"{load.failed} without an answer" for load in loads if load.failed)]
        stage.end()

    def per_request_us(one: Usage, other: Usage) -> float:
        return round((other.cpu_s - one.cpu_s) * 1e6 / max(1, loads[1].answered), 2)

    return Measured(
        load=loads[1],
        cpu_us=per_request_us(before.limiter, after.limiter),
        redis_cpu_us=per_request_us(before.redis, after.redis),
        envoy_cpu_us=per_request_us(before.envoy, after.envoy),
        memory_mib=round(after.limiter.memory_bytes / _MIB, 1),
        at_half=loads[2] if half_s and carries else None,
        faults=tuple(faults),
    )


def ratios(name: str, own: Measured, rival: Measured) -> dict[str, float]:
    """Return what relates ours to the rival."""
    found = {
        f"throughput_ratio_{name}": own.load.requests_s / rival.load.requests_s,
        f"cpu_ratio_{name}": own.cpu_us / rival.cpu_us,
        f"p99_ratio_{name}": own.load.p99_ms / rival.load.p99_ms,
    }
    if own.redis_cpu_us:
        found[f"store_cpu_ratio_{name}"] = own.redis_cpu_us / rival.redis_cpu_us
    if own.at_half is not None and rival.at_half is not None:
        found[f"half_p99_ratio_{name}"] = own.at_half.p99_ms / rival.at_half.p99_ms
    return {figure: round(value, 3) for figure, value in found.items()}


def run_direct(settings: Settings, engine: str) -> Round:
    """Measure without Envoy."""
    rival = measure_limiter(RIVAL, settings, envoy=False)
    half_s = round(rival.load.requests_s / 2)
    rival = replace(rival, at_half=measure_limiter(RIVAL, settings, envoy=False, half_s=half_s).at_half)
    ours = {
        "memory": measure_limiter(Limiter(engine, Store.MEMORY), settings, envoy=False, half_s=half_s),
        "redis": measure_limiter(Limiter(engine, Store.REDIS), settings, envoy=False, half_s=half_s),
    }
    named = measure_limiter(Limiter(engine, Store.MEMORY, named=True), settings, envoy=False)
    found = _round(rival, ours)
    figures = {
        **found.figures,
        "named_memory_requests_s": round(named.load.requests_s),
        "named_memory_cpu_us": named.cpu_us,
    }
    return replace(found, figures=figures, faults=(*found.faults, *named.faults))


def run_through_envoy(settings: Settings, engine: str) -> Round:
    """Measure through Envoy."""
    rival = measure_limiter(RIVAL, settings, envoy=True)
    return _round(rival, {
        "memory": measure_limiter(Limiter(engine, Store.MEMORY), settings, envoy=True),
        "redis": measure_limiter(Limiter(engine, Store.REDIS), settings, envoy=True),
    })  # fmt: skip


def _round(rival: Measured, ours: dict[str, Measured]) -> Round:
    figures = rival.figures("rival")
    for name, own in ours.items():
        figures |= own.figures(name)
    for name, own in ours.items():
        figures |= ratios(name, own, rival)
    faults = [f"{name}: {fault}" for name, one in {"rival": rival, **ours}.items() for fault in one.faults]
    return Round(figures=figures, faults=tuple(faults))


def _need(_settings: Settings, _engine: str) -> None:
    redis_program()
    programs()
    ratelimit_programs()


def _need_envoy(settings: Settings, engine: str) -> None:
    _need(settings, engine)
    need("wrk")


def _cost_targets(where: str) -> tuple[Target, ...]:
    theirs = "of envoyproxy/ratelimit's"
    return (
        Target(figure="cpu_ratio_memory", most=0.2, what=f"limiter in memory, {where}: CPU a request, {theirs}"),
        Target(figure="cpu_ratio_redis", most=0.4, what=f"limiter on Redis, {where}: CPU a request, {theirs}"),
        Target(figure="store_cpu_ratio_redis", most=1.0, what=f"limiter on Redis, {where}: CPU of Redis, {theirs}"),
        Target(figure="p99_ratio_redis", most=1.0, what=f"limiter on Redis, {where}: p99, {theirs}"),
    )


RATELIMIT_DIRECT = Experiment(
    name="ratelimit-direct", title="The limiter beside envoyproxy/ratelimit, without Envoy", run=run_direct, need=_need,
    by_default=False,
    targets=(
        Target(
            figure="throughput_ratio_memory", least=4.0,
            what="limiter in memory, directly: requests a second, of envoyproxy/ratelimit's",
        ),
        Target(
            figure="throughput_ratio_redis", least=1.5,
            what="limiter on Redis, directly: requests a second, of envoyproxy/ratelimit's",
        ),
        *_cost_targets("directly"),
        Target(
            figure="half_p99_ratio_redis", most=1.0,
            what="limiter on Redis, directly: p99 at half of envoyproxy/ratelimit's peak, of its",
        ),
    ),
)  # fmt: skip
RATELIMIT_ENVOY = Experiment(
    name="ratelimit-envoy", title="The limiter beside envoyproxy/ratelimit, through Envoy", run=run_through_envoy,
    need=_need_envoy, by_default=False, targets=_cost_targets("through Envoy"),
)  # fmt: skip
