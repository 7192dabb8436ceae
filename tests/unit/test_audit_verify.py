"""Verification: each kind of tampering is found where it is, and a sound log, however it came about, is clean."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borderpost.audit.findings import CAVEAT, Kind, Report
from borderpost.audit.inputs import InputStore
from borderpost.audit.profile import encode
from borderpost.audit.record import parse
from borderpost.audit.segment import segments_of
from borderpost.audit.verify import verify
from borderpost_base.errors import ERRORS, BorderpostError
from borderpost_base.world import World
from support.audit import STREAM, FailingDisk, decision, lines_of, open_writer, small_spec

POLICY = b'{"policy":"bundle"}'
SEGMENTS = (0, 6, 12)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of three epochs of six records, each in a segment of its own, and one input."""
    directory = tmp_path_factory.mktemp("sound")
    digest = InputStore(directory, World()).put(POLICY)
    for epoch in range(3):
        writer = open_writer(directory)
        for n in range(4):
            writer.append("decision", decision(f"r-{epoch}-{n}", inputs=digest))
            writer.commit()
        writer.close()
    assert [len(lines_of(directory))] == [18]
    return directory


@pytest.fixture
def log(sound: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    copy = tmp_path / "log"
    shutil.copytree(sound, copy)
    for path in segments_of(copy / STREAM):
        path.chmod(0o640)
    return copy


def segment(log: Path, first_seq: int) -> Path:
    return log / STREAM / f"{first_seq:020d}.jsonl"


def edit(path: Path, change: Callable[[list[bytes]], None]) -> None:
    lines = path.read_bytes().split(b"\n")[:-1]
    change(lines)
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def told(report: Report) -> list[tuple[Kind, int | None, int | None]]:
    return [(finding.kind, finding.line, finding.seq) for finding in report.findings]


def test_a_sound_log_is_clean_and_counted(sound: Path) -> None:
    steps: list[tuple[int, int]] = []
    report = verify(sound, lambda done, total: steps.append((done, total)))
    assert report.findings == []
    assert report.clean
    assert report.exit_code == 0
    assert report.inputs_checked == 1
    assert report.records == 18
    (figures,) = report.streams
    assert (figures.epochs, figures.decisions, figures.routed, figures.refused) == (3, 12, 12, 0)
    assert (figures.segments, figures.unclean_epochs, figures.gaps) == (3, 0, 0)
    assert figures.head == hashlib.sha256(lines_of(sound)[-1]).hexdigest()
    assert steps[-1][0] == steps[-1][1] == sum(path.stat().st_size for path in segments_of(sound / STREAM))


def test_every_report_says_what_it_cannot_tell(sound: Path) -> None:
    assert verify(sound).as_dict()["caveat"] == CAVEAT
    assert "checkpoint" in CAVEAT


def test_each_kind_has_an_exit_status_and_a_registered_error_of_its_own() -> None:
    assert [kind.value for kind in Kind] == list(range(10, 20))
    for kind in Kind:
        assert kind.code in ERRORS
        assert kind.title == ERRORS[kind.code].title


@pytest.mark.parametrize("line", range(2, 6))
def test_a_changed_value_is_found_in_its_line(log: Path, line: int) -> None:
    def change(lines: list[bytes]) -> None:
        lines[line - 1] = lines[line - 1].replace(b'"mono_us":', b'"mono_us":1')

    edit(segment(log, 6), change)
    report = verify(log)
    assert told(report) == [(Kind.ALTERED, line, 6 + line - 1)]
    assert report.exit_code == 10


@pytest.mark.slow
def test_one_changed_byte_is_found_wherever_it_is(log: Path) -> None:
    path = segment(log, 6)
    data = path.read_bytes()
    for offset in range(0, len(data) - 1, 7):
        for value in (data[offset] ^ 1, ord("\n")):
            if value == data[offset]:
                continue
            path.write_bytes(data[:offset] + bytes([value]) + data[offset + 1 :])
            report = verify(log)
            assert not report.clean, (offset, value)
            lines = {finding.line or 0 for finding in report.findings if finding.file == str(path)}
            at = data.count(b"\n", 0, offset) + 1
            assert lines & {at - 1, at, at + 1}, (offset, report.findings)


def test_a_line_that_is_no_record_is_one_finding(log: Path) -> None:
    edit(segment(log, 6), lambda lines: lines.__setitem__(2, b"garbage"))
    assert told(verify(log)) == [(Kind.ALTERED, 3, None)]


def test_a_changed_number_is_an_altered_record_not_a_missing_one(log: Path) -> None:
    edit(segment(log, 6), lambda ls: ls.__setitem__(2, ls[2].replace(b'"seq":8', b'"seq":9')))
    report = verify(log)
    assert {finding.kind for finding in report.findings} == {Kind.ALTERED}
    assert told(report)[0][1] == 3


@pytest.mark.parametrize("count", [1, 2])
def test_deleted_records_are_missing(log: Path, count: int) -> None:
    def change(lines: list[bytes]) -> None:
        del lines[2 : 2 + count]

    edit(segment(log, 6), change)
    report = verify(log)
    assert told(report) == [(Kind.MISSING, 3, 8)]
    assert report.exit_code == 11


def test_swapped_records_are_out_of_order(log: Path) -> None:
    def change(lines: list[bytes]) -> None:
        lines[2], lines[3] = lines[3], lines[2]

    edit(segment(log, 6), change)
    report = verify(log)
    assert told(report) == [(Kind.REORDERED, 4, 8)]
    assert report.exit_code == 12


def test_a_cut_tail_is_unclosed(log: Path) -> None:
    edit(segment(log, 12), lambda lines: lines.pop())
    report = verify(log)
    assert told(report) == [(Kind.UNCLOSED, 5, 16)]
    assert report.exit_code == 13


def test_a_rewritten_line_outside_the_profile_is_told_even_if_the_chain_holds(log: Path) -> None:
    """A forger who makes the whole chain anew but not canonically."""
    head = hashlib.sha256(segment(log, 6).read_bytes().split(b"\n")[-2]).hexdigest().encode()

    def change(lines: list[bytes]) -> None:
        prev = head
        for index, line in enumerate(lines):
            record = orjson.loads(line)
            record["prev"] = prev.decode()
            if index == 0:
                record["previous"]["head"] = prev.decode()
            if index == 2:
                record["address"] = "192.0.2.1"
            lines[index] = encode(record) if index != 3 else json.dumps(record).encode()
            prev = hashlib.sha256(lines[index]).hexdigest().encode()

    edit(segment(log, 12), change)
    report = verify(log)
    assert told(report) == [(Kind.PROFILE, 3, 14), (Kind.PROFILE, 4, 15)]
    assert report.exit_code == 14


def test_a_torn_tail_is_told_as_such(log: Path) -> None:
    path = segment(log, 12)
    path.write_bytes(path.read_bytes()[:-30])
    report = verify(log)
    assert told(report) == [(Kind.TORN, 6, None)]
    assert report.exit_code == 15


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"other")])
def test_a_missing_or_altered_input_is_told_with_the_first_record_that_names_it(
    log: Path, spoil: Callable[[Path], None]
) -> None:
    path = InputStore(log, World()).path("sha256:" + hashlib.sha256(POLICY).hexdigest())
    path.chmod(0o640)
    spoil(path)
    report = verify(log)
    assert told(report) == [(Kind.INPUT, 2, 1)]
    assert report.exit_code == 16


