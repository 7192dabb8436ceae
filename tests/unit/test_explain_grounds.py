"""`explain` names for one request which law decided it and on what evidence: entries, events, own places, shadow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from borderpost.audit.inputs import InputStore
from borderpost.cli.grounds import event_told, split, taking_part
from borderpost.cli.made_up import view_of
from borderpost.cli.main import main
from borderpost.config.load import load_config
from borderpost.facts import RawRequest
from borderpost.geoip import GeoDatabase
from borderpost.policy.compile import compile_policy
from borderpost.policy.decide import decide
from borderpost.policy.event_schema import EventScope, EventsFile
from borderpost.policy.events import EventList, compile_events
from borderpost.policy.fields import parse_instant, to_us
from borderpost.policy.model import Evidence, Facts, Source
from borderpost.regions.signals import Signals
from borderpost_base.world import World
from support.audit import open_writer
from support.clients import FRENCH

CONFIG = """\
here: {country: DE}
sinks: {events: {country: DE}, metrics: {country: FR}}
region_defaults: {retention: same, telemetry: same}
regions:
  eu-central-1: {country: DE}
  eu-west-3: {country: FR, telemetry: US}
  eu-north-1: {country: SE, retention: global}
  us-east-1: {country: US, operator: {jurisdiction: US, certifications: [eu-us-dpf]}}
ranking: {latency_ms: {"*": {eu-central-1: 5, us-east-1: 50}}}
evidence: {trust_purpose_header: true}
policy:
  packs: [starter]
  regimes:
    - id: house
      title: House rules
      source: Handbook, chapter 3
      applies_when: {subject_in: FR}
      allow:
        - {to: "*", basis: anywhere, until: 2030-01-01, source: "Handbook, chapter 4", as_of: 2026-11-01, note: For now}
        - {to: US, basis: fast, only_in: hybrid}
      deny:
        - {to: SE, basis: not-there, source: Memo of 1 May}
routes:
  chat: {mode: hybrid, purpose: support}
