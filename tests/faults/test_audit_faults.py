"""Real faults under the audit log: full and read-only file systems, failing syncs, kill -9, a second writer."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from borderpost.audit.record import parse
from borderpost.audit.verify import verify
from borderpost.audit.writer import AuditUnavailable
from borderpost_base.errors import BorderpostError
from support.audit import STREAM, decision, lines_of, open_writer
from support.audit_process import start

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
needs_mkfs = pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="needs mkfs.ext4")


def records(directory: Path) -> list[dict[str, Any]]:
    return [parse(line) for line in lines_of(directory)]


def names(directory: Path) -> list[str]:
    return [record["req"]["id"] for record in records(directory) if record["type"] == "decision"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB in memory."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def loop_disk(tmp_path: Path) -> Iterator[Path]:
    """An ext4 file system on a loop device that turns read-only upon an error, as root file systems do."""
    place, image = tmp_path / "loop", tmp_path / "image"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop,errors=remount-ro", str(image), str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def write_until_down(writer: Any, prefix: str) -> tuple[list[str], AuditUnavailable]:
    """Commit decisions until the log takes no more; return what was acknowledged, and why it stopped."""
    acknowledged: list[str] = []
    for n in range(5000):
        try:
            writer.append("decision", decision(f"{prefix}-{n}"))
            writer.commit()
        except AuditUnavailable as error:
            return acknowledged, error
        acknowledged.append(f"{prefix}-{n}")
    raise AssertionError("the disk never failed")


@pytest.mark.root
@needs_root
def test_a_full_disk_refuses_then_heals_when_there_is_room(small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (512 << 10))
    writer = open_writer(small_disk)
    acknowledged, error = write_until_down(writer, "first")
    assert error.reason == "ENOSPC"
    assert acknowledged
    with pytest.raises(AuditUnavailable):
        writer.append("decision", decision("refused"))
    assert not writer.try_heal()
    assert verify(small_disk / STREAM).findings == []  # live, and clean up to the last full line
    filler.unlink()
    assert writer.try_heal()
    for n in range(20):
        writer.append("decision", decision(f"second-{n}"))
    writer.commit()
    writer.close()
    assert names(small_disk) == acknowledged + [f"second-{n}" for n in range(20)]
    (gap,) = [record for record in records(small_disk) if record["type"] == "gap"]
    assert (gap["reason"], gap["lost"], gap["refused"], gap["attempts"]) == ("ENOSPC", 1, 1, 2)
    assert verify(small_disk / STREAM).findings == []


@pytest.mark.root
@needs_root
def test_a_disk_that_stays_full_still_takes_the_gap_and_the_close(small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (512 << 10))
    writer = open_writer(small_disk)
    acknowledged, error = write_until_down(writer, "r")
    assert error.reason == "ENOSPC"
    assert not writer.try_heal()
    writer.close("disk-full")
    assert names(small_disk) == acknowledged
    assert [record["type"] for record in records(small_disk)][-2:] == ["gap", "epoch.close"]
    assert verify(small_disk / STREAM).findings == []
    # There is no room for a new ballast: a worker does not start into a full disk.
    with filler.open("ab", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(BorderpostError) as raised:
        open_writer(small_disk)
    assert raised.value.code == "BP0402"
    assert "ENOSPC" in raised.value.detail
    filler.unlink()
    open_writer(small_disk).close()
    assert verify(small_disk / STREAM).findings == []


@pytest.mark.root
@needs_root
@needs_mkfs
def test_a_file_system_that_turns_read_only_refuses_and_comes_back(loop_disk: Path) -> None:
    writer = open_writer(loop_disk)
    for n in range(50):
        writer.append("decision", decision(f"before-{n}"))
        writer.commit()
    device = Path(f"/sys/dev/block/{os.major(loop_disk.stat().st_dev)}:{os.minor(loop_disk.stat().st_dev)}").resolve()
    Path(f"/sys/fs/ext4/{device.name}/trigger_fs_error").write_text("test\n")
    writer.append("decision", decision("lost"))
    with pytest.raises(AuditUnavailable) as raised:
        writer.commit()
    assert raised.value.reason in {"EROFS", "EIO"}
    assert not writer.try_heal()
    with pytest.raises(AuditUnavailable):
        writer.close()
    assert names(loop_disk)[:50] == [f"before-{n}" for n in range(50)]
    with pytest.raises(BorderpostError) as refused:
        open_writer(loop_disk)
    assert refused.value.code == "BP0402"
    subprocess.run(["umount", str(loop_disk)], check=True)
    subprocess.run(["mount", "-o", "loop", str(loop_disk.with_name("image")), str(loop_disk)], check=True)
    again = open_writer(loop_disk)
    again.append("decision", decision("after"))
    again.close()
    on_disk = names(loop_disk)
    assert on_disk[:50] == [f"before-{n}" for n in range(50)]
    assert on_disk[-1] == "after"
    assert verify(loop_disk / STREAM).findings == []


@needs_strace
@pytest.mark.parametrize("call", ["fdatasync", "write"])
def test_an_injected_eio_refuses_one_batch_and_loses_no_other(tmp_path: Path, call: str) -> None:
    # `write` also carries the process's own words to us, so the fault goes to the log's files alone.
    directory = tmp_path / "log"
    inject = f"inject={call}:error=EIO:when={12 if call == 'fdatasync' else 7}"
    strace = ["strace", "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", f"trace={call}", "-e", inject]
    if call == "write":
        strace += ["-P", str(directory / STREAM / f"{0:020d}.jsonl")]
    process = start(directory, 40, under=tuple(strace))
    out, _ = process.communicate(timeout=60)
    said = out.decode().split("\n")
    assert "end" in said
    assert said.count("down EIO") == 1
    assert "(INJECTED)" in (tmp_path / "trace").read_text()
    assert names(directory) == [line.removeprefix("ack ") for line in said if line.startswith("ack ")]
    (gap,) = [record for record in records(directory) if record["type"] == "gap"]
    assert (gap["reason"], gap["during"]) == ("EIO", call)
    assert verify(directory / STREAM).findings == []


def test_a_log_locked_by_another_process_is_refused_with_its_pid(tmp_path: Path) -> None:
    process = start(tmp_path)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"open ")
        with pytest.raises(BorderpostError, match=f"process {process.pid} ") as raised:
            open_writer(tmp_path)
        assert raised.value.code == "BP0401"
        assert verify(tmp_path / STREAM).streams[0].live
    finally:
        process.kill()
        process.communicate(timeout=10)
    open_writer(tmp_path).close()


@pytest.mark.full
def test_a_writer_killed_under_load_thirty_times_loses_nothing_acknowledged(tmp_path: Path) -> None:
    rng = random.Random(30)
    acknowledged: list[str] = []
    for _ in range(30):
        process = start(tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"open ")
        time.sleep(rng.uniform(0.0, 0.08))
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate(timeout=10)
        acknowledged += [line.removeprefix("ack ") for line in out.decode().split("\n") if line.startswith("ack ")]
    open_writer(tmp_path).close()
    on_disk = set(names(tmp_path))
    assert [name for name in acknowledged if name not in on_disk] == []
    assert len(acknowledged) > 300
    report = verify(tmp_path / STREAM)
    assert report.findings == []
    assert report.streams[0].unclean_epochs == 30
    assert report.streams[0].epochs == 31
