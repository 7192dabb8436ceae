"""Disks that fail for real: small, read-only, frozen. All need root, all are gone when the block ends."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
needs_freeze = pytest.mark.skipif(
    os.geteuid() != 0 or None in map(shutil.which, ("fsfreeze", "mkfs.ext4")), reason="needs root, fsfreeze, mkfs.ext4"
)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, timeout=30)


class MountedDisk:
    """A file system mounted on a directory of its own."""

    def __init__(self, path: Path, image: Path | None = None) -> None:
        self.path = path
        self._image = image
        self._ballast = path / "other-data"

    def fill(self) -> None:
        """Let somebody else's data take all the room there is."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                return

    def leave(self, size_bytes: int) -> None:
        """Let somebody else's data take all the room but this."""
        room = os.statvfs(self.path)
        with self._ballast.open("ab", buffering=0) as file:
            left = room.f_bavail * room.f_frsize - size_bytes
            while left > 0:
                left -= file.write(b"x" * min(left, 1 << 20))

    def free(self) -> None:
        """Remove somebody else's data."""
        self._ballast.unlink()

    def remount(self, how: str) -> None:
        """Remount it `ro` or `rw`, however many files are open for writing."""
        _run("mount", "-o", f"remount,{how}", str(self.path))

    def fail(self) -> None:
        """Have an ext4 file system find an error, upon which it turns read-only."""
        device = self.path.stat().st_dev
        name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
        Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("test\n")

    def mount_anew(self) -> None:
        """Unmount a file system of a file and mount it again. Nobody may use it."""
        _run("umount", str(self.path))
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def freeze(self) -> None:
        """Let every write and sync wait until `thaw`."""
        _run("fsfreeze", "--freeze", str(self.path))

    def thaw(self) -> None:
        """Let the disk answer again."""
        _run("fsfreeze", "--unfreeze", str(self.path))


@contextmanager
def memory_disk(path: Path, size: str) -> Iterator[MountedDisk]:
    """Mount a tmpfs of this size (as mount(8) writes sizes)."""
    path.mkdir(parents=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))
    try:
        yield MountedDisk(path)
    finally:
        _run("umount", "--lazy", str(path))


@contextmanager
def loop_disk(path: Path, size_bytes: int = 64 << 20) -> Iterator[MountedDisk]:
    """Mount an ext4 file system in a file; thawed at the end whatever happens."""
    path.mkdir(parents=True)
    image = path.parent.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(size_bytes)
    _run("mkfs.ext4", "-q", "-m", "0", str(image))
    _run("mount", "-o", "loop,errors=remount-ro", str(image), str(path))
    try:
        yield MountedDisk(path, image)
    finally:
        # Fails where it is not frozen, which is the ordinary case.
        subprocess.run(["fsfreeze", "--unfreeze", str(path)], check=False, stderr=subprocess.DEVNULL, timeout=30)
        _run("umount", "--lazy", str(path))
        image.unlink()
