"""What audit tests share: a sample decision, a disk that fails on request, a clock that stands still."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import Any

from borderpost.audit.config import AuditSpec
from borderpost.audit.inputs import InputStore
from borderpost.audit.record import leaf_of
from borderpost.audit.segment import segments_of
from borderpost.audit.writer import AuditWriter, CommitObserver
from borderpost_base.world import SystemDisk, World

STREAM = "worker-0"
_DIGEST = "sha256:" + "0" * 64


def decision(name: str = "r-0", *, inputs: str = _DIGEST) -> dict[str, Any]:
    """Return the fields of a decision whose request id is `name`."""
    return {
        "req": {"id": name},
        "jur": {
            "effective": ["DE"],
            "regimes": ["eu-gdpr"],
            "evidence": [
                {"src": "token", "val": "DE", "trust": "verified"},
                {"src": "geoip", "val": "FR", "trust": "inferred"},
            ],
            "conflict": "token-vs-geoip",
            "rule": "narrowing-only",
            "subdivision_unknown": False,
        },
        "class": ["personal"],
        "model": "llama-3.1-70b",
        "inputs": {"policy": inputs, "events": inputs, "catalog": inputs, "engine": "0.1.0"},
        "seed": "00ff",
        "here": "DE-HE",
        "cand": [{"r": "eu-central-1", "ok": True, "lat_us": 20_000}],
        "refused": {"eu-gdpr/no-basis": 3},
        "out": {
            "action": "route",
            "r": "eu-central-1",
            "cluster": "eu-central-1",
            "cc": "DE",
            "basis": "eu-gdpr/art45",
        },
        "via": "ext_proc",
        "mode": "enforce",
    }


class FailingDisk(SystemDisk):
    """The machine's disk, but the n-th call of some kinds from now fails, or the disk hangs, or writes short.

    `calls` holds the names of all calls so far; `fail(...)` arms it.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.hang = threading.Event()
        self.hang.set()
        self.short_writes = False
        self._armed: dict[str | None, tuple[int, int]] = {}
        self._left: dict[str | None, int] = {}

    def fail(self, call: str | None, number: int, *, nth: int = 1, times: int = 1) -> None:
        """Fail the nth next call of a kind (None: of any kind), and `times` such calls in all, with an errno."""
        self._armed[call] = (number, times)
        self._left[call] = nth - 1

    def heal(self) -> None:
        """Fail no more."""
        self._armed.clear()

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self.hang.wait(30)
        for key in (call, None):
            if key not in self._armed:
                continue
            if self._left[key]:
                self._left[key] -= 1
                continue
            number, times = self._armed[key]
            if times > 1:
                self._armed[key] = (number, times - 1)
            else:
                del self._armed[key]
            raise OSError(number, errno.errorcode[number])

    def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
        self._note("open")
        return super().open(path, flags, mode)

    def write(self, fd: int, data: bytes) -> int:
        self._note("write")
        return super().write(fd, data[: max(1, len(data) // 3)] if self.short_writes else data)

    def fdatasync(self, fd: int) -> None:
        self._note("fdatasync")
        super().fdatasync(fd)

    def confirm(self, fd: int) -> None:
        self._note("confirm")
        super().confirm(fd)

    def fsync_dir(self, path: Path) -> None:
        self._note("fsync_dir")
        super().fsync_dir(path)

    def rename(self, source: Path, target: Path) -> None:
        self._note("rename")
        super().rename(source, target)

    def truncate(self, fd: int, size_bytes: int) -> None:
        self._note("truncate")
        super().truncate(fd, size_bytes)

    def allocate(self, fd: int, size_bytes: int) -> None:
        self._note("allocate")
        super().allocate(fd, size_bytes)

    def reserve(self, fd: int, offset: int, size_bytes: int) -> None:
        self._note("reserve")
        super().reserve(fd, offset, size_bytes)

    def chmod(self, fd: int, mode: int) -> None:
        self._note("chmod")
        super().chmod(fd, mode)

    def unlink(self, path: Path) -> None:
        self._note("unlink")
        super().unlink(path)

    def close(self, fd: int) -> None:
        # The descriptor is gone whatever close says, as on Linux.
        super().close(fd)
        self._note("close")


class TestClock:
    """A clock that moves only when told to."""

    __test__ = False

    def __init__(self, wall_us: int = 1_800_000_000_000_000, mono_us: int = 5_000_000) -> None:
        self.wall = wall_us
        self.mono = mono_us

    def wall_us(self) -> int:
        """Return what it was set to."""
        return self.wall

    def mono_us(self) -> int:
        """Return what it was set to."""
        return self.mono

    def step(self, seconds: float) -> None:
        """Move both clocks."""
        self.wall += int(seconds * 1e6)
        self.mono += int(seconds * 1e6)


class Leaves:
    """Keeps the leaves it is told of, as the tree will."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []

    def committed(self, first_seq: int, leaves: Any) -> None:
        """Take the next ones; they must be the next ones."""
        assert first_seq == len(self.leaves)
        self.leaves += leaves


def open_writer(
    directory: Path,
    world: World | None = None,
    spec: AuditSpec | None = None,
    *,
    stream: str = STREAM,
    observer: CommitObserver | None = None,
) -> AuditWriter:
    """Open a writer with small settings."""
    world = world or World()
    spec = spec or small_spec()
    return AuditWriter.open(directory, stream, spec, world, InputStore(directory, world), observer=observer)


def small_spec(**keys: Any) -> AuditSpec:
    """Return a configuration with the smallest ballast, no reserve and quick retries."""
    plain = {"log": "test/log", "ballast_bytes": 64 << 10, "reserve_bytes": 0, "retry_s": 0.05}
    return AuditSpec(**{**plain, **keys})


def lines_of(directory: Path, stream: str = STREAM) -> list[bytes]:
    """Return all whole lines of a stream."""
    return [line for path in segments_of(directory / stream) for line in path.read_bytes().split(b"\n")[:-1]]


def leaves_of(directory: Path, stream: str = STREAM) -> list[bytes]:
    """Return the leaf hashes of all lines on disk."""
    return [leaf_of(line) for line in lines_of(directory, stream)]
