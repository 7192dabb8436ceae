"""Limits files, right and wrong, of which both limiters say whether they load them.

What stands here by hand are the corners of the format that a random file does not reach: how YAML's scalars are read,
what stands in a wrong place, what is empty. `broken` spoils a random file in one place.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from support.ratelimit_traffic import Traffic

_HEAD = "domain: d\ndescriptors:\n"


def _one(*lines: str) -> str:
    """Return a file with one descriptor of these lines."""
    first, *rest = lines
    return _HEAD + "\n".join([f"  - {first}", *(f"    {line}" for line in rest)]) + "\n"


def _limit(*lines: str) -> str:
    return _one("key: k", "rate_limit:", *(f"  {line}" for line in lines))


CORNERS: dict[str, str] = {
    "empty": "",
    "nothing but a comment": "# no limits yet\n",
    "null": "null\n",
    "a list": "- domain: d\n",
    "a word": "domain\n",
    "not YAML": "domain: [d\n",
    "a tab": "domain: d\ndescriptors:\n\t- key: k\n",
    "two documents": _limit("unit: second", "requests_per_unit: 1") + "---\ndomain: e\n",
    "no domain": "descriptors: []\n",
    "domain empty": "domain: ''\n",
    "domain null": "domain:\n",
    "domain a number": "domain: 7\n",
    "domain yes": "domain: yes\n",
    "no descriptors": "domain: d\n",
    "descriptors null": "domain: d\ndescriptors:\n",
    "descriptors empty": "domain: d\ndescriptors: []\n",
    "descriptors a map": "domain: d\ndescriptors: {key: k}\n",
    "descriptors of words": "domain: d\ndescriptors: [k]\n",
    "descriptors with null": "domain: d\ndescriptors: [null]\n",
    "no key": _one("value: v"),
    "key empty": _one("key: ''"),
    "key a number": _one("key: 7", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value a number": _one("key: k", "value: 7", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value a padded number": _one("key: k", "value: 007", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value in hex": _one("key: k", "value: 0x10", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value true": _one("key: k", "value: true", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value yes": _one("key: k", "value: yes", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value off": _one("key: k", "value: off", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value y": _one("key: k", "value: y", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value null": _one("key: k", "value: null", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value a tilde": _one("key: k", "value: ~", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value with a point": _one("key: k", "value: 1.5", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value a date": _one("key: k", "value: 2026-11-21", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value a time": _one("key: k", "value: 12:30", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value an address": _one("key: k", "value: 10.0.0.1", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value a list": _one("key: k", "value: [v]", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value a map": _one("key: k", "value: {a: b}", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value a star": _one("key: k", "value: '*'", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "key a star": _one("key: 'k*'", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "value with a star inside": _one("key: k", "value: 'a*b'", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "an anchor": "domain: d\ndescriptors:\n  - &a {key: k, rate_limit: {unit: day, requests_per_unit: 1}}\n"
    "  - key: l\n    descriptors: [*a]\n",
    "a merge": "domain: d\ndescriptors:\n  - &a {key: k, rate_limit: {unit: day, requests_per_unit: 1}}\n"
    "  - <<: *a\n    key: l\n",
    "a key twice": _one("key: k", "key: l", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "a key that is a number": _one("key: k", "7: v"),
    "unknown at the top": "domain: d\nlimits: []\n",
    "unknown in a descriptor": _one("key: k", "burst: 3"),
    "unknown in a limit": _limit("unit: day", "requests_per_unit: 1", "burst: 3"),
    "capitals": _one("Key: k", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "in a wrong place: unit": _one("key: k", "unit: day"),
    "in a wrong place: key": "domain: d\nkey: k\nvalue: v\n",
    "in a wrong place: domain": _one("key: k", "domain: e"),
    "in a wrong place: shadow_mode": _limit("unit: day", "requests_per_unit: 1", "shadow_mode: true"),
    "limit null": _one("key: k", "rate_limit:"),
    "limit empty": _one("key: k", "rate_limit: {}"),
    "limit a number": _one("key: k", "rate_limit: 7"),
    "limit a list": _one("key: k", "rate_limit: [{unit: day, requests_per_unit: 1}]"),
    "no unit": _limit("requests_per_unit: 1"),
    "unit unknown": _limit("unit: fortnight", "requests_per_unit: 1"),
    "unit UNKNOWN": _limit("unit: UNKNOWN", "requests_per_unit: 1"),
    "unit in the plural": _limit("unit: seconds", "requests_per_unit: 1"),
    "unit with a blank": _limit("unit: ' day'", "requests_per_unit: 1"),
    "unit of mixed case": _limit("unit: dAy", "requests_per_unit: 1"),
    "unit a number": _limit("unit: 4", "requests_per_unit: 1"),
    "unit with a dotless i": _limit("unit: mınute", "requests_per_unit: 1"),
    "no amount": _limit("unit: day"),
    "amount null": _limit("unit: day", "requests_per_unit:"),
    "amount zero": _limit("unit: day", "requests_per_unit: 0"),
    "amount negative": _limit("unit: day", "requests_per_unit: -1"),
    "amount the greatest": _limit("unit: day", "requests_per_unit: 4294967295"),
    "amount too great": _limit("unit: day", "requests_per_unit: 4294967296"),
    "amount far too great": _limit("unit: day", "requests_per_unit: 99999999999999999999"),
    "amount a string": _limit("unit: day", "requests_per_unit: '10'"),
    "amount with a point": _limit("unit: day", "requests_per_unit: 10.0"),
    "amount with half": _limit("unit: day", "requests_per_unit: 1.5"),
    "amount with an exponent": _limit("unit: day", "requests_per_unit: 1e3"),
    "amount with an underscore": _limit("unit: day", "requests_per_unit: 1_000"),
    "amount with a comma": _limit("unit: day", "requests_per_unit: 1,000"),
    "amount octal": _limit("unit: day", "requests_per_unit: 010"),
    "amount octal of today": _limit("unit: day", "requests_per_unit: 0o10"),
    "amount hex": _limit("unit: day", "requests_per_unit: 0x10"),
    "amount binary": _limit("unit: day", "requests_per_unit: 0b101"),
    "amount with a plus": _limit("unit: day", "requests_per_unit: +5"),
    "amount in sixties": _limit("unit: day", "requests_per_unit: 1:30"),
    "amount true": _limit("unit: day", "requests_per_unit: true"),
    "unlimited": _limit("unlimited: true"),
    "unlimited with an amount": _limit("unlimited: true", "requests_per_unit: 3"),
    "unlimited with a unit": _limit("unlimited: true", "unit: day"),
    "unlimited with a unit nobody knows": _limit("unlimited: true", "unit: fortnight"),
    "unlimited yes": _limit("unlimited: yes"),
    "unlimited on": _limit("unlimited: On"),
    "unlimited a string": _limit("unlimited: 'true'"),
    "unlimited a number": _limit("unlimited: 1"),
    "unlimited null": _limit("unlimited:", "unit: day", "requests_per_unit: 1"),
    "unlimited false": _limit("unlimited: false"),
    "shadow yes": _one("key: k", "shadow_mode: yes", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "shadow y": _one("key: k", "shadow_mode: y", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "shadow a string": _one("key: k", "shadow_mode: 'true'", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "shadow without a limit": _one("key: k", "shadow_mode: true"),
    "shadow and quota": _one(
        "key: k", "shadow_mode: true", "quota_mode: true", "rate_limit: {unit: day, requests_per_unit: 1}"
    ),
    "name empty": _limit("name: ''", "unit: day", "requests_per_unit: 1"),
    "name a number": _limit("name: 7", "unit: day", "requests_per_unit: 1"),
    "replaces": _limit("name: a", "replaces: [{name: b}, {name: c}]", "unit: day", "requests_per_unit: 1"),
    "replaces nobody": _limit("name: a", "replaces: []", "unit: day", "requests_per_unit: 1"),
    "replaces null": _limit("name: a", "replaces:", "unit: day", "requests_per_unit: 1"),
    "replaces with null": _limit("name: a", "replaces: [null]", "unit: day", "requests_per_unit: 1"),
    "replaces itself": _limit("name: a", "replaces: [{name: a}]", "unit: day", "requests_per_unit: 1"),
    "replaces without a name": _limit("replaces: [{name: ''}]", "unit: day", "requests_per_unit: 1"),
    "replaces words": _limit("replaces: [b]", "unit: day", "requests_per_unit: 1"),
    "replaces a map": _limit("replaces: {name: b}", "unit: day", "requests_per_unit: 1"),
    "replaces somebody who is not there": _limit("replaces: [{name: z}]", "unit: day", "requests_per_unit: 1"),
    "share_threshold": _one(
        "key: k", "value: 'a*'", "share_threshold: true", "rate_limit: {unit: day, requests_per_unit: 1}"
    ),
    "share_threshold without a star": _one("key: k", "value: a", "share_threshold: true"),
    "share_threshold without a value": _one("key: k", "share_threshold: true"),
    "share_threshold with a star in the key": _one("key: 'k*'", "share_threshold: true"),
    "the same key twice": _HEAD + "  - key: k\n  - key: k\n",
    "the same key and value twice": _HEAD + "  - {key: k, value: v}\n  - {key: k, value: v}\n",
    "the same by an underscore": _HEAD + "  - {key: k, value: v}\n  - {key: k_v}\n",
    "the same key at two depths": _HEAD + "  - {key: k, descriptors: [{key: k}]}\n",
    "a key with and without a value": _HEAD + "  - {key: k}\n  - {key: k, value: v}\n",
    "two wildcards": _HEAD + "  - {key: k, value: 'a*'}\n  - {key: k, value: 'ab*'}\n",
    "control characters": _one('key: "k\\u0001"', 'value: "v\\n"', "rate_limit: {unit: day, requests_per_unit: 1}"),
    "Unicode": _one("key: ключ", "value: 値", "rate_limit: {unit: day, requests_per_unit: 1}"),
    "a byte order mark": "\ufeffdomain: d\n",
    "Windows lines": _limit("unit: day", "requests_per_unit: 1").replace("\n", "\r\n"),
    "a tag": "domain: !!str d\n",
    "a tag of Python": "domain: !!python/name:os.system d\n",
}  # fmt: skip
"""By what is particular about each."""


def cases(count: int, seed: int) -> dict[str, str]:
    """Return the corners, and so many random files, every second of them broken; by name."""
    found = {f"corner-{number:03}.yaml": text for number, text in enumerate(CORNERS.values())}
    for number, text in enumerate(_random(count, seed)):
        found[f"random-{number:03}.yaml"] = text
    return found


def _random(count: int, seed: int) -> Iterator[str]:
    for number in range(count):
        (text,) = Traffic(seed + number).run({}, domains=1, requests=0).files.values()
        yield broken(text, seed + number) if number % 2 else text


def broken(text: str, seed: int) -> str:
    """Return a file that differs from a good one in one place, which may or may not be a fault."""
    chance, tree = random.Random(seed), yaml.safe_load(text)
    nodes = list(_nodes(tree["descriptors"]))
    chance.choice(_BREAKS)(chance, tree, copy.deepcopy(chance.choice(nodes)), chance.choice(nodes))
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def _nodes(level: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in level:
        yield one
        yield from _nodes(one.get("descriptors", []))


Break = Callable[[random.Random, dict[str, Any], dict[str, Any], dict[str, Any]], None]
"""Takes a source of chance, the file, another descriptor of it, and the descriptor to spoil."""


def _set(name: str, *values: object) -> Break:
    def spoil(chance: random.Random, _tree: object, _other: object, node: dict[str, Any]) -> None:
        node[name] = chance.choice(values)

    return spoil


def _set_limit(name: str, *values: object) -> Break:
    def spoil(chance: random.Random, _tree: object, _other: object, node: dict[str, Any]) -> None:
        node.setdefault("rate_limit", {})[name] = chance.choice(values)

    return spoil


def _repeat(_chance: random.Random, tree: dict[str, Any], other: dict[str, Any], _node: object) -> None:
    tree["descriptors"].append(other)


_BREAKS: tuple[Break, ...] = (
    _set("key", "", "k_acme", 7, None),
    _set("value", "", "acme*", "a*b", 7, True, 1.5, None, ["v"]),
    _set("share_threshold", True, False),
    _set("shadow_mode", True, "yes", 1),
    _set("rate_limit", None, {}, 3, []),
    _set("rate_limits", {}),
    _set("descriptors", None, [], {}, ["k"]),
    _set_limit("unit", "", "DAY", "days", "UNKNOWN", None, 3),
    _set_limit("requests_per_unit", -1, 1.5, "7", "seven", 1 << 32, None),
    _set_limit("unlimited", True, False, "true"),
    _set_limit("name", "p", "", 3),
    _set_limit("replaces", [{"name": "p"}], [{"name": ""}], [{}], ["p"], None),
    _set_limit("burst", 3),
    _repeat,
)
