"""Findings as SARIF and as GitHub's workflow commands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost.cli import main as cli
from borderpost.reports.finding import Finding, Level, Rule, findings_of
from borderpost.reports.github import workflow_commands
from borderpost.reports.sarif import sarif_log
from borderpost_base.errors import BorderpostError, Place
from support.sarif_schema import check_sarif

RULE = Rule("BPX1", "a rule", "It matters.", "Mend it.")
OTHER = Rule("BPX0", "another", "It matters too.", "Mend that.", Level.WARNING)
ROOT = Path("/srv/repository")


def command_of(line: str) -> tuple[str, dict[str, str], str]:
    """Read a workflow command as GitHub's runner does."""
    found = re.fullmatch(r"::(\w+) (.*?)::(.*)", line)
    assert found is not None
    properties = dict(pair.split("=", 1) for pair in found[2].split(","))

    def plain(text: str) -> str:
        for written, meant in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
            text = text.replace(written, meant)
        return text

    return found[1], {name: plain(value) for name, value in properties.items()}, plain(found[3])


def test_a_log_names_files_below_the_root_by_their_relative_uri() -> None:
    findings = [
        Finding(RULE, "one", "a dir/ü.yaml", 3, 7, "Pod/x", help="do this"),
        Finding(OTHER, "two", "/srv/repository/b.yaml", 1, level=Level.WARNING),
        Finding(RULE, "three", "/etc/c.yaml", level=Level.NOTE),
        Finding(RULE, "four", "../d.yaml", 1),
        Finding(RULE, "five"),
    ]
    log = sarif_log(findings, ROOT)
    check_sarif(log)
    run = log["runs"][0]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["BPX0", "BPX1"]
    assert [result["level"] for result in run["results"]] == ["error", "warning", "note", "error", "error"]
    uris = [result["locations"][0]["physicalLocation"]["artifactLocation"] for result in run["results"][:4]]
    assert uris == [
        {"uri": "a%20dir/%C3%BC.yaml", "uriBaseId": "%SRCROOT%"},
        {"uri": "b.yaml", "uriBaseId": "%SRCROOT%"},
        {"uri": "file:///etc/c.yaml"},
        {"uri": "file:///srv/repository/../d.yaml"},
    ]
    first = run["results"][0]
    assert first["locations"][0]["physicalLocation"]["region"] == {"startLine": 3, "startColumn": 7}
    assert first["locations"][0]["logicalLocations"] == [{"fullyQualifiedName": "Pod/x"}]
    assert first["message"]["text"] == "one\ndo this"
    assert "locations" not in run["results"][4]


def test_the_schema_refuses_what_is_no_log() -> None:
    log = sarif_log([Finding(RULE, "one", "a.yaml", 1)], ROOT)
    for change in ({"version": "2.2.0"}, {"runs": [{}]}, {"extra": 1}):
        with pytest.raises(jsonschema.ValidationError):
            check_sarif(log | change)
    log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0
    with pytest.raises(jsonschema.ValidationError):
        check_sarif(log)


def test_a_command_says_level_place_and_mend() -> None:
    finding = Finding(OTHER, "two", "/srv/repository/b.yaml", 4, 2, "Pod/x", Level.WARNING)
    assert list(workflow_commands([finding], ROOT)) == [
        "::warning file=b.yaml,line=4,col=2,title=BPX0 another::Pod/x: two%0AMend that."
    ]
    assert list(workflow_commands([Finding(RULE, "five", level=Level.NOTE)], ROOT)) == [
        "::notice title=BPX1 a rule::five%0AMend it."
    ]


TEXT = st.text(alphabet=st.sampled_from("ab:,%\r\n=\"'é::error file=x0DA") | st.characters(codec="utf-8"), max_size=40)


@given(TEXT, TEXT.filter(bool), TEXT)
def test_no_text_breaks_out_of_its_command(message: str, file: str, subject: str) -> None:
    line = next(workflow_commands([Finding(RULE, message, file, 5, None, subject or None)], Path("/nowhere")))
    assert "\n" not in line and "\r" not in line
    name, properties, told = command_of(line)
    assert name == "error"
    assert properties["line"] == "5"
    assert properties["title"] == "BPX1 a rule"
    assert properties["file"] in (file, str(Path(file)))
    assert told == f"{f'{subject}: ' if subject else ''}{message}\nMend it."


@given(TEXT, TEXT.filter(lambda text: bool(text) and "\0" not in text), TEXT)
def test_any_text_makes_a_log(message: str, file: str, subject: str) -> None:
    log = sarif_log([Finding(RULE, message or "x", file, 1, 1, subject or None)], ROOT)
    check_sarif(json.loads(json.dumps(log)))


def test_an_error_becomes_a_finding_of_its_code() -> None:
    error = BorderpostError("BP0104", "too long", place=Place("a.yaml", 2, 3, "server.port"), mend="shorten it")
    flag = BorderpostError("BP0104", "too long", place=Place("--set", key="server.port"))
    placed, unplaced = findings_of([error, flag], Level.WARNING)
    assert (placed.rule.id, placed.file, placed.line, placed.column) == ("BP0104", "a.yaml", 2, 3)
    assert (placed.subject, placed.mend, placed.level) == ("server.port", "shorten it", Level.WARNING)
    assert placed.as_dict()["mend"] == "shorten it"
    assert (unplaced.file, unplaced.subject) == (None, "--set: server.port")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BORDERPOST_CONFIG", raising=False)
    monkeypatch.setenv("BORDERPOST_GEOIP__MAX_AGE_DAYS", "3650")  # the embedded database grows old
    return tmp_path


def checked(capsys: pytest.CaptureFixture[str], report: str) -> tuple[int, str]:
    code = cli.main(["check-config", "--format", report])
    out, err = capsys.readouterr()
    assert err == ""
    return code, out


def test_check_config_tells_mistakes_in_each_format(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "borderpost.yaml").write_text("here: {country: DE}\nregions:\n  eu: {country: DEX}\n")
    code, out = checked(capsys, "sarif")
    log: dict[str, Any] = json.loads(out)
    check_sarif(log)
    (result,) = log["runs"][0]["results"]
    assert (code, result["ruleId"]) == (1, "BP0202")
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 3, "startColumn": 8}
    code, out = checked(capsys, "github")
    name, properties, _ = command_of(out.rstrip("\n"))
    assert (code, name, properties["file"], properties["line"]) == (1, "error", "borderpost.yaml", "3")
    code, out = checked(capsys, "json")
    assert (code, json.loads(out)["errors"][0]["code"]) == (1, "BP0202")


def test_check_config_tells_warnings_in_each_format(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "borderpost.yaml").write_text("here: {country: DE}\nregions:\n  eu: {country: DE}\n")
    code, out = checked(capsys, "sarif")
    log = json.loads(out)
    check_sarif(log)
    assert (code, {result["level"] for result in log["runs"][0]["results"]}) == (0, {"warning"})
    code, out = checked(capsys, "github")
    assert code == 0
    assert [command_of(line)[0] for line in out.splitlines()] == ["warning", "warning"]
