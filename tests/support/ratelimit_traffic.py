"""Random limits files and random requests that meet them, from a seed: what both limiters are asked alike.

Everything of envoyproxy/ratelimit's format can come: nested descriptors, values, wildcards, `unlimited`, `replaces`,
`shadow_mode`, `quota_mode`, `detailed_metric`, `value_to_metric`, `share_threshold`, every unit. Requests follow the
files' paths more often than not, come in bursts within a window and just around its end, bring hits of their own, and
sometimes a limit of their own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from support.ratelimit_corpus import Asked, Descriptor, Run

BEGIN_S = 1_772_323_170
"""When a run begins: half a minute before an hour."""
UNITS = ("second", "minute", "hour", "day", "week", "month", "year")
NUMBERS = {"second": 1, "minute": 2, "hour": 3, "day": 4, "month": 5, "year": 6, "week": 7}
LENGTHS_S = {
    "second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800, "month": 2_592_000, "year": 31_536_000,
}  # fmt: skip
_KEYS = ("tenant", "path", "method", "remote-address", "plan")
_VALUES = ("acme", "acme-2", "beta", "/v1/chat", "/v1/files/a", "/v1/files/b", "GET", "10.0.0.1", "Straße 7", "x.y:z|w")
_PREFIXES = ("ac", "/v1/", "/v1/files/", "1", "")
_AMBIGUOUS_KEYS = ("a", "a_b", "a_b_c", "b", "b_c")
_AMBIGUOUS_VALUES = ("", "b", "c", "b_c", "b*", "a_b")

Tree = dict[str, Any]
"""A descriptor of a limits file."""


class Traffic:
    """Makes runs from a seed."""

    def __init__(self, seed: int, *, ambiguous: bool = False, own_limits: bool = True) -> None:
        """Start at a seed; `ambiguous` keys and values hold the separators that counters' names are made with.

        With `own_limits` some requests bring a limit themselves.
        """
        self._own_limits = own_limits
        self._chance = random.Random(seed)
        self._keys = _AMBIGUOUS_KEYS if ambiguous else _KEYS
        self._values = _AMBIGUOUS_VALUES if ambiguous else _VALUES
        self._prefixes = ("", "b") if ambiguous else _PREFIXES

    def run(self, settings: Mapping[str, str], *, domains: int, requests: int, merged: bool = False) -> Run:
        """Return a run over so many domains and so many requests; one file a domain, or two that are `merged`.

        The program takes files in no certain order, and the first wildcard that fits; so one of two has all of them.
        """
        trees = {f"domain-{number}": self._level(0) for number in range(domains)}
        files = {}
        for domain, tree in trees.items():
            some = [one for one in tree[1::2] if merged and "*" not in one.get("value", "")]
            files[f"{domain}.yaml"] = _file(domain, [one for one in tree if one not in some])
            if some:
                files[f"{domain}-more.yaml"] = _file(domain, some)
        return Run(settings, files, list(self._asked(trees, requests)))

    def _maybe(self, probability: float) -> bool:
        return self._chance.random() < probability

    def _level(self, depth: int) -> list[Tree]:
        made, taken = [], set()
        for _ in range(self._chance.randint(1, 5 if depth == 0 else 3)):
            one = self._descriptor(depth)
            composite = one["key"] + ("_" + one["value"] if one.get("value") else "")
            if composite not in taken:
                taken.add(composite)
                made.append(one)
        return made

    def _descriptor(self, depth: int) -> Tree:
        one: Tree = {"key": self._chance.choice(self._keys)}
        kind = self._chance.random()
        if kind < 0.4:
            one["value"] = self._chance.choice(self._values)
        elif kind < 0.6:
            one["value"] = self._chance.choice(self._prefixes) + "*"
            one["share_threshold"] = self._maybe(0.4)
        if self._maybe(0.75):
            one["rate_limit"] = self._rate_limit()
        for name, probability in (
            ("shadow_mode", 0.15), ("quota_mode", 0.1), ("detailed_metric", 0.2), ("value_to_metric", 0.25),
        ):  # fmt: skip
            if self._maybe(probability):
                one[name] = True
        if depth < 2 and (self._maybe(0.35) or "rate_limit" not in one):
            one["descriptors"] = self._level(depth + 1)
        return one

    def _rate_limit(self) -> Tree:
        limit: Tree = {}
        if self._maybe(0.4):
            limit["name"] = self._chance.choice("pqrs")
        others = [name for name in "pqrs" if name != limit.get("name")]
        if self._maybe(0.2):
            limit["replaces"] = [{"name": name} for name in self._chance.sample(others, self._chance.randint(1, 2))]
        if self._maybe(0.1):
            return {**limit, "unlimited": True}
        unit = self._chance.choice(UNITS)
        limit["unit"] = self._chance.choice((unit, unit.upper(), unit.title()))
        limit["requests_per_unit"] = self._chance.choice((0, 1, 2, 3, 5, 5, 8, 10, 20, 4_294_967_295))
        return limit

    def _asked(self, trees: Mapping[str, list[Tree]], count: int) -> Iterator[Asked]:
        now_s, domains = BEGIN_S, [*trees]
        domain = self._chance.choice(domains)
        recent: list[Descriptor] = []
        for _ in range(count):
            if self._maybe(0.1):
                domain, recent = self._chance.choice(domains), []
            now_s = self._later(now_s)
            descriptors = []
            for _ in range(self._chance.choice((1, 1, 1, 2, 2, 3, 4))):
                again = recent and self._maybe(0.6)
                descriptors.append(self._chance.choice(recent) if again else self._like(trees[domain]))
            recent = [*recent, *descriptors][-6:]
            hits = self._chance.choice((0, 0, 0, 0, 1, 2, 3, 7))
            told = "nowhere" if self._maybe(0.01) else domain
            yield Asked(now_s, told, tuple(descriptors), hits)

    def _later(self, now_s: int) -> int:
        """Return when the next request comes: often at once, sometimes just before or after a window's end."""
        kind = self._chance.random()
        if kind < 0.65:
            return now_s
        if kind < 0.85:
            return now_s + self._chance.randint(1, 3)
        length_s = LENGTHS_S[self._chance.choice(("minute", "minute", "hour", "hour", "day", "week", "month"))]
        if kind < 0.97:
            return max(now_s, (now_s // length_s + 1) * length_s - self._chance.randint(0, 1))
        return now_s + self._chance.randint(0, length_s)

    def _like(self, level: list[Tree]) -> Descriptor:
        """Return a descriptor that goes down a file's tree, more or less."""
        entries: list[tuple[str, str]] = []
        while level and (not entries or self._maybe(0.7)):
            one = self._chance.choice(level)
            entries.append(self._entry(one))
            level = one.get("descriptors", [])
        if self._maybe(0.05):
            entries.append((self._chance.choice(self._keys), self._chance.choice(self._values)))
        limit = hits = None
        if self._maybe(0.05) and self._own_limits:
            limit = (self._chance.choice((0, 1, 4, 1000)), NUMBERS[self._chance.choice(UNITS)])
        if self._maybe(0.15):
            hits = self._chance.choice((0, 0, 1, 4, 1 << 33))
        return Descriptor(tuple(entries), limit, hits)

    def _entry(self, one: Tree) -> tuple[str, str]:
        value = one.get("value")
        if value is None or self._maybe(0.1):
            return one["key"], self._chance.choice(self._values)
        if value.endswith("*"):
            return one["key"], value[:-1] + self._chance.choice(("", "a", "b", "Ω"))
        return one["key"], value


def _file(domain: str, descriptors: list[Tree]) -> str:
    return yaml.safe_dump({"domain": domain, "descriptors": descriptors}, sort_keys=False, allow_unicode=True)
