"""A cold decision: facts that this worker has not seen, with 300 regions and 10,000 policy entries.

Measured inside one process, without message, log and socket, because it is the policy and the ranking that are asked
here: from facts to law, rank and the fields of the record; beside it the law alone, and the decision on facts that are
known. What all requests share (the compiled policy, what its regimes say of a class, the ranking of a legal set) is
warm, as it is in a worker after its first minute; what a first request pays for everything at once stands beside it.
"""

from __future__ import annotations

import gc
import itertools
import string
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from borderpost.catalog import Catalog
from borderpost.config.load import load_config
from borderpost.decision import View
from borderpost.demo.scenery import write_events
from borderpost.geoip import GeoDatabase
from borderpost.lawful_answer import CompiledLaw
from borderpost.policy.decide import decide
from borderpost.policy.events import EventList
from borderpost.policy.model import Evidence, Facts, Source
from borderpost.regions.signals import Signals
from borderpost_bench.experiment import Experiment, Round
from borderpost_bench.measure import Settings
from borderpost_bench.sizes import Size, sized_configuration
from borderpost_bench.targets import Target
from borderpost_bench.traffic import TRAFFIC

SIZE = Size(300, 10_000)
COUNT, WARM = 4000, 500
"""Decisions measured of each kind, and before."""
_KNOWN = 100
"""Facts that are asked again and again."""
_DIGEST = "sha256:" + "0" * 64
_PARTS = dict.fromkeys(("policy", "events", "catalog", "signals"), _DIGEST)
_LETTERS = string.digits + string.ascii_uppercase


def sized_view(size: Size) -> View:
    """Return what a worker would decide by with a configuration of this size; nothing is remembered yet."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_events(directory, [])
        path = directory / "borderpost.yaml"
        path.write_text(yaml.safe_dump(sized_configuration(size, admin_port=1), sort_keys=False))
        loaded = load_config(path, environ={})
    law = CompiledLaw.of(loaded.bundle, Catalog.of(loaded.config.regions, loaded.config.ranking))
    return View.of(law, EventList(), Signals.empty("0" * 16, 0), GeoDatabase.open(), _PARTS)


def _with_tenant(number: int, country: str, _part: str) -> Facts:
    return Facts((Evidence(Source.GEOIP, country, True),), ("personal",), tenant=f"t-{number}")


def _with_model(number: int, country: str, _part: str) -> Facts:
    return Facts((Evidence(Source.GEOIP, country, True),), ("personal",), model=f"m-{number}")


def _with_place(_number: int, country: str, part: str) -> Facts:
    asserted = Evidence(Source.HEADER, f"{country}-{part}")
    return Facts((asserted, Evidence(Source.GEOIP, country, True)), ("personal",))


def _with_all(number: int, country: str, part: str) -> Facts:
    asserted = Evidence(Source.HEADER, f"FR-{part}")
    classes = ("health", "personal") if number % 2 else ("personal",)
    evidence = (asserted, Evidence(Source.GEOIP, country, True))
    return Facts(evidence, classes, tenant=f"t-{number}", model=f"m-{number}")


def _with_class(number: int, country: str, _part: str) -> Facts:
    return Facts((Evidence(Source.GEOIP, country, True),), (f"c-{number}", "personal"))


KINDS: dict[str, Callable[[int, str, str], Facts]] = {
    "tenant": _with_tenant, "model": _with_model, "place": _with_place, "class": _with_class, "all": _with_all,
}  # fmt: skip
"""What is new in the facts, by name. A class that nobody knows is refused; `all` is two places that disagree, a data
class, a tenant and a model."""


def distinct_facts(kind: str, count: int) -> list[Facts]:
    """Return so many facts, no two of them equal, of the countries that clients come from."""
    countries = itertools.cycle([client.country for client in TRAFFIC["sized"]])
    parts = ("".join(three) for three in itertools.product(_LETTERS, repeat=3))
    return [KINDS[kind](number, next(countries), next(parts)) for number in range(count)]


def mean_us(ask: Callable[[Facts], object], facts: Sequence[Facts]) -> float:
    """Return how many microseconds of CPU an answer on these facts takes, collections of garbage included."""
    gc.collect()
    begun_ns = time.process_time_ns()
    for one in facts:
        ask(one)
    return (time.process_time_ns() - begun_ns) / 1000 / len(facts)


def measure_cold(_settings: Settings, _engine: str, *, size: Size = SIZE, count: int = COUNT) -> Round:
    """Decide on facts of each kind, none of them seen before; then on facts that have all been seen."""
    now_us = time.time_ns() // 1000
    view = sized_view(size)
    policy, events = view.compiled.policy, view.events

    def whole(facts: Facts) -> object:
        return view.decide(facts, now_us)

    def law(facts: Facts) -> object:
        return decide(facts, policy, events, now_us)

    figures = {"first_of_all_us": round(mean_us(whole, distinct_facts("place", 1)), 1)}
    laws: list[float] = []
    for kind in KINDS:
        facts = distinct_facts(kind, count + WARM)
        mean_us(whole, facts[:WARM])
        figures[f"{kind}_us"] = round(mean_us(whole, facts[WARM:]), 2)
        laws.append(mean_us(law, facts[WARM:]))
    known = distinct_facts("tenant", _KNOWN)
    mean_us(whole, known)
    figures["worst_us"] = max(figures[f"{kind}_us"] for kind in KINDS)
    figures["law_us"] = round(max(laws), 2)
    figures["remembered_us"] = round(mean_us(whole, known * max(1, count // _KNOWN)), 2)
    return Round(figures=figures)


COLD = Experiment(
    name="cold",
    title="a cold decision, 300 regions and 10,000 entries",
    run=measure_cold,
    targets=(
        Target(figure="worst_us", most=50.0, what="a cold decision at 300 regions, whatever is new in it, µs"),
        Target(figure="law_us", most=50.0, what="the law alone of such a decision, µs"),
        Target(figure="remembered_us", most=3.0, what="a decision on facts that are known, µs"),
    ),
)
