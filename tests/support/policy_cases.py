"""Seeded random policies, catalogues, events and requests: small worlds in which every rule meets every other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from pydantic import ValidationError

from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.model import Evidence, Facts, Source
from borderpost.policy.event_schema import EventsFile
from borderpost.policy.schema import RegionSpec

RULE_CODES = ["DE", "FR", "US", "UA", "UA-43", "UA-30", "AE", "AE-DU", "AE-DIFC", "AE-ADGM", "CA", "CA-QC", "KP"]
EVIDENCE_CODES = [*RULE_CODES, "UA-05", "AE-AZ", "AE-FZZZ", "FR-NC", "NC", "BR"]
CLASSES = ["public", "personal", "health", "genomic"]
DAYS = [datetime(2027, month, 1, tzinfo=UTC) for month in range(1, 9)]
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class World:
    """One policy with its catalogue and events."""

    bundle: PolicyBundle
    regions: dict[str, RegionSpec]
    events: EventsFile


def some(random: Random, pool: list[Any], least: int = 1, most: int = 3) -> list[Any]:
    return random.sample(pool, random.randint(least, min(most, len(pool))))


def window(random: Random) -> dict[str, str]:
    days = [day.date().isoformat() for day in sorted(random.sample(DAYS, 2))]
    return random.choice([{}, {}, {"from": days[0]}, {"until": days[1]}, {"from": days[0], "until": days[1]}])


def require(random: Random) -> dict[str, str]:
    options = {"operator_certified": "cert", "contract": "scc", "tia": "approved"}
    return {key: options[key] for key in some(random, sorted(options), 1, 2)}


def places(random: Random, groups: list[str]) -> list[str]:
    return some(random, RULE_CODES + groups * 2 + ["*"])


def regime(random: Random, number: int, groups: list[str]) -> dict[str, Any]:
    applies: dict[str, Any] = {"subject_in": places(random, groups)}
    if random.random() < 0.7:
        applies["data"] = some(random, CLASSES, 1, 2)
    if random.random() < 0.15:
        applies["tenant"] = some(random, ["acme", "umbrella"], 1, 1)
    if random.random() < 0.15:
        applies["model"] = ["llama"]
    built: dict[str, Any] = {"id": f"r{number}", "title": "t", "source": "s", "applies_when": applies, **window(random)}
    if random.random() < 0.2:
        applies["subject_in"] = [ref for ref in applies["subject_in"] if ref != "*"] or ["KP"]
        return {**built, "kind": "embargo"}
    if random.random() < 0.4:
        built["default"] = "allow"
        if random.random() < 0.6:
            built["basis"] = "open"
    built["allow"] = [
        {
            "to": places(random, groups),
            "basis": random.choice(["a", "b", f"c{index}"]),
            **window(random),
            **({"require": require(random)} if random.random() < 0.3 else {}),
            **({"except_data": some(random, CLASSES, 1, 1)} if random.random() < 0.3 else {}),
        }
        for index in range(random.randint(0, 4))
    ]
    built["deny"] = [
        {
            "to": places(random, groups),
            **({"basis": f"d{index}"} if random.random() < 0.5 else {}),
            **window(random),
            **({"unless": require(random)} if random.random() < 0.3 else {}),
            **({"data": some(random, CLASSES, 1, 1)} if random.random() < 0.4 else {}),
        }
        for index in range(random.choice([0, 0, 1, 2]))
    ]
    return built


def processor(random: Random) -> dict[str, Any]:
    country = random.choice(["DE", "DE", "FR", "US", "UA", "AE", "CA"])
    inside = [code for code in (*RULE_CODES, "UA-05", "AE-AZ") if code.startswith(country + "-")]
    built: dict[str, Any] = {"country": country}
    if inside and random.random() < 0.6:
        built["subdivision"] = random.choice(inside)
    if random.random() < 0.5:
        built["operator"] = {"certifications": ["cert"]}
    if random.random() < 0.5:
        built |= {"contracts": ["scc"], "tia": "approved"}
    return built


def world(random: Random) -> World:
    """Return a consistent world; draws again where a draw contradicts itself."""
    while True:
        try:
            return draw_world(random)
        except ValidationError:
            continue


def draw_world(random: Random) -> World:
    groups: dict[str, Any] = {}
    for number in range(random.randint(1, 3)):
        if groups and random.random() < 0.5:
            minus = some(random, RULE_CODES, 0, 2)
            groups[f"G{number}"] = {"all_of": [random.choice(sorted(groups))], "plus": ["FR"], "minus": minus}
        else:
            groups[f"G{number}"] = some(random, RULE_CODES, 1, 4)
    names = sorted(groups)
    regimes = [regime(random, number, names) for number in range(random.randint(1, 6))]
    cut = random.randint(0, len(regimes))
    pack = {
        "apiVersion": "residency/v1",
        "kind": "PolicyPack",
        "metadata": {"id": "p", "version": "1", "as_of": "2026-11-20", "not_legal_advice": True},
        "groups": groups,
        "data_classes": {
            "public": {"rank": 0},
            "personal": {},
            "health": {"implies": ["personal"], "rank": 3},
            "genomic": {"implies": ["health"], "rank": 3},
        },
        "regimes": regimes[:cut],
    }
    evidence = {
        "subdivision_unknown": random.choice(["country-only", "country-only", "strictest", "refuse"]),
        "unknown": random.choice(["refuse", {"treat_as": some(random, EVIDENCE_CODES, 1, 2)}]),
        "trust_model_header": random.random() < 0.5,
    }
    if isinstance(evidence["unknown"], dict):
        evidence["unknown"]["treat_as"] = [c for c in evidence["unknown"]["treat_as"] if c != "FR-NC"] or ["DE"]
    bundle = PolicyBundle.model_validate(
        {
            "here": processor(random),
            "packs": [pack],
            "inline": {"regimes": regimes[cut:], "no_regime": random.choice(["allow", "allow", "refuse"])},
            "evidence": evidence,
            "tenants": {"acme": {}, "umbrella": {}},
        }
    )
    regions = {}
    for number in range(random.randint(1, 5)):
        scope = random.choice(["single", "single", "single", "global", f"zone:{random.choice(names)}"])
        regions[f"region-{number}"] = RegionSpec.model_validate({**processor(random), "processing_scope": scope})
    return World(bundle, regions, events(random, sorted(regions)))


def events(random: Random, regions: list[str]) -> EventsFile:
    listed = []
    for number in range(random.choice([0, 0, 1, 2])):
        start, end = sorted(random.sample(DAYS, 2))
        listed.append(
            {
                "id": f"e{number}",
                "type": "region_suspend",
                "scope": {"regions": some(random, regions, 1, 2)},
                "effective_from": start,
                "effective_until": random.choice([None, end]),
                "recorded_at": DAYS[number * 3 + random.randint(0, 2)],
                "source": "s",
                "reason": "r",
            }
        )
    return EventsFile.model_validate({"events": listed})


def facts(random: Random) -> Facts:
    evidence = tuple(
        Evidence(source, random.choice(EVIDENCE_CODES if random.random() > 0.005 else ["ZZ", "de", "DE-"]))
        for source, chance in zip(Source, (0.3, 0.15, 0.4, 0.75), strict=True)
        if random.random() < chance
    )
    classes = some(random, CLASSES, 0, 2)
    if random.random() < 0.02:
        classes.append("secret")
    return Facts(
        evidence,
        tuple(sorted(classes)),
        random.choice([None, "acme", "umbrella"]),
        random.choice([None, "llama", "other"]),
        random.choice([None] * 30 + ["token"]),
    )


def instant(random: Random) -> datetime:
    return random.choice(DAYS) + random.choice([-MICROSECOND, timedelta(0), MICROSECOND, timedelta(days=9)])
