"""What one worker has counted, in a file that it and its successors share with the steward: memory, not messages.

    <runtime>/tally/<stream>    a header, then slots of 96 bytes
      header  8 bytes: a random mark, drawn when the file was made; 8 bytes: version
      slot    8 bytes: count; 1 byte: length of the name; the name, `counter/2026-11`

Counts only rise. A stream has one writer at a time, which the lock of its audit stream sees to: whoever counts has
had a record chained. A worker that replaces another goes on in the same file, and one that is killed leaves its count
as it stands, because the pages are the kernel's. The steward reads without a lock: a slot's name is in place before
the length that shows it, and a count is one aligned word.
"""

from __future__ import annotations

import mmap
import os
import re
import secrets
import struct
from pathlib import Path

from borderpost.counters.windows import month_at
from borderpost.policy.pack import Counter
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place

COUNT_NAME = r"[a-z0-9][a-z0-9._-]{0,63}/[0-9]{4}-[0-9]{2}"
"""Pattern of what a count is kept under everywhere: the counter's id and the month."""

_HEADER = struct.Struct("=QQ")
_VERSION = 1
_SLOT_BYTES = 96
_NAME_BYTES_MAX = _SLOT_BYTES - 9
_FILE_BYTES = _HEADER.size + _SLOT_BYTES * limits.TALLY_SLOTS_MAX
_DIRECTORY = "tally"


class WorkerTally:
    """A worker's own count. Its file is made when something is counted for the first time: a worker whose law counts
    nothing needs none, and starts also where there is no room for it."""

    def __init__(self, runtime: Path, stream: int) -> None:
        self._path = runtime / _DIRECTORY / str(stream)
        self._file: TallyFile | None = None

    def add(self, counter: Counter, by: int, at_us: int) -> None:
        """Count so many requests in the month of an instant (microseconds since the epoch, UTC).

        Raises BorderpostError BP1103 if the file cannot be made or has no room.
        """
        if self._file is None:
            self._file = TallyFile(self._path)
        self._file.add(counter, by, at_us)

    def close(self) -> None:
        """Unmap the file, if there is one; another count opens it again."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


class TallyFile:
    """The file of one stream, mapped for writing."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises BorderpostError BP1103 if it cannot be made or is another's."""
        self._place = Place(str(path))
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # With room set aside no later store can meet a full disk, which would end the process.
                os.posix_fallocate(fd, 0, _FILE_BYTES)
                self._map = mmap.mmap(fd, _FILE_BYTES)
            finally:
                os.close(fd)
        except OSError as error:
            raise BorderpostError("BP1103", f"{error.strerror}", place=self._place) from error
        mark, version = _HEADER.unpack_from(self._map)
        if not mark:
            _HEADER.pack_into(self._map, 0, int.from_bytes(secrets.token_bytes(7)) + 1, _VERSION)
        elif version != _VERSION:
            raise BorderpostError("BP1103", f"it is of version {version}", place=self._place)
        self._words = memoryview(self._map).cast("Q")
        self._slots = dict(_slots(self._map))
        self._current: dict[tuple[str, str], tuple[int, int]] = {}
        """The word that counts, and until when, by counter and zone."""

    def add(self, counter: Counter, by: int, at_us: int) -> None:
        """Count; see `WorkerTally`. Raises BorderpostError BP1103 if there is no room for another month's name."""
        key = (counter.id, counter.zone)
        word, until_us = self._current.get(key, (0, 0))
        if at_us >= until_us:
            month = month_at(counter, at_us)
            word = self._slot(f"{counter.id}/{month.name}")
            # Decision time never runs back, so the start of the month need not be looked at.
            self._current[key] = (word, month.end_us)
        self._words[word] += by

    def _slot(self, name: str) -> int:
        word = self._slots.get(name)
        if word is not None:
            return word
        start = _HEADER.size + len(self._slots) * _SLOT_BYTES
        encoded = name.encode()
        if start >= _FILE_BYTES or len(encoded) > _NAME_BYTES_MAX:
            raise BorderpostError("BP1103", f"no room for `{name}`", place=self._place)
        self._map[start + 9 : start + 9 + len(encoded)] = encoded
        self._map[start + 8] = len(encoded)
        word = self._slots[name] = start // 8
        return word

    def close(self) -> None:
        """Unmap the file."""
        self._words.release()
        self._map.close()


class Tally:
    """What one file said when it was read."""

    __slots__ = ("counts", "mark")

    def __init__(self, mark: str, counts: dict[str, int]) -> None:
        self.mark = mark
        """Tells this file from every other, also from one of the same name at another time; 14 hex digits or more."""
        self.counts = counts
        """Counts by `counter/month`."""


def read_tallies(runtime: Path) -> tuple[list[Tally], list[BorderpostError]]:
    """Return what every worker of an instance has counted, those included that have ended; and a BP1103 for each file
    that is none of ours or is damaged: one that cannot be read must not keep the others from being counted."""
    directory = runtime / _DIRECTORY
    found, problems = [], []
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        data = path.read_bytes()
        if len(data) < _FILE_BYTES:
            continue  # a worker is making it
        mark, version = _HEADER.unpack_from(data)
        if not mark:
            continue
        words = memoryview(data).cast("Q")
        counts = {name: words[word] for name, word in _slots(data)}
        if version != _VERSION:
            problems.append(BorderpostError("BP1103", f"it is of version {version}", place=Place(str(path))))
        elif not all(re.fullmatch(COUNT_NAME, name) for name in counts):
            problems.append(BorderpostError("BP1103", "it is damaged", place=Place(str(path))))
        else:
            found.append(Tally(f"{mark:014x}", counts))
    return found, problems


def _slots(data: bytes | mmap.mmap) -> list[tuple[str, int]]:
    """Return the name of each slot in use, and the index of the word with its count."""
    found = []
    for start in range(_HEADER.size, _FILE_BYTES, _SLOT_BYTES):
        size = data[start + 8]
        if not size:
            break
        found.append((data[start + 9 : start + 9 + size].decode("ascii", "replace"), start // 8))
    return found
