"""Faults under load on an observed route of the whole product: no request notices, and the log stays true."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support.clients import AMERICAN
from support.disks import memory_disk, needs_root
from support.faults import gaps
from support.gateway import Gateway, eventually, gateway

pytestmark = pytest.mark.blackbox

OWN = "us-east-1"
"""Where the observed route leads; it may serve every client of these tests."""
OBSERVING: dict[str, Any] = {
    "options": ("--observe", "chat=/v1/chat/", "--route", "rest=/"),
    "routes": {"chat": {}, "rest": {}},
    "observe": {"routes": {"chat": {"region": OWN}}},
}


def observed(gate: Gateway) -> list[dict[str, Any]]:
    return [record for record in gate.decisions() if record["mode"] == "observe"]


def once_each(gate: Gateway) -> bool:
    """Say whether no request has two records."""
    return all(count == 1 for count in Counter(record["req"]["id"] for record in observed(gate)).values())


@pytest.mark.full
def test_requests_do_not_notice_that_every_process_dies_and_comes_back(tmp_path: Path) -> None:
    with gateway(tmp_path, **OBSERVING) as gate:

        def during() -> None:
            eventually(lambda: len(observed(gate)) > 20, "requests are recorded")
            gate.kill_service()
            before = gate.served[OWN]
            eventually(lambda: gate.served[OWN] > before + 20, "requests go on without us")
            gate.start_service()
            recorded = len(observed(gate))
            eventually(lambda: len(observed(gate)) > recorded, "requests are recorded again")

        seen = gate.load([AMERICAN], concurrency=4, during=during, pause_s=0.002)
        assert set(seen.statuses) == {200}
        assert set(seen.regions) == {OWN}
        assert seen.decisions == [], "no answer of ours reached anybody"
        assert once_each(gate)
        assert len(observed(gate)) <= seen.statuses[200]


@pytest.mark.full
@pytest.mark.root
@needs_root
def test_requests_do_not_notice_a_disk_that_fills_up(tmp_path: Path) -> None:
    audit = {"retry_s": 0.1, "reserve_bytes": 0, "ballast_bytes": 64 << 10}
    with memory_disk(tmp_path / "audit", "24m") as disk, gateway(tmp_path, audit=audit, **OBSERVING) as gate:

        def during() -> None:
            eventually(lambda: len(observed(gate)) > 20, "requests are recorded")
            disk.fill()
            eventually(lambda: gate.metric("borderpost_observed_total", outcome="unrecorded") > 20, "unrecorded")
            assert gate.send(AMERICAN, path="/v1/embeddings").status == 503, "what is enforced is refused"
            disk.free()
            recorded = len(observed(gate))
            eventually(lambda: len(observed(gate)) > recorded, "requests are recorded again")

        seen = gate.load([AMERICAN], concurrency=4, during=during, pause_s=0.002)
        assert set(seen.statuses) == {200}
        assert set(seen.regions) == {OWN}
        assert once_each(gate)
        assert gaps(gate)
