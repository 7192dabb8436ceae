"""Exposure: what was decided without an event although it held in law."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.audit.inputs import InputStore
from borderpost.cli.events.exposure import Report, answers_to, examine
from borderpost.cli.made_up import view_of
from borderpost.cli.main import main
from borderpost.config.load import load_config
from borderpost.facts import RawRequest
from borderpost.geoip import GeoDatabase
from borderpost.policy.event_schema import EventsFile, LegalEvent
from borderpost.policy.events import EventList
from borderpost.policy.fields import to_us
from borderpost.regions.signals import Signals
from borderpost_base.world import World
from support.audit import open_writer

CONFIG = """\
here: {country: DE}
regions:
  eu-1: {country: DE}
  us-1: {country: US, operator: {entity: Example Inc, certifications: [eu-us-dpf]}, contracts: [scc-2021],
         tia: approved}
  us-2: {country: US, operator: {certifications: [eu-us-dpf]}}
region_defaults: {retention: same, telemetry: same}
ranking: {latency_ms: {EU: {us-1: 1, eu-1: 60, us-2: 90}, US: {us-2: 1, us-1: 60, eu-1: 200}}}
routes:
  free: {classes: []}
  personal: {classes: [personal]}
"""
GERMAN, AMERICAN = "88.217.0.1", "8.8.8.8"
BEGAN = datetime(2026, 11, 20, 12, tzinfo=UTC)
KNOWN = BEGAN + timedelta(hours=2)
GERMANS = ["first", "again", "last", "deaf"]
REQUESTS = [
    # name, minutes after the event began, client, whether the gateway has heard of the event
    ("before", -1, GERMAN, False),
    ("first", 0, GERMAN, False),
    ("american", 30, AMERICAN, False),
    ("again", 60, GERMAN, False),
    ("refused", 61, "", False),
    ("last", 119, GERMAN, False),
    ("heard", 120, GERMAN, True),
    ("deaf", 150, GERMAN, False),
]


def event(**changes: Any) -> LegalEvent:
    fields = {
        "id": "ev-1",
        "type": "injunction",
        "scope": {"regions": ["us-1"]},
        "effective_from": BEGAN,
        "recorded_at": KNOWN,
        "source": "a court",
        "reason": "an order",
    }
    return LegalEvent.model_validate({**fields, **changes})


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Write a log with decisions before, in and after the window; return it and the ids by name."""
    folder = tmp_path_factory.mktemp("exposure")
    (folder / "borderpost.yaml").write_text(CONFIG)
    loaded = load_config(folder / "borderpost.yaml", {}, {})
    geo, signals = GeoDatabase.of(loaded.config.geoip), Signals.empty("0123456789abcdef", to_us(BEGAN))
    knowing = dataclasses.replace(loaded, events=EventList(EventsFile(events=(event(),))))
    views = {False: view_of(loaded, geo, signals), True: view_of(knowing, geo, signals)}
    directory = folder / "audit"
    store = InputStore(directory, World())
    for part in (loaded.bundle, loaded.events, knowing.events, views[True].compiled.catalog, signals):
        store.put(part.canonical())
    store.put_file(geo.path)
    ids = {}
    writer = open_writer(directory)
    for name, minutes, client, heard in REQUESTS:
        at_us = to_us(BEGAN + timedelta(minutes=minutes))
        claim = None if client else "CU"
        request = RawRequest(client or GERMAN, route="personal", residency_claim=claim)
        record = views[heard].answer(request, at_us).record
        fields = {**record, "req": {"id": name}, "via": "ext_proc"}
        ids[name] = writer.append("decision", fields, at_us=at_us).decision_id
    writer.commit()
    writer.close()
    return directory, ids


def names(report: Report, ids: dict[str, str]) -> list[str]:
    by_id = {decision: name for name, decision in ids.items()}
    return [by_id[each.decision_id] for each in report.listed]


def test_decisions_that_the_event_would_have_refused(log: tuple[Path, dict[str, str]]) -> None:
    directory, ids = log
    report = examine(directory, event())
    assert (report.decisions, report.unheard, report.refused) == (5, 1, 4)
    assert (report.rebased, report.underivable) == (0, 0)
    assert names(report, ids) == ["first", "again", "last", "deaf"]
    first = report.listed[0]
    assert (first.region, first.instead, first.refused) == ("us-1", "event/ev-1", True)
    assert first.at == "2026-11-20T12:00:00.000000Z"
    assert "art45-dpf" in first.basis
    assert examine(directory / "worker-0", event()) == report


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"scope": {"regions": ["us-2"]}}, ["american"]),
        ({"scope": {"regions": ["us-1"], "subjects": "DE"}}, GERMANS),
        ({"scope": {"regions": ["us-1"], "subjects": "US"}}, []),
        ({"scope": {"regions": ["us-1"], "data": ["health"]}}, []),
        ({"scope": {"countries": "US"}}, ["first", "american", "again", "last", "deaf"]),
        (
            {"scope": {"operators": ["Example Inc"]}},
            ["first", "american", "again", "last", "deaf"],
        ),  # who runs us-2 is not said
        ({"scope": {"regimes": ["eu-gdpr"], "countries": "US"}}, GERMANS),
        ({"scope": {"regions": ["us-1"]}, "mode": "drill"}, GERMANS),
        ({"recorded_at": BEGAN + timedelta(minutes=1)}, GERMANS),
        ({"effective_until": BEGAN + timedelta(minutes=60)}, ["first"]),
        ({"recorded_at": BEGAN - timedelta(days=1)}, GERMANS),
        ({"effective_from": BEGAN + timedelta(minutes=120)}, ["deaf"]),
    ],
)
def test_every_part_of_the_scope_counts(
    log: tuple[Path, dict[str, str]], changes: dict[str, Any], found: list[str]
) -> None:
    directory, ids = log
    assert names(examine(directory, event(**changes)), ids) == found


