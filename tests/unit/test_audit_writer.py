"""The writer: chain, epochs, rotation, lock, bounds."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from pathlib import Path

import orjson
import pytest

from borderpost.audit.kinds import parse_stamp
from borderpost.audit.profile import encode
from borderpost.audit.record import parse
from borderpost.audit.segment import segments_of
from borderpost.audit.verify import verify
from borderpost.audit.writer import AuditUnavailable
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from borderpost_base.world import World
from support.audit import (
    STREAM,
    FailingDisk,
    Leaves,
    TestClock,
    decision,
    leaves_of,
    lines_of,
    open_writer,
    small_spec,
)


def types(directory: Path) -> list[str]:
    return [parse(line)["type"] for line in lines_of(directory)]


def test_records_are_chained_and_numbered_across_epochs(tmp_path: Path) -> None:
    for _ in range(3):
        writer = open_writer(tmp_path)
        for n in range(3):
            writer.append("decision", decision(f"r-{n}"))
        writer.commit()
        writer.close()
    lines = lines_of(tmp_path)
    records = [parse(line) for line in lines]
    assert [record["seq"] for record in records] == list(range(15))
    assert records[0]["prev"] == "0" * 64
    for before, record in zip(lines, records[1:], strict=False):
        assert record["prev"] == hashlib.sha256(before).hexdigest()
    assert len({record["epoch"] for record in records}) == 3
    assert "previous" not in records[0]
    assert records[5]["previous"] == {
        "epoch": records[0]["epoch"],
        "seq": 4,
        "head": hashlib.sha256(lines[4]).hexdigest(),
        "end": "clean",
    }
    assert records[4]["type"] == "epoch.close"
    assert records[4]["records"] == 5
    assert verify(tmp_path / STREAM).findings == []


def test_a_position_is_where_the_record_stands(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    position = writer.append("decision", decision("here"))
    writer.commit()
    writer.close()
    line = lines_of(tmp_path)[position.seq]
    assert parse(line)["req"] == {"id": "here"}
    assert position.digest == hashlib.sha256(line).hexdigest()
    assert position.decision_id == parse(line)["epoch"] + f"{position.seq:012x}"


def test_nothing_is_on_disk_before_commit_and_all_of_it_after(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    for n in range(50):
        writer.append("decision", decision(f"r-{n}"))
    assert len(lines_of(tmp_path)) == 1
    writer.commit()
    assert len(lines_of(tmp_path)) == 51
    assert writer.durable.seq == 50
    writer.commit()
    assert len(lines_of(tmp_path)) == 51
    writer.close()


def test_a_commit_is_one_write_and_one_sync_however_short_the_writes(tmp_path: Path) -> None:
    disk = FailingDisk()
    writer = open_writer(tmp_path, World(disk=disk))
    for n in range(20):
        writer.append("decision", decision(f"r-{n}"))
    disk.calls.clear()
    writer.commit()
    assert disk.calls == ["write", "fdatasync", "confirm"]
    disk.short_writes = True
    for n in range(20):
        writer.append("decision", decision(f"s-{n}"))
    writer.commit()
    writer.close()
    assert disk.calls.count("write") > 5
    assert verify(tmp_path / STREAM).findings == []


def test_the_time_of_a_record_is_the_instant_it_was_decided_for(tmp_path: Path) -> None:
    clock = TestClock()
    writer = open_writer(tmp_path, World(clock=clock))
    now = clock.wall + 123
    writer.append("decision", decision(), at_us=now)
    clock.step(10)
    writer.append("heartbeat", {})
    writer.close()
    records = [parse(line) for line in lines_of(tmp_path)]
    assert parse_stamp(records[1]["ts"]) == now
    assert parse_stamp(records[2]["ts"]) == clock.wall
    assert records[2]["mono_us"] == clock.mono


def test_time_never_falls_behind_the_log(tmp_path: Path) -> None:
    clock = TestClock()
    open_writer(tmp_path, World(clock=clock)).close()
    behind = TestClock(wall_us=clock.wall - 3_600_000_000)
    world = World(clock=behind)
    open_writer(tmp_path, world).close()
    assert world.now_us() >= clock.wall
    stamps = [parse_stamp(parse(line)["ts"]) for line in lines_of(tmp_path)]
    assert stamps == sorted(stamps)


def test_segments_rotate_by_size_and_are_named_and_closed(tmp_path: Path) -> None:
    writer = open_writer(tmp_path, spec=small_spec(segment_bytes=64 << 10))
    for n in range(200):
        writer.append("decision", decision(f"r-{n}"))
        writer.commit()
    segments = segments_of(tmp_path / STREAM)
    assert len(segments) > 2
    for path in segments:
        first = orjson.loads(path.read_bytes().split(b"\n", 1)[0])
        assert path.name == f"{first['seq']:020d}.jsonl"
    assert {path.stat().st_mode & 0o777 for path in segments[:-1]} == {0o440}
    assert segments[-1].stat().st_mode & 0o777 == 0o640
    writer.close()
    assert segments[-1].stat().st_mode & 0o777 == 0o440
    assert max(path.stat().st_size for path in segments) < (64 << 10) + limits.RECORD_BYTES_MAX
    assert verify(tmp_path / STREAM).findings == []


def test_segments_rotate_by_age(tmp_path: Path) -> None:
    clock = TestClock()
    writer = open_writer(tmp_path, World(clock=clock), small_spec(segment_s=60))
    writer.append("heartbeat", {})
    writer.commit()
    clock.step(59)
    writer.append("heartbeat", {})
    writer.commit()
    assert len(segments_of(tmp_path / STREAM)) == 1
    clock.step(2)
    writer.append("heartbeat", {})
    writer.commit()
    writer.close()
    assert [path.name for path in segments_of(tmp_path / STREAM)] == [f"{0:020d}.jsonl", f"{3:020d}.jsonl"]


def test_the_leaves_of_every_commit_are_given_in_order(tmp_path: Path) -> None:
    leaves = Leaves()
    writer = open_writer(tmp_path, observer=leaves)
    for n in range(10):
        writer.append("decision", decision(f"r-{n}"))
        if n % 3 == 0:
            writer.commit()
    writer.close()
    assert leaves.leaves == leaves_of(tmp_path)


def test_a_second_writer_is_refused_and_told_who_holds_the_lock(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    with pytest.raises(BorderpostError, match=str(os.getpid())) as raised:
        open_writer(tmp_path)
    assert raised.value.code == "BP0401"
    assert STREAM in str(raised.value)
    open_writer(tmp_path, stream="worker-1").close()
    writer.close()
    open_writer(tmp_path).close()


def test_a_lock_file_without_a_lock_stops_nobody(tmp_path: Path) -> None:
    open_writer(tmp_path).close()
    (tmp_path / STREAM / "lock").write_text("1\n")
    open_writer(tmp_path).close()


def test_verify_looking_at_the_lock_does_not_keep_a_writer_from_starting(tmp_path: Path) -> None:
    open_writer(tmp_path).close()
    fd = os.open(tmp_path / STREAM / "lock", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)

    class Slow(FailingDisk):
        def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
            opened = super().open(path, flags, mode)
            if path.name == "lock":
                import threading

                threading.Timer(0.03, os.close, (fd,)).start()
            return opened

    open_writer(tmp_path, World(disk=Slow())).close()


@pytest.mark.parametrize("name", ["inputs", "", "../x", "Worker", "a/b", "-x", "x" * 65])
def test_other_names_are_no_streams(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a stream"):
        open_writer(tmp_path, stream=name)


def test_too_many_waiting_records_are_refused_and_accounted_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUDIT_PENDING_RECORDS_MAX", 10)
    writer = open_writer(tmp_path)
    for n in range(10):
        writer.append("decision", decision(f"r-{n}"))
    for _ in range(7):
        with pytest.raises(AuditUnavailable) as raised:
            writer.append("decision", decision("too-many"))
        assert (raised.value.code, raised.value.reason) == ("BP0406", "backlog")
    batch = writer.detach()
    assert batch is not None
    with pytest.raises(AuditUnavailable):
        writer.append("decision", decision("still out"))
    writer.write(batch)
    writer.settle(batch, None)
    writer.append("decision", decision("after"))
    writer.close()
    gap = next(parse(line) for line in lines_of(tmp_path) if parse(line)["type"] == "gap")
    assert (gap["refused"], gap["lost"], gap["reason"]) == (8, 0, "backlog")
    assert verify(tmp_path / STREAM).findings == []


def test_refusals_are_accounted_for_once_also_where_the_record_that_tells_of_them_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUDIT_PENDING_RECORDS_MAX", 1)
    disk = FailingDisk()
    writer = open_writer(tmp_path, World(disk=disk))
    writer.append("decision", decision("first"))
    for _ in range(3):
        with pytest.raises(AuditUnavailable):
            writer.append("decision", decision("too-many"))
    writer.commit()  # its end is where a gap record is chained, which waits for the next commit
    disk.fail("fdatasync", errno.EIO)
    with pytest.raises(AuditUnavailable):
        writer.commit()
    with pytest.raises(AuditUnavailable):
        writer.append("decision", decision("while down"))
    assert writer.try_heal()
    writer.close()
    gaps = [parse(line) for line in lines_of(tmp_path) if parse(line)["type"] == "gap"]
    assert sum(gap["refused"] for gap in gaps) == 4
    assert [gap["lost"] for gap in gaps] == [1]
    assert verify(tmp_path / STREAM).findings == []


def test_waiting_bytes_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AUDIT_PENDING_BYTES_MAX", 3000)
    writer = open_writer(tmp_path)
    with pytest.raises(AuditUnavailable):
        for n in range(10):
            writer.append("decision", decision(f"r-{n}"))
    writer.close()


def test_a_refused_record_leaves_the_chain_as_it_was(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    for kind, fields in (("decision", decision("\ud800")), ("heartbeat", {"x": 1}), ("outcome", {})):
        with pytest.raises(BorderpostError):
            writer.append(kind, fields)
    with pytest.raises(BorderpostError) as raised:
        writer.append("policy.activate", {"digest": "sha256:" + "0" * 64})
    assert raised.value.code == "BP0407"
    writer.append("decision", decision())
    writer.close()
    assert types(tmp_path) == ["epoch.open", "decision", "epoch.close"]
    assert verify(tmp_path / STREAM).findings == []


def test_a_closed_writer_takes_nothing(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    writer.close()
    with pytest.raises(AuditUnavailable) as raised:
        writer.append("heartbeat", {})
    assert raised.value.reason == "ended"


def test_a_child_process_cannot_write_its_parents_stream(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    writer.append("heartbeat", {})
    child = os.fork()
    if child == 0:
        try:
            writer.commit()
        except RuntimeError:
            os._exit(17)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
    writer.close()
    assert verify(tmp_path / STREAM).findings == []


def test_prepared_records_are_chained_as_far_as_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AUDIT_PENDING_RECORDS_MAX", 3)
    writer = open_writer(tmp_path)
    fields = decision()
    request = encode(fields.pop("req"))
    prepared = writer.prepare("decision", fields)
    ids = writer.append_prepared([(prepared, request)] * 5, at_us=1_800_000_000_000_000, mono_us=5)
    with pytest.raises(AuditUnavailable) as raised:
        writer.append_prepared([(prepared, request)], at_us=1_800_000_000_000_000, mono_us=5)
    assert raised.value.reason == "backlog"
    writer.commit()
    writer.close()
    records = [parse(line) for line in lines_of(tmp_path)]
    decided = [record for record in records if record["type"] == "decision"]
    assert [f"{record['epoch']}{record['seq']:012x}".encode() for record in decided] == ids
    assert len(ids) == 3
    (gap,) = [record for record in records if record["type"] == "gap"]
    assert (gap["refused"], gap["reason"]) == (3, "backlog")
    assert verify(tmp_path / STREAM).findings == []


def test_room_is_set_aside_behind_a_segment_and_given_back(tmp_path: Path) -> None:
    reserve = 1 << 20
    writer = open_writer(tmp_path, spec=small_spec(reserve_bytes=reserve))
    writer.append("decision", decision())
    writer.commit()
    (segment,) = segments_of(tmp_path / STREAM)
    held = segment.stat()
    assert held.st_blocks * 512 >= reserve  # of 512 bytes whatever the file system's are (stat(2))
    assert held.st_size == sum(len(line) + 1 for line in lines_of(tmp_path))
    # A crash here leaves it set aside; whoever opens the stream next gives it back.
    writer.release()
    segment.chmod(0o640)
    with segment.open("ab") as left_open:
        World().disk.reserve(left_open.fileno(), held.st_size, reserve)
    assert segment.stat().st_blocks * 512 >= reserve
    open_writer(tmp_path, spec=small_spec(reserve_bytes=reserve)).close()
    assert all(each.stat().st_blocks * 512 < reserve for each in segments_of(tmp_path / STREAM))
    assert verify(tmp_path / STREAM).findings == []


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSPC])
def test_where_no_room_can_be_set_aside_the_log_is_written_all_the_same(tmp_path: Path, number: int) -> None:
    disk = FailingDisk()
    writer = open_writer(tmp_path, World(disk=disk), spec=small_spec(reserve_bytes=1 << 20))
    disk.fail("reserve", number)
    for _ in range(3):
        writer.append("decision", decision())
        writer.commit()
    writer.close()
    assert disk.calls.count("reserve") <= 2
    assert "truncate" in disk.calls  # a part of it may have been set aside
    assert verify(tmp_path / STREAM).findings == []
