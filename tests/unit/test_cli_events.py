"""`borderpost events`: from a pair of keys to an event in force, by what people type and read."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from borderpost.cli.events import ACTIONS
from borderpost.cli.main import main
from support.redis_server import redis_server

CONFIG = """\
here: {country: DE}
regions:
  eu-1: {country: DE}
  us-1: {country: US}
region_defaults: {retention: same, telemetry: same}
events:
  file: law.jsonl
  signers: {ada: ada.pub.pem, bo: bo.pub.pem}
"""
INJUNCTION = """\
id: ev-1
type: injunction
scope: {regions: [us-1], data: [personal]}
effective_from: 2026-01-01
source: Order 1
reason: Pending review
"""
LIFT = """\
id: ev-2
type: lift
ends: ev-1
effective_from: 2026-01-02
source: Order 2
reason: Review is over
"""
TRIGGER = """\
id: strait
when: {feed: alerts, at_least: 8}
event: {type: region_suspend, scope: {regions: [us-1]}, source: The board, reason: An alert, lasting_s: 86400}
valid_until: 2999-01-01
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BORDERPOST_")]:
        monkeypatch.delenv(name)
    for name, text in (("borderpost", CONFIG), ("injunction", INJUNCTION), ("lift", LIFT), ("trigger", TRIGGER)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(["events", *arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    for name in ("ada", "bo"):
        assert run("keygen", name)[0] == 0
    return run


def by(name: str) -> list[str]:
    return ["--key", f"{name}.key.pem", "--as", name]


def told(run: Run, *arguments: str) -> dict[str, Any]:
    code, out, err = run(*arguments, "--json")
    assert (code, err) == (0, ""), err or out
    document: dict[str, Any] = json.loads(out)
    return document


def states(run: Run, *arguments: str) -> dict[str, str]:
    return {event["id"]: event["state"] for event in told(run, "list", *arguments)["events"]}


def code_of(error: tuple[int, str, str]) -> tuple[int, str]:
    """Return the exit code and the first error's code."""
    return error[0], error[2].partition("error[")[2][:6]


def in_force(run: Run) -> None:
    """Put an injunction in force."""
    assert run("sign", "injunction.yaml", *by("ada"), "-o", "injunction.json")[0] == 0
    code, out, err = run("apply", "injunction.json", "--new")
    assert (code, out, err) == (0, "ev-1: line 1 of the list\n", "")


def test_every_action_tells_what_it_does_and_takes(run: Run) -> None:
    code, out, err = run()
    assert (code, out) == (2, "")
    for name in ACTIONS:
        assert name in err
        code, out, _err = run(name, "--help")
        assert code == 0
        assert out.startswith(f"usage: borderpost events {name}")
        assert "--json" in out
    assert code_of(run("nonsense"))[0] == 2


def test_keys_are_a_pair_that_is_never_overwritten(run: Run, folder: Path) -> None:
    private, public = folder / "ada.key.pem", folder / "ada.pub.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes(), public.read_bytes()
    assert code_of(run("keygen", "ada")) == (2, "BP1015")
    private.unlink()
    assert code_of(run("keygen", "ada")) == (2, "BP1015")
    assert not private.exists()
    private.write_bytes(before[0])
    (folder / "cy.key.pem").symlink_to(folder / "elsewhere")
    assert code_of(run("keygen", "cy")) == (2, "BP1015")
    assert not (folder / "elsewhere").exists()
    assert code_of(run("keygen", "a b")) == (2, "BP0004")
    assert code_of(run("keygen", "dot", "--directory", "nowhere")) == (2, "BP1018")
    made = told(run, "keygen", "a/b@c", "--directory", str(folder))
    assert made["private"].endswith("a-b@c.key.pem")
    assert made["key"].startswith("sha256:")


def test_an_injunction_is_signed_applied_and_in_force(run: Run) -> None:
    code, out, err = run("sign", "injunction.yaml", *by("ada"), "-o", "injunction.json")
    assert (code, out) == (0, "injunction.json: signed by ada\n")
    assert err.splitlines() == [
        "ev-1: requests with data of the classes personal may not go to us-1.",
        "It holds from 2026-01-01 00:00:00 UTC until further notice, and never before the list has it.",
        "It narrows: one signature puts it in force.",
        "Reason: Pending review",
        "Source: Order 1",
    ]
    assert run("apply", "injunction.json", "--new")[:2] == (0, "ev-1: line 1 of the list\n")
    assert run("apply", "injunction.json")[:2] == (0, "ev-1: the list has it already\n")
    code, out, _err = run("list")
    heading, row = out.splitlines()
    assert heading.split() == ["id", "type", "what", "effective", "recorded", "state"]
    assert row.startswith("ev-1  injunction  regions us-1; data personal  2026-01-01 00:00:00 UTC  20")
    assert "  in force (late by " in row
    (event,) = told(run, "list")["events"]
    assert event["signed_by"] == ["ada"]
    assert event["late_window"] == {"from": "2026-01-01T00:00:00.000000Z", "until": event["recorded_at"]}
    assert states(run, "--at", "2026-01-01") == {"ev-1": "scheduled"}


def test_what_widens_waits_for_a_second_person(run: Run) -> None:
    in_force(run)
    assert "two people" in run("sign", "lift.yaml", *by("ada"), "-o", "lift.json")[2].replace(" 2 ", " two ")
    assert run("apply", "lift.json")[0] == 0
    assert states(run) == {"ev-1": "in force", "ev-2": "pending"}
    assert "pending signature" in run("list")[1]
    assert code_of(run("approve", "ev-2", *by("ada"))) == (2, "BP1006")
    assert code_of(run("approve", "ev-3", *by("bo"))) == (2, "BP1013")
    code, out, err = run("approve", "ev-2", *by("bo"))
    assert (code, out) == (0, "ev-2: line 3 of the list\n")
    assert "the event `ev-1` ends." in err
    assert states(run) == {"ev-1": "ended", "ev-2": "in force"}
    assert "ended by ev-2" in run("list")[1]


def test_two_people_sign_one_file(run: Run) -> None:
    in_force(run)
    run("sign", "lift.yaml", *by("ada"), "-o", "lift.json")
    assert run("sign", "lift.json", *by("bo"), "-o", "lift.json")[1] == "lift.json: signed by ada, bo\n"
    assert code_of(run("sign", "lift.json", *by("bo"), "-o", "lift.json")) == (2, "BP1006")
    assert code_of(run("sign", "lift.json", *by("bo"), "-o", "injunction.json"))[0] == 2
    assert run("apply", "lift.json")[1] == "ev-2: line 2 of the list\n"
    assert states(run) == {"ev-1": "ended", "ev-2": "in force"}


def test_a_signature_that_comes_later_in_the_file_becomes_an_approval(run: Run) -> None:
    in_force(run)
    run("sign", "lift.yaml", *by("ada"), "-o", "lift.json")
    run("apply", "lift.json")
    run("sign", "lift.json", *by("bo"), "-o", "lift.json")
    assert run("apply", "lift.json")[1] == "ev-2: line 3 of the list\n"
    assert states(run)["ev-2"] == "in force"


def test_a_file_that_is_not_signed_or_was_changed_is_not_applied(run: Run, folder: Path) -> None:
    in_force(run)
    before = (folder / "law.jsonl").read_bytes()
    error = run("apply", "lift.yaml")
    assert code_of(error) == (2, "BP1006")
    assert "borderpost events sign lift.yaml" in error[2]
    signed = (folder / "injunction.json").read_text()
    for old, new, code in (
        ("us-1", "eu-1", "BP1007"),
        ('"ev-1"', '"ev-9"', "BP1004"),
        ('"by": "ada"', '"by": "bo"', "BP1005"),
        ('"by": "ada"', '"by": "eve"', "BP1005"),
    ):
        assert old in signed
        changed = signed.replace(old, new) if code != "BP1005" else signed.replace(old, new).replace("ev-1", "ev-8")
        (folder / "changed.json").write_text(changed)
        error = run("apply", "changed.json")
        assert code_of(error) == (2, code), error
        assert "changed.json" in error[2]
    assert (folder / "law.jsonl").read_bytes() == before


def test_nothing_is_signed_in_vain(run: Run, folder: Path) -> None:
    assert code_of(run("sign", "injunction.yaml", "--key", "ada.key.pem", "--as", "bo")) == (2, "BP1005")
    assert code_of(run("sign", "injunction.yaml", "--key", "ada.key.pem", "--as", "eve")) == (2, "BP1005")
    assert code_of(run("sign", "injunction.yaml", "--key", "ada.pub.pem", "--as", "ada"))[0] == 2
    assert code_of(run("sign", "injunction.yaml", "--key", "gone.pem", "--as", "ada")) == (2, "BP0003")
    (folder / "ada.key.pem").chmod(0o644)
    error = run("sign", "injunction.yaml", *by("ada"))
    assert code_of(error) == (2, "BP1015")
    assert "chmod 600" in error[2]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [("us-1", "us-9", "BP0211"), ("personal", "persona", "BP0204"), ("regions: [us-1]", "countries: EAA", "BP0203"),
     ("regions: [us-1]", "regimes: [eu-gdrp]", "BP0222"), ("injunction", "threshold_reached", "BP0220")],
)  # fmt: skip
def test_names_that_the_configuration_does_not_have_are_told_before_signing(
    run: Run, folder: Path, old: str, new: str, code: str
) -> None:
    (folder / "injunction.yaml").write_text(INJUNCTION.replace(old, new))
    error = run("sign", "injunction.yaml", *by("ada"))
    assert code_of(error) == (2, code)
    assert "injunction.yaml" in error[2]


def test_names_of_other_gateways_are_warned_of_when_applied(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "injunction.yaml").write_text(INJUNCTION.replace("us-1", "us-9"))
    assert run("sign", "injunction.yaml", *by("ada"), "-o", "i.json", "--config", "nowhere.yaml")[0] == 2
    (folder / "borderpost.yaml").rename("elsewhere.yaml")
    assert run("sign", "injunction.yaml", *by("ada"), "-o", "i.json")[0] == 0
    (folder / "elsewhere.yaml").rename("borderpost.yaml")
    code, out, err = run("apply", "i.json", "--new")
    assert (code, out) == (0, "ev-1: line 1 of the list\n")
    assert err.startswith("warning[BP0211]")
    assert "no region `us-9`, which `ev-1` is about" in err
    assert main(["check-config", "--set", "geoip.max_age_days=3650"]) == 0
    assert "warning[BP0211]" in capsys.readouterr().err


def test_an_order_does_not_wait_for_a_configuration_to_be_mended(run: Run, folder: Path) -> None:
    run("sign", "injunction.yaml", *by("ada"), "-o", "injunction.json")
    (folder / "borderpost.yaml").write_text(CONFIG + "policy: {packs: [gone.yaml]}\n")
    code, out, err = run("apply", "injunction.json", "--new")
    assert (code, out) == (0, "ev-1: line 1 of the list\n")
    assert err.startswith("warning[BP0003]")
    assert json.loads(run("apply", "injunction.json", "--json")[1])["warnings"][0]["code"] == "BP0003"


def test_where_there_is_no_configuration_keys_are_enough(run: Run, folder: Path) -> None:
    (folder / "borderpost.yaml").unlink()
    code, out, _err = run("sign", "injunction.yaml", *by("ada"))
    assert code == 0
    (folder / "injunction.json").write_text(out)
    signer = ["--signer", "ada=ada.pub.pem"]
    assert run("apply", "injunction.json", "--list", "other.jsonl", "--new", *signer)[0] == 0
    assert states(run, "--list", "other.jsonl", *signer) == {"ev-1": "in force"}
    assert code_of(run("list", "--list", "other.jsonl", "--signer", "bo=bo.pub.pem")) == (2, "BP1005")
    assert code_of(run("list", "--list", "other.jsonl", "--signer", "bo")) == (2, "BP0004")
    assert code_of(run("list", "--list", "other.jsonl", "--signer", "bo=gone.pem")) == (2, "BP0003")
    assert code_of(run("list", "--list", "other.jsonl")) == (2, "BP0003")


def test_a_list_is_begun_on_purpose_only(run: Run, folder: Path) -> None:
    run("sign", "injunction.yaml", *by("ada"), "-o", "injunction.json")
    error = run("apply", "injunction.json")
    assert code_of(error) == (2, "BP0003")
    assert "--new" in error[2]
    assert not (folder / "law.jsonl").exists()
    assert run("heartbeat", *by("ada"), "--new")[1].endswith("law.jsonl: 0 lines, signed by ada\n")
    assert code_of(run("apply", "injunction.json", "--new")) == (2, "BP1018")
    assert run("apply", "injunction.json")[0] == 0


def test_a_drill_binds_nobody(run: Run) -> None:
    code, out, err = run("drill", "injunction.yaml", *by("bo"), "--new")
    assert (code, out) == (0, "ev-1: line 1 of the list\n")
    assert "It is a drill" in err
    (event,) = told(run, "list")["events"]
    assert (event["mode"], event["state"]) == ("drill", "in force")
    assert "drill, in force" in run("list")[1]
    assert code_of(run("drill", "trigger.yaml", *by("bo"))) == (2, "BP0004")


def test_a_trigger_is_armed_by_one_signature(run: Run) -> None:
    code, _out, err = run("sign", "trigger.yaml", *by("ada"), "-o", "trigger.json")
    assert code == 0
    assert "when the feed `alerts` says 8 or more, then at once, for 1 d:" in err
    assert run("apply", "trigger.json", "--new")[:2] == (0, "strait: line 1 of the list\n")
    assert run("apply", "trigger.json")[:2] == (0, "strait: the list has it already\n")
    (trigger,) = told(run, "list")["triggers"]
    assert (trigger["id"], trigger["armed"]) == ("strait", True)
    assert told(run, "list", "--at", "3000-01-01")["triggers"][0]["armed"] is False
    assert "armed" in run("list")[1]


def test_a_heartbeat_vouches_for_the_list_and_grows_old(run: Run, folder: Path) -> None:
    in_force(run)
    assert run("verify")[0] == 0
    assert code_of(run("verify", "--max-age", "60")) == (4, "BP0622")
    assert run("heartbeat", *by("bo"))[0] == 0
    first = told(run, "verify", "--max-age", "60")["heartbeat"]
    assert (first["length"], first["signature"]["by"]) == (1, "bo")
    assert code_of(run("verify", "--max-age", "0")) == (4, "BP0622")
    assert run("heartbeat", *by("ada"))[0] == 0
    assert told(run, "verify")["heartbeat"]["at"] > first["at"]
    (folder / "law.jsonl").write_bytes(b"")
    code, _out, err = run("verify")
    assert (code, "BP1012" in err) == (3, True)
    for words_ in (["heartbeat", *by("ada")], ["apply", "injunction.json"], ["list"]):
        assert code_of(run(*words_)) == (2, "BP1012"), words_
    assert run("heartbeat", "--anew", *by("ada"))[0] == 0
    assert run("verify")[0] == 0


def test_faults_are_found_and_a_copy_brings_lines_back(run: Run, folder: Path) -> None:
    in_force(run)
    run("sign", "lift.yaml", *by("ada"), "-o", "lift.json")
    run("apply", "lift.json")
    law, copy = folder / "law.jsonl", folder / "copy.jsonl"
    run("heartbeat", *by("ada"))
    copy.write_bytes(law.read_bytes())
    law.write_bytes(copy.read_bytes().replace(b"Order 1", b"Order 7"))
    code, out, _err = run("verify", "--json")
    assert code == 1
    found = json.loads(out)
    assert [(error["code"], error["place"]["line"]) for error in found["errors"]] == [("BP1004", 1), ("BP1002", 2)]
    assert found["length"] == 0
    law.write_bytes(copy.read_bytes().splitlines(keepends=True)[0])
    assert run("verify")[0] == 3
    assert run("apply", "copy.jsonl")[1] == "copy.jsonl: 1 line added, 2 in all\n"
    assert run("verify")[0] == 0
    assert run("apply", "copy.jsonl")[1] == "copy.jsonl: 0 lines added, 2 in all\n"
    copy.write_bytes(copy.read_bytes().splitlines(keepends=True)[1])
    assert code_of(run("apply", "copy.jsonl"))[0] == 2
    assert run("verify")[0] == 0


def test_a_torn_line_is_removed_when_asked(run: Run, folder: Path) -> None:
    in_force(run)
    with (folder / "law.jsonl").open("ab") as file:
        file.write(b'{"at":')
    assert code_of(run("verify")) == (1, "BP1009")
    assert code_of(run("apply", "injunction.json")) == (2, "BP1009")
    code, _out, err = run("verify", "--repair")
    assert code == 0
    assert "6 bytes of a torn line removed" in err
    assert "no torn line" in run("verify", "--repair")[2]


def test_plain_files_are_shown_and_not_added_to(run: Run, folder: Path) -> None:
    plain = folder / "events.yaml"
    plain.write_text("events:\n  - {" + ", ".join(INJUNCTION.splitlines()) + ", recorded_at: 2026-01-01}\n")
    assert states(run, "--list", "events.yaml") == {"ev-1": "in force"}
    assert code_of(run("verify", "--list", "events.yaml")) == (2, "BP1014")
    run("sign", "injunction.yaml", *by("ada"), "-o", "injunction.json")
    assert code_of(run("apply", "injunction.json", "--list", "events.yaml")) == (2, "BP1014")
    plain.write_text(plain.read_text().replace("type: injunction", "type: threshold_reached"))
    assert run("list", "--list", "events.yaml")[0] == 2


def test_a_list_in_redis_is_added_to_and_shown(run: Run, tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        where = ["--redis", server.url, "--stream", "law"]
        run("sign", "injunction.yaml", *by("ada"), "-o", "injunction.json")
        assert run("apply", "injunction.json", "--new", *where)[1] == "ev-1: line 1 of the list\n"
        assert code_of(run("apply", "injunction.json", "--new", *where)) == (2, "BP1018")
        assert run("heartbeat", *by("ada"), *where)[0] == 0
        assert states(run, *where) == {"ev-1": "in force"}
        assert run("verify", "--max-age", "60", *where)[0] == 0
        assert code_of(run("verify", "--repair", *where)) == (2, "BP0004")
        assert code_of(run("verify", "--redis", "http://x")) == (2, "BP0104")


def test_colours_are_for_terminals(run: Run) -> None:
    in_force(run)
    for action in (["list"], ["verify"]):
        assert "\x1b" not in run(*action)[1]
