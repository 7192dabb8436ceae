"""Floods of distinct facts: each question another model, place, data class or tenant, and none ever again.

What is remembered must not grow with them, and a question that is new must not cost much more than one that repeats.
One worker with 300 regions takes a flood of each kind in turn, then the questions that repeat once more.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Sequence
from dataclasses import dataclass

from borderpost_bench.alone import Alone, faults_of, need_driver
from borderpost_bench.experiment import Experiment, Round
from borderpost_bench.load import Load
from borderpost_bench.measure import WARM_UP_S, Settings
from borderpost_bench.sizes import Size
from borderpost_bench.stage import ADDRESSES
from borderpost_bench.streams import MARKER, messages
from borderpost_bench.targets import Target
from borderpost_bench.traffic import TRAFFIC, Request, requests_of
from borderpost_envoy import Via

SIZE = Size(300, 1000)
MEMORY_MIB_MAX = 150
_PLACES = 1 << 15
"""Distinct places of a flood: more than anything remembers."""
_COUNTRIES = [client.country for client in TRAFFIC["sized"]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of flood."""

    name: str
    refused: bool
    """Whether the law refuses these questions, each with a record."""

    def requests(self) -> list[Request]:
        """Return its requests; where the number of a question stands in one, it is another one each time."""
        if self.name == "place":
            return _with_places(requests_of("sized", _PLACES))
        header, value = _NUMBERED[self.name]
        return [Request(one.address, {**one.headers, header: value}) for one in requests_of("sized", ADDRESSES)]


_NUMBERED = {
    "model": ("x-model", f"m-{MARKER}"),
    "class": ("x-data-class", f"c-{MARKER}"),
    "tenant": ("x-tenant", f"t-{MARKER}"),
}
KINDS = (Kind("model", False), Kind("place", False), Kind("class", True), Kind("tenant", True))


def _with_places(requests: Sequence[Request]) -> list[Request]:
    """Return requests that each assert another part of their client's own country, which is no other law."""
    letters = string.digits + string.ascii_uppercase
    suffixes = ("".join(three) for three in itertools.product(letters, repeat=3))
    return [
        Request(one.address, {**one.headers, "x-data-residency": f"{country}-{suffix}"})
        for one, country, suffix in zip(requests, itertools.cycle(_COUNTRIES), suffixes, strict=False)
        if "x-data-residency" not in one.headers
    ]


@dataclass(frozen=True, slots=True)
class Taken:
    """What one load cost the worker."""

    load: Load
    cpu_us: float
    memory_mib: float


def _take(alone: Alone, requests: Sequence[Request], settings: Settings) -> tuple[Load, Taken]:
    questions = alone.questions(messages(requests, Via.EXT_PROC))
    warm = alone.drive(questions, seconds=WARM_UP_S)
    before = alone.usage()
    load = alone.drive(questions, seconds=settings.seconds, first=1 << 32)
    after = alone.usage()
    cpu_us = (after.cpu_s - before.cpu_s) * 1e6 / max(1, load.answered)
    return warm, Taken(load, cpu_us, after.memory_bytes / (1 << 20))


def _run(settings: Settings, engine: str) -> Round:
    repeating = requests_of("sized", ADDRESSES)
    with Alone(settings, engine=engine, size=SIZE) as alone:
        warm, before = _take(alone, repeating, settings)
        lawful: list[Load] = [warm, before.load]
        unlawful: list[Load] = []
        floods: dict[str, Taken] = {}
        for kind in KINDS:
            warm, floods[kind.name] = _take(alone, kind.requests(), settings)
            (unlawful if kind.refused else lawful).extend((warm, floods[kind.name].load))
        warm, after = _take(alone, repeating, settings)
        lawful += [warm, after.load]
        alone.end()
        log = alone.count()
    return Round(figures=figures_of(before, floods, after), faults=faults_of(log, lawful, unlawful))


def figures_of(before: Taken, floods: dict[str, Taken], after: Taken) -> dict[str, float]:
    """Return the figures: what each flood costs, as CPU, and beyond a question that repeats; what it left behind."""
    repeating_us = (before.cpu_us + after.cpu_us) / 2
    figures = {"repeating_cpu_us": round(repeating_us, 2)}
    for name, one in floods.items():
        figures[f"{name}_cpu_us"] = round(one.cpu_us, 2)
        figures[f"{name}_extra_cpu_us"] = round(one.cpu_us - repeating_us, 2)
    figures["memory_before_mib"] = round(before.memory_mib, 1)
    figures["memory_mib"] = round(max(one.memory_mib for one in (*floods.values(), after)), 1)
    figures["repeating_after_to_before"] = round(after.cpu_us / before.cpu_us, 3) if before.cpu_us else 0.0
    return figures


FLOOD = Experiment(
    name="flood",
    title="floods of distinct facts, 300 regions",
    run=_run,
    need=need_driver,
    targets=(Target(figure="memory_mib", most=MEMORY_MIB_MAX, what="a worker's memory under floods of facts"),),
)
