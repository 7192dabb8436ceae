"""The runs of which a corpus is recorded, and those that are made anew for each live comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from support.ratelimit_corpus import Run
from support.ratelimit_traffic import Traffic

CORPUS = Path(__file__).resolve().parent.parent / "data" / "ratelimit"
"""Where recordings are kept: one `NAME.jsonl` for each run, and `files.jsonl`, what is said of limits files."""
FILES = CORPUS / "files.jsonl"

_HEADERS = {"LIMIT_RESPONSE_HEADERS_ENABLED": "true"}
_METADATA = {"RESPONSE_DYNAMIC_METADATA": "true"}
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "plain": {},
    "told": {**_HEADERS, **_METADATA},
    "shadow": {**_HEADERS, "SHADOW_MODE": "true"},
    "quota": {**_HEADERS, **_METADATA, "QUOTA_MODE": "true"},
    "ambiguous": {},
    "near": {"NEAR_LIMIT_RATIO": "0.5", "LIMIT_LIMIT_HEADER": "x-limit", **_HEADERS},
}
"""Environment of each kind of run."""

_RECORDED = {"plain": 700, "told": 120, "shadow": 150, "quota": 100, "ambiguous": 350, "near": 150}
"""Requests of each recorded run."""


def run_of(kind: str, seed: int, *, domains: int, requests: int) -> Run:
    """Return a run of a kind."""
    return Traffic(seed, ambiguous=kind == "ambiguous").run(SETTINGS[kind], domains=domains, requests=requests)


def recorded() -> dict[str, Run]:
    """Return the runs of the corpus by their names."""
    return {kind: run_of(kind, 8, domains=5, requests=count) for kind, count in _RECORDED.items()}
