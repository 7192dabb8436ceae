"""Seeded random legal events of every type, over the names of one world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from borderpost.policy.event_schema import WIDENING, EventsFile

DAYS = [datetime(2027, month, 1, tzinfo=UTC) for month in range(1, 9)]
SIGNATURE = "A" * 86 + "=="


def some(random: Random, pool: Sequence[Any], least: int = 1, most: int = 3) -> list[Any]:
    return random.sample(list(pool), random.randint(least, min(most, len(pool))))


@dataclass(frozen=True)
class Scopes:
    """What the scopes of events may name."""

    regions: Sequence[str]
    places: Sequence[str]
    data: Sequence[str]
    regimes: Sequence[str]
    counters: Sequence[str]
    tenants: Sequence[str]
    models: Sequence[str]

    def draw(self, random: Random, name: str) -> list[str]:
        """Return one or two values for a part of a scope."""
        pools: dict[str, Sequence[str]] = {
            "regions": self.regions, "countries": [*self.places, *"***"], "subjects": self.places, "data": self.data,
            "regimes": self.regimes, "tenants": self.tenants, "models": self.models,
            "operators": ["Cloud A", "Cloud B"], "bases": ["a", "b", "c0", "open", "granted"],
        }  # fmt: skip
        return some(random, pools[name], 1, 2)


_NEEDED = {
    "region_suspend": ["regions"],
    "region_restore": ["regions"],
    "sanctions_add": ["subjects"],
    "sanctions_lift": ["subjects"],
    "adequacy_revoke": ["bases"],
    "adequacy_grant": ["regimes", "countries"],
}
_BESIDES = {
    "sanctions_lift": ["regimes"],
    "adequacy_revoke": ["regimes", "countries", "regions", "operators"],
    "injunction": ["regions", "countries", "operators", "subjects", "data", "models", "tenants", "regimes", "bases"],
}
_BESIDES["regulator_order"] = _BESIDES["injunction"]
TYPES = [*_NEEDED, "injunction", "regulator_order", "threshold_reached", "lift"]


def approvals(random: Random, days: Sequence[datetime]) -> list[dict[str, Any]]:
    """Return mostly those of two people, else none to three, some of them by one signer or with one key."""
    signers = [("ada", "a"), ("bob", "b")]
    if random.random() < 0.4:
        signers = [(random.choice(["ada", "bob"]), random.choice("ab")) for _ in range(random.randint(0, 3))]
    return [
        {"by": by, "key": "sha256:" + key * 64, "at": random.choice(days), "signature": SIGNATURE}
        for by, key in signers
    ]


def event(random: Random, number: int, scopes: Scopes, narrowing: Sequence[str]) -> dict[str, Any]:
    """Return one event in the file's form; a type that nothing here fits gives way to a suspension."""
    kind = random.choice(TYPES)
    if (kind == "lift" and not narrowing) or (kind == "threshold_reached" and not scopes.counters):
        kind = "region_suspend"
    needed, besides = _NEEDED.get(kind, []), _BESIDES.get(kind, [])
    if kind in ("injunction", "regulator_order"):
        needed = [random.choice(["regions", "countries", "operators", "subjects", "bases"])]
    named = {*needed, *(name for name in besides if random.random() < 0.25)}
    start, end = sorted(random.sample(DAYS, 2))
    built: dict[str, Any] = {
        "id": f"e{number}",
        "type": kind,
        "scope": {name: scopes.draw(random, name) for name in sorted(named)},
        "effective_from": start,
        "effective_until": random.choice([None, None, end]),
        "recorded_at": DAYS[min(number * 2 + random.randint(0, 1), len(DAYS) - 1)],
        "source": "s",
        "reason": "r",
        "mode": random.choice(["enforce"] * 5 + ["drill"]),
    }
    if kind in WIDENING:
        built["approvals"] = approvals(random, DAYS[:5])
    if kind == "adequacy_grant":
        if random.random() < 0.5:
            built["scope"]["countries"] = ["*"]
        built["basis"] = random.choice(["a", "granted"])
    if kind == "lift":
        built["ends"] = random.choice(narrowing)
    if kind == "threshold_reached":
        built |= {"counter": random.choice(scopes.counters), "count": random.choice([100, 200])}
    return built


def events(random: Random, scopes: Scopes) -> EventsFile:
    """Return none to five events, in the order in which they became known."""
    listed: list[dict[str, Any]] = []
    for number in range(random.choice([0, 0, 1, 2, 3, 4, 5])):
        narrowing = [one["id"] for one in listed if one["type"] not in WIDENING]
        listed.append(event(random, number, scopes, narrowing))
    listed.sort(key=lambda one: one["recorded_at"])
    return EventsFile.model_validate({"events": listed, "clock_error_us": random.choice([0, 2])})
