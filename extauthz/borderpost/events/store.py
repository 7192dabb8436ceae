"""Where a list lies: what any store of lists offers, and the store that is a file.

A store keeps bytes in order and knows nothing of law: what it gives is checked by `book`, wherever it came from.
The file is locked (flock) while a line is added, which is in it whole and on stable storage, or not at all.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from borderpost.audit.segment import write_all
from borderpost.events.lines import GENESIS, line_digest
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.world import Disk, SystemDisk

HEARTBEAT_ENDING: Final = ".heartbeat"
"""A list's heartbeat lies beside it, under its name with this at the end."""
_LOCK_TRIES: Final = 10
_LOCK_PAUSE_S: Final = 0.02


class TornList(BorderpostError):
    """A list whose last line has no end (BP1009). What stands above it is whole."""

    def __init__(self, lines: list[bytes], detail: str, place: Place) -> None:
        super().__init__("BP1009", detail, place=place)
        self.lines = lines
        """The whole lines that were asked for."""


def whole_lines(store: ListStore, from_line: int = 0) -> tuple[list[bytes], BorderpostError | None]:
    """Return a store's whole lines from an index on, and what is wrong if a torn one follows them: news that did
    arrive do not wait for somebody to mend the end. Raises what `ListStore.read` raises besides."""
    try:
        return store.read(from_line), None
    except TornList as torn:
        return torn.lines, torn


class ListStore(Protocol):
    """A place where one list lies, with its newest heartbeat."""

    @property
    def source(self) -> str:
        """Return where it is, for errors and logs; no secret is in it."""
        ...

    def read(self, from_line: int = 0) -> list[bytes]:
        """Return the lines from an index on (0: the first), each without its newline; empty where there are no more.

        Raises BorderpostError: BP0003 if the store cannot be read, BP1009 for a torn last line (TornList), BP1010
        beyond the bounds.
        """
        ...

    def append(self, line: bytes, expected_head: str) -> None:
        """Add a line (without newline) behind the one whose SHA-256 is `expected_head` (zeros: it is the first).

        It is on stable storage on return, or was not added. Raises BorderpostError: BP1011 if the list's head is
        another, BP1009 if its last line is torn, BP1010 beyond the bounds, BP1018 if it cannot be written.
        """
        ...

    def heartbeat(self) -> bytes | None:
        """Return the newest heartbeat, None if there was none. Raises BorderpostError BP0003."""
        ...

    def put_heartbeat(self, raw: bytes) -> None:
        """Put a heartbeat in place of the one before, whole or not at all. Raises BorderpostError BP1018."""
        ...


