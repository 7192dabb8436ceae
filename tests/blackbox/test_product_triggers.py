"""Pre-signed triggers on the real Envoy: a file or a webhook says so, and a region is out at once, for good."""

from __future__ import annotations

import http.client
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from borderpost.events.feeds import signature_of
from support.clients import GERMAN
from support.faults import small_gate
from support.gateway import Gateway, eventually
from support.signed_lists import ListWriter

pytestmark = pytest.mark.blackbox

SECRET = b"known to the sender alone"
FEEDS = {"alerts": {"file": "alerts.json"}, "desk": {"webhook": {"secret_file": "secret"}}}


def said(value: Any, *, ago_s: float = 0) -> bytes:
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    return json.dumps({"value": value, "at": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}).encode()


def post(gate: Gateway, raw: bytes, secret: bytes = SECRET, *, feed: str = "desk") -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", gate.config["admin"]["port"], timeout=10)
    try:
        connection.request("POST", f"/feeds/{feed}", raw, {"x-feed-signature": signature_of(raw, secret)})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_a_feed_suspends_a_region_at_once_and_for_good(tmp_path: Path) -> None:
    written = ListWriter()
    for name, feed, region in (("by-file", "alerts", "eu-central-1"), ("by-hook", "desk", "eu-west-1")):
        event = {"type": "region_suspend", "scope": {"regions": [region]}, "source": "the board", "reason": "an alert"}
        written.trigger(name, when={"feed": feed, "at_least": 8}, event=event, valid_until="2999-01-01")
    (tmp_path / "law.jsonl").write_bytes(b"".join(line + b"\n" for line in written.lines))
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    (tmp_path / "alerts.json").write_bytes(said(1))
    events = {"file": "law.jsonl", "signers": written.config(), "feeds": FEEDS}
    with small_gate(tmp_path, events=events) as gate:
        assert gate.send(GERMAN).region == "eu-central-1"
        (tmp_path / "fresh").write_bytes(said(9))
        (tmp_path / "fresh").rename(tmp_path / "alerts.json")
        eventually(lambda: gate.send(GERMAN).region == "eu-west-1", "the file's trigger has fired", within_s=5)
        assert post(gate, said(9), b"somebody else's secret")[0] == 403
        assert post(gate, said(9, ago_s=400))[0] == 403
        assert post(gate, said(9), feed="alerts")[0] == 404
        assert gate.send(GERMAN).region == "eu-west-1"
        raw = said(9)
        status, answer = post(gate, raw)
        assert (status, len(answer["in_force"])) == (200, 1)
        eventually(lambda: gate.send(GERMAN, legal={"eu-west-1"}).status == 451, "the webhook's trigger has fired")
        (refusal,) = [record for record in gate.decisions() if record["out"].get("status") == 451][:1]
        assert any(reason.startswith("event/by-") for reason in refusal["refused"]), refusal["refused"]
        assert post(gate, raw) == (status, answer)
        assert post(gate, said(0)) == (200, {"feed": "desk", "in_force": []})
        (tmp_path / "alerts.json").write_bytes(said(0))
        assert gate.metric("borderpost_triggers_fired_total") == 2
        assert gate.service.stop() == 0
        gate.start_service()
        assert gate.send(GERMAN).status == 451
        assert gate.metric("borderpost_events_in_force") == 2
        assert gate.metric("borderpost_triggers_fired_total") == 0
        assert gate.indiscretions() == []