def test_a_copied_line_and_a_fork_use_a_number_twice(log: Path) -> None:
    edit(segment(log, 6), lambda lines: lines.insert(3, lines[2]))
    assert told(verify(log)) == [(Kind.DUPLICATE, 4, 8)]

    def fork(lines: list[bytes]) -> None:
        record = orjson.loads(lines[3])
        record["tenant"] = "other"
        lines[3] = encode(record)

    edit(segment(log, 6), fork)
    report = verify(log)
    assert told(report) == [(Kind.DUPLICATE, 4, 8)]
    assert report.exit_code == 17


@pytest.mark.parametrize(("old", "new"), [(b'"v":1', b'"v":2'), (b'"type":"decision"', b'"type":"outcome"')])
def test_an_unknown_version_or_type_is_told(log: Path, old: bytes, new: bytes) -> None:
    edit(segment(log, 12), lambda lines: lines.__setitem__(2, lines[2].replace(old, new)))
    report = verify(log)
    assert (Kind.UNKNOWN, 3, 14) in told(report)
    assert report.exit_code == 10  # the chain is broken as well, which is graver


@pytest.mark.parametrize("first_seq", [0, 6])
def test_a_deleted_segment_is_missed(log: Path, first_seq: int) -> None:
    segment(log, first_seq).unlink()
    report = verify(log)
    assert {finding.kind for finding in report.findings} == {Kind.INCONSISTENT}
    assert report.exit_code == 19


