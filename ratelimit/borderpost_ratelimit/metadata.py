"""What answers tell as dynamic metadata, by the fields that envoyproxy/ratelimit has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.struct_pb2 import Struct

from borderpost_ratelimit.encoding import field
from borderpost_ratelimit.plans import Plan
from borderpost_ratelimit.questions import Asked


def describe(plan: Plan, passed: Sequence[int], violations: Sequence[int]) -> bytes:
    """Return field `dynamic_metadata` of a response.

    `passed` are the indexes of descriptors that are not over: the metadata of their rules is told, merged.
    `violations` are those of descriptors in quota mode that are over.
    """
    question = plan.question
    told: dict[str, Any] = {
        "domain": question.domain,
        "descriptors": [_descriptor(asked) for asked in question.asked],
        "quotaModeEnabled": any(part.met is not None and part.met.rule.quota for part in plan.parts),
    }
    if question.addend:
        told["hitsAddend"] = question.addend
    if violations:
        told["quotaModeViolations"] = list(violations)
    metadata: dict[str, Any] = {}
    for index in passed:
        met = plan.parts[index].met
        if met is not None and met.rule.metadata is not None:
            merge(metadata, met.rule.metadata)
    if metadata:
        told["metadata"] = metadata
    struct = Struct()
    struct.update(told)
    return field(6, struct.SerializeToString(deterministic=True))


def merge(into: dict[str, Any], more: Mapping[str, object]) -> None:
    """Add what is not there yet; where both have a mapping, the two are merged."""
    for key, value in more.items():
        held = into.get(key)
        if isinstance(value, Mapping):
            if key not in into:
                held = into[key] = {}
            if isinstance(held, dict):
                merge(held, value)
        elif key not in into:
            into[key] = value


def _descriptor(asked: Asked) -> dict[str, Any]:
    told: dict[str, Any] = {"entries": [f"{key}={value}" for key, value in asked.entries]}
    if asked.override is not None:
        amount, unit, multiplier = asked.override
        several = f" unit_multiplier:{{value:{multiplier}}}" if multiplier != 1 else ""
        told["limit"] = f"requests_per_unit:{amount} unit:{unit.name}{several}"
    if asked.addend is not None:
        told["hitsAddend"] = asked.addend
    return told
