"""How the steward hands its knowledge to workers: content-addressed files and one shared page.

The steward writes each part (policy, catalogue, events, signals) as a file named by its SHA-256, renames a
manifest that names them into place, and only then raises the generation in the shared page. A worker reads
the generation once a batch (one memory load); when it has changed, it reads the manifest and the parts it
does not know yet, checks each against its name, and swaps its view whole. No lock, no message, no wait.

    <runtime>/snapshots/<hex>     one part
    <runtime>/snapshots/current   the manifest: a JSON object {part: "sha256:<hex>"}
    <runtime>/page                the shared page: 64-bit words in native order, each with one writer

The page also carries the steward's beat, until when the list of legal events counts as fresh, and for each worker its
beat, state and how long its disk has been silent, so that the steward can take readiness away from a worker that
hangs. All beats are CLOCK_MONOTONIC microseconds, which all processes of a machine share; freshness is wall time,
because it follows from a time that somebody signed elsewhere.
"""

from __future__ import annotations

import enum
import hashlib
import mmap
import os
from collections.abc import Mapping
from pathlib import Path

import orjson

from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place

_WORDS_STEWARD = 8
_WORDS_WORKER = 8
_PAGE_BYTES = 8 * (_WORDS_STEWARD + _WORDS_WORKER * (limits.WORKERS_MAX + 1))
"""One worker more than may be configured: while workers are replaced, one of them is there twice."""
_GENERATION, _STEWARD_BEAT, _EVENTS_FRESH_UNTIL, _CERTIFICATES, _LAYOUT = 0, 1, 2, 3, 7
_BEAT, _STATE, _PID, _SILENT, _SEEN_GENERATION = 0, 1, 2, 3, 4


LAYOUT = 2
"""Number of this layout of the page; raised with every change of what a word means. 0 stands in a page of the time
before it was written there."""

ALWAYS_FRESH_US = 2**63 - 1
"""`SharedPage.events_fresh_until_us` where no age is set at which the list of legal events is too old."""


class WorkerState(enum.IntEnum):
    """What a worker says of itself."""

    ABSENT = 0
    STARTING = 1
    """No socket yet, or no snapshot yet."""
    SERVING = 2
    UNRECORDED = 3
    """The audit log takes no records: every request is refused."""
    DRAINING = 4
    READY = 5
    """Could serve, and waits for the one before it to let go of its address."""


class SharedPage:
    """The page of 64-bit words; each word has exactly one writing process.

    Raises BorderpostError BP0614 where it is to be read and has another release's layout.
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        if create and _layout_of(path) not in (None, LAYOUT):
            path.unlink()  # workers of another release may have it mapped still: what they read there stays theirs
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        fd = os.open(path, flags, 0o600)
        try:
            if create:
                os.ftruncate(fd, _PAGE_BYTES)
            elif os.fstat(fd).st_size != _PAGE_BYTES:
                raise BorderpostError("BP0614", "the shared page has another size", place=Place(str(path)))
            self._map = mmap.mmap(fd, _PAGE_BYTES)
        finally:
            os.close(fd)
        self._words = memoryview(self._map).cast("Q")
        if create:
            self._words[_LAYOUT] = LAYOUT
        elif self._words[_LAYOUT] != LAYOUT:
            found = self._words[_LAYOUT]
            self.close()
            detail = f"the shared page has layout {found}, this release reads {LAYOUT}"
            raise BorderpostError("BP0614", detail, place=Place(str(path)))

    @property
    def generation(self) -> int:
        """Return the number of the newest published snapshot; 0 before the first."""
        return self._words[_GENERATION]

    def raise_generation(self, generation: int, beat_us: int) -> None:
        """Announce a snapshot (steward only); the manifest must be in place."""
        self._words[_STEWARD_BEAT] = beat_us
        self._words[_GENERATION] = generation

    @property
    def steward_beat_us(self) -> int:
        """Return when the steward last gave a sign of life, monotonic microseconds."""
        return self._words[_STEWARD_BEAT]

    def beat_steward(self, mono_us: int) -> None:
        """Give the steward's sign of life."""
        self._words[_STEWARD_BEAT] = mono_us

    @property
    def events_fresh_until_us(self) -> int:
        """Return until when the list of legal events counts as fresh, microseconds since the epoch (UTC).

        Past it the list is stale, by itself: whoever would have to say so may be gone. 0 before the steward's first
        word (stale), `ALWAYS_FRESH_US` where there is no such limit.
        """
        return self._words[_EVENTS_FRESH_UNTIL]

    def keep_events_fresh(self, until_us: int) -> None:
        """Say until when the list of legal events counts as fresh (steward only)."""
        self._words[_EVENTS_FRESH_UNTIL] = until_us

    @property
    def certificates(self) -> int:
        """Return the number of the certificates that workers are to have read from their files."""
        return self._words[_CERTIFICATES]

    def announce_certificates(self) -> None:
        """Have the workers read the certificates' files anew (steward only)."""
        self._words[_CERTIFICATES] += 1

    def beat_worker(self, stream: int, *, mono_us: int, state: WorkerState, silent_us: int, generation: int) -> None:
        """Give a worker's sign of life: its state, its disk's silence, the generation it decides by.

        Workers are told apart by the number of their stream, here and below.
        """
        base = _WORDS_STEWARD + stream * _WORDS_WORKER
        words = self._words
        words[base + _STATE] = state
        words[base + _PID] = os.getpid()
        words[base + _SILENT] = silent_us
        words[base + _SEEN_GENERATION] = generation
        words[base + _BEAT] = mono_us

    def worker(self, stream: int) -> WorkerSigns:
        """Read what a worker last said."""
        base = _WORDS_STEWARD + stream * _WORDS_WORKER
        beat, state, pid, silent, generation = self._words[base : base + 5]
        return WorkerSigns(beat, WorkerState(state), pid, silent, generation)

    def forget_worker(self, stream: int) -> None:
        """Clear a worker's words after its process has ended (steward only)."""
        base = _WORDS_STEWARD + stream * _WORDS_WORKER
        for offset in range(_WORDS_WORKER):
            self._words[base + offset] = 0

    def close(self) -> None:
        """Unmap the page."""
        self._words.release()
        self._map.close()


