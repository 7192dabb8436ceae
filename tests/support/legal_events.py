"""Legal events in the file's form, in few words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from borderpost.policy.fields import EPOCH, parse_instant, to_us

START = to_us(parse_instant("2026-11-20T12:00:00Z"))
"""When events take effect and become known unless told otherwise, microseconds since 1970."""
SIGNATURE = "A" * 86 + "=="


def approvals(*names: str, at: int = START) -> list[dict[str, Any]]:
    return [
        {"by": name, "key": "sha256:" + f"{ord(name[0]):02x}" * 32, "at": stamp(at), "signature": SIGNATURE}
        for name in names
    ]


def stamp(at_us: int) -> str:
    return (EPOCH + timedelta(microseconds=at_us)).isoformat()


def event(type_: str, id_: str = "e", **more: Any) -> dict[str, Any]:
    effective, recorded = more.pop("effective", START), more.pop("recorded", START)
    until = {"effective_until": stamp(more.pop("until"))} if "until" in more else {}
    return {
        "id": id_, "type": type_, "source": "s", "reason": "r", "effective_from": stamp(effective),
        "recorded_at": stamp(recorded), **until, **more,
    }  # fmt: skip
