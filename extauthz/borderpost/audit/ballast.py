"""Room kept in reserve, so that a full disk does not keep the log from saying that the disk is full."""

from __future__ import annotations

import os
from pathlib import Path

from borderpost_base.world import Disk

BALLAST_NAME = "ballast"


class Ballast:
    """A file of a given size beside the segments of a stream."""

    def __init__(self, stream_directory: Path, size_bytes: int, disk: Disk) -> None:
        self._directory = stream_directory
        self._path = stream_directory / BALLAST_NAME
        self._size_bytes = size_bytes
        self._disk = disk

    def take(self) -> None:
        """Make the file if it is not there in full. Raises OSError (ENOSPC, for one)."""
        if self._path.exists() and self._path.stat().st_size >= self._size_bytes:
            return
        self._reserve(self._path)

    def check_room(self) -> None:
        """Raise OSError unless the disk has room for as much again."""
        probe = self._directory / f"{BALLAST_NAME}.probe"
        self._reserve(probe)
        self._disk.unlink(probe)

    def give_up(self) -> None:
        """Free the room; does nothing if that has been done."""
        if self._path.exists():
            self._disk.unlink(self._path)

    def _reserve(self, path: Path) -> None:
        fd = self._disk.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._disk.allocate(fd, self._size_bytes)
        except OSError:
            self._disk.unlink(path)
            raise
        finally:
            self._disk.close(fd)
