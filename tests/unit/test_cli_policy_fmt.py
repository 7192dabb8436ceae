"""`borderpost policy fmt` on files: what it writes, what it leaves alone, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from borderpost.cli.main import main

SLOPPY = "regions:\n    b: {country: 'DE'}\nhere: {country:  DE}   # the gateway\n"
NEAT = "here: {country: DE}  # the gateway\nregions:\n  b: {country: DE}\n"


def fmt(*words: object) -> int:
    return main(["policy", "fmt", *map(str, words)])


@pytest.fixture
def sloppy(tmp_path: Path) -> Path:
    file = tmp_path / "borderpost.yaml"
    file.write_text(SLOPPY)
    return file


def test_a_file_is_laid_out_once(sloppy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sloppy.chmod(0o640)
    assert fmt(sloppy) == 0
    assert capsys.readouterr().out == f"{sloppy}: laid out\n"
    assert sloppy.read_text() == NEAT
    assert sloppy.stat().st_mode & 0o7777 == 0o640
    before = sloppy.stat()
    assert fmt(sloppy) == 0
    assert capsys.readouterr().out == ""
    assert (sloppy.stat().st_ino, sloppy.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [each.name for each in sloppy.parent.iterdir()] == [sloppy.name]


def test_check_and_diff_write_nothing(sloppy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fmt("--check", sloppy) == 1
    assert capsys.readouterr().out == f"{sloppy}: not laid out\n"
    assert fmt("--diff", sloppy) == 1
    assert "\n+here: {country: DE}  # the gateway\n" in capsys.readouterr().out
    assert sloppy.read_text() == SLOPPY
    sloppy.write_text(NEAT)
    assert fmt("--check", sloppy) == 0
    assert fmt("--diff", sloppy) == 0


def test_one_bad_file_keeps_none_of_the_others(sloppy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = sloppy.with_name("bad.yaml")
    bad.write_text("a: 1\nb: [\n")
    missing = sloppy.with_name("missing.yaml")
    assert fmt("--json", bad, missing, sloppy) == 2
    result = json.loads(capsys.readouterr().out)
    assert [(error["code"], error["place"]["file"]) for error in result["errors"]] == [
        ("BP0101", str(bad)), ("BP0003", str(missing)),
    ]  # fmt: skip
    assert result["errors"][0]["place"]["line"] == 3
    assert result["files"] == [{"file": str(sloppy), "changed": True}] and result["written"] is True
    assert bad.read_text() == "a: 1\nb: [\n" and sloppy.read_text() == NEAT


def test_stdin_goes_to_stdout(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def give(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    give(SLOPPY)
    assert fmt("-") == 0
    assert capsys.readouterr().out == NEAT
    give(SLOPPY)
    assert fmt("--check", "-") == 1
    give("regions:\n  de: {operator: {}, country: DE}\n")
    capsys.readouterr()
    assert fmt("--of", "config", "-") == 0
    assert capsys.readouterr().out == "regions:\n  de: {country: DE, operator: {}}\n"
    assert fmt("-", "other.yaml") == 2


def test_other_people_s_yaml_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "workflow.yaml"
    file.write_text("on:   push\n")
    assert fmt(file) == 2
    assert "BP1260" in capsys.readouterr().err
    assert file.read_text() == "on:   push\n"
    file.write_text("a: {country:   DE}\n")
    assert fmt("--of", "regions", file) == 0
    assert file.read_text() == "a: {country: DE}\n"


def test_a_link_keeps_pointing_to_its_file(sloppy: Path) -> None:
    link = sloppy.with_name("link.yaml")
    link.symlink_to(sloppy.name)
    assert fmt(link) == 0
    assert link.is_symlink() and sloppy.read_text() == NEAT


def test_a_write_that_fails_leaves_the_file(
    sloppy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert fmt(sloppy) == 2
    assert "BP1262" in capsys.readouterr().err
    assert sloppy.read_text() == SLOPPY and [each.name for each in sloppy.parent.iterdir()] == [sloppy.name]


def test_codes_are_sorted_on_request(tmp_path: Path) -> None:
    file = tmp_path / "house.yaml"
    file.write_text("kind: PolicyPack\ngroups:\n  A: [SE, DE]\n")
    assert fmt(file) == 0
    assert "A: [SE, DE]" in file.read_text()
    assert fmt("--sort-codes", file) == 0
    assert "A: [DE, SE]" in file.read_text()
