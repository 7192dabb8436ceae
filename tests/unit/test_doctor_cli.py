"""The command `borderpost doctor`: what it is given, what it prints, how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.cli import main as cli
from borderpost_envoy.doctor import RULES
from support.doctor_cases import action, door, manager, rendered
from support.sarif_schema import check_sarif

CONFIG = {"here": {"country": "DE"}, "regions": {"eu-1": {"country": "DE"}, "us-1": {"country": "US"}}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a bootstrap in order, one with an error, and one with a warning."""
    monkeypatch.chdir(tmp_path)
    good, bad, weak = rendered("proc"), rendered("proc"), rendered("proc")
    door(bad)["failure_mode_allow"] = True
    del door(weak)["status_on_error"]
    for name, tree in (("good", good), ("bad", bad), ("weak", weak)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(tree))
    (tmp_path / "borderpost.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(["doctor", *words])
    out, err = capsys.readouterr()
    return code, out, err


def told_json(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = told(capsys, "--json", *words)
    return code, json.loads(out)


def test_what_is_in_order_ends_with_zero(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "--bootstrap", "good.yaml") == (0, "1 input examined: nothing found\n", "")


def test_a_finding_says_all_that_is_needed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = told(capsys, "--bootstrap", "bad.yaml", "--dump", "good.yaml")
    lines = (folder / "bad.yaml").read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if "failure_mode_allow" in text)
    column = lines[line - 1].index("failure_mode_allow") + 1
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        "error[BPD003]: a request goes on when Borderpost does not answer",
        f"  --> bad.yaml:{line}:{column}: listener ingress: filter borderpost.ext_proc",
        "  `failure_mode_allow` is true.",
        f"  hint: {RULES['BPD003'].mend}",
        "",
        "2 inputs examined: 1 error",
    ]


def test_levels_decide_how_it_ends(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weak = ("--bootstrap", "weak.yaml")
    assert [told(capsys, *weak, "--fail-on", level)[0] for level in ("error", "warning", "note")] == [0, 1, 1]


def test_rules_are_selected_and_ignored(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = ("--bootstrap", "weak.yaml", "--bootstrap", "bad.yaml")
    found = {
        words: _rules(capsys, *both, *words) for words in ((), ("--select", "bpd003"), ("--ignore", "BPD014,BPD001"))
    }
    assert list(found.values()) == [["BPD003", "BPD014"], ["BPD003"], ["BPD003"]]
    for option in ("--select", "--ignore", "--explain"):
        code, _, err = told(capsys, *both, option, "BPD999")
        assert code == 2
        assert "error[BP1506]" in err


def _rules(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    return sorted(one["rule"] for one in told_json(capsys, *words)[1]["findings"])


def test_json_has_a_version_and_links(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = told_json(capsys, "--bootstrap", "bad.yaml")
    (finding,) = document["findings"]
    assert (code, document["schema_version"], document["command"], document["examined"]) == (1, 1, "doctor", 1)
    assert finding["link"] == "docs/reference/doctor-rules.md#bpd003"
    assert (finding["level"], finding["file"], document["errors"]) == ("error", "bad.yaml", [])


def test_sarif_and_annotations(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(capsys, "--bootstrap", "bad.yaml", "--format", "sarif")
    check_sarif(json.loads(out))
    assert code == 1
    _, out, _ = told(capsys, "--bootstrap", "bad.yaml", "--format", "github")
    assert out.startswith("::error file=bad.yaml,line=")
    assert out.count("\n") == 1


def test_what_cannot_be_read_hides_no_finding(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "cut.json").write_text('{"configs": [')
    code, out, err = told(capsys, "--dump", "cut.json", "--bootstrap", "bad.yaml", "--admin", "192.0.2.1:1")
    assert code == 2
    assert "error[BPD003]" in out
    assert out.endswith("1 input examined: 1 error\n")
    assert "error[BP1502]" in err
    assert "error[BP1504]" in err
    code, document = told_json(capsys, "--dump", "cut.json")
    assert (code, [one["code"] for one in document["errors"]]) == (2, ["BP1502"])
    code, out, _ = told(capsys, "--dump", "cut.json", "--format", "sarif")
    assert (code, json.loads(out)["runs"][0]["results"][0]["ruleId"]) == (2, "BP1502")


def test_nothing_to_examine_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = told(capsys)
    assert code == 2
    assert "error[BP1508]" in err


def test_the_configuration_knows_the_regions(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = rendered("header")
    manager(tree)["route_config"]["virtual_hosts"][0]["routes"].append(
        {"name": "other", "match": {"prefix": "/x"}, "route": {"cluster": "us-1"}}
    )
    action(tree)["cluster_header"] = "x-borderpost-cluster"
    (folder / "header.yaml").write_text(yaml.safe_dump(tree))
    alone = told_json(capsys, "--bootstrap", "header.yaml")[1]["findings"]
    known = told_json(capsys, "--bootstrap", "header.yaml", "--config", "borderpost.yaml")[1]["findings"]
    assert [(one["rule"], one["level"]) for one in alone] == [("BPD026", "warning")]
    assert [(one["rule"], one["level"]) for one in known if one["rule"] == "BPD026"] == [("BPD026", "error")]


def test_rules_are_listed_and_explained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(capsys, "--list")
    assert code == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1 : len(RULES) + 1]] == sorted(RULES)
    listed = told_json(capsys, "--list")[1]["rules"]
    assert [one["rule"] for one in listed] == [line.split()[0] for line in lines[1:]]
    code, out, _ = told(capsys, "--explain", "bpd020")
    rule = RULES["BPD020"]
    assert code == 0
    assert out.startswith(f"BPD020 (error): {rule.title}\n")
    assert rule.why in out
    assert f"mend: {rule.mend}" in out
    assert "docs/reference/doctor-rules.md#bpd020" in out
    assert told_json(capsys, "--explain", "BPD020")[1]["rule"]["why"] == rule.why


# Suppressions


def test_an_accepted_finding_is_not_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"rule": "BPD003", "subject": "listener ingress*", "file": "b*.yaml", "reason": "a trial"}
    (folder / "accepted.yaml").write_text(yaml.safe_dump({"ignore": [entry]}))
    words = ("--bootstrap", "bad.yaml", "--suppressions", "accepted.yaml")
    assert told(capsys, *words) == (0, "1 input examined: nothing found\n", "")
    code, out, err = told(capsys, "--bootstrap", "weak.yaml", "--suppressions", "accepted.yaml", "--fail-on", "warning")
    assert code == 1
    assert "BPD014" in out
    assert "warning[BP1509]" in err
    assert "accepted.yaml:2:" in err


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("ignore: [{rule: BPD003}]", "BP0103"),
        ("ignore: [{rule: BPD003, reason: ' '}]", "BP1507"),
        ("ignore: [{rule: BPD003, reason: ''}]", "BP1507"),
        ("ignore: [{rule: BPD999, reason: x}]", "BP1506"),
        ("ignore: [{rule: BPD003, reason: x, subjct: y}]", "BP0102"),
        ("ignored: []", "BP0102"),
        ("ignore: }", "BP0101"),
    ],
)
def test_a_suppression_that_says_too_little_is_an_error(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, code: str
) -> None:
    (folder / "accepted.yaml").write_text(text)
    ended, out, err = told(capsys, "--bootstrap", "bad.yaml", "--suppressions", "accepted.yaml")
    assert ended == 2
    assert f"error[{code}]" in err
    assert "accepted.yaml:1:" in err
    assert "nothing found" not in out
