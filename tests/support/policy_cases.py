"""Seeded random policies, catalogues, events and requests: small worlds in which every rule meets every other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from pydantic import ValidationError

from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.event_schema import EventsFile
from borderpost.policy.model import Evidence, Facts, Mode, Source
from borderpost.policy.schema import RegionSpec
from borderpost_base.errors import Problems
from support.event_cases import DAYS, Scopes, event, events, some

RULE_CODES = ["DE", "FR", "US", "UA", "UA-43", "UA-30", "AE", "AE-DU", "AE-DIFC", "AE-ADGM", "CA", "CA-QC", "KP"]
EVIDENCE_CODES = [*RULE_CODES, "UA-05", "AE-AZ", "AE-FZZZ", "FR-NC", "NC", "BR"]
CLASSES = ["public", "personal", "health", "genomic", "draft"]
TENANTS, MODELS, PURPOSES = ["acme", "umbrella"], ["llama", "other"], ["care", "fraud"]
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class World:
    """One policy with its catalogue and events."""

    bundle: PolicyBundle
    regions: dict[str, RegionSpec]
    events: EventsFile


def window(random: Random) -> dict[str, str]:
    if random.random() < 0.4:
        return {}
    start, end = sorted(random.sample(range(len(DAYS)), 2))
    window = {"from": DAYS[start].date().isoformat(), "until": DAYS[end].date().isoformat()}
    return random.choice([{}, {"from": window["from"]}, {"until": window["until"]}, window])


REQUIREMENTS: dict[str, Any] = {
    "operator_certified": "cert", "contract": "scc", "tia": "approved", "attestation": "sev-snp",
    "encryption": "in-use",
}  # fmt: skip


def require(random: Random) -> dict[str, Any]:
    if random.random() < 0.2:
        return {"operator_in": some(random, ["DE", "US", "UA", "CA"], 1, 2)}
    return {key: REQUIREMENTS[key] for key in some(random, sorted(REQUIREMENTS), 1, 2)}


def places(random: Random, groups: list[str]) -> list[str]:
    return some(random, RULE_CODES + groups * 2 + ["*"])


def threshold(random: Random, counters: list[dict[str, Any]]) -> dict[str, Any]:
    return {"counter": random.choice(counters)["id"], "count": random.choice([100, 200])}


def allow(random: Random, index: int, groups: list[str], counters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "to": places(random, groups),
        "basis": random.choice(["a", "b", f"c{index}"]),
        **window(random),
        **({"require": require(random)} if random.random() < 0.3 else {}),
        **({"except_data": some(random, CLASSES, 1, 1)} if random.random() < 0.3 else {}),
        **({"only_in": "hybrid"} if random.random() < 0.35 else {}),
        **({"revocable": False} if random.random() < 0.3 else {}),
        **({"below": threshold(random, counters)} if counters and random.random() < 0.4 else {}),
    }


def deny(random: Random, index: int, groups: list[str], counters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "to": places(random, groups),
        **({"basis": f"d{index}"} if random.random() < 0.5 else {}),
        **window(random),
        **({"unless": require(random)} if random.random() < 0.3 else {}),
        **({"data": some(random, CLASSES, 1, 1)} if random.random() < 0.4 else {}),
        **({"operator_in": some(random, ["DE", "US", "UA-43"], 1, 2)} if random.random() < 0.3 else {}),
        **({"above": threshold(random, counters)} if counters and random.random() < 0.4 else {}),
    }


def regime(random: Random, number: int, groups: list[str]) -> dict[str, Any]:
    applies: dict[str, Any] = {"subject_in": places(random, groups)}
    if random.random() < 0.7:
        applies["data"] = some(random, CLASSES[:4], 1, 2)
    for name, pool in (("tenant", TENANTS), ("model", MODELS), ("purpose", PURPOSES)):
        if random.random() < 0.12:
            applies[name] = some(random, pool, 1, 1)
    built: dict[str, Any] = {"id": f"r{number}", "title": "t", "source": "s", "applies_when": applies, **window(random)}
    if random.random() < 0.2:
        applies["subject_in"] = [ref for ref in applies["subject_in"] if ref != "*"] or ["KP"]
        return {**built, "kind": "embargo"}
    if random.random() < 0.4:
        built["default"] = "allow"
        if random.random() < 0.6:
            built["basis"] = "open"
    counters = [{"id": f"n{number}", "bases": ["a"]}] if random.random() < 0.3 else []
    entries = [allow(random, index, groups, counters) for index in range(random.randint(0, 4))]
    if counters:
        entries.append({"to": "*", "basis": "a"} if random.random() < 0.5 else {"to": "DE", "basis": "a"})
    built["allow"] = entries
    built["deny"] = [deny(random, index, groups, counters) for index in range(random.choice([0, 0, 1, 2]))]
    return {**built, "counters": counters} if counters else built


def processor(random: Random) -> dict[str, Any]:
    country = random.choice(["DE", "DE", "FR", "US", "UA", "AE", "CA"])
    inside = [code for code in (*RULE_CODES, "UA-05", "AE-AZ") if code.startswith(country + "-")]
    built: dict[str, Any] = {"country": country}
    if inside and random.random() < 0.6:
        built["subdivision"] = random.choice(inside)
    operator: dict[str, Any] = {}
    if random.random() < 0.5:
        operator["certifications"] = ["cert"]
    if random.random() < 0.5:
        operator["jurisdiction"] = random.choice(["DE", "US", "UA", "UA-43", "CA"])
    if random.random() < 0.5:
        operator["entity"] = random.choice(["Cloud A", "Cloud B"])
    if operator:
        built["operator"] = operator
    if random.random() < 0.5:
        built |= {"contracts": ["scc"], "tia": "approved"}
    if random.random() < 0.4:
        built |= {"attestations": ["sev-snp"], "encryption": ["in-use"]}
    return built


def elsewhere(random: Random, groups: list[str]) -> Any:
    """Return where something is kept: mostly at home, else anywhere that the language can say."""
    words = ["same", "same", "same", "none", "none", "global", "unknown", f"zone:{random.choice(groups)}"]
    return random.choice([*words, random.choice(["DE", "FR", "UA-43", "AE"]), processor(random)])


def region(random: Random, groups: list[str], at_home: bool) -> dict[str, Any]:
    scope = random.choice(["single", "single", "single", "global", f"zone:{random.choice(groups)}"])
    kept = {"retention": "same", "telemetry": random.choice(["same", "none"])}
    if not at_home:
        kept = {"retention": elsewhere(random, groups), "telemetry": elsewhere(random, groups)}
    return {**processor(random), "processing_scope": scope, **kept}


def pack(id_: str, regimes: list[Any], *, parent: str | None = None, **more: Any) -> dict[str, Any]:
    metadata = {"id": id_, "version": "1", "as_of": "2026-11-20", "not_legal_advice": True}
    if parent is not None:
        metadata["parent"] = parent
    return {"apiVersion": "residency/v1", "kind": "PolicyPack", "metadata": metadata, "regimes": regimes, **more}


def world(random: Random) -> World:
    """Return a consistent world; draws again where a draw contradicts itself."""
    while True:
        try:
            return draw_world(random)
        except (ValidationError, Problems):
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
    cuts = sorted(random.randint(0, len(regimes)) for _ in range(2))
    modes = [str(mode) for mode in Mode]
    classes: dict[str, dict[str, Any]] = {
        "public": {"rank": 0},
        "personal": {},
        "health": {"implies": ["personal"], "rank": 3},
        "genomic": {"implies": ["health"], "rank": 3},
    }
    if random.random() < 0.4:
        classes[random.choice(CLASSES[:4])]["mode"] = random.choice(modes)
    parent = pack("p", regimes[: cuts[0]], groups=groups, data_classes=classes)
    child = pack("q", regimes[cuts[0] : cuts[1]], parent="p", data_classes={"draft": {"rank": random.choice([0, 1])}})
    bundle = PolicyBundle.model_validate(
        {
            "here": processor(random),
            "sinks": {f"sink-{number}": processor(random) for number in range(random.choice([0, 0, 0, 1, 2]))},
            "packs": [parent, child],
            "inline": {
                "regimes": regimes[cuts[1] :],
                "no_regime": random.choice(["allow", "allow", "refuse"]),
                "mode": random.choice(["legal-first", "legal-first", "hybrid"]),
            },
            "evidence": evidence_spec(random),
            "tenants": {name: {} for name in TENANTS},
        }
    )
    at_home = random.random() < 0.5
    regions = {
        f"region-{number}": RegionSpec.model_validate(region(random, names, at_home))
        for number in range(random.randint(1, 5))
    }
    return World(bundle, regions, events(random, scopes_of(bundle, regions)))


def scopes_of(bundle: PolicyBundle, regions: dict[str, RegionSpec]) -> Scopes:
    """Return the names that events of this world may name."""
    return Scopes(
        regions=sorted(regions),
        places=[*RULE_CODES, *sorted(bundle.vocabulary.groups), "UA-14"],
        data=CLASSES[:4],
        regimes=[one.id for one in bundle.regimes],
        counters=[counter.id for one in bundle.regimes for counter in one.counters],
        tenants=TENANTS,
        models=MODELS,
    )


def one_event(random: Random, world: World) -> dict[str, Any]:
    """Return one more event for a world, with an id of its own; a `lift` ends one that is listed."""
    narrowing = [one.id for one in world.events.events if not one.widens]
    return event(random, 99, scopes_of(world.bundle, world.regions), narrowing)


def evidence_spec(random: Random) -> dict[str, Any]:
    treat_as = [code for code in some(random, EVIDENCE_CODES, 1, 2) if code != "FR-NC"] or ["DE"]
    return {
        "subdivision_unknown": random.choice(["country-only", "country-only", "strictest", "refuse"]),
        "unknown": random.choice(["refuse", {"treat_as": treat_as}]),
        "trust_model_header": random.random() < 0.5,
    }


def facts(random: Random) -> Facts:
    evidence = tuple(
        Evidence(
            source,
            random.choice(EVIDENCE_CODES if random.random() > 0.005 else ["ZZ", "de", "DE-"]),
            doubt="anonymiser" if source is Source.GEOIP and random.random() < 0.2 else None,
        )
        for source, chance in zip(Source, (0.3, 0.15, 0.4, 0.75), strict=True)
        if random.random() < chance
    )
    classes = some(random, CLASSES, 0, 2)
    if random.random() < 0.02:
        classes.append("secret")
    return Facts(
        evidence,
        tuple(sorted(classes)),
        random.choice([None, *TENANTS]),
        random.choice([None, *MODELS]),
        random.choice([None] * 30 + ["token"]),
        random.choice([None, *PURPOSES]),
        random.choice([None, None, None, *Mode]),
    )


def instant(random: Random) -> datetime:
    """Return an instant at, just before or just after a date of the world (with its clock error, of 0 or 2 µs)."""
    return random.choice(DAYS) + random.choice([timedelta(days=9), *(step * MICROSECOND for step in range(-3, 4))])
