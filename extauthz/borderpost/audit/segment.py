"""Segments: the files a stream is cut into, their names, how they are read and how one is written.

    <audit directory>/
        inputs/sha256/<hex>                 what records name by digest (inputs.py)
        <stream>/                           one folder a worker: `worker-0`, `worker-1`…
            lock                            held by the writer (lock.py)
            ballast                         room for a full disk (ballast.py)
            00000000000000000000.jsonl      records from sequence number 0 on, one a line
            00000000000000123456.jsonl      from 123456 on; the one with the highest number is being written
            quarantine/                     torn bytes put aside at a recovery

A file's name is the sequence number of its first record in 20 digits (2^64 has 20), so that names sort as
records do, a record is found without an index, and a missing file shows in a listing. A segment is begun when
a writer starts, when the last one is full or old, and after a failed write; once closed (mode 0440) it is
never written again.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from borderpost_base import limits
from borderpost_base.world import Disk

STREAM_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
QUARANTINE_NAME: Final = "quarantine"
INPUTS_NAME: Final = "inputs"
_SEGMENT_NAME: Final = re.compile(r"(\d{20})\.jsonl", re.ASCII)
_READ_BYTES: Final = 1 << 20
_OPEN_MODE: Final = 0o640
CLOSED_MODE: Final = 0o440


def segment_name(first_seq: int) -> str:
    """Return the file name of the segment that begins with a sequence number."""
    return f"{first_seq:020d}.jsonl"


def first_seq_of(path: Path) -> int | None:
    """Return the sequence number a segment's name promises; None if the file is no segment by its name."""
    match = _SEGMENT_NAME.fullmatch(path.name)
    return int(match[1]) if match else None


def segments_of(stream_directory: Path) -> list[Path]:
    """Return a stream's segments in order."""
    return sorted(path for path in stream_directory.iterdir() if first_seq_of(path) is not None)


def streams_of(audit_directory: Path) -> list[Path]:
    """Return the stream directories of a log, sorted by name."""
    return sorted(
        path
        for path in audit_directory.iterdir()
        if path.is_dir() and path.name != INPUTS_NAME and STREAM_NAME.fullmatch(path.name)
    )


class Line(NamedTuple):
    """One line of a segment as it lies on the disk."""

    number: int
    """From 1."""
    offset: int
    """Of its first byte in the file."""
    data: bytes
    """Without the newline. No more than one byte beyond `limits.RECORD_BYTES_MAX` is kept of a longer line."""
    ended: bool
    """False if the file ends before the newline."""


def read_lines(path: Path, until: int | None = None) -> Iterator[Line]:
    """Read a segment line by line in bounded memory, whatever it holds; `until` is a size in bytes to stop at."""
    keep = limits.RECORD_BYTES_MAX + 1
    number, offset = 1, 0
    left = b""
    skipped = 0
    room = until
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_READ_BYTES if room is None else min(_READ_BYTES, room)):
            if room is not None:
                room -= len(chunk)
            parts = chunk.split(b"\n")
            parts[0] = left + parts[0]
            for data in parts[:-1]:
                yield Line(number, offset, data[:keep], True)
                number += 1
                offset += skipped + len(data) + 1
                skipped = 0
            left = parts[-1]
            if len(left) > keep:
                skipped += len(left) - keep
                left = left[:keep]
    if left:
        yield Line(number, offset, left, False)


def last_line(path: Path, size_bytes: int) -> bytes | None:
    """Return the last whole line within a file's first bytes, without its newline; None if there is none."""
    with path.open("rb") as file:
        start = max(0, size_bytes - limits.RECORD_BYTES_MAX - 2)
        file.seek(start)
        tail = file.read(size_bytes - start)
    if not tail.endswith(b"\n"):
        return None
    return tail[:-1].rsplit(b"\n", 1)[-1]


def write_all(disk: Disk, fd: int, data: bytes) -> None:
    """Write all of some bytes, however short each write is. Raises OSError."""
    done = disk.write(fd, data)
    while done < len(data):
        count = disk.write(fd, data[done:])
        if count <= 0:
            raise OSError(errno.EIO, "a write took no byte")
        done += count


def drop_cached_pages(path: Path, disk: Disk) -> None:
    """Sync a file and forget its cached pages, so that the next read tells what the disk holds. Raises OSError.

    After a failed sync Linux may keep bytes in memory, marked clean, that never reached the disk.
    """
    fd = disk.open(path, os.O_RDONLY)
    try:
        disk.fdatasync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        disk.close(fd)


