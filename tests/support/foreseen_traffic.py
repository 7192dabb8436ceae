"""Random small deployments, traffic and changes, for tests of `whatif` and `risk`."""

from __future__ import annotations

import random
from typing import Any

from borderpost.catalog import Catalog
from borderpost.foresight.scenario import Scenario
from borderpost.policy.events import EventList
from borderpost.policy.fields import parse_instant, to_us
from borderpost.policy.model import Evidence, Facts, Source
from borderpost.policy.schema import RegionSpec
from borderpost.regions.config import RankingSpec
from borderpost.regions.signals import RegionSignal, Signals, State
from support.policy_builder import Court, at_home, regime

AT_US = to_us(parse_instant("2026-11-23"))
COUNTRIES = ("DE", "FR", "US", "IN", "CA")
OPERATORS = ("Acme", "Loire", "Maple", None)
JURISDICTIONS = {"Acme": "US", "Loire": "FR", "Maple": "CA", None: None}

REGIMES = (
    regime(
        "eu", ["DE", "FR"], data=["personal"],
        allow=[
            {"to": ["DE", "FR"], "basis": "home", "revocable": False},
            {"to": "US", "basis": "framework", "require": {"operator_certified": "dpf"}},
            {
                "to": "*", "basis": "clauses", "require": {"contract": "scc", "tia": "approved"},
                "except_data": ["health"],
            },
        ],
    ),
    regime("us", "US", data=["health"], default="allow", basis="open", deny=[{"to": "IN", "basis": "bulk"}]),
    regime("in", "IN", data=["personal"], allow=[{"to": ["IN", "DE"], "basis": "listed"}]),
    regime("own", "*", data=["health"], default="allow", deny=[
        {"to": "*", "operator_in": "US", "basis": "no-us", "unless": {"encryption": "in-use"}},
    ]),
)  # fmt: skip


def random_region(dice: random.Random) -> dict[str, Any]:
    """Return a region in the file's form."""
    entity = dice.choice(OPERATORS)
    operator: dict[str, Any] = {}
    if entity is not None:
        operator = {"entity": entity, "jurisdiction": JURISDICTIONS[entity]}
    if dice.random() < 0.5:
        operator["certifications"] = ["dpf"]
    spec: dict[str, Any] = {"country": dice.choice(COUNTRIES), "operator": operator}
    if dice.random() < 0.3:
        spec |= {"contracts": ["scc"], "tia": "approved"}
    if dice.random() < 0.3:
        spec["telemetry"] = dice.choice(["none", "same", "unknown", *COUNTRIES])
    if dice.random() < 0.2:
        spec["retention"] = {"country": dice.choice(COUNTRIES), "operator": {"entity": "Acme", "jurisdiction": "US"}}
    return spec


def random_scenario(seed: int, *, events: tuple[dict[str, Any], ...] = ()) -> Scenario:
    """Return a deployment of three to seven regions under some of `REGIMES`."""
    dice = random.Random(seed)
    regions = {f"r-{n}": random_region(dice) for n in range(dice.randint(3, 7))}
    court = Court(*REGIMES[: dice.randint(2, 4)], regions=regions, events=events, no_regime="allow")
    return scenario_of(court, regions, dice, events)


def scenario_of(
    court: Court, regions: dict[str, Any], dice: random.Random, events: tuple[dict[str, Any], ...] = ()
) -> Scenario:
    """Return a court's law with random figures and states of its regions."""
    specs = {name: RegionSpec.model_validate(at_home(spec)) for name, spec in regions.items()}
    latency_ms = {
        area: {name: float(dice.randint(1, 200)) for name in regions if dice.random() < 0.7} for area in ("DE", "*")
    }
    signals = Signals(
        {
            name: RegionSignal(dice.choice([State.UP, State.UP, State.UNKNOWN, State.DOWN]), dice.randint(1, 99) * 1000)
            for name in regions
            if dice.random() < 0.6
        },
        f"{dice.getrandbits(64):016x}",
        AT_US,
    )
    catalog = Catalog.of(specs, RankingSpec(latency_ms=latency_ms))
    return Scenario(court.bundle, catalog, EventList.from_canonical(_listed(events)), signals, AT_US)


def _listed(events: tuple[dict[str, Any], ...]) -> bytes:
    from borderpost.policy.event_schema import EventsFile

    return EventList(EventsFile.model_validate({"events": list(events)})).canonical()


def random_facts(dice: random.Random) -> Facts:
    """Return the facts of a request that law may be asked about."""
    sources = {dice.choice([Source.TOKEN, Source.TOKEN, Source.GEOIP, Source.HEADER]), dice.choice(list(Source))}
    evidence = tuple(
        Evidence(
            source,
            dice.choice(COUNTRIES),
            doubt="anonymiser" if source is Source.GEOIP and dice.random() < 0.2 else None,
        )
        for source in Source
        if source in sources
    )
    classes = tuple(sorted(dice.sample(["public", "personal", "health"], dice.randint(0, 2))))
    return Facts(evidence, classes, dice.choice([None, "clinic", "shop"]), dice.choice([None, "m"]))
