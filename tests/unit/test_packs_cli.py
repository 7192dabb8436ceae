"""`borderpost packs`: what is listed, what is shown, and what is overdue."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from borderpost.cli import main as cli
from borderpost.cli import pack_words
from borderpost.config.packs import built_in_packs
from borderpost.policy.built_in import PACKS, STARTER
from borderpost_base.world import World

CONFIG = "here: {country: DE}\nregions:\n  eu: {country: DE}\npolicy: {packs: [eu-gdpr, house.yaml]}\n"
HOUSE = """\
apiVersion: residency/v1
kind: PolicyPack
metadata: {id: house, version: "7", as_of: 2020-01-01, review_by: 2020-06-30, parent: eu-gdpr, not_legal_advice: true}
regimes:
  - id: house-health
    title: Our contract
    source: Framework agreement, section 7
    applies_when: {subject_in: EEA, data: [health], tenant: [acme], purpose: [triage]}
    default: allow
    until: 2030-01-01T00:00:00.000001Z
    deny:
      - {to: US, basis: not-there, operator_in: US, unless: {attestation: sev-snp, encryption: in-use}, data: [health]}
      - {to: CN, above: {counter: trips, count: 10}}
    allow: [{to: CH, basis: trip, only_in: hybrid}]
    counters: [{id: trips, bases: [trip]}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "borderpost.yaml").write_text(CONFIG + "tenants: {acme: {}}\n")
    (tmp_path / "house.yaml").write_text(HOUSE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BORDERPOST_CONFIG", raising=False)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(["packs", *words])
    return (code, *capsys.readouterr())


def test_the_list_has_every_pack_with_its_dates(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    heading, *rows = [line.split() for line in out.splitlines()]
    assert heading[0] == "pack"
    assert [row[0] for row in rows] == list(PACKS)
    assert all(row[1:4] == ["2026.11.0", "2026-11-20", "2027-05-20"] for row in rows)


def test_a_collection_is_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "show", "starter", "--json")
    assert [pack["id"] for pack in json.loads(out)["packs"]] == list(STARTER)


def test_what_a_pack_says(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "show", "cn-pipl")
    for said in (
        "about    subject in CN; data in personal",
        "counter  cn-pipl-year: calendar-year at +08:00, on exempt-small-volume, standard-contract, certification",
        "allow    domestic: to CN (not revocable)",
        "(from 2024-03-21T16:00:00Z; not for national-id,",
        "until `cn-pipl-year` has reached 99,999)",
        "Provisions of 22 March 2024 Art. 8 (from 100,000 to fewer than 1,000,000 persons), read 2026-11-20",
    ):
        assert said in out
    assert "[needs review]" not in out
    assert "[needs review]" in run(capsys, "show", "us-fedramp")[1]


@pytest.mark.parametrize("name", PACKS)
def test_every_pack_can_be_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "show", name)
    assert code == 0
    shown = json.loads(run(capsys, "show", name, "--json")[1])
    assert shown["pack"]["id"] == name
    assert all(f"{regime}: " in out for regime in shown["pack"]["regimes"])
    assert all(entry["source"] and entry["as_of"] for each in shown["entries"].values() for entry in each)


def test_one_s_own_pack_is_listed_and_shown_in_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "--in-use", "--json")
    assert [pack["id"] for pack in json.loads(out)["packs"]] == ["base", "eu-gdpr", "house"]
    _, out, _ = run(capsys, "--in-use", "show", "house")
    for said in (
        "about    subject in EEA; data in health; tenant in acme; purpose in triage",
        "holds    until 2030-01-01T00:00:00.000001Z",
        "default  says nothing of anything else",
        "allow    trip: to CH (only in hybrid mode)",
        "deny     not-there: to US (for health; if the operator may be in US; unless it brings attestation sev-snp and",
        "deny     denied: to CN (once `trips` has reached 10)",
    ):
        assert said in out


def test_a_pack_is_overdue_from_the_day_after_its_review(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for day, told in {"2020-06-30T23:59:59": 0, "2020-07-01T00:00:00": 1, "2021-06-30T12:00:00": 365}.items():
        at = datetime.fromisoformat(day).replace(tzinfo=UTC)
        monkeypatch.setattr(World, "now_us", lambda _self, at=at: int(at.timestamp()) * 1_000_000)
        _, out, _ = run(capsys, "--in-use", "--json")
        assert {pack["id"]: pack["overdue_days"] for pack in json.loads(out)["packs"]}["house"] == told
    assert "365 days" in run(capsys, "--in-use")[1]


def test_mistakes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, code in {
        ("show",): "BP0004",
        ("show", "nobody"): "BP0213",
        ("--in-use", "show", "cn-pipl"): "BP0213",
        ("--in-use", "--config", "gone.yaml"): "BP0003",
    }.items():
        exit_code, out, err = run(capsys, *words)
        assert (exit_code, out) == (2, "")
        assert code in err


def test_an_embargo_is_told_as_one() -> None:
    regimes = {regime.id: regime for pack in built_in_packs("us-ofac", "us-general") for regime in pack.regimes}
    assert pack_words.otherwise(regimes["ofac-comprehensive"]).startswith("refuses every request")
    assert pack_words.otherwise(regimes["us-general"]) == "anything else is allowed on `no-localisation`"
    assert pack_words.window(regimes["ofac-syria"]) == "until 2025-07-01T04:00:00Z"