class FileStore:
    """A list that is a file, one line each, with its heartbeat beside it."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self.path = path
        self._disk = disk or SystemDisk()

    @property
    def source(self) -> str:
        """Return the path."""
        return str(self.path)

    @property
    def heartbeat_path(self) -> Path:
        """Return the file of the newest heartbeat."""
        return self.path.with_name(self.path.name + HEARTBEAT_ENDING)

    def read(self, from_line: int = 0) -> list[bytes]:
        """Return the lines from an index on. See `ListStore`; a file that is not there cannot be read."""
        with self._reading() as fd:
            return self._lines(_content(fd, self._place()), from_line)

    def create(self) -> None:
        """Begin an empty list. Raises BorderpostError BP1018, also if the file is there already."""
        try:
            fd = self._disk.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                self._disk.fdatasync(fd)
            finally:
                self._disk.close(fd)
            self._disk.fsync_dir(self.path.parent)
        except OSError as error:
            raise self._unwritten(error) from error

    def append(self, line: bytes, expected_head: str) -> None:
        """Add a line. See `ListStore`; the file must be there, so that no list is begun by a slip of the pen."""
        if b"\n" in line:
            raise ValueError("a line of a list has no newline in it")
        try:
            fd = self._disk.open(self.path, os.O_RDWR | os.O_APPEND)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                self._append(fd, line, expected_head)
            finally:
                self._disk.close(fd)
        except OSError as error:
            raise self._unwritten(error) from error

    def _append(self, fd: int, line: bytes, expected_head: str) -> None:
        raw = _content(fd, self._place())
        lines = self._lines(raw)
        head = line_digest(lines[-1]) if lines else GENESIS
        if head != expected_head:
            raise BorderpostError("BP1011", f"its head is {head[:16]}…, not {expected_head[:16]}…", place=self._place())
        if len(raw) + len(line) + 1 > limits.EVENT_LIST_BYTES_MAX or len(lines) >= limits.EVENT_LIST_LINES_MAX:
            raise BorderpostError("BP1010", "no further line fits in", place=self._place())
        try:
            write_all(self._disk, fd, line + b"\n")
            self._disk.fdatasync(fd)
            self._disk.confirm(fd)
        except OSError:
            self._disk.truncate(fd, len(raw))
            raise

    def repair(self) -> int:
        """Remove a torn last line; return how many bytes it had, 0 if none was there.

        Only for a person who knows that nobody is writing elsewhere. Raises BorderpostError BP0003, BP1010 or BP1018.
        """
        if not self.path.exists():
            raise BorderpostError("BP0003", f"{self.path}: {os.strerror(errno.ENOENT)}", place=self._place())
        try:
            fd = self._disk.open(self.path, os.O_RDWR)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                raw = _content(fd, self._place())
                torn = len(raw) - (raw.rfind(b"\n") + 1)
                if torn:
                    self._disk.truncate(fd, len(raw) - torn)
                    self._disk.fdatasync(fd)
                return torn
            finally:
                self._disk.close(fd)
        except OSError as error:
            raise self._unwritten(error) from error

    def heartbeat(self) -> bytes | None:
        """Return the newest heartbeat. See `ListStore`."""
        try:
            with self.heartbeat_path.open("rb") as file:
                return file.read(limits.EVENT_LINE_BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(self.heartbeat_path, error) from error

    def put_heartbeat(self, raw: bytes) -> None:
        """Put a heartbeat in place of the one before, readable by whoever may read the list. See `ListStore`."""
        target = self.heartbeat_path
        made = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            fd = self._disk.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            try:
                self._let_in_readers(fd)
                write_all(self._disk, fd, raw + b"\n")
                self._disk.fdatasync(fd)
            finally:
                self._disk.close(fd)
            self._disk.rename(made, target)
            self._disk.fsync_dir(target.parent)
        except OSError as error:
            made.unlink(missing_ok=True)
            raise self._unwritten(error) from error

    def _let_in_readers(self, fd: int) -> None:
        """Give a file beside the list its permissions, and its group where that decides who may read.

        Raises OSError, also where the list is not there.
        """
        status = self.path.stat()
        if not status.st_mode & stat.S_IROTH and os.fstat(fd).st_gid != status.st_gid:
            os.fchown(fd, -1, status.st_gid)
        self._disk.chmod(fd, stat.S_IMODE(status.st_mode))

    @contextmanager
    def _reading(self) -> Iterator[int]:
        """Hold the file open, and locked against writers, so that no half of a line is seen.

        Whoever holds the lock for long does not keep the law from being read: what is half there is then told as torn.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        try:
            for _ in range(_LOCK_TRIES):
                with suppress(BlockingIOError):
                    fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    break
                time.sleep(_LOCK_PAUSE_S)
            yield fd
        except OSError as error:
            raise _unreadable(self.path, error) from error
        finally:
            os.close(fd)

    def _lines(self, raw: bytes, from_line: int = 0) -> list[bytes]:
        *lines, torn = raw.split(b"\n")
        if len(lines) > limits.EVENT_LIST_LINES_MAX:
            detail = f"more than {limits.EVENT_LIST_LINES_MAX} lines"
            raise BorderpostError("BP1010", detail, place=self._place())
        if torn:
            detail = f"line {len(lines) + 1} breaks off after {len(torn)} bytes"
            raise TornList(lines[from_line:], detail, self._place(len(lines) + 1))
        return lines[from_line:]

    def _place(self, line: int | None = None) -> Place:
        return Place(str(self.path), line)

    def _unwritten(self, error: OSError) -> BorderpostError:
        return BorderpostError("BP1018", error.strerror or str(error), place=self._place())


def _content(fd: int, place: Place) -> bytes:
    """Read an open file whole, up to the bound. Raises OSError, or BorderpostError BP1010 beyond it."""
    size = os.fstat(fd).st_size
    parts = []
    if size <= limits.EVENT_LIST_BYTES_MAX:
        os.lseek(fd, 0, os.SEEK_SET)
        left = limits.EVENT_LIST_BYTES_MAX + 1
        while left and (part := os.read(fd, min(left, 1 << 20))):
            parts.append(part)
            left -= len(part)
        if left:
            return b"".join(parts)
    raise BorderpostError("BP1010", f"more than {limits.EVENT_LIST_BYTES_MAX} bytes", place=place)


def _unreadable(path: Path, error: OSError) -> BorderpostError:
    return BorderpostError("BP0003", f"{path}: {error.strerror or error}", place=Place(str(path)))
