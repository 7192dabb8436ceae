"""Putting older law in place is an attack: it is refused at runtime and at a restart, and the newer one decides on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from borderpost.demo.scenery import write_events
from support.clients import GERMAN
from support.faults import log_lines, small_gate
from support.gateway import Gateway, eventually
from support.mmdb_writer import BUILD_EPOCH_S, write_mmdb

pytestmark = pytest.mark.blackbox

CHANGES: dict[str, Any] = {"policy": {"packs": ["starter", "own.yaml"]}, "geoip": {"database": "geo.mmdb"}}
SUSPENSION = {
    "id": "order-1",
    "type": "region_suspend",
    "scope": {"regions": ["eu-central-1"]},
    "effective_from": "2026-01-01T00:00:00Z",
    "recorded_at": "2026-01-01T00:00:00Z",
    "source": "Test authority",
    "reason": "No such order exists",
}


def put(path: Path, text: str) -> None:
    fresh = path.with_name("fresh")
    fresh.write_text(text)
    fresh.rename(path)


def pack(directory: Path, version: int) -> None:
    """Version 2 keeps what is German out of Ireland, version 1 did not."""
    deny = [{"to": ["IE"]}] if version > 1 else [{"to": ["US"]}]
    rule = {"id": "own-rule", "title": "Own rule", "source": "us", "default": "allow", "deny": deny}
    document = {
        "apiVersion": "residency/v1",
        "kind": "PolicyPack",
        "metadata": {"id": "own", "version": str(version), "as_of": f"2026-01-{version:02}", "not_legal_advice": True},
        "regimes": [{**rule, "applies_when": {"data": ["*"], "subject_in": ["DE"]}}],
    }
    put(directory / "own.yaml", json.dumps(document))


def database(directory: Path, built: int) -> None:
    networks = {f"{GERMAN.address}/32": {"country": {"iso_code": "DE"}}}
    made = write_mmdb(
        directory / "fresh.mmdb", networks, database_type="GeoIP2-Country", build_epoch_s=BUILD_EPOCH_S + built
    )
    made.rename(directory / "geo.mmdb")


def seen(gate: Gateway) -> dict[str, Any]:
    """Return the inputs that a German's request is decided by now: with the pack and the order it goes nowhere."""
    record = gate.record(gate.send(GERMAN, legal=()))
    assert record["out"]["action"] == "refuse", record["out"]
    return {part: record["inputs"][part] for part in ("policy", "events", "geoip")}


def warnings(gate: Gateway) -> str:
    status, text = gate.service.admin("/readyz")
    assert status == 200, text
    return text


BACK: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "pack": (lambda directory: pack(directory, 1), "config", "BP0610"),
    "events": (lambda directory: write_events(directory, []), "events", "BP0606"),
    "database": (lambda directory: database(directory, 0), "geoip", "BP0611"),
}
FORWARD: dict[str, Callable[[Path], None]] = {
    "pack": lambda directory: pack(directory, 3),
    "events": lambda directory: write_events(directory, [SUSPENSION]),
    "database": lambda directory: database(directory, 2),
}


def test_nothing_older_is_taken_at_runtime_or_at_a_restart(tmp_path: Path) -> None:
    pack(tmp_path, 2)
    database(tmp_path, 1)
    with small_gate(tmp_path, **CHANGES) as gate:
        gate.write_events(SUSPENSION)
        eventually(lambda: gate.send(GERMAN, legal={"eu-central-1"}).status == 451, "the order is in force")
        before = seen(gate)
        for change, what, code in BACK.values():
            change(tmp_path)
            eventually(lambda code=code: code in warnings(gate), f"{code} is in sight")  # type: ignore[misc]
            assert gate.metric("borderpost_rollback_refused_total", what=what) >= 1
            assert gate.metric("borderpost_reload_stale", what=what) == 1
            assert seen(gate) == before
        assert gate.service.stop() == 0
        gate.start_service()
        assert seen(gate) == before
        assert all(code in warnings(gate) for _, _, code in BACK.values()), warnings(gate)
        assert all(len(log_lines(gate, code=code)) >= 1 for _, _, code in BACK.values())
        assert [gate.metric("borderpost_reload_stale", what=what) for _, what, _ in BACK.values()] == [1, 1, 1]
        for change in FORWARD.values():
            change(tmp_path)
        eventually(lambda: warnings(gate) == "ok\n", "all is mended")
        eventually(lambda: all(seen(gate)[part] != before[part] for part in ("policy", "geoip")), "newer ones decide")


def test_a_store_without_what_the_log_names_keeps_a_gateway_from_starting(tmp_path: Path) -> None:
    pack(tmp_path, 2)
    database(tmp_path, 1)
    with small_gate(tmp_path, **CHANGES) as gate:
        gate.write_events(SUSPENSION)
        eventually(lambda: gate.send(GERMAN, legal={"eu-central-1"}).status == 451, "the order is in force")
        inputs = seen(gate)
        assert gate.service.stop() == 0
        stored = gate.audit / "inputs/sha256" / inputs["policy"].removeprefix("sha256:")
        kept = stored.read_bytes()
        stored.unlink()
        pack(tmp_path, 1)
        gate.launch_service()
        eventually(lambda: gate.service.process.returncode == 2, "it ends")
        assert "BP0613" in gate.log_text()
        assert str(stored) in gate.log_text()
        stored.write_bytes(kept)
        gate.start_service()
        assert seen(gate) == inputs
