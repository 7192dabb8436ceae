"""The inputs of decisions, kept by content: `<audit directory>/inputs/sha256/<hex>`.

A record names policy, events, catalogue, signals and GeoIP database by digest, and replay needs the bytes. They
are stored before the first record that names them, and stay as long as a segment names them. A file's name is
the SHA-256 of its content, so several processes may store the same input at the same time.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from borderpost.audit.forms import DIGEST
from borderpost.audit.profile import ProfileError
from borderpost.audit.segment import INPUTS_NAME, read_lines, segments_of, streams_of, write_all
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.world import World

_PREFIX = "sha256:"
_CHUNK_BYTES = 1 << 20
_MODE = 0o440
_DIGESTS = re.compile(rb"sha256:[0-9a-f]{64}")
_NAMING_BYTES_MAX = 4096
"""Inputs up to this size may be lists of other inputs: a record names the list, and the list what is on it."""


class InputStore:
    """The store of one audit directory."""

    def __init__(self, audit_directory: Path, world: World) -> None:
        self.directory = audit_directory / INPUTS_NAME / "sha256"
        """Where the files lie."""
        self._world = world
        self._anchored = False

    def put(self, data: bytes) -> str:
        """Store bytes durably and return their name, `sha256:<hex>`. Raises OSError."""
        name = hashlib.sha256(data).hexdigest()
        self._store(name, lambda: iter((data,)))
        return _PREFIX + name

    def put_file(self, source: Path) -> str:
        """Store a file's content durably and return its name; streamed, for databases of any size. Raises OSError.

        It is copied, not linked: whoever writes into the source later must not write into the evidence.
        """
        name = _digest_of_file(source)
        self._store(name, lambda: _chunks(source))
        return _PREFIX + name

    def path(self, digest: str) -> Path:
        """Return where an input lies or would lie. Raises ValueError unless it is `sha256:<64 hex digits>`."""
        try:
            DIGEST.check(digest)
        except ProfileError as error:
            raise ValueError(f"{digest!r:.100} is not the digest of an input") from error
        return self.directory / digest.removeprefix(_PREFIX)

    def has(self, digest: str) -> bool:
        """Return True if the store holds an input of this name; its bytes are not read."""
        return self.path(digest).is_file()

    def is_intact(self, digest: str) -> bool:
        """Return True if the store holds the input and its bytes match its name."""
        path = self.path(digest)
        return path.is_file() and _digest_of_file(path) == path.name

    def get(self, digest: str) -> bytes:
        """Return an input's bytes. Raises BorderpostError BP0407 if it is missing or altered."""
        path = self.path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise BorderpostError("BP0407", f"{digest} is not stored", place=Place(str(path))) from None
        if hashlib.sha256(data).hexdigest() != path.name:
            raise BorderpostError("BP0407", f"the bytes do not match {digest}", place=Place(str(path)))
        return data

    def prune(self, named: set[str], *, younger_than_s: float = 3600.0) -> list[str]:
        """Remove inputs that no record names, and return their names.

        `named` is what the segments name (`inputs_named_in`); what a list among those names stays too. Files younger
        than `younger_than_s` stay: an input is stored before the first record that names it. Raises OSError.
        """
        if not self.directory.is_dir():
            return []
        named = named.union(*map(self._named_by, named))
        oldest_kept_s = self._world.clock.wall_us() / 1e6 - younger_than_s
        gone = []
        for path in sorted(self.directory.iterdir()):
            if _PREFIX + path.name not in named and path.stat().st_mtime < oldest_kept_s:
                self._world.disk.unlink(path)
                gone.append(_PREFIX + path.name)
        self._world.disk.fsync_dir(self.directory)
        return gone

    def _named_by(self, digest: str) -> set[str]:
        """Return the inputs that an input names, if it is short enough to be a list of them."""
        path = self.path(digest)
        if not path.is_file() or path.stat().st_size > _NAMING_BYTES_MAX:
            return set()
        return {name.decode() for name in _DIGESTS.findall(path.read_bytes())}

    def _store(self, name: str, content: Callable[[], Iterator[bytes]]) -> None:
        path = self.directory / name
        if self.is_intact(_PREFIX + name):
            return
        disk = self._world.disk
        self.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        part = self.directory / f".{name}.{self._world.randomness.token(8).hex()}"
        fd = disk.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        try:
            digest = hashlib.sha256()
            for chunk in content():
                digest.update(chunk)
                write_all(disk, fd, chunk)
            if digest.hexdigest() != name:
                raise OSError(f"{part.name}: the source changed while it was copied")
            disk.fdatasync(fd)
            disk.chmod(fd, _MODE)
        except BaseException:
            disk.unlink(part)
            raise
        finally:
            disk.close(fd)
        if self.is_intact(_PREFIX + name):
            # Another process was quicker, and may be reading its file already: an input in place stays in place.
            disk.unlink(part)
        else:
            disk.rename(part, path)
        disk.fsync_dir(self.directory)
        if not self._anchored:  # once, whoever made the folders: each sync makes law wait that is on its way into force
            disk.fsync_dir(self.directory.parent)
            disk.fsync_dir(self.directory.parent.parent)
            self._anchored = True


def inputs_named_in(stream_directories: Iterable[Path]) -> set[str]:
    """Return every digest that the segments of some streams name, of inputs or of anything else.

    Lines are not parsed: a damaged one still keeps what it names.
    """
    named: set[bytes] = set()
    for directory in stream_directories:
        for segment in segments_of(directory):
            for line in read_lines(segment):
                named.update(_DIGESTS.findall(line.data))
    return {name.decode() for name in named}


def inputs_named_by_log(audit_directory: Path) -> set[str]:
    """Return the digests of all inputs that a whole log names: what `InputStore.prune` keeps."""
    return inputs_named_in(streams_of(audit_directory))


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
