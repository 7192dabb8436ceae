"""What answers tell as dynamic metadata, by the fields that envoyproxy/ratelimit has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.struct_pb2 import Struct

from borderpost_ratelimit.plans import Plan
from borderpost_ratelimit.questions import Asked
from borderpost_wire.protobuf import bytes_field

if TYPE_CHECKING:
    from borderpost_ratelimit.answers import Standing


def describe(plan: Plan, standings: Sequence[Standing]) -> bytes:
    """Return field `dynamic_metadata` of a response: what was asked, and the metadata of rules that let it pass."""
    question = plan.question
    told: dict[str, Any] = {
        "domain": question.domain,
        "descriptors": [_descriptor(asked) for asked in question.asked],
        "quotaModeEnabled": any(standing.met.rule.quota for standing in standings),
    }
    if question.addend:
        told["hitsAddend"] = question.addend
    violations = [standing.part.index for standing in standings if standing.over and standing.met.quota]
    if violations:
        told["quotaModeViolations"] = violations
    metadata: dict[str, Any] = {}
    for standing in standings:
        if not standing.over and standing.met.rule.metadata is not None:
            merge(metadata, standing.met.rule.metadata)
    if metadata:
        told["metadata"] = metadata
    struct = Struct()
    struct.update(told)
    return bytes_field(6, struct.SerializeToString(deterministic=True))


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
        counted = f"requests_per_unit:{amount} " if amount else ""  # as protobuf's text format, without what is 0
        told["limit"] = f"{counted}unit:{unit.name}{several}"
    if asked.addend is not None:
        told["hitsAddend"] = asked.addend
    return told
