"""Watching files for changes: by what `stat` says of them, look by look.

A file that is being written looks different from one look to the next. So a change counts only once two looks in a
row have seen the same, and a file that is half written is left alone for as long as somebody writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

FileMark = tuple[int, int, int] | None
"""Inode, size and modification time (ns) of a file, by which a change is noticed; None if it is not there."""


def mark_of(path: Path | None) -> FileMark:
    """Return the mark of a file, or of where a link leads; None where there is none."""
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


class FileWatch:
    """A watch over some files that are taken together. The first look takes them as they are."""

    def __init__(self, files: Iterable[Path] = ()) -> None:
        self._taken: Mapping[Path, FileMark] = {}
        self._seen: Mapping[Path, FileMark] = {}
        self.take(files)

    def take(self, files: Iterable[Path]) -> None:
        """Say that these files are about to be read as they are now; a later change to any of them counts."""
        self._taken = self._seen = {file: mark_of(file) for file in files}

    def add(self, files: Iterable[Path]) -> None:
        """Watch these too, as they are now; what is watched already stays as it was taken."""
        fresh = {file: mark_of(file) for file in files if file not in self._taken}
        self._taken, self._seen = {**self._taken, **fresh}, {**self._seen, **fresh}

    def changed(self, files: Iterable[Path] | None = None) -> bool:
        """Look; return True if a file is another than the one taken, and the same as at the last look.

        `files` are those that there are now, where they are not always the same: a folder's.
        """
        before, self._seen = self._seen, {file: mark_of(file) for file in (self._taken if files is None else files)}
        return self._seen == before and self._seen != self._taken