def test_the_end_of_a_segment_that_others_follow_is_missed(log: Path) -> None:
    edit(segment(log, 6), lambda lines: lines.__delitem__(slice(4, None)))
    assert verify(log).exit_code == 19


def test_a_renamed_segment_is_told(log: Path) -> None:
    segment(log, 6).rename(segment(log, 7))
    assert told(verify(log)) == [(Kind.INCONSISTENT, 1, 6)]


def test_an_emptied_segment_and_a_stream_without_segments_are_told(log: Path) -> None:
    segment(log, 6).write_bytes(b"")
    (log / "worker-1").mkdir()
    report = verify(log)
    assert {finding.kind for finding in report.findings} == {Kind.INCONSISTENT}
    assert any(finding.file.endswith("worker-1") for finding in report.findings)


def rechain(lines: list[bytes], from_line: int, prev: str) -> None:
    """Chain lines anew, as a forger with a copy of our source would."""
    for index in range(from_line, len(lines)):
        record = orjson.loads(lines[index])
        record["prev"] = prev
        lines[index] = encode(record)
        prev = hashlib.sha256(lines[index]).hexdigest()


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [(5, "records", 7), (0, "previous", None), (3, "epoch", "0" * 20), (3, "log", "other/log")],
)
def test_a_rechained_log_must_still_fit_together(log: Path, line: int, name: str, value: object) -> None:
    path = segment(log, 12)
    lines = path.read_bytes().split(b"\n")[:-1]
    record = orjson.loads(lines[line])
    if value is None:
        del record[name]
    else:
        record[name] = value
    lines[line] = encode(record)
    rechain(lines, line, orjson.loads(lines[line])["prev"])
    path.write_bytes(b"".join(each + b"\n" for each in lines))
    report = verify(log)
    assert {finding.kind for finding in report.findings} == {Kind.INCONSISTENT}
    assert report.exit_code == 19


def test_a_record_after_the_close_of_its_epoch_is_told(log: Path) -> None:
    lines = segment(log, 12).read_bytes().split(b"\n")[:-1]
    extra = orjson.loads(lines[-2]) | {"seq": 18}
    extra["prev"] = hashlib.sha256(lines[-1]).hexdigest()
    edit(segment(log, 12), lambda lines: lines.append(encode(extra)))
    kinds = [finding.kind for finding in verify(log).findings]
    assert Kind.INCONSISTENT in kinds


def test_honestly_a_full_rewrite_is_not_seen(log: Path) -> None:
    """The limit that the report states: whoever can write everything can write everything anew."""
    lines = lines_of(log)
    record = orjson.loads(lines[1])
    record["out"] |= {"r": "us-east-1", "cluster": "us-east-1", "cc": "US"}
    lines[1] = encode(record)
    prev = "0" * 64
    heads: dict[int, str] = {}
    for index, line in enumerate(lines):
        record = orjson.loads(line)
        record["prev"] = prev
        if "previous" in record:
            record["previous"]["head"] = prev
        lines[index] = encode(record)
        prev = heads[index] = hashlib.sha256(lines[index]).hexdigest()
    for first in SEGMENTS:
        segment(log, first).write_bytes(b"".join(line + b"\n" for line in lines[first : first + 6]))
    before = verify(log)
    assert before.clean
    # But the head is another one, and whoever kept a copy of it knows.
    assert before.streams[0].head == heads[17]


