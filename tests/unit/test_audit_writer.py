"""The writer: chain, epochs, rotation, lock, bounds, recovery of what a crash tore."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from pathlib import Path

import orjson
import pytest

from borderpost.audit.kinds import parse_stamp
from borderpost.audit.record import parse
from borderpost.audit.segment import segments_of
from borderpost.audit.verify import verify
from borderpost.audit.writer import AuditUnavailable, AuditWriter
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
    assert disk.calls == ["write", "fdatasync"]
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


# Recovery.


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of one epoch whose writer died after its third decision."""
    directory = tmp_path_factory.mktemp("crashed")
    writer = open_writer(directory)
    for n in range(3):
        writer.append("decision", decision(f"r-{n}"))
        writer.commit()
    writer.release()
    return directory


def test_every_torn_tail_is_put_aside_and_the_chain_goes_on(crashed: Path, tmp_path: Path) -> None:
    whole = lines_of(crashed)
    name = f"{0:020d}.jsonl"
    data = (crashed / STREAM / name).read_bytes()
    kept = len(data) - len(whole[-1]) - 1
    for cut in range(kept, len(data)):
        case = tmp_path / str(cut)
        (case / STREAM).mkdir(parents=True)
        (case / STREAM / name).write_bytes(data[:cut])
        writer = open_writer(case)
        writer.append("decision", decision("after"))
        writer.close()
        records = [parse(line) for line in lines_of(case)]
        recovered = [record for record in records if record["type"] == "recovery"]
        torn = data[kept:cut]
        if torn:
            (told,) = recovered
            assert (told["at"], told["bytes"], told["segment"]) == (kept, len(torn), name)
            assert told["sha256"] == hashlib.sha256(torn).hexdigest()
            (aside,) = (case / STREAM / "quarantine").iterdir()
            assert aside.read_bytes() == torn
        else:
            assert not recovered
        opened = next(r for r in records if r["type"] == "epoch.open" and r["seq"] > 0)
        assert (opened["previous"]["end"], opened["previous"]["seq"]) == ("unclean", len(whole) - 2)
        assert verify(case / STREAM).findings == []
        shutil.rmtree(case)


@pytest.mark.parametrize("cut", [1, 50, 200])
def test_a_tail_torn_in_the_first_record_leaves_an_empty_stream(crashed: Path, tmp_path: Path, cut: int) -> None:
    name = f"{0:020d}.jsonl"
    (tmp_path / STREAM).mkdir()
    (tmp_path / STREAM / name).write_bytes((crashed / STREAM / name).read_bytes()[:cut])
    open_writer(tmp_path).close()
    assert types(tmp_path) == ["epoch.open", "recovery", "epoch.close"]
    assert "previous" not in parse(lines_of(tmp_path)[0])
    assert verify(tmp_path / STREAM).findings == []


@pytest.mark.parametrize(
    "tail", [b"\x00" * 5000, b"garbage\n", b"{}\n", b"\n\n", b"x" * 100_000 + b"\n", b"\xff\xfe\n{"]
)
def test_other_rubbish_at_the_end_is_put_aside(crashed: Path, tmp_path: Path, tail: bytes) -> None:
    shutil.copytree(crashed, tmp_path, dirs_exist_ok=True)
    path = tmp_path / STREAM / f"{0:020d}.jsonl"
    path.chmod(0o640)
    with path.open("ab") as file:
        file.write(tail)
    open_writer(tmp_path).close()
    told = next(parse(line) for line in lines_of(tmp_path) if parse(line)["type"] == "recovery")
    assert told["bytes"] == len(tail)
    assert told["sha256"] == hashlib.sha256(tail).hexdigest()
    assert verify(tmp_path / STREAM).findings == []


def test_an_empty_segment_left_by_a_crash_is_passed_over(crashed: Path, tmp_path: Path) -> None:
    shutil.copytree(crashed, tmp_path, dirs_exist_ok=True)
    (tmp_path / STREAM / f"{4:020d}.jsonl").touch()
    open_writer(tmp_path).close()
    assert [parse(line)["seq"] for line in lines_of(tmp_path)] == list(range(6))
    assert verify(tmp_path / STREAM).findings == []


