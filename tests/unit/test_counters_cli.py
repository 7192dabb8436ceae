"""`borderpost counters`: what was counted, shown and made anew from the log."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from borderpost.cli.main import main
from borderpost.counters.book import Book
from borderpost.counters.tally import read_tallies
from borderpost.runtime_directory import RuntimeDirectory
from borderpost_base.world import World
from support.worker_parts import question, worker_parts

POLICY: dict[str, Any] = {
    "packs": ["base"],
    "no_regime": "allow",
    "regimes": [
        {
            "id": "house", "title": "House rule", "source": "Board", "applies_when": {"subject_in": "*"},
            "allow": [
                {"to": ["DE", "IE"], "basis": "exempt"},
                {"to": "*", "basis": "wide", "below": {"counter": "exports", "count": 10}},
                {"to": "*", "basis": "wider", "below": {"counter": "exports", "count": 1000}},
            ],
            "counters": [{"id": "exports", "bases": ["exempt"]}],
        }
    ],
}  # fmt: skip
CHANGES = {"policy": POLICY, "counters": {"directory": "counters"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a gateway that has routed twelve requests and refused three."""

    async def run() -> None:
        async with worker_parts(tmp_path, changes=CHANGES) as parts:
            for number in range(12):
                await parts.ask(question(request_id=f"r-{number}"))
            for _ in range(3):
                await parts.ask(question("203.0.113.7"))

    asyncio.run(run())
    return tmp_path


def run(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["counters", *words, "--config", str(folder / "borderpost.yaml")])
    out, err = capsys.readouterr()
    return code, out, err


def row(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code, out, err = run(folder, capsys, *words, "--json")
    assert (code, err) == (0, ""), out
    (found,) = json.loads(out)["counters"]
    return dict(found)


def test_nothing_is_counted_before_a_gateway_has_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = row(folder, capsys)
    assert (found["total"], found["next_threshold"], found["reached"]) == (0, 10, [])
    assert not (folder / "counters").exists()


def test_the_log_tells_the_count_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = row(folder, capsys, "rebuild", "--log", str(folder / "audit"))
    assert (found["counter"], found["regime"]) == ("exports", "house")
    assert (found["here"], found["others"], found["total"]) == (12, 0, 12)
    assert (found["reached"], found["next_threshold"]) == ([10], 1000)
    code, out, err = run(folder, capsys)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split() == [
        "counter", "regime", "window", "here", "others", "total", "next", "threshold", "reached",
    ]  # fmt: skip
    assert " 12 " in out
    # What workers' files hold is part of it, and is not taken a second time.
    book = Book.open(folder / "counters", World())
    book.take(read_tallies(folder / "state")[0])
    assert sum(book.counts.values()) == 12
    assert "counted 12 records" in run(folder, capsys, "rebuild", "--log", str(folder / "audit" / "worker-0"))[1]


def test_a_damaged_count_is_told_and_mended_and_the_fleet_s_name_can_be_given_back(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row(folder, capsys, "rebuild", "--log", str(folder / "audit"))
    (folder / "counters" / "counts.json").write_text("[]")
    code, _out, err = run(folder, capsys)
    assert code == 2
    assert "error[BP1101]" in err
    name = "0123456789abcdef"
    assert row(folder, capsys, "rebuild", "--log", str(folder / "audit"), "--replica", name)["total"] == 12
    assert Book.open(folder / "counters", World()).replica == name


def test_a_count_in_use_is_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RuntimeDirectory(folder / "state"):
        code, _out, err = run(folder, capsys, "rebuild", "--log", str(folder / "audit"))
    assert code == 2
    assert "error[BP1104]" in err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["rebuild"], "BP0004"),
        (["show", "--log", "audit"], "BP0004"),
        (["rebuild", "--log", "nowhere"], "BP0408"),
        (["rebuild", "--log", "audit", "--replica", "my gateway"], "BP0004"),
    ],
)
def test_what_cannot_be_done_is_told(
    words: list[str], error: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    code, out, err = run(folder, capsys, *words)
    assert (code, out) == (2, "")
    assert f"error[{error}]" in err


def test_a_policy_without_counters_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _err = run(folder, capsys, "--set", "policy={packs: [base]}")
    assert (code, out) == (0, "no regime of this policy has counters\n")