def test_decisions_that_rested_on_a_revoked_basis(log: tuple[Path, dict[str, str]]) -> None:
    directory, ids = log
    report = examine(directory, event(type="adequacy_revoke", scope={"regimes": ["eu-gdpr"], "bases": ["art45-dpf"]}))
    assert (report.refused, report.rebased) == (0, 4)  # standard clauses are left
    assert names(report, ids) == GERMANS
    assert "eu-gdpr/art46-scc" in report.listed[0].instead
    assert "art45-dpf" not in report.listed[0].instead
    both = {"regimes": ["eu-gdpr"], "bases": ["art45-dpf", "art46-scc"]}
    assert examine(directory, event(type="adequacy_revoke", scope=both)).refused == 4


def test_what_cannot_be_derived_anew_is_counted(log: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    directory, _ids = log
    stream = tmp_path / "worker-0"
    stream.mkdir()
    for segment in (directory / "worker-0").glob("*.jsonl"):
        (stream / segment.name).write_bytes(segment.read_bytes())
    (tmp_path / "inputs/sha256").mkdir(parents=True)
    report = examine(tmp_path, event())
    assert (report.decisions, report.underivable, report.found) == (6, 6, 0)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["events", "exposure", *words])
    out, err = capsys.readouterr()
    return code, out, err


def plain_list(folder: Path, *events: LegalEvent) -> str:
    file = folder / "events.yaml"
    data = [each.model_dump(mode="json", exclude={"approvals"}, exclude_defaults=True) for each in events]
    file.write_text(yaml.safe_dump({"events": data}))
    return str(file)


def test_the_report_as_people_and_scripts_read_it(
    log: tuple[Path, dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, ids = log
    words = ["ev-1", "--log", str(directory), "--list", plain_list(tmp_path, event())]
    code, out, err = run(capsys, *words)
    assert (code, err) == (1, "")
    assert out.startswith(
        "ev-1 held from 2026-11-20 12:00:00 UTC and became known 2026-11-20 14:00:00 UTC, 2 h later\n"
    )
    assert "5 requests were routed without it, 1 of them after it was known" in out
    assert "4 would have been refused there" in out
    assert f"{ids['first']}  2026-11-20T12:00:00.000000Z  us-1" in out
    told = json.loads(run(capsys, *words, "--json")[1])
    assert (told["refused"], told["decisions"], told["unheard"], len(told["listed"])) == (4, 5, 1, 4)
    assert told["window"] == {"from": "2026-11-20T12:00:00.000000Z", "until": "2026-11-20T14:00:00.000000Z"}


def test_what_a_later_event_took_back_is_no_exposure(log: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    directory, ids = log
    approvals = [
        {"by": by, "key": "sha256:" + digit * 64, "at": BEGAN, "signature": "A" * 86 + "=="}
        for by, digit in (("ada", "0"), ("bo", "1"))
    ]
    later = {"recorded_at": BEGAN + timedelta(minutes=90), "approvals": approvals}
    lift = event(id="ev-2", type="lift", scope={}, ends="ev-1", **later)
    file = EventsFile(events=(event(recorded_at=BEGAN), lift))
    assert answers_to(file.events[0], file) == (lift,)
    assert names(examine(directory, file.events[0], [lift]), ids) == ["first", "again"]
    suspended = event(type="region_suspend", recorded_at=BEGAN)
    restored = event(id="ev-2", type="region_restore", **later)
    file = EventsFile(events=(suspended, restored))
    assert names(examine(directory, suspended, answers_to(suspended, file)), ids) == ["first", "again"]


def test_an_event_that_everyone_knew_in_time_exposes_nobody(
    log: tuple[Path, dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = plain_list(tmp_path, event(effective_from=BEGAN + timedelta(minutes=151), recorded_at=BEGAN))
    code, out, _err = run(capsys, "ev-1", "--log", str(log[0]), "--list", events)
    assert code == 0
    assert "became known 2026-11-20 12:00:00 UTC, in time\n  0 requests were routed without it\n" in out


@pytest.mark.parametrize(
    ("words", "code"), [(["ev-9", "--log", "."], "BP1013"), (["ev-1", "--log", "nowhere"], "BP0408")]
)
def test_what_is_not_there_is_told(
    words: list[str], code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code, out, err = run(capsys, *words, "--list", plain_list(tmp_path, event()))
    assert (exit_code, out) == (2, "")
    assert f"error[{code}]" in err
