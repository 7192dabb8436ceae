"""Damaged files under the whole product: the log at its start, snapshots while it runs, no room for snapshots."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from borderpost.audit.segment import segments_of
from support.clients import GERMAN
from support.disks import memory_disk, needs_root
from support.faults import log_lines, refusal_of, small_gate
from support.gateway import Gateway, eventually

pytestmark = pytest.mark.blackbox

SUSPENDED = {
    "id": "order-1",
    "type": "region_suspend",
    "scope": {"regions": ["eu-central-1"]},
    "effective_from": "2026-01-01T00:00:00Z",
    "recorded_at": "2026-01-01T00:00:00Z",
    "source": "a court",
    "reason": "an order",
}


def verified(gate: Gateway) -> tuple[int, dict[str, Any]]:
    """Run `borderpost verify` on the log; return its exit status and report."""
    words = [sys.executable, "-m", "borderpost.cli", "verify", str(gate.audit), "--json"]
    done = subprocess.run(words, capture_output=True, timeout=60)
    return done.returncode, json.loads(done.stdout)


def last_segment(gate: Gateway) -> Path:
    return segments_of(gate.audit / "worker-0")[-1]


def test_a_log_damaged_in_the_middle_is_refused_and_verify_says_where(tmp_path: Path) -> None:
    with small_gate(tmp_path) as gate:
        for _ in range(20):
            assert gate.send(GERMAN).status == 200
        assert gate.service.stop() == 0
        segment = last_segment(gate)
        whole = segment.read_bytes()
        lines = whole.split(b"\n")
        damaged = len(lines) // 2
        at = sum(len(line) + 1 for line in lines[:damaged]) + lines[damaged].index(b'"seed"') + 10
        segment.chmod(0o640)
        segment.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        gate.launch_service()
        eventually(lambda: bool(log_lines(gate, code="BP0403")), "the log says why")
        eventually(lambda: refusal_of(gate) == (503, "BP0808", "not-open"), "requests are refused for the log")
        assert not gate.service.ready()
        (line,) = log_lines(gate, code="BP0403")
        assert line["place"]["file"] == str(segment)
        # The damaged record is whole; the one after it is no longer chained to it.
        assert line["place"]["line"] == damaged + 2
        code, report = verified(gate)
        assert code == 10
        (finding,) = [each for each in report["findings"] if each["kind"] == "altered"]
        assert (finding["file"], finding["line"]) == (str(segment), damaged + 1)
        segment.write_bytes(whole)
        eventually(lambda: gate.send(GERMAN).status == 200, "it heals when the log is put right")


@pytest.mark.parametrize("torn", [b'{"v":1,"type":"deci', b"\x00" * 300])
def test_a_torn_tail_is_put_aside_and_recorded(tmp_path: Path, torn: bytes) -> None:
    with small_gate(tmp_path) as gate:
        asked = [gate.send(GERMAN) for _ in range(5)]
        gate.kill_service()
        segment = last_segment(gate)
        with segment.open("ab") as file:
            file.write(torn)
        assert verified(gate)[0] in (13, 15)
        gate.start_service()
        assert gate.send(GERMAN).status == 200
        (recovery,) = [record for record in gate.records() if record["type"] == "recovery"]
        assert (recovery["segment"], recovery["bytes"]) == (segment.name, len(torn))
        (kept,) = (gate.audit / "worker-0" / "quarantine").iterdir()
        assert kept.read_bytes() == torn
        for one in asked:
            assert gate.record(one)["out"]["r"] == one.region
        assert gate.service.stop() == 0
        assert verified(gate)[0] == 0


def test_snapshots_damaged_on_disk_change_nothing_and_are_written_again(tmp_path: Path) -> None:
    with small_gate(tmp_path) as gate:
        assert gate.send(GERMAN).region == "eu-central-1"
        snapshots = gate.directory / gate.config["runtime"]["directory"] / "snapshots"
        for path in snapshots.iterdir():
            path.write_bytes(b"damaged " + path.read_bytes()[9:])
        for _ in range(10):
            assert gate.send(GERMAN).region == "eu-central-1"
        assert gate.service.ready()
        # The next publication mends every part, so that news are taken and a later worker can start.
        gate.write_events(SUSPENDED)
        eventually(lambda: gate.send(GERMAN).region == "eu-west-1", "the event is taken")
        assert gate.service.ready()


@pytest.mark.full
@pytest.mark.root
@needs_root
def test_no_room_for_snapshots_delays_news_but_never_loses_them(tmp_path: Path) -> None:
    with (
        memory_disk(tmp_path / "state", "4m") as disk,
        small_gate(tmp_path, runtime={"snapshot_max_age_s": 2.0}) as gate,
    ):
        assert gate.send(GERMAN).region == "eu-central-1"
        disk.fill()
        gate.write_events(SUSPENDED)
        eventually(lambda: bool(log_lines(gate, code="BP0604")), "it is told")
        eventually(lambda: refusal_of(gate)[:2] == (503, "BP0807"), "past the snapshot's age requests are refused")
        assert gate.service.process.returncode is None
        disk.free()
        eventually(lambda: gate.send(GERMAN).region == "eu-west-1", "the event is taken when there is room")
        eventually(gate.service.ready, "it is ready")