def test_a_live_log_is_clean_up_to_its_last_full_line(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    writer.append("decision", decision())
    writer.commit()
    path = segments_of(tmp_path / STREAM)[0]
    with path.open("ab") as file:
        file.write(b'{"half a')
    report = verify(tmp_path / STREAM)
    assert report.findings == []
    assert report.streams[0].live
    writer.release()
    assert verify(tmp_path / STREAM).exit_code == 15


def test_a_crash_is_told_until_the_writer_has_come_back(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    writer.append("heartbeat", {})
    writer.commit()
    writer.release()
    assert verify(tmp_path / STREAM).exit_code == 13
    open_writer(tmp_path).close()
    report = verify(tmp_path / STREAM)
    assert report.clean
    assert report.streams[0].unclean_epochs == 1


def test_gaps_and_recoveries_are_counted_and_no_findings(tmp_path: Path) -> None:
    disk = FailingDisk()
    writer = open_writer(tmp_path, World(disk=disk))
    disk.fail("fdatasync", 5)
    writer.append("heartbeat", {})
    with pytest.raises(BorderpostError):
        writer.commit()
    writer.try_heal()
    writer.append("heartbeat", {})
    writer.commit()
    writer.release()
    last = segments_of(tmp_path / STREAM)[-1]
    last.chmod(0o640)
    with last.open("ab") as file:
        file.write(b"torn")
    open_writer(tmp_path).close()
    figures = verify(tmp_path / STREAM).streams[0]
    assert (figures.gaps, figures.recoveries, figures.unclean_epochs) == (1, 1, 1)


def test_one_segment_can_be_verified_alone(log: Path) -> None:
    for first in SEGMENTS:
        report = verify(segment(log, first))
        assert report.findings == []
        assert report.inputs_checked == 1
        assert bool(report.notes) == (first != 12) or first > 0
    edit(segment(log, 6), lambda lines: lines.__delitem__(3))
    assert verify(segment(log, 6)).exit_code == 11


def test_several_streams_are_told_apart(tmp_path: Path) -> None:
    for stream in ("worker-0", "worker-1"):
        writer = open_writer(tmp_path, stream=stream)
        writer.append("heartbeat", {})
        writer.close()
    edit_path = segments_of(tmp_path / "worker-1")[0]
    edit_path.chmod(0o640)
    edit(edit_path, lambda lines: lines.__delitem__(1))
    report = verify(tmp_path)
    assert [figures.stream for figures in report.streams] == ["worker-0", "worker-1"]
    assert {finding.file for finding in report.findings} == {str(edit_path)}


def test_what_is_no_log_is_said_to_be_none(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing", Path(__file__)):
        with pytest.raises(BorderpostError) as raised:
            verify(path)
        assert raised.value.code == "BP0408"


def test_findings_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from borderpost_base import limits

    monkeypatch.setattr(limits, "FINDINGS_MAX", 10)
    writer = open_writer(tmp_path)
    for _ in range(50):
        writer.append("heartbeat", {})
    writer.close()
    path = segments_of(tmp_path / STREAM)[0]
    path.chmod(0o640)
    edit(path, lambda lines: lines.__delitem__(slice(1, None, 2)))
    report = verify(tmp_path)
    assert len(report.findings) == 10
    assert report.unlisted > 10


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_line_can_be_lost_moved_doubled_or_changed_unseen(
    sound: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any rearrangement of a segment's lines, other than none, is a finding. (The last segment's end apart.)"""
    log = tmp_path_factory.mktemp("spoiled")
    shutil.copytree(sound, log, dirs_exist_ok=True)
    path = segment(log, data.draw(st.sampled_from(SEGMENTS[:2])))
    lines = path.read_bytes().split(b"\n")[:-1]
    spoiled = data.draw(st.lists(st.sampled_from(lines), max_size=8))
    path.chmod(0o640)
    path.write_bytes(b"".join(line + b"\n" for line in spoiled))
    report = verify(log / STREAM)
    assert report.clean == (spoiled == lines)
    assert report.exit_code == 0 or 10 <= report.exit_code <= 19


@settings(max_examples=100, deadline=None)
@given(rubbish=st.lists(st.binary(max_size=200) | st.sampled_from([b"{}", b"[]", b'{"seq":0}', b"null", b"1e999"])))
def test_rubbish_is_reported_and_never_crashes(tmp_path_factory: pytest.TempPathFactory, rubbish: list[bytes]) -> None:
    log = tmp_path_factory.mktemp("rubbish")
    (log / STREAM).mkdir()
    segment(log, 0).write_bytes(b"\n".join(rubbish))
    report = verify(log)
    assert not report.clean
    assert report.as_dict()["schema_version"] == 1


def test_a_report_is_json(log: Path) -> None:
    edit(segment(log, 6), lambda lines: lines.pop(1))
    report = orjson.loads(orjson.dumps(verify(log).as_dict()))
    (finding,) = report["findings"]
    assert finding["code"] == "BP0411"
    assert finding["mend"]
    assert report["exit_code"] == 11
    assert parse(lines_of(log)[0])["log"].startswith(small_spec().log)
