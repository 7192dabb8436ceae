"""A failing disk: nothing is acknowledged that is not durable, the stream refuses, heals, and says what it lost."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path
from typing import Any

import pytest

from borderpost.audit.record import parse
from borderpost.audit.segment import segments_of
from borderpost.audit.verify import verify
from borderpost.audit.writer import AuditUnavailable, AuditWriter
from borderpost_base.errors import BorderpostError
from borderpost_base.world import World
from support.audit import STREAM, FailingDisk, Leaves, TestClock, decision, leaves_of, lines_of, open_writer, small_spec


def records(directory: Path) -> list[dict[str, Any]]:
    return [parse(line) for line in lines_of(directory)]


def names(directory: Path) -> list[str]:
    return [record["req"]["id"] for record in records(directory) if record["type"] == "decision"]


@pytest.mark.parametrize("call", ["write", "fdatasync"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_failed_commit_counts_for_nothing_and_a_gap_says_so(tmp_path: Path, call: str, number: int) -> None:
    disk, clock = FailingDisk(), TestClock()
    writer = open_writer(tmp_path, World(disk=disk, clock=clock))
    writer.append("decision", decision("before"))
    writer.commit()
    durable = writer.durable
    lost = [writer.append("decision", decision(f"lost-{n}")) for n in range(3)]
    disk.fail(call, number)
    with pytest.raises(AuditUnavailable) as raised:
        writer.commit()
    assert (raised.value.code, raised.value.reason) == ("BP0405", errno.errorcode[number])
    assert writer.fault is raised.value
    assert writer.durable == durable
    for _ in range(2):
        with pytest.raises(AuditUnavailable):
            writer.append("decision", decision("refused"))
    clock.step(4)
    assert writer.try_heal()
    assert writer.fault is None
    after = writer.append("decision", decision("after"))
    writer.close()
    assert after.seq == lost[0].seq + 1
    assert names(tmp_path) == ["before", "after"]
    gap = next(record for record in records(tmp_path) if record["type"] == "gap")
    assert gap["seq"] == durable.seq + 1
    assert gap["prev"] == durable.digest
    assert (gap["lost"], gap["refused"], gap["reason"]) == (3, 2, errno.errorcode[number])
    assert (gap["during"], gap["down_us"], gap["attempts"]) == (call, 4_000_000, 1)
    assert gap["bytes"] > 3 * 500
    assert verify(tmp_path / STREAM).findings == []
    assert [path.name for path in segments_of(tmp_path / STREAM)] == [f"{0:020d}.jsonl", f"{2:020d}.jsonl"]


def test_failed_bytes_are_never_synced_again(tmp_path: Path) -> None:
    disk = FailingDisk()
    writer = open_writer(tmp_path, World(disk=disk))
    writer.append("decision", decision("lost"))
    disk.fail("fdatasync", errno.EIO)
    with pytest.raises(AuditUnavailable):
        writer.commit()
    disk.calls.clear()
    writer.try_heal()
    assert disk.calls.index("truncate") < disk.calls.index("fdatasync")
    writer.close()


def test_a_heal_that_fails_leaves_the_stream_down_and_may_be_tried_again(tmp_path: Path) -> None:
    disk = FailingDisk()
    writer = open_writer(tmp_path, World(disk=disk))
    writer.append("decision", decision("lost"))
    disk.fail("fdatasync", errno.EIO, times=3)
    with pytest.raises(AuditUnavailable):
        writer.commit()
    assert [writer.try_heal() for _ in range(4)] == [False, False, True, True]
    writer.close()
    gap = next(record for record in records(tmp_path) if record["type"] == "gap")
    assert (gap["attempts"], gap["lost"], gap["reason"], gap["during"]) == (3, 1, "EIO", "fdatasync")
    assert verify(tmp_path / STREAM).findings == []


def test_records_appended_while_a_batch_is_out_fall_with_it(tmp_path: Path) -> None:
    disk = FailingDisk()
    writer = open_writer(tmp_path, World(disk=disk))
    writer.append("decision", decision("lost-1"))
    batch = writer.detach()
    assert batch is not None
    writer.append("decision", decision("lost-2"))
    disk.fail("fdatasync", errno.EIO)
    with pytest.raises(AuditUnavailable) as raised:
        writer.write(batch)
    writer.append("decision", decision("lost-3"))  # the owner does not know yet
    writer.settle(batch, raised.value)
    assert writer.pending == 0
    assert writer.detach() is None
    assert writer.try_heal()
    writer.append("decision", decision("after"))
    writer.close()
    assert names(tmp_path) == ["after"]
    assert next(record for record in records(tmp_path) if record["type"] == "gap")["lost"] == 3
    assert verify(tmp_path / STREAM).findings == []


def test_refusals_during_the_repair_are_accounted_for_after_it(tmp_path: Path) -> None:
    disk = FailingDisk()
    writer = open_writer(tmp_path, World(disk=disk))
    writer.append("decision", decision("lost"))
    disk.fail("write", errno.EIO)
    with pytest.raises(AuditUnavailable):
        writer.commit()
    repair = writer.prepare_repair()
    for _ in range(5):
        with pytest.raises(AuditUnavailable):
            writer.append("decision", decision("refused"))
    writer.write(repair)
    writer.settle(repair, None)
    writer.close()
    gaps = [record for record in records(tmp_path) if record["type"] == "gap"]
    assert [(gap["lost"], gap["refused"], gap["reason"]) for gap in gaps] == [(1, 0, "EIO"), (0, 5, "EIO")]


def test_a_full_disk_is_left_only_with_room_to_spare(tmp_path: Path) -> None:
    disk = FailingDisk()
    writer = open_writer(tmp_path, World(disk=disk))
    writer.append("decision", decision("lost"))
    disk.fail("write", errno.ENOSPC)
    disk.fail("allocate", errno.ENOSPC)
    with pytest.raises(AuditUnavailable):
        writer.commit()
    assert not writer.try_heal()
    assert writer.try_heal()
    assert (tmp_path / STREAM / "ballast").stat().st_size == 64 << 10
    assert not (tmp_path / STREAM / "ballast.probe").exists()
    writer.close()


def test_a_stream_on_a_full_disk_closes_by_its_ballast(tmp_path: Path) -> None:
    disk = FailingDisk()
    writer = open_writer(tmp_path, World(disk=disk))
    writer.append("decision", decision("lost"))
    disk.fail("allocate", errno.ENOSPC, times=100)
    disk.fail("write", errno.ENOSPC)
    writer.close()
    assert not (tmp_path / STREAM / "ballast").exists()
    assert [record["type"] for record in records(tmp_path)] == ["epoch.open", "gap", "epoch.close"]
    assert verify(tmp_path / STREAM).findings == []


def test_a_close_that_cannot_be_recorded_raises_and_gives_up_the_lock(tmp_path: Path) -> None:
    disk = FailingDisk()
    writer = open_writer(tmp_path, World(disk=disk))
    disk.fail("fdatasync", errno.EIO, times=100)
    with pytest.raises(AuditUnavailable):
        writer.close()
    again = open_writer(tmp_path)
    again.close()
    assert [record["type"] for record in records(tmp_path)][-3:] != []
    assert verify(tmp_path / STREAM).findings == []


def test_durable_records_that_do_not_read_back_keep_the_stream_down(tmp_path: Path) -> None:
    disk = FailingDisk()
    writer = open_writer(tmp_path, World(disk=disk))
    writer.append("decision", decision("before"))
    writer.commit()
    path = segments_of(tmp_path / STREAM)[0]
    data = path.read_bytes()
    path.write_bytes(data[:-9] + b"#" + data[-8:])
    writer.append("decision", decision("lost"))
    disk.fail("fdatasync", errno.EIO)
    with pytest.raises(AuditUnavailable):
        writer.commit()
    assert not writer.try_heal()
    assert writer.fault is not None
    assert "does not read back" in writer.fault.detail
    path.write_bytes(data)
    assert writer.try_heal()
    writer.close()


def test_the_tree_is_told_of_durable_records_only(tmp_path: Path) -> None:
    disk, leaves = FailingDisk(), Leaves()
    writer = open_writer(tmp_path, World(disk=disk), observer=leaves)
    for n in range(6):
        if n % 2:
            disk.fail("fdatasync", errno.EIO)
        writer.append("decision", decision(f"r-{n}"))
        try:
            writer.commit()
        except AuditUnavailable:
            assert writer.try_heal()
    writer.close()
    assert leaves.leaves == leaves_of(tmp_path)


def scenario(directory: Path, disk: FailingDisk) -> list[str]:
    """Run a writer through commits, rotation and a close on a disk that may fail; return what was acknowledged."""
    acknowledged: list[str] = []
    spec = small_spec(segment_bytes=64 << 10)
    writer: AuditWriter | None = None
    for attempt in range(6):
        try:
            writer = open_writer(directory, World(disk=disk), spec)
            break
        except BorderpostError as error:
            assert error.code == "BP0402", (attempt, error)
    assert writer is not None
    for n in range(12):
        batch = [f"r-{n}-{each}" for each in range(20)]
        try:
            for name in batch:
                writer.append("decision", decision(name))
            writer.commit()
            acknowledged += batch
        except AuditUnavailable:
            writer.try_heal()
    try:
        writer.close()
    except (AuditUnavailable, OSError):
        pass  # what was acknowledged must be there all the same
    return acknowledged


def _calls() -> int:
    import tempfile

    disk = FailingDisk()
    with tempfile.TemporaryDirectory() as directory:
        scenario(Path(directory), disk)
    return len(disk.calls)


@pytest.mark.slow
@pytest.mark.parametrize("short", [False, True])
def test_whichever_system_call_fails_nothing_acknowledged_is_lost(tmp_path: Path, short: bool) -> None:
    """Fail the 1st, 2nd, 3rd… system call of a writer's life, each in a run of its own."""
    total = _calls()
    assert total > 50
    seen_gaps = 0
    for nth in range(1, total + 1):
        directory = tmp_path / str(nth)
        directory.mkdir()
        disk = FailingDisk()
        disk.short_writes = short
        disk.fail(None, (errno.EIO, errno.ENOSPC, errno.EROFS)[nth % 3], nth=nth, times=1 + nth % 4)
        acknowledged = scenario(directory, disk)
        open_writer(directory).close()
        on_disk = names(directory)
        assert [name for name in on_disk if name in set(acknowledged)] == acknowledged, nth
        report = verify(directory / STREAM)
        assert report.findings == [], (nth, report.findings)
        seen_gaps += report.streams[0].gaps
    assert seen_gaps > total // 3


def test_the_log_after_many_faults_tells_every_refusal(tmp_path: Path) -> None:
    """Requests asked = decisions on record + lost + refused, exactly."""
    disk = FailingDisk()
    writer = open_writer(tmp_path, World(disk=disk))
    asked = 0
    for n in range(60):
        if n % 7 == 3:
            disk.fail("fdatasync" if n % 2 else "write", errno.EIO, times=1 + n % 3)
        for each in range(4):
            asked += 1
            try:
                writer.append("decision", decision(f"r-{n}-{each}"))
            except AuditUnavailable:
                continue
        try:
            writer.commit()
        except AuditUnavailable:
            continue
        finally:
            if n % 2:
                writer.try_heal()
    writer.try_heal()
    writer.close()
    told = records(tmp_path)
    gaps = [record for record in told if record["type"] == "gap"]
    decided = sum(record["type"] == "decision" for record in told)
    assert len(gaps) > 3
    assert decided + sum(gap["lost"] + gap["refused"] for gap in gaps) == asked
    assert hashlib.sha256(lines_of(tmp_path)[-1]).hexdigest() == verify(tmp_path / STREAM).streams[0].head
