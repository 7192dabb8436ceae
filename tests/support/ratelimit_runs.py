"""The runs of which a corpus is recorded, and those that are made anew for each live comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from support.ratelimit_corpus import Asked, Descriptor, Run
from support.ratelimit_traffic import BEGIN_S, Traffic

CORPUS = Path(__file__).resolve().parent.parent / "data" / "ratelimit"
"""Where recordings are kept: one `NAME.jsonl` for each run, and the two below."""
FILES = CORPUS / "files.jsonl"
"""What is said of limits files."""
QUESTIONS = CORPUS / "json.jsonl"
"""What is answered to questions in JSON."""

_HEADERS = {"LIMIT_RESPONSE_HEADERS_ENABLED": "true"}
_METADATA = {"RESPONSE_DYNAMIC_METADATA": "true"}
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "plain": {},
    "told": {**_HEADERS, **_METADATA},
    "shadow": {**_HEADERS, "SHADOW_MODE": "true"},
    "quota": {**_HEADERS, **_METADATA, "QUOTA_MODE": "true"},
    "ambiguous": {},
    "counted": {},
    "merged": {"MERGE_DOMAIN_CONFIG": "true"},
    "near": {"NEAR_LIMIT_RATIO": "0.5", "LIMIT_LIMIT_HEADER": "x-limit", **_HEADERS},
}
"""Environment of each kind of run."""

_RECORDED = {
    "plain": 700,
    "told": 120,
    "shadow": 150,
    "quota": 100,
    "ambiguous": 350,
    "near": 150,
    "counted": 400,
    "merged": 150,
}
"""Requests of each recorded run."""
_ODD = """\
domain: odd
descriptors:
  - key: k
    rate_limit: {unit: hour, requests_per_unit: 5}
  - key: great
    rate_limit: {unit: hour, requests_per_unit: 4294967295}
  - key: s
    value: "a*b"
    rate_limit: {unit: hour, requests_per_unit: 7}
  - key: "t*u"
    rate_limit: {unit: hour, requests_per_unit: 6}
  - key: borderpost.request
    rate_limit: {unit: hour, requests_per_unit: 3}
"""


def run_of(kind: str, seed: int, *, domains: int, requests: int) -> Run:
    """Return a run of a kind."""
    traffic = Traffic(seed, ambiguous=kind == "ambiguous", own_limits=kind != "counted")
    return traffic.run(SETTINGS[kind], domains=domains, requests=requests, merged=kind == "merged")


def recorded() -> dict[str, Run]:
    """Return the runs of the corpus by their names."""
    made = {kind: run_of(kind, 8, domains=5, requests=count) for kind, count in _RECORDED.items()}
    return {**made, "odd": odd()}


def odd() -> Run:
    """Return a run of requests that no Envoy sends, and of corners where both may differ."""
    return Run({**_HEADERS, **_METADATA}, {"odd.yaml": _ODD}, [Asked(BEGIN_S, *one) for one in _odd_requests()])


def _odd_requests() -> Iterator[tuple[str, tuple[Descriptor, ...], int]]:
    def one(key: str, value: str, **more: Any) -> Descriptor:
        return Descriptor(((key, value),), **more)

    yield "", (one("k", "v"),), 0
    yield "odd", (), 0
    yield "odd", (Descriptor(()),), 0
    yield "odd", (one("", "v"),), 0
    yield "odd", (one("k", ""),), 0
    yield "odd", (one("k", "x" * 3000),), 0
    yield "odd", (one("k", "\0\n\x7f\u2028"),), 0
    yield "odd", (one("k", "a"), one("k", "a"), one("k", "a")), 2
    for hits in ((1 << 32) - 1, 1 << 32, 1 << 40, (1 << 52) + 1):
        yield "odd", (one("great", str(hits), hits=hits),), 0
        yield "odd", (one("great", str(hits)),), 1
    for hits in (1 << 62, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1):
        yield "odd", (one("k", "far", hits=hits),), 0
    yield "odd", (one("great", "all is left", hits=0),), 0
    yield "odd", (one("k", "own", limit=(0, 7)),), 0
    yield "odd", (one("great", "u"),), (1 << 32) - 1
    yield "odd", (one("great", "u"),), 1
    for value in ("aXb", "a*b", "ab", "a"):
        yield "odd", (one("s", value),), 0
    yield "odd", (one("t*u", ""), one("tt", "u")), 0
    yield "odd", (one("borderpost.request", "r-1"),), 0
    yield "odd", (one("borderpost.phase", "done"),), 0
    yield "odd", (one("k", "one"), one("k", "1", limit=(3, 2)), one("k", "1", limit=(3, 3)), one("k", "1")), 0
    yield "odd", tuple(one("k", str(number)) for number in range(200)), 0
    yield "odd", (Descriptor(tuple(("k", str(number)) for number in range(100))),), 0
    yield "odd", (one("k", "ends the program", limit=(3, 0)),), 0
    yield "odd", (one("k", "after it"),), 0
