"""What reading bodies costs, per KB, beside what Envoy takes to collect them anyway.

The same requests, with bodies of a few sizes, go through Envoy in five ways: as they come, without us; collected by
Envoy's own buffer filter, without us; as they come, decided by headers; read by us; read and searched by the detectors
that the extra `payload` brings. The first two are the price of collecting, the third is what body mode adds to. What it
adds a KiB (`read_added_per_kib_cpu_us`) has Envoy's work in it: to collect the body, and to copy it to us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from borderpost_bench.experiment import Curve, Experiment, Round
from borderpost_bench.load import need
from borderpost_bench.measure import Sample, Settings, measure
from borderpost_bench.scenarios import BY_NAME, BodyUse, Scenario, Server, on_engine

SIZES_KIB = (1, 16, 64)
WAYS: Mapping[str, tuple[str, BodyUse]] = {
    "plain": ("plain", BodyUse.PASSED),
    "buffered": ("plain", BodyUse.BUFFERED),
    "headers": ("ext_proc", BodyUse.PASSED),
    "read": ("ext_proc", BodyUse.READ),
    "searched": ("ext_proc", BodyUse.SEARCHED),
}
"""Each way's scenario and what becomes of its bodies."""


def measure_bodies(settings: Settings, engine: str) -> Round:
    """Send bodies of each size in each way."""
    samples = {
        (way, kib): measure(_scenario(way, kib, engine), settings) for kib in SIZES_KIB for way in WAYS
    }  # fmt: skip
    return summed_up(samples)


def summed_up(samples: Mapping[tuple[str, int], Sample]) -> Round:
    """Return CPU a request and requests a second of each way and size, and CPU a KiB between the outer sizes."""
    figures: dict[str, float] = {}
    curves: dict[str, Curve] = {}
    least, most = SIZES_KIB[0], SIZES_KIB[-1]
    for way in WAYS:
        of_size = {kib: samples[way, kib] for kib in SIZES_KIB}
        cpu_us = {kib: (one.envoy_cpu_us or 0.0) + (one.server_cpu_us or 0.0) for kib, one in of_size.items()}
        for kib, one in of_size.items():
            figures[f"{way}_{kib}kib_envoy_cpu_us"] = one.envoy_cpu_us or 0.0
            if one.server_cpu_us is not None:
                figures[f"{way}_{kib}kib_server_cpu_us"] = one.server_cpu_us
            figures[f"{way}_{kib}kib_requests_s"] = one.requests_s
        figures[f"{way}_per_kib_cpu_us"] = round((cpu_us[most] - cpu_us[least]) / (most - least), 2)
        curves[way] = Curve(
            x="body in KiB", y="CPU µs a request, Envoy and Borderpost", points=tuple(sorted(cpu_us.items()))
        )
    added = figures["read_per_kib_cpu_us"] - figures["headers_per_kib_cpu_us"]
    figures["read_added_per_kib_cpu_us"] = round(added, 2)
    return Round(
        figures=figures,
        curves=curves,
        faults=tuple(f"a check failed: {way}, {kib} KiB" for (way, kib), one in samples.items() if not one.passed),
        details={"samples": {f"{way}-{kib}": one.as_dict() for (way, kib), one in samples.items()}},
    )


def _scenario(way: str, kib: int, engine: str) -> Scenario:
    base, use = WAYS[way]
    scenario = BY_NAME[base]
    named = scenario if scenario.server is Server.NONE or engine == "auto" else on_engine(scenario, engine)
    return replace(named, body_kib=kib, body_use=use)


def _need(_settings: Settings, _engine: str) -> None:
    need("wrk")


BODIES = Experiment(
    name="bodies", title="Bodies of 1, 16 and 64 KiB, passed, collected, read and searched", run=measure_bodies,
    need=_need, rounds_max=3, by_default=False,
)  # fmt: skip
