"""What the log has seen: found from its end, in any stream, whatever else lies there."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost.audit import backwards
from borderpost.audit.backwards import lines_backwards
from borderpost.audit.segment import segment_name
from borderpost.seen import PackMark, last_inputs
from support.audit import decision


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


def line(kind: str, day: str, **own: Any) -> bytes:
    record = {"type": kind, "ts": f"{day}T00:00:00.000000Z", "v": 1, **own}
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def decided(ts: str, *, policy: str = "a", events: str = "b", geoip: str = "c") -> bytes:
    inputs = {"policy": digest(policy), "events": digest(events), "geoip": digest(geoip)}
    return line("decision", ts, **{**decision(), "inputs": inputs})


def write(directory: Path, stream: str, *segments: bytes) -> None:
    (directory / stream).mkdir(exist_ok=True)
    for number, content in enumerate(segments):
        (directory / stream / segment_name(number * 1000)).write_bytes(content)


def letters(directory: Path) -> dict[str, str]:
    return {part: seen.digest[-1] for part, seen in last_inputs(directory).items()}


BEAT = line("heartbeat", "2026-01-09")


@given(st.binary(max_size=120).map(lambda raw: raw.replace(b"\r", b"\n")), st.integers(1, 9))
def test_lines_are_found_from_the_end_wherever_the_reads_are_cut(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, cut: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "backwards"
    path.write_bytes(raw)
    before = backwards._CHUNK_BYTES
    backwards._CHUNK_BYTES = cut  # type: ignore[misc]
    try:
        found = list(lines_backwards(path, [b"\x00", b"\x01\x01"]))
    finally:
        backwards._CHUNK_BYTES = before  # type: ignore[misc]
    assert found == [each for each in raw.split(b"\n")[-2::-1] if b"\x00" in each or b"\x01\x01" in each]


def test_an_empty_log_has_seen_nothing(tmp_path: Path) -> None:
    assert last_inputs(tmp_path / "none") == {}
    write(tmp_path, "worker-0", BEAT * 3)
    (tmp_path / "inputs").mkdir()
    assert last_inputs(tmp_path) == {}


def test_a_decision_tells_all_and_what_was_activated_after_it_counts(tmp_path: Path) -> None:
    log = decided("2026-01-01", policy="0") + decided("2026-01-02") + BEAT * 2
    write(tmp_path, "worker-0", log)
    assert letters(tmp_path) == {"policy": "a", "events": "b", "geoip": "c"}
    write(tmp_path, "worker-0", log + line("legal_event.apply", "2026-01-03", digest=digest("d")) + BEAT)
    assert letters(tmp_path) == {"policy": "a", "events": "d", "geoip": "c"}


def test_older_segments_are_read_until_all_is_known(tmp_path: Path) -> None:
    write(
        tmp_path,
        "worker-0",
        decided("2026-01-01"),
        BEAT,
        line("policy.activate", "2026-01-02", digest=digest("e")),
    )
    assert letters(tmp_path) == {"policy": "e", "events": "b", "geoip": "c"}


def test_the_newest_of_all_streams_counts_part_by_part(tmp_path: Path) -> None:
    write(tmp_path, "worker-0", decided("2026-01-05", policy="1"))
    activated = line("policy.activate", "2026-01-06", digest=digest("3"))
    write(tmp_path, "worker-1", decided("2026-01-04", policy="2", events="2") + activated)
    assert letters(tmp_path) == {"policy": "3", "events": "b", "geoip": "c"}


@pytest.mark.parametrize(
    "after",
    [
        decided("2026-01-09", policy="9")[:-1],
        b'{"type":"decision"}\n',
        line("decision", "2026-01-09", inputs=7),
        line("policy.activate", "2026-01-09", digest=7),
        line("policy.activate", "2026-01-09", digest="sha256:../../x"),
        line("policy.activate", "9", digest=digest("9")),
        b'"type":"decision"\n',
        b'[{"type":"decision"}]\n',
        line("heartbeat", "2026-01-09", note='"type":"decision"'),
        b"\x00" * 5000 + b"\n",
    ],
    ids=[
        "torn",
        "nothing in it",
        "no inputs",
        "no digest",
        "a path",
        "no instant",
        "no JSON",
        "a list",
        "quoted",
        "zeros",
    ],
)
def test_what_is_no_record_is_passed_over(tmp_path: Path, after: bytes) -> None:
    write(tmp_path, "worker-0", decided("2026-01-01") + after)
    assert letters(tmp_path) == {"policy": "a", "events": "b", "geoip": "c"}


def test_editions_of_packs_are_in_order() -> None:
    days = (date(2026, 1, 1), date(2026, 2, 1))
    versions = ("1", "1.0-rc1", "1.0-rc2", "1.0", "1.0.1", "1.2", "1.10", "2026.9.0", "2026.11.0", "2026.11.0+3")
    marks = [PackMark(day, version) for day in days for version in versions]
    assert all(earlier < later for number, later in enumerate(marks) for earlier in marks[:number])
    assert not any(mark < mark for mark in marks)
    assert PackMark(days[0], "v2") < PackMark(days[0], "v3") < PackMark(days[1], "v1")
