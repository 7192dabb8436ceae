"""The count of one gateway, kept for as long as any window asks for it: `<counters.directory>/counts.json`.

What workers have counted is taken over by difference: for each of their files the book keeps how far it has been
read, so that a steward that starts anew takes what was counted in the meantime, and nothing twice. A file whose
numbers have gone back (a machine lost power, and the page was never written) is taken as it stands: what is gone
there was in the book already, or is what a power failure may lose.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from borderpost.audit.segment import write_all
from borderpost.counters.tally import COUNT_NAME, Tally
from borderpost.counters.windows import MONTHS_KEPT
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.strict import StrictModel
from borderpost_base.world import World

BOOK_NAME = "counts.json"
_LOCK_NAME = "lock"

_Name = Annotated[str, StringConstraints(pattern=f"^{COUNT_NAME}$")]
_Count = Annotated[int, Field(ge=0, strict=True)]


class Others(StrictModel):
    """What the rest of a fleet had counted when it was last heard of."""

    replicas: Annotated[int, Field(ge=0)] = 0
    """How many gateways beside this one."""
    counts: Mapping[_Name, _Count] = {}
    """Their counts together, by `counter/month`."""
    own: Mapping[_Name, _Count] = {}
    """This gateway's own count at that time."""


class Saved(StrictModel):
    """The file's content."""

    kind: Literal["borderpost-counts"] = "borderpost-counts"
    v: Literal[1] = 1
    replica: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    counts: Mapping[_Name, _Count]
    read: Mapping[Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{14,16}$")], Mapping[_Name, _Count]]
    others: Others = Others()


class Book:
    """The count in memory, and how it is saved. Whoever saves holds the directory (`hold`): two that did would each
    write over what the other counted."""

    def __init__(self, path: Path, world: World, saved: Saved | None = None) -> None:
        """Begin a book, or go on with what was saved."""
        self.path = path
        self._world = world
        self.is_new = saved is None
        """True where there was none before."""
        self.replica = saved.replica if saved else world.randomness.token(8).hex()
        """Name of this gateway among those that count together; drawn once, and kept."""
        self.counts: dict[str, int] = dict(saved.counts) if saved else {}
        """What this gateway has counted, by `counter/month`."""
        self.others = saved.others if saved else Others()
        self._read: dict[str, dict[str, int]] = {mark: dict(read) for mark, read in saved.read.items()} if saved else {}
        self._saved: bytes = b""
        self._saving = threading.Lock()
        self._lock: int | None = None

    @classmethod
    def open(cls, directory: Path, world: World) -> Book:
        """Read the book of a directory, or begin one. Raises BorderpostError BP1101 if it cannot be read."""
        path = directory / BOOK_NAME
        return cls(path, world, read_book(path))

    def hold(self) -> None:
        """Keep everybody else from this directory until `release` or the end of the process; nothing if it is held.

        Raises BorderpostError: BP1104 if another process keeps a count there, BP1101 if the lock cannot be made.
        """
        if self._lock is not None:
            return
        place = Place(str(self.path.parent))
        fd = -1
        try:
            self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            fd = os.open(self.path.with_name(_LOCK_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            code = "BP1104" if isinstance(error, BlockingIOError) else "BP1101"
            raise BorderpostError(code, f"{error.strerror}", place=place) from error
        self._lock = fd

    def release(self) -> None:
        """Let others have the directory."""
        fd, self._lock = self._lock, None
        if fd is not None:
            os.close(fd)

    def take(self, tallies: Iterable[Tally]) -> None:
        """Take over what workers have counted since they were last read; forget files that are gone."""
        read = {}
        for tally in tallies:
            before = self._read.get(tally.mark, {})
            for name, count in tally.counts.items():
                added = count - before.get(name, 0)
                if added > 0:
                    self.counts[name] = self.counts.get(name, 0) + added
            read[tally.mark] = tally.counts
        self._read = read

    def total(self, counter_id: str, months: Iterable[str]) -> int:
        """Return what counts of a counter in these months: this gateway's own and, where a fleet counts, the rest.

        While the fleet is not heard of, the others are taken to count as fast as this gateway does.
        """
        others = self.others
        total = 0
        for month in months:
            name = f"{counter_id}/{month}"
            own = self.counts.get(name, 0)
            unheard = max(0, own - others.own.get(name, 0)) if others.replicas else 0
            total += own + others.counts.get(name, 0) + unheard * others.replicas
        return total

    def forget_old_months(self) -> None:
        """Drop, counter by counter, months that no window asks for any more."""
        months: dict[str, list[str]] = {}
        for name in self.counts:
            counter_id, _, month = name.partition("/")
            months.setdefault(counter_id, []).append(month)
        for counter_id, found in months.items():
            for month in sorted(found)[:-MONTHS_KEPT]:
                del self.counts[f"{counter_id}/{month}"]

    def unsaved(self) -> bytes | None:
        """Return the bytes to be saved, None where the file has them already."""
        saved = Saved(replica=self.replica, counts=self.counts, read=self._read, others=self.others)
        data = saved.model_dump_json(indent=1).encode() + b"\n"
        return data if data != self._saved else None

    def save(self, data: bytes) -> None:
        """Bring these bytes of `unsaved` to stable storage, whole or not at all. Raises OSError. Needs no loop."""
        with self._saving:  # a save that was given up goes on in its thread
            self._write(data)
            self._saved = data

    def _write(self, data: bytes) -> None:
        disk = self._world.disk
        self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        part = self.path.with_name(f".{BOOK_NAME}.{os.getpid()}")
        fd = disk.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        try:
            write_all(disk, fd, data)
            disk.fdatasync(fd)
        finally:
            disk.close(fd)
        disk.rename(part, self.path)
        disk.fsync_dir(self.path.parent)

    def replace_counts(self, counts: Mapping[str, int], tallies: Iterable[Tally]) -> None:
        """Take counts that were made from the log in place of all that is known; the workers' files hold no more."""
        self.counts = dict(counts)
        self._read = {tally.mark: tally.counts for tally in tallies}


def read_book(path: Path) -> Saved | None:
    """Return what is in a book's file, None if there is none. Raises BorderpostError BP1101."""
    try:
        return Saved.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        detail = error.strerror if isinstance(error, OSError) else f"{error.error_count()} of its values do not fit"
        raise BorderpostError("BP1101", f"{detail}", place=Place(str(path))) from error
