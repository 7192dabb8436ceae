"""The list that is a file: whole lines or none, bounds, locks, torn ends, heartbeats."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from borderpost.events import store as stores
from borderpost.events.lines import GENESIS, line_digest
from borderpost.events.store import FileStore, whole_lines
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.world import SystemDisk
from support.disks import needs_root


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    made = FileStore(tmp_path / "law.jsonl")
    made.create()
    return made


def refused(code: str, call: Any, *arguments: Any) -> BorderpostError:
    with pytest.raises(BorderpostError) as caught:
        call(*arguments)
    assert caught.value.code == code, caught.value
    return caught.value


def filled(store: FileStore, *lines: bytes) -> str:
    head = GENESIS
    for line in lines:
        store.append(line, head)
        head = line_digest(line)
    return head


def test_lines_come_back_in_order(store: FileStore) -> None:
    assert store.read() == []
    filled(store, b"one", b"two", b"three")
    assert store.read() == [b"one", b"two", b"three"]
    assert store.read(2) == [b"three"]
    assert store.read(3) == store.read(9) == []
    assert store.path.read_bytes() == b"one\ntwo\nthree\n"


def test_a_list_is_begun_once_and_never_by_a_slip(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "law.jsonl")
    assert refused("BP0003", store.read).place == Place(str(store.path))
    refused("BP1018", store.append, b"one", GENESIS)
    assert not store.path.exists()
    store.create()
    refused("BP1018", store.create)
    assert store.path.stat().st_mode & 0o007 == 0


def test_a_line_is_added_behind_the_head_it_was_made_for_only(store: FileStore) -> None:
    head = filled(store, b"one")
    refused("BP1011", store.append, b"two", GENESIS)
    refused("BP1011", store.append, b"two", line_digest(b"other"))
    store.append(b"two", head)
    assert store.read() == [b"one", b"two"]


def test_a_line_with_a_newline_is_a_mistake_of_the_caller(store: FileStore) -> None:
    with pytest.raises(ValueError, match="newline"):
        store.append(b"one\ntwo", GENESIS)


@pytest.mark.parametrize("content", [b"one", b"one\ntw", b"\x00"])
def test_a_torn_end_is_told_and_mended_only_when_asked(store: FileStore, content: bytes) -> None:
    store.path.write_bytes(content)
    whole = content.rfind(b"\n") + 1
    error = refused("BP1009", store.read)
    lines, torn = whole_lines(store)
    assert (lines, str(torn)) == (content[:whole].splitlines(), str(error))
    assert whole_lines(store, 1)[0] == []
    assert error.place == Place(str(store.path), content.count(b"\n") + 1)
    refused("BP1009", store.append, b"x", GENESIS)
    assert store.path.read_bytes() == content
    assert store.repair() == len(content) - whole
    assert store.path.read_bytes() == content[:whole]
    assert store.repair() == 0


def test_nothing_is_repaired_that_is_not_there(tmp_path: Path) -> None:
    refused("BP0003", FileStore(tmp_path / "law.jsonl").repair)


def test_a_file_of_100_mb_is_refused_without_being_read(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    os.truncate(store.path, 100 << 20)
    monkeypatch.setattr(os, "read", lambda *_: pytest.fail("it was read"))
    refused("BP1010", store.read)
    refused("BP1010", store.append, b"x", GENESIS)
    refused("BP1010", store.repair)


def test_a_file_without_size_is_read_up_to_the_bound_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EVENT_LIST_BYTES_MAX", 1 << 20)
    refused("BP1010", FileStore(Path("/dev/zero")).read)


def test_bounds_of_lines_and_bytes_hold_for_appending(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    head = filled(store, b"one", b"two")
    monkeypatch.setattr(limits, "EVENT_LIST_LINES_MAX", 2)
    refused("BP1010", store.append, b"three", head)
    monkeypatch.setattr(limits, "EVENT_LIST_LINES_MAX", 1)
    refused("BP1010", store.read)
    monkeypatch.setattr(limits, "EVENT_LIST_LINES_MAX", 9)
    monkeypatch.setattr(limits, "EVENT_LIST_BYTES_MAX", 13)
    refused("BP1010", store.append, b"three", head)
    store.append(b"four", head)


def test_a_directory_is_no_list(tmp_path: Path) -> None:
    refused("BP0003", FileStore(tmp_path).read)
    refused("BP1018", FileStore(tmp_path).append, b"x", GENESIS)


class FailingDisk(SystemDisk):
    """Fails one kind of call, after the work was done by half."""

    def __init__(self, failing: str) -> None:
        self.failing = failing

    def _fail(self, name: str) -> None:
        if name == self.failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self, fd: int, data: bytes) -> int:
        if self.failing == "write":
            os.write(fd, data[: len(data) // 2])
        self._fail("write")
        return super().write(fd, data)

    def fdatasync(self, fd: int) -> None:
        super().fdatasync(fd)
        self._fail("fdatasync")

    def confirm(self, fd: int) -> None:
        self._fail("confirm")
        super().confirm(fd)

    def rename(self, source: Path, target: Path) -> None:
        self._fail("rename")
        super().rename(source, target)


@pytest.mark.parametrize("failing", ["write", "fdatasync", "confirm"])
def test_a_line_that_cannot_be_made_durable_is_not_there(store: FileStore, failing: str) -> None:
    head = filled(store, b"one")
    error = refused("BP1018", FileStore(store.path, FailingDisk(failing)).append, b"two", head)
    assert "No space left" in error.detail
    assert store.path.read_bytes() == b"one\n"
    store.append(b"two", head)


@pytest.mark.parametrize("failing", ["write", "fdatasync", "rename"])
def test_a_heartbeat_is_replaced_whole_or_not_at_all(store: FileStore, failing: str) -> None:
    assert store.heartbeat() is None
    store.put_heartbeat(b"first")
    assert store.heartbeat() == b"first\n"
    refused("BP1018", FileStore(store.path, FailingDisk(failing)).put_heartbeat, b"second")
    assert store.heartbeat() == b"first\n"
    assert sorted(path.name for path in store.path.parent.iterdir()) == ["law.jsonl", "law.jsonl.heartbeat"]


def test_whoever_may_read_the_list_may_read_its_heartbeat(store: FileStore) -> None:
    for mode in (0o600, 0o640, 0o644):
        store.path.chmod(mode)
        store.put_heartbeat(b"first")
        assert stat.S_IMODE(store.heartbeat_path.stat().st_mode) == mode


@needs_root
def test_a_heartbeat_has_the_list_s_group(store: FileStore) -> None:
    os.chown(store.path, -1, 12345)
    store.put_heartbeat(b"first")
    assert store.heartbeat_path.stat().st_gid == 12345


def test_a_heartbeat_that_is_no_file_cannot_be_read(store: FileStore) -> None:
    store.heartbeat_path.mkdir()
    assert refused("BP0003", store.heartbeat).place.file == str(store.heartbeat_path)


def test_whoever_holds_the_lock_does_not_keep_the_law_from_being_read(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store, b"one")
    monkeypatch.setattr(stores, "_LOCK_PAUSE_S", 0.0)
    with store.path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert store.read() == [b"one"]


_APPENDER = """
import sys
from borderpost.events.lines import GENESIS, line_digest
from borderpost.events.store import FileStore
from borderpost_base.errors import BorderpostError
from pathlib import Path

