"""`whatif` as a command, on a log by the product's own writer."""

from __future__ import annotations

from pathlib import Path

import pytest

from borderpost_base import limits
from support.foreseen_deployment import AT, CONFIG, asked, deployment, run, write_log


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return deployment(tmp_path, monkeypatch)


def test_a_log_is_verified_derived_anew_and_grouped(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = write_log(folder, {"german": 40, "care": 10, "american": 30, "cuban": 5, "malformed": 3})
    assert served == {"eu-1": 70, "eu-2": 10, None: 8}, "us-1 is down"
    (folder / "borderpost.yaml").unlink()
    words = ("whatif", "--log", "audit", *AT)
    told = asked(capsys, *words, "--without", "region=eu-2", code=1)
    assert told["traffic"]["rederived"] == {"matched": 85, "differed": 0, "underivable": 0, "examples": []}
    assert (told["traffic"]["decisions"], told["traffic"]["refused_before_law"]) == (85, 3)
    assert told["traffic"]["verified"] is True
    assert told["totals"] == {
        "total": 85, "served": 80, "lost": 10, "moved": 0, "stayed": 70, "gained": 0, "refused": 5,
    }  # fmt: skip
    assert [(row["tenant"], row["classes"]) for row in told["losing"]] == [("clinic", ["health", "personal"])]
    assert "down before any change: us-1" in told["notes"]
    whole = asked(capsys, *words, "--without", "region=eu-1")["totals"]
    monkeypatch.setattr(limits, "TRAFFIC_GROUPS_MAX", 2)
    assert asked(capsys, *words, "--without", "region=eu-1")["totals"] == whole, "in batches of two kinds"
    up = asked(capsys, *words, "--without", "region=eu-1", "--up")
    assert {(move["from"], move["to"]) for move in up["moves"]} == {("eu-1", "eu-2"), ("eu-1", "us-1")}
    stream = asked(capsys, "whatif", "--log", "audit/worker-0", "--without", "region=eu-1", *AT)
    assert stream["totals"] == whole


def test_streams_are_added_and_stale_decisions_stay_stale(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(folder, {"german": 4, "american": 1})
    served = write_log(folder, {"german": 3, "american": 2}, stale=True, stream="worker-1")
    assert served == {"eu-1": 5}
    told = asked(capsys, "whatif", "--log", "audit", "--without", "region=eu-2", *AT)
    assert told["traffic"]["rederived"]["matched"] == 10
    assert (told["totals"]["served"], told["totals"]["refused"]) == (10, 0)
    assert any(note.startswith("5 decisions were made while legal events were stale") for note in told["notes"])


def test_a_time_of_a_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(folder, {"german": 4, "care": 3, "american": 2})
    words = ("whatif", "--log", "audit", "--without", "region=eu-2", *AT, "--from", "2026-11-20T10:00:02Z")
    told = asked(capsys, *words, "--to", "2026-11-20T10:00:06Z", code=1)
    assert (told["totals"]["served"], told["totals"]["lost"]) == (4, 2)
    assert (told["traffic"]["first"][:19], told["traffic"]["last"][:19]) == (
        "2026-11-20T10:00:02",
        "2026-11-20T10:00:05",
    )
    code, _, err = run(capsys, *words[:-1], "2027-01-01")
    assert code == 2
    assert "BP1254" in err


def test_the_law_of_a_configuration_meets_the_traffic_of_a_log(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(folder, {"care": 10})
    (folder / "borderpost.yaml").write_text(CONFIG.replace("US, basis: no-us-law", "CN, basis: no-cn-law"))
    told = asked(capsys, "whatif", "--log", "audit", "--without", "region=eu-2", "-c", "borderpost.yaml", *AT)
    assert (told["totals"]["lost"], told["totals"]["stayed"]) == (0, 10)
    assert asked(capsys, "whatif", "--log", "audit", "--without", "region=eu-2", *AT, code=1)["totals"]["lost"] == 10


def test_a_log_that_does_not_verify_is_refused_unless_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(folder, {"german": 5, "care": 5})
    (segment,) = (folder / "audit/worker-0").glob("*.jsonl")
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.chmod(0o640)
    segment.write_bytes(b"".join([*lines[:3], *lines[4:]]))
    words = ("whatif", "--log", "audit", "--without", "region=eu-2", *AT)
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert "error[BP1253]" in err
    assert segment.name in err
    told = asked(capsys, *words, "--unverified", code=1)
    assert (told["traffic"]["verified"], told["traffic"]["decisions"]) == (False, 9)
    assert any("does NOT verify" in note for note in told["notes"])


def test_decisions_that_come_out_otherwise_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(folder, {"german": 5}, tamper=True)
    told = asked(capsys, "whatif", "--log", "audit", "--without", "region=eu-1", *AT)
    rederived = told["traffic"]["rederived"]
    assert (rederived["matched"], rederived["differed"]) == (4, 1)
    (example,) = rederived["examples"]
    assert example["what"] == "the answer is another"
    assert len(example["decision"]) == 32
    assert any("OTHERWISE" in note for note in told["notes"])


def test_what_was_appended_after_the_log_was_verified_is_left_out(folder: Path) -> None:
    from borderpost.foresight.log import LogTraffic

    write_log(folder, {"german": 5})
    log = LogTraffic.open(folder / "audit")
    (segment,) = (folder / "audit/worker-0").glob("*.jsonl")
    segment.chmod(0o640)
    with segment.open("ab") as end:
        end.write(segment.read_bytes().splitlines(keepends=True)[2].replace(b'"seq":2,', b'"seq":99,'))
    assert sum(sum(batch.values()) for batch in log.batches()) == 5
