"""A configuration or a pack that changes on the disk is taken under load by itself; one with a mistake is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.clients import GERMAN
from support.faults import acknowledged_in_log, log_lines, small_gate
from support.gateway import Gateway, eventually, merged

pytestmark = pytest.mark.blackbox


def pack(deny: str, *, as_of: str = "2026-01-01", review_by: str | None = None) -> str:
    metadata = {"id": "own", "version": "1", "as_of": as_of, "not_legal_advice": True}
    if review_by is not None:
        metadata["review_by"] = review_by
    rule = {"id": "own-rule", "title": "Own rule", "source": "us", "default": "allow", "deny": [{"to": [deny]}]}
    regime = {**rule, "applies_when": {"data": ["*"], "subject_in": ["FR"]}}
    return json.dumps(
        {"apiVersion": "residency/v1", "kind": "PolicyPack", "metadata": metadata, "regimes": [regime]}, indent=1
    )


def health(gate: Gateway) -> str:
    status, text = gate.service.admin("/readyz")
    assert status == 200, text
    return text


def taken(gate: Gateway, result: str) -> float:
    return gate.metric("borderpost_reload_total", what="config", result=result)


def laws(gate: Gateway) -> list[str]:
    """Return the digests of the policies that decided, in the order in which they first did."""
    return list(dict.fromkeys(record["inputs"]["policy"] for record in gate.decisions()))


def test_broken_and_mended_files_under_load(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(pack("US"))
    with small_gate(tmp_path, policy={"packs": ["starter", "own.yaml"]}) as gate:
        told: dict[str, Any] = {}

        def during() -> None:
            eventually(lambda: sum(gate.served.values()) > 20, "requests are served")
            gate.config_file.write_text("here: {country: DE")
            eventually(lambda: "warning: config/current: " in health(gate), "the broken file is in sight")
            told["broken"] = health(gate)
            told["stale"] = gate.metric("borderpost_reload_stale", what="config")
            own.write_text(pack("IE", as_of="2026-02-01"))
            gate.config_file.write_text(yaml.safe_dump(gate.config))
            eventually(lambda: taken(gate, "taken") == 1, "the mended files are taken")
            eventually(lambda: len(laws(gate)) == 2, "and decide")
            gate.config_file.write_text(
                yaml.safe_dump(merged(gate.config, {"ranking": {"latency_ms": {"DE": {"eu-west-1": 1}}}}))
            )
            eventually(lambda: gate.served.get("eu-west-1", 0) > 20, "another ranking without a signal")

        observed = gate.load([GERMAN], during=during)
        assert observed.statuses.keys() == {200}, observed.statuses
        acknowledged_in_log(gate, observed)
        assert "BP0101" in told["broken"]
        assert (told["stale"], taken(gate, "taken")) == (1, 2)
        assert health(gate) == "ok\n"
        assert gate.metric("borderpost_reload_stale", what="config") == 0
        before, after = laws(gate)
        named = [record["digest"] for record in gate.records() if record["type"] == "policy.activate"]
        assert named == [before, after]
        assert not log_lines(gate, event="workers are replaced")


def test_with_the_watch_off_only_a_signal_takes_a_change(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(pack("US", review_by="2026-01-02"))
    runtime = {"watch_config": False}
    with small_gate(tmp_path, policy={"packs": ["starter", "own.yaml"]}, runtime=runtime) as gate:
        eventually(lambda: "warning: pack/own: BP0612" in health(gate), "the review date is in sight")
        assert gate.metric("borderpost_pack_review_overdue_days", pack="own") > 300
        assert log_lines(gate, code="BP0612", level="error")
        own.write_text("{")
        gate.write_events()  # whatever else is watched has been looked at after it
        gate.config_file.touch()
        looked = gate.metric("borderpost_probe_total")
        eventually(lambda: gate.metric("borderpost_probe_total") > looked + 10, "time goes by")
        assert taken(gate, "refused") == 0
        gate.reload(gate.config)
        eventually(lambda: taken(gate, "refused") == 1, "a signal has it read")
        own.write_text(pack("US", as_of="2026-03-01", review_by="2999-01-01"))
        gate.reload(gate.config)
        eventually(lambda: health(gate) == "ok\n", "all is well again")