@pytest.mark.parametrize("line", [0, 1, 2])
def test_damage_before_the_end_refuses_to_start_and_touches_nothing(crashed: Path, tmp_path: Path, line: int) -> None:
    shutil.copytree(crashed, tmp_path, dirs_exist_ok=True)
    path = tmp_path / STREAM / f"{0:020d}.jsonl"
    data = bytearray(path.read_bytes())
    start = sum(len(each) + 1 for each in lines_of(crashed)[:line])
    data[data.index(b"mono_us", start)] ^= 1  # no field has that name: the line is no record any more
    path.chmod(0o640)
    path.write_bytes(data)
    with pytest.raises(BorderpostError) as raised:
        open_writer(tmp_path)
    assert raised.value.code == "BP0403"
    assert raised.value.place.line == line + 1
    assert path.read_bytes() == data
    assert not (tmp_path / STREAM / "quarantine").exists()
    with pytest.raises(BorderpostError, match="BP0403"):
        open_writer(tmp_path)  # the lock was given up


def test_a_deleted_line_refuses_to_start(crashed: Path, tmp_path: Path) -> None:
    (tmp_path / STREAM).mkdir()
    lines = lines_of(crashed)
    del lines[1]
    (tmp_path / STREAM / f"{0:020d}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    with pytest.raises(BorderpostError, match="sequence number 2 where 1 is due"):
        open_writer(tmp_path)


@pytest.mark.parametrize("line", [1, 2])
def test_an_altered_record_refuses_to_start_even_if_only_the_last_shows_it(
    crashed: Path, tmp_path: Path, line: int
) -> None:
    shutil.copytree(crashed, tmp_path, dirs_exist_ok=True)
    path = tmp_path / STREAM / f"{0:020d}.jsonl"
    lines = lines_of(crashed)
    lines[line] = lines[line].replace(b'"action":"route"', b'"action":"refuse"')
    path.chmod(0o640)
    path.write_bytes(b"".join(each + b"\n" for each in lines))
    with pytest.raises(BorderpostError, match=f"record {line + 1} is not chained"):
        open_writer(tmp_path)


def test_another_logs_stream_is_not_continued(crashed: Path, tmp_path: Path) -> None:
    shutil.copytree(crashed, tmp_path, dirs_exist_ok=True)
    with pytest.raises(BorderpostError) as raised:
        open_writer(tmp_path, spec=small_spec(log="other/log"))
    assert raised.value.code == "BP0403"
    assert "test/log/worker-0" in raised.value.detail


def test_a_segment_that_does_not_continue_the_one_before_refuses_to_start(tmp_path: Path) -> None:
    for _ in range(2):
        open_writer(tmp_path).close()
    _, second = segments_of(tmp_path / STREAM)
    second.rename(second.with_name(f"{7:020d}.jsonl"))
    with pytest.raises(BorderpostError, match="ends with record 1"):
        open_writer(tmp_path)


def test_a_stream_whose_early_segments_were_moved_away_goes_on(tmp_path: Path) -> None:
    for _ in range(3):
        open_writer(tmp_path).close()
    for path in segments_of(tmp_path / STREAM)[:2]:
        path.unlink()
    writer = open_writer(tmp_path)
    assert writer.durable.seq == 6
    writer.close()


def test_opening_a_large_segment_takes_bounded_memory(tmp_path: Path) -> None:
    import tracemalloc

    writer = open_writer(tmp_path)
    for _ in range(20):
        for n in range(500):
            writer.append("decision", decision(f"r-{n}"))
        writer.commit()
    writer.release()
    size = sum(path.stat().st_size for path in segments_of(tmp_path / STREAM))
    tracemalloc.start()
    try:
        open_writer(tmp_path).close()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 8 << 20
    assert peak < 6 << 20


def test_a_writer_that_cannot_start_says_why_and_leaves_no_lock(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BorderpostError) as raised:
        AuditWriter.open(tmp_path / "file", STREAM, small_spec(), World(), None)  # type: ignore[arg-type]
    assert raised.value.code == "BP0402"