class WorkerSigns:
    """A worker's last signs of life."""

    __slots__ = ("beat_us", "generation", "pid", "silent_us", "state")

    def __init__(self, beat_us: int, state: WorkerState, pid: int, silent_us: int, generation: int) -> None:
        self.beat_us = beat_us
        self.state = state
        self.pid = pid
        self.silent_us = silent_us
        self.generation = generation


class SnapshotWriter:
    """The steward's side: publishes parts and keeps only what the current and previous manifest name."""

    def __init__(self, runtime: Path, page: SharedPage) -> None:
        self._directory = runtime / "snapshots"
        self.page = page
        """Where snapshots are announced."""
        self._generation = page.generation
        self._named: list[set[str]] = []

    def publish(self, parts: Mapping[str, bytes], *, beat_us: int) -> dict[str, str]:
        """Publish all parts as one snapshot; return {part: digest}. Raises OSError if the disk refuses."""
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        digests = {}
        for name, data in parts.items():
            digest = hashlib.sha256(data).hexdigest()
            digests[name] = f"sha256:{digest}"
            target = self._directory / digest
            if not _holds(target, data):
                _replace(target, data)
        _replace(self._directory / "current", orjson.dumps(digests, option=orjson.OPT_SORT_KEYS))
        self._generation += 1
        self.page.raise_generation(self._generation, beat_us)
        self._prune({digest.removeprefix("sha256:") for digest in digests.values()})
        return digests

    def _prune(self, named: set[str]) -> None:
        """Keep the parts of the last four manifests: a worker may still be reading the one before."""
        self._named = [*self._named[-3:], named]
        keep = set().union(*self._named) | {"current"}
        for path in self._directory.iterdir():
            if path.name not in keep and not path.name.startswith("."):
                path.unlink(missing_ok=True)


class SnapshotReader:
    """The worker's side: reads the manifest and its parts, each checked against its name."""

    def __init__(self, runtime: Path) -> None:
        self._directory = runtime / "snapshots"

    def manifest(self) -> dict[str, str]:
        """Return {part: digest} of the current snapshot. Raises BorderpostError BP0602."""
        path = self._directory / "current"
        try:
            manifest = orjson.loads(path.read_bytes())
        except (OSError, orjson.JSONDecodeError) as error:
            raise BorderpostError("BP0602", f"the manifest cannot be read: {error}", place=Place(str(path))) from error
        return dict(manifest)

    def part(self, digest: str) -> bytes:
        """Return one part's bytes. Raises BorderpostError BP0602 if missing or altered."""
        path = self._directory / digest.removeprefix("sha256:")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BorderpostError(
                "BP0602", f"a part cannot be read: {error.strerror}", place=Place(str(path))
            ) from error
        if hashlib.sha256(data).hexdigest() != path.name:
            raise BorderpostError("BP0602", "a part does not match its name", place=Place(str(path)))
        return data


def _layout_of(page: Path) -> int | None:
    """Return the number of the layout of a page that is there, None where there is none."""
    try:
        with page.open("rb") as file:
            words = file.read(_PAGE_BYTES + 1)
    except FileNotFoundError:
        return None
    return int(memoryview(words).cast("Q")[_LAYOUT]) if len(words) == _PAGE_BYTES else 0


def _holds(target: Path, data: bytes) -> bool:
    """Return True if the file is there and whole; one that was damaged since is written again."""
    try:
        return target.read_bytes() == data
    except OSError:
        return False


def _replace(target: Path, data: bytes) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.chmod(0o640)
    temporary.replace(target)