events: {file: events.yaml}
"""
DPF = {
    "id": "dpf-off", "type": "adequacy_revoke", "scope": {"regimes": ["eu-gdpr"], "bases": ["art45-dpf"]},
    "effective_from": "2026-11-01", "recorded_at": "2026-11-01", "source": "Court of Justice", "reason": "Annulled",
}  # fmt: skip
UNRELATED = {
    **DPF, "id": "elsewhere", "type": "injunction", "scope": {"regions": ["eu-central-1"], "subjects": ["BR"]},
}  # fmt: skip
TWICE = [
    {**DPF, "id": name, "type": "region_suspend", "scope": {"regions": ["us-east-1"]}}
    for name in ("order-1", "order-2")
]
DRILL = {**DPF, "id": "drill-1", "type": "region_suspend", "scope": {"regions": ["eu-central-1"]}, "mode": "drill"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "borderpost.yaml").write_text(CONFIG)
    write_events(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_events(folder: Path, *events: dict[str, Any]) -> None:
    (folder / "events.yaml").write_text(json.dumps({"events": list(events)}))


def explained(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code = main(["explain", "--json", *words])
    out, err = capsys.readouterr()
    assert (code, err) == (0, ""), err or out
    told: dict[str, Any] = json.loads(out)
    return told


def page(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["explain", *words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("eu-gdpr/art45", ("eu-gdpr", "art45", "inference")),
        ("eu-gdpr/art45:retention", ("eu-gdpr", "art45", "retention")),
        ("eu-gdpr/a:b/c:telemetry", ("eu-gdpr", "a:b/c", "telemetry")),
        ("event/order-1", ("event", "order-1", "inference")),
    ],
)
def test_a_label_comes_apart(label: str, parts: tuple[str, str, str]) -> None:
    assert split(label) == parts


def test_each_basis_is_traced_to_its_entry(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = explained(capsys, "--country", "FR")
    grounds = {ground["basis"]: ground for ground in told["grounds"]}
    assert set(grounds) == {"eu-gdpr/intra-eea", "house/anywhere"}
    assert grounds["house/anywhere"] == {
        "basis": "house/anywhere", "location": "inference", "to": ["*"], "source": "Handbook, chapter 4",
        "confidence": "sourced", "until": "2030-01-01T00:00:00.000000Z", "as_of": "2026-11-01", "note": "For now",
    }  # fmt: skip
    assert grounds["eu-gdpr/intra-eea"]["as_of"] < "2027"
    packs = {regime["id"]: regime["pack"] for regime in told["regimes"]}
    assert packs["house"] == "the configuration's own"
    assert packs["eu-gdpr"].startswith("eu-gdpr 20")


def test_a_region_says_which_of_its_places_fails_and_where_that_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {row["region"]: row for row in explained(capsys, "--country", "FR")["regions"]}
    assert "fails" not in rows["eu-central-1"]
    assert (rows["eu-west-3"]["why"], rows["eu-west-3"]["fails"]) == ("eu-gdpr/no-basis:telemetry", "telemetry")
    assert "2016/679" in rows["eu-west-3"]["source"]
    assert rows["eu-north-1"]["fails"] == "retention"
    swedish = "regions.eu-north-1={country: SE}"
    rows = {row["region"]: row for row in explained(capsys, "--country", "FR", "--set", swedish)["regions"]}
    assert (rows["eu-north-1"]["why"], rows["eu-north-1"]["source"]) == ("house/not-there", "Memo of 1 May")


def test_only_events_that_make_a_difference_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_events(folder, DPF, UNRELATED, *TWICE, DRILL)
    told = explained(capsys, "--country", "FR")
    assert [event["id"] for event in told["events"]] == ["dpf-off", "order-1", "order-2"]  # each alone keeps it out
    write_events(folder, DPF, UNRELATED, DRILL)
    told = explained(capsys, "--country", "FR")
    (event,) = told["events"]
    assert (event["id"], event["type"], event["source"], event["signed_by"]) == (
        "dpf-off", "adequacy_revoke", "Court of Justice", [],
    )  # fmt: skip
    before = explained(capsys, "--country", "FR", "--at", "2026-10-01")
    assert before["events"] == []
    assert {row["region"] for row in before["regions"] if row["legal"]} == {"eu-central-1", "us-east-1"}
    assert "event     dpf-off: adequacy_revoke" in page(capsys, "--country", "FR")


def test_an_event_that_gave_something_back_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two signatures widen; they are checked where a signed list is read, and stand in the event afterwards."""
    signed = [
        {"by": name, "key": f"sha256:{n:064x}", "at": "2026-11-02", "signature": "A" * 86 + "=="}
        for n, name in enumerate(("legal", "security"))
    ]
    restored = {**TWICE[0], "id": "back", "type": "region_restore", "approvals": signed}
    events = EventList(EventsFile.model_validate({"events": [TWICE[0], UNRELATED, restored]}))
    loaded = load_config(folder / "borderpost.yaml", environ={})
    policy = compile_policy(loaded.bundle, loaded.regions)
    facts = Facts((Evidence(Source.GEOIP, "FR"),), ("personal",))
    at_us = to_us(parse_instant("2026-11-20"))
    law = decide(facts, policy, compile_events(events, policy), at_us)
    assert "us-east-1" in law.legal
    assert [event.id for event in taking_part(facts, law, policy, events, at_us)] == ["back"]
    back = events.events[2]
    assert event_told(back)["signed_by"] == ["legal", "security"]
    lifted = back.model_copy(update={"id": "lift", "type": "lift", "ends": "order-1", "scope": EventScope()})
    events = EventList(events.file.model_copy(update={"events": (events.events[0], lifted)}))
    law = decide(facts, policy, compile_events(events, policy), at_us)
    assert [event.id for event in taking_part(facts, law, policy, events, at_us)] == ["lift"]


