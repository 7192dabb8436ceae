"""The whole product with a clock that jumps: what has expired stays expired, and the log's time never runs backwards.

Debian's libfaketime steps the clock of Borderpost's processes alone, by a file; the machine's own is left as it is.
"""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from borderpost_envoy import Via
from support.clients import GERMAN, UNION
from support.gateway import Gateway, eventually, gateway

pytestmark = pytest.mark.blackbox

LIBRARIES = [path for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1") if path.is_file()]
HOUR_S = 3600
STEPS_S = (0, HOUR_S, -HOUR_S)
"""Where the clock stands, one place after the other, away from the machine's."""
HOLD_S = 1.0
"""How long the clock stays at each place."""


def _pack(lapses: datetime) -> str:
    """Return a pack by which Germans' data may stay in Germany until an instant, and in Ireland ever after."""
    regime = {
        "id": "de-dated",
        "title": "A basis that lapses",
        "source": "Made for a test",
        "applies_when": {"subject_in": "DE", "data": ["personal"]},
        "default": "deny",
        "allow": [
            {"to": "DE", "basis": "lapsing", "until": lapses.strftime("%Y-%m-%dT%H:%M:%SZ")},
            {"to": "IE", "basis": "lasting"},
            {"to": "*", "basis": "gateway", "require": {"contract": "gateway"}},
        ],
    }
    metadata = {"id": "dated", "version": "1", "as_of": "2026-11-20", "not_legal_advice": True}
    return yaml.safe_dump(
        {"apiVersion": "residency/v1", "kind": "PolicyPack", "metadata": metadata, "regimes": [regime]}
    )


@pytest.mark.skipif(not LIBRARIES, reason="needs faketime")
@pytest.mark.full
@pytest.mark.parametrize("via", [Via.EXT_PROC, Via.EXT_AUTHZ])
def test_clock_stepped_by_hours_under_load(tmp_path: Path, via: Via) -> None:
    offset = tmp_path / "offset"
    lapses = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=HOUR_S / 2)
    (tmp_path / "dated.yaml").write_text(_pack(lapses))
    _step(offset, 0)
    environ = {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",  # a step is seen by the next look at the clock, whoever looks
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    with gateway(
        tmp_path,
        via=via,
        message_timeout_ms=10_000,  # every look at the clock reads a file
        environ=environ,
        here={"contracts": ["gateway"]},
        policy={"packs": ["starter", "dated.yaml"]},
    ) as gate:

        def jump() -> None:
            for seconds in STEPS_S:
                _step(offset, seconds)
                time.sleep(HOLD_S)

        observed = gate.load([GERMAN], seconds=len(STEPS_S) * HOLD_S, concurrency=4, during=jump)
        assert observed.statuses.keys() == {200}
        assert observed.regions.keys() == UNION
        assert gate.metric("borderpost_clock_ahead_seconds") > 1.9 * HOUR_S
        eventually(lambda: gate.send(GERMAN).status == 200 and _all_past(gate, _end(lapses)), "both logs are past it")
        _check(gate, lapses)
        # A worker that starts anew with a clock that is behind takes the log's word for the time.
        for pid in gate.worker_pids().values():
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: gate.metric("borderpost_worker_restarts_total") == 2, "both started again")
        eventually(gate.service.ready, "ready again")
        gate.reset()
        observed = gate.load([GERMAN], count=100, concurrency=4)
        assert observed.regions.keys() == {"eu-west-1"}
        assert observed.statuses.keys() == {200}
        _check(gate, lapses)


def _step(offset: Path, seconds: int) -> None:
    """Set the clock that many seconds away from the machine's, at once."""
    fresh = offset.with_suffix(".new")
    fresh.write_text(f"{seconds:+d}")
    fresh.rename(offset)


def _end(lapses: datetime) -> str:
    return lapses.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _all_past(gate: Gateway, instant: str) -> bool:
    return all(records and records[-1]["ts"] >= instant for records in gate.streams().values())


def _check(gate: Gateway, lapses: datetime) -> None:
    """Check each stream's times, and that the basis was used before its end and never after."""
    seen = set()
    for records in gate.streams().values():
        times = [record["ts"] for record in records]
        assert times == sorted(times)
        for record in records:
            out, early = record["out"], record["ts"] < _end(lapses)
            assert out["r"] == ("eu-central-1" if early else "eu-west-1")
            assert ("de-dated/lapsing" in out["basis"]) is early
            seen.add(early)
    assert seen == {True, False}
    every = [record["ts"] for record in gate.records() if record["log"].endswith("worker-0")]
    assert every == sorted(every)
