"""The whole product with a shadow: routes stay as the law says; what the candidate says is counted and explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from borderpost.cli.main import main
from support.borderpost_process import merged
from support.clients import AMERICAN, GERMAN
from support.gateway import eventually, gateway

pytestmark = pytest.mark.blackbox

RULE: dict[str, Any] = {
    "id": "irish", "title": "All to Ireland", "source": "Test", "applies_when": {"subject_in": ["EEA"]},
    "allow": [{"to": ["IE", "DE"], "basis": "either"}], "deny": [{"to": ["DE"], "data": ["health"], "basis": "moved"}],
}  # fmt: skip
CANDIDATE = {"shadow": {"policy": {"packs": ["starter"], "regimes": [RULE]}}}
DRILL = {
    "id": "drill-1", "type": "region_suspend", "mode": "drill", "scope": {"regions": ["eu-central-1"]},
    "effective_from": "2026-01-01T00:00:00Z", "recorded_at": "2026-01-01T00:00:00Z", "source": "Exercise",
    "reason": "If",
}  # fmt: skip


def test_a_shadow_binds_nobody_and_everything_it_says_is_found_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with gateway(tmp_path, **CANDIDATE) as gate:
        gate.load([GERMAN, AMERICAN], seconds=1.0)
        assert set(gate.served) == {"eu-central-1", "us-east-1"}
        found = gate.decisions()
        diverging = [record for record in found if "shadow" in record]
        assert {record["out"]["r"] for record in diverging} == {"eu-central-1"}
        assert {record["shadow"]["kind"] for record in diverging} == {"basis"}
        assert all("shadow" in record["inputs"] for record in found)
        assert len(diverging) == sum(record["out"]["r"] == "eu-central-1" for record in found)
        counted = "borderpost_shadow_divergence_total"
        eventually(lambda: gate.metric(counted, kind="basis") == len(diverging), "each is counted")
        gate.reset()
        gate.write_events(DRILL)
        eventually(
            lambda: "region" in {_kind(gate.record(gate.send(GERMAN))) for _ in range(4)}, "the drill is weighed"
        )
        asked = gate.send(GERMAN)
        assert asked.region == "eu-central-1"
        assert asked.decision is not None
        assert main(["explain", "--json", "--log", str(gate.audit), asked.decision]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["shadow"]["differs"], told["shadow"]["answer"]["region"]) == ("region", "eu-west-1")
        assert told["notes"] == ["derived anew from the inputs that the record names: the same table of regions"]
        gate.reload(merged(gate.config, {"shadow": {"policy": None}}))
        eventually(lambda: gate.record(gate.send(GERMAN))["inputs"]["shadow"] != found[0]["inputs"]["shadow"], "gone")
        last = gate.record(gate.send(GERMAN))
        assert last["inputs"]["shadow"] == last["inputs"]["policy"], "only the drill is left"
        assert gate.metric("borderpost_shadow_broken") == 0
        assert set(gate.served) == {"eu-central-1"}


def _kind(record: dict[str, Any]) -> str | None:
    kind: str | None = record.get("shadow", {}).get("kind")
    return kind