def test_an_event_s_own_refusal_names_its_source(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_events(folder, {**DRILL, "mode": "enforce", "source": "Order 7"})
    rows = {row["region"]: row for row in explained(capsys, "--country", "FR")["regions"]}
    assert (rows["eu-central-1"]["why"], rows["eu-central-1"]["source"]) == ("event/drill-1", "Order 7")


def test_own_places_are_told_and_who_refuses_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = explained(capsys, "--country", "FR")
    assert told["own_places"] == [
        {"name": "here", "place": "DE", "allowed": True},
        {"name": "events", "place": "DE", "allowed": True},
        {"name": "metrics", "place": "FR", "allowed": True},
    ]
    told = explained(capsys, "--country", "FR", "--set", "sinks.metrics={country: US}")
    assert told["answer"]["reason"] == "sink-not-allowed:metrics"
    assert [own["allowed"] for own in told["own_places"]] == [None, None, False]
    assert told["own_places"][2]["refused_by"] == "eu-gdpr"
    text = page(capsys, "--country", "FR", "--set", "sinks.metrics={country: US}")
    assert "metrics in US (refused by eu-gdpr)" in text
    assert explained(capsys, "--country", "CU")["own_places"][0]["allowed"] is None


def test_mode_purpose_and_staleness_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = explained(capsys, "--country", "FR", "--route", "chat", "--purpose", "support")
    assert (told["mode"], told["facts"]["mode"], told["facts"]["purpose"]) == ("hybrid", "hybrid", "support")
    assert told["stale"] is False
    told = explained(capsys, "--country", "FR", "--stale")
    assert told["stale"] is True
    assert (told["answer"]["action"], told["mode"]) == ("refuse", "legal-first")
    assert "stale     the legal events were older than allowed" in page(capsys, "--country", "FR", "--stale")


def test_the_shadow_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(capsys, "--country", "FR")["shadow"] is None
    write_events(folder, DRILL)
    told = explained(capsys, "--country", "FR")
    assert (told["shadow"]["differs"], told["shadow"]["answer"]["action"]) == ("region", "route")
    assert told["shadow"]["policy"] == told["inputs"]["policy"] == told["inputs"]["shadow"]
    assert "the shadow would have chosen another region: us-east-1" in page(capsys, "--country", "FR")
    candidate = "shadow.policy={packs: [starter]}"
    told = explained(capsys, "--country", "FR", "--set", candidate, "--set", "events.file=null")
    assert (told["shadow"]["differs"], told["shadow"]["answer"]["basis"]) == ("basis", "eu-gdpr/intra-eea")
    assert told["shadow"]["policy"] != told["inputs"]["policy"]
    text = page(capsys, "--country", "CU", "--set", candidate, "--set", "events.file=null")
    assert "the shadow agrees" in text


@pytest.mark.parametrize("stale", [False, True])
def test_what_is_recorded_is_derived_anew_with_all_of_it(
    stale: bool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_events(folder, DPF, DRILL)
    candidate = "shadow.policy"
    loaded = load_config(folder / "borderpost.yaml", {candidate: "{packs: [starter]}"}, {})
    at_us = World().now_us()
    view = view_of(loaded, GeoDatabase.of(loaded.config.geoip), Signals.empty("0" * 16, at_us)).turned(stale=stale)
    directory = folder / "audit"
    store = InputStore(directory, World())
    assert loaded.shadow is not None
    for part in (loaded.bundle, loaded.events, loaded.shadow, view.compiled.catalog, view.signals):
        store.put(part.canonical())
    record = view.answer(RawRequest(FRENCH.address, route="chat"), at_us).record
    assert (record["jur"]["mode"], record["jur"]["mode_set"]) == ("hybrid", "hybrid")
    assert record["purpose"] == "support"
    writer = open_writer(directory)
    made = writer.append("decision", {**record, "req": {}, "via": "ext_proc"}, at_us=at_us).decision_id
    altered = {**record, "shadow": {"kind": "failed"}, "req": {}, "via": "ext_proc"}
    doubted = writer.append("decision", altered, at_us=at_us).decision_id
    writer.commit()
    writer.close()
    told = explained(capsys, "--log", str(directory), made)
    assert (told["facts"]["purpose"], told["facts"]["mode"], told["mode"]) == ("support", "hybrid", "hybrid")
    assert told["stale"] is stale
    assert told["notes"] == ["derived anew from the inputs that the record names: the same table of regions"]
    assert (told["shadow"]["differs"], record["shadow"]["kind"]) == (
        record["shadow"]["kind"],
        told["shadow"]["differs"],
    )
    assert [event["id"] for event in told["events"]] == ["dpf-off"]
    told = explained(capsys, "--log", str(directory), doubted)
    assert "what the shadow says DIFFERS from what is recorded of it" in told["notes"]
