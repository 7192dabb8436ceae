"""Raw requests in a few words, and the facts that an extractor makes of them."""

from __future__ import annotations

from typing import Any

from borderpost.facts import Extracted, Extractor, RawRequest, Rejected
from borderpost.geoip import Belief, Flags
from borderpost.policy.model import Facts
from borderpost_base.errors import ERRORS

DISTRUST = Belief(min_confidence=80, disbelieved=Flags.ANONYMISER | Flags.HOSTING)
"""What a policy believes of addresses by default."""


def facts_of(extractor: Extractor, address: str = "2.16.1.1:0", **raw: Any) -> Facts:
    extracted = extractor.extract(RawRequest(address, **raw))
    assert isinstance(extracted, Extracted), extracted
    return extracted.facts


def rejected(extractor: Extractor, address: str = "2.16.1.1:0", **raw: Any) -> tuple[int, str, str]:
    refusal = extractor.extract(RawRequest(address, **raw))
    assert isinstance(refusal, Rejected), refusal
    assert refusal.code in ERRORS
    return refusal.status, refusal.code, refusal.reason


def headers(**named: str | bytes | list[str]) -> tuple[tuple[str, bytes], ...]:
    pairs = []
    for name, value in named.items():
        for one in value if isinstance(value, list) else [value]:
            pairs.append((name.replace("_", "-"), one if isinstance(one, bytes) else one.encode()))
    return tuple(pairs)