class SegmentFile:
    """The segment being written. `doing` names the system call in progress, for the record of a failure."""

    def __init__(self, path: Path, fd: int, disk: Disk, born_us: int, reserve_bytes: int) -> None:
        self.path = path
        self.durable_bytes = 0
        """Size up to which every byte is on stable storage and acknowledged."""
        self.born_us = born_us
        """Monotonic microseconds of its creation."""
        self.doing = "open"
        self._fd: int | None = fd
        self._disk = disk
        self._whole = True
        self._reserve_bytes = reserve_bytes
        self._reserved_to = 0
        self._unsynced_bytes = 0

    @classmethod
    def create(
        cls, stream_directory: Path, first_seq: int, disk: Disk, born_us: int, reserve_bytes: int
    ) -> SegmentFile:
        """Make the file and bring its name to stable storage. Raises OSError, also if it exists and is not empty.

        An empty file of this name is what an attempt left that failed before its first record; it is replaced.
        `reserve_bytes` is how much room is set aside at a time, 0 for none.
        """
        path = stream_directory / segment_name(first_seq)
        if path.exists() and path.stat().st_size == 0:
            disk.unlink(path)
        fd = disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, _OPEN_MODE)
        try:
            disk.fsync_dir(stream_directory)
        except OSError:
            disk.close(fd)
            raise
        return cls(path, fd, disk, born_us, reserve_bytes)

    @property
    def fd(self) -> int:
        """Return the open file's descriptor, for whoever syncs it."""
        assert self._fd is not None, "a closed segment is never written"
        return self._fd

    def write(self, lines: Sequence[bytes]) -> None:
        """Write whole lines, each with its newline. They count once `sync` or `note_synced` has returned.

        Raises OSError; the file may then hold part of them, and `durable_bytes` stands where it stood.
        """
        data = b"\n".join((*lines, b""))
        if self._reserve_bytes and self.durable_bytes + len(data) > self._reserved_to:
            self._reserve(len(data))
        self._whole = False
        self.doing = "write"
        write_all(self._disk, self.fd, data)
        self._unsynced_bytes = len(data)
        self.doing = "fdatasync"

    def sync(self) -> None:
        """Bring what was written to stable storage. Raises OSError."""
        self._disk.fdatasync(self.fd)
        self.note_synced()

    def note_synced(self) -> None:
        """Note that what was written is on stable storage. Raises OSError if the file system has failed meanwhile."""
        self._disk.confirm(self.fd)
        self.durable_bytes += self._unsynced_bytes
        self._unsynced_bytes = 0
        self._whole = True

    def _reserve(self, needed_bytes: int) -> None:
        """Have room set aside behind the end. It is no matter if there is none: the write will tell."""
        assert self._fd is not None, "a closed segment is never written"
        size = max(self._reserve_bytes, needed_bytes)
        self._reserved_to = self.durable_bytes + size  # also if it fails, which may leave a part of it set aside
        try:
            self._disk.reserve(self._fd, self.durable_bytes, size)
        except OSError:
            self._reserve_bytes = 0  # not on this file system, or no room: this segment asks no more

    def cut_to_durable(self) -> None:
        """Remove what a failed `write` or `sync` left behind. Raises OSError; may be tried again."""
        if self._fd is None:
            return
        self.doing = "truncate"
        self._unsynced_bytes = 0
        self._disk.truncate(self._fd, self.durable_bytes)
        self.doing = "fdatasync"
        self._disk.fdatasync(self._fd)
        self._whole = True

    def close(self) -> None:
        """Make the file read-only and close it, or remove it if it holds no record; nothing the second time.

        A file whose end is torn stays writable: the next writer's recovery cuts it.
        """
        fd, self._fd = self._fd, None
        if fd is None:
            return
        self.doing = "close"
        try:
            if self._whole:
                if self._reserved_to > self.durable_bytes:
                    self._disk.truncate(fd, self.durable_bytes)  # gives back what was set aside behind the end
                self._disk.chmod(fd, CLOSED_MODE)
        finally:
            self._disk.close(fd)
        if self.durable_bytes == 0:
            self._disk.unlink(self.path)
            self._disk.fsync_dir(self.path.parent)
