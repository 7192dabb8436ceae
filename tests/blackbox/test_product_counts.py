"""One run, counted five times: by clients, regions, the audit log, metrics and Envoy's own log. All agree exactly."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from borderpost_envoy import Via
from support.client import Header
from support.clients import AMERICAN, BRAZILIAN, EMIRATI, GERMAN, IRANIAN, RUSSIAN, STRANGER, Client
from support.gateway import Gateway, decision_id, eventually, gateway

pytestmark = pytest.mark.blackbox

ROUNDS = 50
CASES: tuple[tuple[Client, list[Header], int, str], ...] = (
    (GERMAN, [], 200, "eu-central-1"),
    (BRAZILIAN, [], 200, "eu-west-1"),
    (AMERICAN, [], 200, "us-east-1"),
    (IRANIAN, [], 451, "BP0802"),
    (RUSSIAN, [], 451, "BP0801"),
    (EMIRATI, [("x-data-class", "health")], 451, "BP0803"),
    (STRANGER, [], 403, "BP0805"),
    (GERMAN, [("x-data-residency", "nowhere")], 400, "BP0821"),
    (EMIRATI, [], 503, "BP0806"),
)
"""Who asks with what, the status, and the region or the code of the refusal. The Emirati's one region is down."""


@pytest.mark.parametrize("via", [Via.EXT_PROC, pytest.param(Via.EXT_AUTHZ, marks=pytest.mark.full)])
def test_all_counts_agree(tmp_path: Path, via: Via) -> None:
    wanted = Counter({(status, what): ROUNDS for _, _, status, what in CASES})
    regions = {what: ROUNDS for _, _, status, what in CASES if status == 200}
    with gateway(tmp_path, via=via) as gate:
        gate.regions.kill("me-central-1")
        eventually(lambda: gate.metric("borderpost_region_up", region="me-central-1") == 0, "one region down")
        eventually(lambda: gate.send(EMIRATI).status == 503 and gate.send(EMIRATI).decision is not None, "refused")
        eventually(lambda: all(_refused_by_us(gate) for _ in range(8)), "both workers know")
        gate.reset()
        # An answer goes out before it is counted.
        everything = sum(map(len, gate.streams().values()))
        eventually(lambda: gate.metric("borderpost_decisions_total") == everything, "earlier answers counted")
        before = _metrics(gate)
        lines = len(_access(gate))
        observed = gate.load(
            [client for client, *_ in CASES], count=ROUNDS * len(CASES), headers=lambda n: CASES[n % len(CASES)][1]
        )
        decisions = gate.decisions()
        logged = Counter(
            (200, out["r"]) if out["action"] == "route" else (out["status"], out["code"])
            for out in (record["out"] for record in decisions)
        )
        total = ROUNDS * len(CASES)
        assert logged == wanted, _retries(gate)
        assert observed.statuses == Counter(status for (status, _), count in wanted.items() for _ in range(count))
        assert observed.regions == gate.served == gate.routed() == regions
        told = [decision for decision, _region, _status in observed.decisions]
        assert len(told) == len(set(told)) == total
        assert set(told) == {decision_id(record) for record in decisions}
        eventually(lambda: sum((_metrics(gate) - before).values()) >= total, "counted")
        assert _metrics(gate) - before == wanted
        assert gate.metric("borderpost_unrecorded_total") == 0
        # The record that opens an epoch is written before there is anything that counts.
        counted = [record for record in gate.records() if record["type"] != "epoch.open"]
        assert gate.metric("borderpost_audit_records_total") == len(counted)
        eventually(lambda: len(_access(gate)) - lines >= total, "Envoy's log flushed")
        seen = _access(gate)[lines:]
        assert Counter(int(entry["status"]) for entry in seen) == observed.statuses
        assert sorted(entry["decision"] for entry in seen) == sorted(told)


def _refused_by_us(gate: Gateway) -> bool:
    asked = gate.send(EMIRATI)
    return asked.decision is not None and gate.record(asked)["out"].get("code") == "BP0806"


def _metrics(gate: Gateway) -> Counter[tuple[int, str]]:
    """Return what `/metrics` says was routed and refused, in the form of the cases."""
    routed = {(200, region): gate.metric("borderpost_routed_total", region=region) for region in gate.regions.ports}
    refused = {
        (status, code): gate.metric("borderpost_refusals_total", status=str(status), code=code)
        for _, _, status, code in CASES
        if status != 200
    }
    return Counter({key: round(value) for key, value in {**routed, **refused}.items()})


def _access(gate: Gateway) -> list[dict[str, str]]:
    return [json.loads(line) for line in gate.access_log.read_text().splitlines()]


def _retries(gate: Gateway) -> dict[str, int]:
    """Return what Envoy counted of questions asked again or broken off, to explain a difference."""
    counted = gate.envoy.stats("cluster.borderpost.*(retry|rx_reset|timeout|destroy|rq_total|_rq_[0-9])")
    return {name: value for name, value in counted.items() if value}
