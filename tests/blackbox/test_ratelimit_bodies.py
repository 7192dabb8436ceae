"""Limits by what a body says: the model it names and the data class found in it, which no header tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost_envoy import Via
from support.clients import GERMAN
from support.gateway import eventually
from support.payload_gateway import HOME, JSON, chat, payload_gateway

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

ASKED: dict[str, Any] = {
    "domain": "inference",
    "when_unreachable": "refuse",
    "timeout_ms": 3000,
    "descriptors": [
        {"keys": [{"key": "model", "fact": "model"}], "charge": "usage.total_tokens"},
        {"keys": [{"key": "class", "fact": "class"}]},
    ],
}
LIMITS: dict[str, Any] = {
    "format": "borderpost/1",
    "domain": "inference",
    "descriptors": [
        {
            "key": "model",
            "value": "big",
            "limits": [{"algorithm": "budget", "amount": 10, "every": "day", "reserve": 9}],
        },
        {"key": "class", "value": "ledger*", "limits": [{"algorithm": "fixed_window", "amount": 1, "every": "day"}]},
    ],
}


def test_limits_go_by_the_model_and_the_class_of_a_body(tmp_path: Path) -> None:
    (tmp_path / "limits.yaml").write_text(yaml.safe_dump(LIMITS))
    limiter = {"limits": [str(tmp_path / "limits.yaml")], "server": {"socket": "server/limiter.sock", "drain_s": 0.2}}
    with payload_gateway(tmp_path / "gate", Via.EXT_PROC, rate_limit=ASKED, limiter=limiter) as gate:

        def status(**members: Any) -> int:
            return gate.send(GERMAN, [JSON], legal=HOME, body=chat(**members)).status

        assert [status(model="big"), status(model="big")] == [200, 429]
        assert [status(model="small") for _ in range(3)] == [200] * 3
        written = "write to someone@example.org"
        found = [status(model="small", messages=[{"role": "user", "content": written}]) for _ in range(2)]
        assert found == [200, 429]

        def rules() -> list[str]:
            return [each["rule"] for each in gate.records() if each["type"] == "limit.refuse"]

        eventually(lambda: rules() == ["inference.model_big", "inference.class_ledger*"], "both are on record")