store, name, left = FileStore(Path(sys.argv[1])), sys.argv[2], 30
while left:
    lines = store.read()
    try:
        store.append(f"{name} {left}".encode(), line_digest(lines[-1]) if lines else GENESIS)
    except BorderpostError as error:
        assert error.code == "BP1011", error
    else:
        left -= 1
"""


@pytest.fixture
def appenders(store: FileStore) -> Iterator[list[subprocess.Popen[bytes]]]:
    words = [sys.executable, "-c", _APPENDER, str(store.path)]
    started = [subprocess.Popen([*words, name]) for name in ("a", "b")]
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_two_processes_append_one_after_the_other(store: FileStore, appenders: list[subprocess.Popen[bytes]]) -> None:
    assert [process.wait(60) for process in appenders] == [0, 0]
    lines = store.read()
    for name in ("a", "b"):
        assert [line for line in lines if line.startswith(name.encode())] == [
            f"{name} {left}".encode() for left in range(30, 0, -1)
        ]
    assert len(lines) == 60


def test_limits_leave_room_for_a_list_of_all_its_lines() -> None:
    assert limits.EVENT_LIST_LINES_MAX * 1600 <= limits.EVENT_LIST_BYTES_MAX
    assert limits.EVENT_LINE_BYTES_MAX < limits.EVENT_LIST_BYTES_MAX
