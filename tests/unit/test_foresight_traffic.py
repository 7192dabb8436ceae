"""Files of traffic: what is read, and what is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from borderpost.foresight.traffic import Traffic, read_traffic
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Problems

HEAD = "apiVersion: residency/v1\nkind: Traffic\n"


def refused(file: Path) -> list[BorderpostError]:
    try:
        read_traffic(file)
    except Problems as several:
        return list(several.errors)
    except BorderpostError as error:
        return [error]
    raise AssertionError("it was read")


def yaml(folder: Path, text: str) -> Path:
    file = folder / "traffic.yaml"
    file.write_text(HEAD + text)
    return file


def lines(folder: Path, *values: object) -> Path:
    file = folder / "traffic.jsonl"
    file.write_text("".join((value if isinstance(value, str) else json.dumps(value)) + "\n" for value in values))
    return file


def test_counts_and_rates(tmp_path: Path) -> None:
    read = read_traffic(yaml(tmp_path, "requests:\n  - {country: DE}\n  - {country: FR, count: 7}\n"))
    assert (read.unit, [each.weight for each in read.traffic.requests]) == ("requests", [1, 7])
    assert [place.line for place in read.places] == [4, 5]
    read = read_traffic(yaml(tmp_path, "requests: [{country: DE, per_s: 0.25}, {per_s: 3}]\n"))
    assert (read.unit, [each.weight for each in read.traffic.requests]) == ("requests/s", [250, 3000])


def test_lines_say_the_same_as_yaml(tmp_path: Path) -> None:
    requests = [{"workload": "chat", "country": "DE", "classes": ["health"], "count": 2}, {"token": "US"}]
    about = {"kind": "Traffic", "workloads": {"chat": {"criticality": 5}}}
    read = read_traffic(lines(tmp_path, about, requests[0], "", requests[1]))
    assert [place.line for place in read.places] == [2, 4]
    written = Traffic.model_validate({**about, "requests": requests})
    assert read.traffic.requests == written.requests
    assert read.traffic.workloads == written.workloads
    bare = read_traffic(lines(tmp_path, *requests)).traffic
    assert (bare.requests, bare.workloads, bare.capacity_per_s) == (written.requests, {}, {})


@pytest.mark.parametrize(
    ("text", "code", "line", "word"),
    [
        ("requests: []\n", "BP0104", 3, "at least 1"),
        ("request: [{country: DE}]\nrequests: [{}]\n", "BP0102", 3, "request"),
        ("requests:\n  - {contry: DE}\n", "BP0102", 4, "contry"),
        ("requests:\n  - {country: Germany}\n", "BP0202", 4, "Germany"),
        ("requests:\n  - {count: 1, per_s: 2}\n", "BP1252", 4, "not both"),
        ("requests:\n  - {count: 1}\n  - {per_s: 2}\n", "BP1252", 5, "cannot be added"),
        ("requests:\n  - {count: 0}\n", "BP0104", 4, "1"),
        ("requests:\n  - {per_s: .nan}\n", "BP0104", 4, "finite"),
        ("requests:\n  - {per_s: 1e300}\n", "BP0104", 4, "less"),
        ("requests:\n  - {at: 2026-01-01}\n", "BP0102", 4, "at"),
        ("workloads: {chat: {}}\nrequests:\n  - {workload: caht}\n", "BP1252", 5, "caht"),
        ("workloads: {chat: {criticality: 6}}\nrequests: [{}]\n", "BP0104", 3, "5"),
        ("capacity_per_s: {a: -1}\nrequests: [{}]\n", "BP0104", 3, "greater"),
    ],
)
def test_a_mistake_has_its_line(text: str, code: str, line: int, word: str, tmp_path: Path) -> None:
    (error,) = refused(yaml(tmp_path, text))
    assert (error.code, error.place.line) == (code, line), error
    assert word in f"{error.detail} {error.mend}"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{", "BP1252"),
        ("[]", "BP1252"),
        ("3", "BP1252"),
        ('{"country": "DE", "country": "FR"}', "BP1252"),
        ('{"per_s": NaN}', "BP1252"),
        ('{"per_s": Infinity}', "BP1252"),
        ("[" * 5000, "BP1252"),
        ('{"country": "DE", "kind": "Traffic"}', "BP0102"),
        ('{"tenant": "a b"}', "BP0104"),
        ('{"tenant": 1}', "BP0104"),
        ('{"classes": "health"}', "BP0104"),
        ("x" * (limits.TRAFFIC_LINE_BYTES_MAX + 1), "BP1252"),
        ('{"classes": ["Health"]}', "BP0104"),
        ("\udce9", "BP1252"),
    ],
)
def test_a_line_that_is_no_request_is_told_with_its_number(line: str, code: str, tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_bytes(b'{"country": "DE"}\n' + line.encode("utf-8", "surrogateescape") + b"\n")
    errors = refused(file)
    assert {error.code for error in errors} == {code}
    assert {error.place.line for error in errors} == {2}


def test_very_many_mistakes_and_very_many_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(refused(lines(tmp_path, *[{"x": 1}] * 300))) == limits.PROBLEMS_MAX
    monkeypatch.setattr(limits, "TRAFFIC_LINES_MAX", 5)
    (error,) = refused(lines(tmp_path, *[{"country": "DE"}] * 6))
    assert (error.code, error.place.line) == ("BP1252", 6)


def test_nothing_to_read(tmp_path: Path) -> None:
    (error,) = refused(lines(tmp_path))
    assert error.code == "BP1252"
    (error,) = refused(tmp_path / "absent.jsonl")
    assert error.code == "BP0003"
    (error,) = refused(tmp_path / "absent.yaml")
    assert error.code == "BP0003"
