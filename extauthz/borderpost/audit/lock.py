"""One writer a stream: `flock` on `<stream>/lock`, which goes with its process, so that none is ever stale."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from borderpost_base.errors import BorderpostError, Place
from borderpost_base.world import Disk

LOCK_NAME = "lock"
_TRIES = 5
_PAUSE_S = 0.02


class StreamLock:
    """The lock of one stream, held until `release` or the end of the process."""

    def __init__(self, fd: int, disk: Disk) -> None:
        self._fd: int | None = fd
        self._disk = disk

    @classmethod
    def take(cls, stream_directory: Path, disk: Disk) -> StreamLock:
        """Lock a stream and leave this process's id in the file, for the message others get.

        Raises BorderpostError BP0401 if another process holds it, OSError if the file cannot be made.
        """
        path = stream_directory / LOCK_NAME
        fd = disk.open(path, os.O_RDWR | os.O_CREAT)
        try:
            # A few tries: `is_held` takes the lock for an instant when it looks.
            for _ in range(_TRIES - 1):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                time.sleep(_PAUSE_S)
            else:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            disk.truncate(fd, 0)
            disk.write(fd, f"{os.getpid()}\n".encode())
        except BlockingIOError:
            disk.close(fd)
            raise BorderpostError(
                "BP0401", f"process {_holder(path)} writes this stream", place=Place(str(stream_directory))
            ) from None
        except BaseException:
            disk.close(fd)
            raise
        return cls(fd, disk)

    def release(self) -> None:
        """Give the lock up; does nothing the second time."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self._disk.close(fd)


def is_held(stream_directory: Path) -> bool:
    """Return True while a process writes this stream."""
    try:
        fd = os.open(stream_directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _holder(path: Path) -> str:
    text = path.read_bytes()[:20].strip()
    return text.decode() if text.isdigit() else "unknown"
