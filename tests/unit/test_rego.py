"""The exported Rego gives the gateway's answers in an engine by others, and the export is stable."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from borderpost.cli.main import main
from borderpost.events.signing import public_pem
from borderpost.policy.decide import decide
from borderpost.policy.event_schema import EventsFile
from borderpost.policy.events import EventList
from borderpost.rego.cases import Questions
from borderpost.rego.export import Source, export, source_of
from borderpost.rego.literals import comment, mapping, reference, rule, set_of
from borderpost.rego.questions import answer_of, question_of
from support.policy_builder import Court, regime, starter
from support.rego import Comparison, InProcess, in_process, questions, world

WORLDS = 20
REQUESTS = 25


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(4))
def test_requests_of_many_worlds_get_the_gateway_s_answer(part: int) -> None:
    found = Comparison()
    for seed in range(part, WORLDS, 4):
        source = world(seed)
        asked = questions(source, seed, REQUESTS)
        found.add(f"world {seed}", asked, in_process(source, asked))
    assert not found.apart, "\n".join(found.apart)
    assert found.asked == WORLDS * REQUESTS / 4
    assert {"ok", "embargo", "here-not-allowed", "unknown-subject"} <= found.reasons


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(4))
def test_thousands_more_requests_get_the_gateway_s_answer(part: int) -> None:
    found = Comparison()
    for seed in range(1000 + part, 1160, 8):
        source = world(seed)
        asked = questions(source, seed, 40)
        found.add(f"world {seed}", asked, in_process(source, asked))
    assert not found.apart, "\n".join(found.apart)


REGIONS: dict[str, Any] = {
    "eu-1": {"country": "DE"},
    "eu-2": {"country": "FR", "retention": "none", "telemetry": "US"},
    "us-1": {"country": "US", "operator": {"certifications": ["eu-us-dpf"], "jurisdiction": "US"}},
    "sg-1": {"country": "SG", "contracts": ["scc-2021"], "tia": "approved"},
}


def starter_source() -> Source:
    court = Court(packs=starter(), regions=REGIONS, no_regime="refuse")
    return Source(court.policy, court.events, EventList())


def test_the_starter_packs_give_the_gateway_s_answers() -> None:
    source = starter_source()
    drawn = Questions(source.events)
    asked = [
        (question_of(one.facts, one.now_us, stale=one.stale), answer_of(decide(one.facts, source.policy, source.events,
         one.now_us, stale=one.stale)))
        for one in [*drawn.at_boundaries(4), *drawn.seeded(40)]
    ]  # fmt: skip
    found = Comparison()
    found.add("starter", asked, in_process(source, asked))
    assert not found.apart, "\n".join(found.apart)
    assert found.asked > 50


def small() -> Source:
    court = Court(regime("r", "DE", allow=[{"to": "DE", "basis": "a", "revocable": False}]), regions={"de": "DE"})
    return Source(court.policy, court.events, EventList())


@functools.cache
def small_engine() -> InProcess:
    return InProcess(small())


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({}, "`facts` is not given, or is not a mapping"),
        ({"facts": []}, "`facts` is not given, or is not a mapping"),
        ({"facts": {"classes": []}}, "`facts.evidence` is not a list"),
        ({"facts": {"evidence": []}}, "`facts.classes` is not a list of names"),
        ({"facts": {"evidence": [], "classes": ["a", 1]}}, "`facts.classes` is not a list of names"),
        ({"facts": {"evidence": [], "classes": [], "tennant": "x"}}, "`tennant` is no part of the facts"),
        ({"facts": {"evidence": [{"source": "wire", "code": "DE"}], "classes": []}}, "a piece of evidence"),
        ({"facts": {"evidence": [{"source": "token"}], "classes": []}}, "a piece of evidence"),
        ({"facts": {"evidence": [{"source": "token", "code": "DE", "dubt": "x"}], "classes": []}}, "a piece"),
        (
            {"facts": {"evidence": [{"source": "token", "code": "DE"}] * 2, "classes": []}},
            "two pieces of evidence are of one source",
        ),
        ({"facts": {"evidence": [], "classes": [], "mode": "fast"}}, "`facts.mode` is no mode"),
        ({"facts": {"evidence": [], "classes": [], "tenant": 1}}, "`facts.tenant` is not text"),
        ({"facts": {"evidence": [], "classes": []}, "stale": "no"}, "`stale` is neither true nor false"),
        ({"facts": {"evidence": [], "classes": []}, "now_us": 1.5}, "`now_us` is not a whole number"),
        ({"facts": {"evidence": [], "classes": []}, "now_us": "1"}, "`now_us` is not a whole number"),
        ({"facts": {"evidence": [], "classes": []}, "now": 1}, "`now` is no part of a question"),
    ],
)  # fmt: skip
def test_input_that_cannot_be_understood_is_refused(asked: dict[str, Any], problem: str) -> None:
    answer = small_engine().ask(asked)
    assert (answer["ruling"], answer["reason"], answer["legal"]) == ("evidence", "invalid-input", [])
    assert [one for one in answer["problems"] if one.startswith(problem)]


def test_without_an_instant_the_machine_s_clock_counts() -> None:
    engine = small_engine()
    facts = {"evidence": [{"source": "geoip", "code": "DE"}], "classes": ["personal"]}
    assert engine.ask({"facts": facts})["legal"] == ["de"]
    ended = Court(regime("r", "DE", until="2020-01-01", allow=[{"to": "DE", "basis": "a"}]), regions={"de": "DE"},
                  no_regime="refuse")  # fmt: skip
    engine = InProcess(Source(ended.policy, ended.events, EventList()))
    assert engine.ask({"facts": facts})["reason"] == "no-regime"
    assert engine.ask({"facts": facts, "now_us": 0})["legal"] == ["de"]


def test_a_law_without_rules_is_a_module_too() -> None:
    court = Court(regions={"de": "DE"})
    engine = InProcess(Source(court.policy, court.events, EventList()))
    facts = {"evidence": [{"source": "geoip", "code": "DE"}], "classes": ["personal"]}
    assert engine.ask({"facts": facts, "now_us": 0})["bases"] == {"de": "policy/no-regime"}


def test_the_same_law_gives_the_same_bytes() -> None:
    assert export(starter_source(), 20) == export(starter_source(), 20)
    listed = EventList(EventsFile(clock_error_us=1))
    source = small()
    other = source_of(source.policy.bundle, source.policy.specs, listed)
    assert export(source, 1)["law.rego"] != export(other, 1)["law.rego"], "the digest of the events is told"
    assert source.policy.bundle.digest in export(source, 1)["law.rego"]


def test_what_people_write_stays_in_comments_and_quotes() -> None:
    hostile = 'ends here\n}\nallow_region := true # \\ " `'
    court = Court(
        {**regime("r", "DE"), "title": hostile, "source": "METADATA", "note": "METADATA " * 40,
         "allow": [{"to": "DE", "basis": "default", "source": hostile}]},
        regions={"de": "DE"},
    )  # fmt: skip
    text = export(Source(court.policy, court.events, EventList()), 1)["law.rego"]
    code = [line for line in text.splitlines() if not line.startswith("#")]
    assert not [line for line in code if "allow_region" in line]
    assert "# METADATA" not in text.splitlines()
    facts = {"evidence": [{"source": "geoip", "code": "DE"}], "classes": ["personal"]}
    engine = InProcess(Source(court.policy, court.events, EventList()))
    assert engine.ask({"facts": facts, "now_us": 0})["bases"] == {"de": "r/default"}


def test_literals_have_the_one_form() -> None:
    assert set_of([]) == "set()"
    assert set_of(["b", "a", "b"]) == '{"a", "b"}'
    assert "\n" in set_of([f"region-{number:03}" for number in range(40)])
    assert mapping({"a": "1"}) == '{"a": 1}'
    assert reference("allows", "gdpr", "default", "1 a") == 'allows.gdpr["default"]["1 a"]'
    assert rule("a", []) == "a\n"
    assert rule("a", ["b"]) == "a if b\n"
    assert rule("a", ["b", "c"]) == "a if {\n\tb\n\tc\n}\n"
    assert comment("METADATA") == "# METADATA.\n"
    assert comment("one\ntwo\u2028three") == "# one two three\n"


CONFIG = """
here: {country: DE}
regions:
  eu-1: {country: DE}
