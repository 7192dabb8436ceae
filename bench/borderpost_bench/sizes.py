"""Configurations of any size whose law stays the same: so many regions, so many policy entries.

Every region is a copy of one of the demo's five, at its place, and is named after it; every client of
`traffic.SIZED` may go exactly where its `legal` says, however many entries there are. So the check after a run needs
no other expectation, and what is measured differs in size alone.

    regions   taken in turn from the demo's, `eu-central-1`, `eu-west-1`, `us-east-1`…, then `eu-central-1-x0005`…
    entries   first one for each client's country, then in turn over all countries: bases of what is allowed already,
              allowances that have lapsed, denials that are to come, denials for data that no client sends
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from borderpost.demo.scenery import REGIONS, configuration
from borderpost.policy.codes import COUNTRIES
from borderpost_bench.traffic import EU, EVERYWHERE

_SUFFIX = re.compile(r"-x\d{4}$")
_FIRST = ("eu-central-1", "eu-west-1", "us-east-1", "me-central-1", "ap-southeast-1")
_ALLOWED: dict[str, frozenset[str]] = {
    **dict.fromkeys(("DE", "FR", "GB", "CH", "IT", "ES", "BR", "NL"), EU),
    "US": EVERYWHERE,
    "IN": EVERYWHERE,
}
"""What the law of each client's country allows, as `traffic.ROUTED` expects it. All of them allow the gateway's own
place, Germany, so Singapore and the Emirates are not among them."""
_FIRST_YEAR = 1971
_LAPSED, _TO_COME = "2020-01-01", "2190-01-01"
_CLASSES = {
    "public": {"rank": 0},
    "personal": {},
    "health": {"implies": ["personal"], "rank": 3},
    "payment": {"implies": ["personal"], "rank": 2},
}
_SPREAD_MS = 0.25
"""How much farther each next copy of a region is, so that copies differ as real regions do."""

REGIONS_MIN, ENTRIES_MIN = 3, len(_ALLOWED)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a configuration is."""

    regions: int
    entries: int
    """Allow and deny entries of the policy together."""

    def __post_init__(self) -> None:
        if self.regions < REGIONS_MIN or self.entries < ENTRIES_MIN:
            raise ValueError(f"at least {REGIONS_MIN} regions and {ENTRIES_MIN} entries")


def copied_from(region: str) -> str:
    """Return the demo's region that a region is a copy of; itself if it is none."""
    return _SUFFIX.sub("", region)


def region_ids(count: int) -> list[str]:
    """Return the ids of so many regions."""
    return [_FIRST[index] if index < len(_FIRST) else f"{_FIRST[index % len(_FIRST)]}-x{index:04d}"
            for index in range(count)]  # fmt: skip


def sized_configuration(size: Size, *, admin_port: int) -> dict[str, Any]:
    """Return a gateway's configuration of that size, without probes. Paths are relative to the file."""
    config = configuration({}, admin_port=admin_port)
    ids = region_ids(size.regions)
    config["regions"] = {region: dict(REGIONS[copied_from(region)]) for region in ids}
    config["policy"] = {"packs": [], "data_classes": _CLASSES, "regimes": list(_regimes(size.entries))}
    config["ranking"] = {
        "latency_ms": {
            area: {region: row[copied_from(region)] + index // len(_FIRST) * _SPREAD_MS
                   for index, region in enumerate(ids)}
            for area, row in config["ranking"]["latency_ms"].items() if area != "EU"
        },
        "probes": {},
    }  # fmt: skip
    return config


def _regimes(entries: int) -> Iterator[dict[str, Any]]:
    """Yield one regime a country, the clients' first, until all entries are given out."""
    countries = [*_ALLOWED, *sorted(COUNTRIES - _ALLOWED.keys())]
    for position, country in enumerate(countries):
        allowed = _ALLOWED.get(country, EU)
        count = len(range(position, entries, len(countries)))
        if count == 0:
            return
        regime: dict[str, Any] = {
            "id": f"law-{country.lower()}", "title": f"Law of {country}", "source": "bench",
            "applies_when": {"subject_in": [country]}, "default": "deny", "allow": [], "deny": [],
        }  # fmt: skip
        for number in range(count):
            kind, entry = _entry(number, allowed, position)
            regime[kind].append(entry)
        yield regime


def _entry(number: int, allowed: frozenset[str], position: int) -> tuple[str, dict[str, Any]]:
    """Return the n-th entry of a regime, and whether it is an `allow` or a `deny`."""
    to = _places(allowed)
    if number == 0:
        return "allow", {"to": to, "basis": "home"}
    anywhere = _places(frozenset({_FIRST[(number + position) % len(_FIRST)]}))
    kind, year = number % 4, _FIRST_YEAR + number // 4
    if kind == 1:  # what is allowed already, for a year: so the timeline has many boundaries
        return "allow", {"to": to, "basis": "yearly", "from": f"{year}-01-01", "until": f"{year + 1}-01-01"}
    if kind == 2:
        return "deny", {"to": anywhere, "basis": f"secrecy-{number}", "data": ["payment"]}
    if kind == 3:
        return "allow", {"to": anywhere, "basis": f"treaty-{number}", "until": _LAPSED}
    return "deny", {"to": anywhere, "basis": f"statute-{number}", "from": _TO_COME}


def _places(regions: frozenset[str]) -> list[str]:
    return sorted(REGIONS[region]["country"] for region in regions)