region_defaults: {retention: same, telemetry: same}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "borderpost.yaml"
    path.write_text(CONFIG)
    return path


def test_the_command_writes_and_then_finds_nothing_to_change(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["policy", "export", "rego", "-c", str(config), "--out", str(tmp_path / "law"), "--cases", "3", "--json"]
    assert main([*words, "--check"]) == 1, "nothing is there"
    assert main(words) == 0
    assert main([*words, "--check"]) == 0
    capsys.readouterr()
    (tmp_path / "law" / "law.rego").write_text("package borderpost.law\n")
    assert main([*words, "--check"]) == 1
    assert json.loads(capsys.readouterr().out)["changed"] == ["law.rego"]
    (tmp_path / "law" / "mine_test.rego").write_text("package mine\n")
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == ["law.rego"]
    assert main([*words, "--check"]) == 0


def test_the_command_keeps_out_of_a_folder_with_rules_of_others(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "law"
    folder.mkdir()
    (folder / "other.rego").write_text("package other\n")
    words = ["policy", "export", "rego", "-c", str(config), "--out", str(folder)]
    assert main(words) == 2
    assert "BP1221" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["other.rego"]
    assert main([*words, "--check"]) == 1


def test_events_of_a_stream_are_not_left_out_silently(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ada.pub.pem").write_bytes(public_pem(Ed25519PrivateKey.generate().public_key()))
    text = CONFIG + "sinks: {fleet: {country: DE}}\naudit: {directory: audit}\n"
    text += "events: {redis: {url: 'redis://127.0.0.1:1', sink: fleet}, signers: {ada: ada.pub.pem}}\n"
    config.write_text(text)
    assert main(["policy", "export", "rego", "-c", str(config), "--out", str(tmp_path / "law")]) == 2
    assert "BP1220" in capsys.readouterr().err
