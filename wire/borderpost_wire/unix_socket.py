"""Giving a Unix socket its public name: never before it is protected, never over a live server's head.

gRPC binds a path by itself: it deletes what stands there, a live server's socket too, and deletes the path
again when it stops, its successor's socket too. So it is given a private name, under which the socket is
made with mode 0600, gets its owner and mode, and is then renamed to the public name. What it deletes at the
end is the private name, which is gone; the public name is removed here, if it is still ours.

A server that takes over renames its socket over its predecessor's in one step: at no moment is there nobody at the
public name, and the predecessor, when it stops, leaves the name to its new owner.

All of that happens under a lock on the directory, so that two servers that start at once take turns.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from borderpost_wire.errors import AddressInUse, ListenError
from borderpost_wire.options import UNIX_PATH_BYTES_MAX, UnixListen

DIRECTORY_MODE = 0o750
"""Search for the owner and the socket's group, nothing for others."""
LOCK_WAIT_MAX_S = 2.0
"""A start or stop holds the lock for about a millisecond."""


class PublishedSocket:
    """A socket under its public name, ours as long as the name leads to the same inode."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode = _inode(path)

    def remove(self) -> None:
        """Remove the public name unless another server has it by now.

        A name that cannot be removed stays: the next server finds nobody behind it and replaces it.
        """
        with contextlib.suppress(OSError), _locked(self.path.parent):
            if _inode(self.path) == self._inode:
                self.path.unlink()


def publish(listen: UnixListen, bind: Callable[[Path], object]) -> PublishedSocket:
    """Let `bind` make a socket at the private path it is given, protect it and give it its public name.

    Raises AddressInUse if a live server answers at the public name (unless this one `takes_over`), ListenError for
    everything else.
    """
    private = listen.path.with_name(f".{listen.path.name}.new")
    if len(os.fsencode(private)) > UNIX_PATH_BYTES_MAX:
        longest = UNIX_PATH_BYTES_MAX - len(os.fsencode(private)) + len(os.fsencode(listen.path))
        raise ListenError(listen.address, f"the path is longer than {longest} bytes")
    try:
        _prepare_directory(listen)
        with _locked(listen.path.parent):
            _refuse_if_taken(listen)
            old_mask = os.umask(0o177)
            try:
                bind(private)
            finally:
                os.umask(old_mask)
            try:
                os.chown(private, *_owner(listen))
                private.chmod(listen.mode)
                private.replace(listen.path)
            except OSError:
                private.unlink(missing_ok=True)
                raise
            return PublishedSocket(listen.path)
    except OSError as error:
        raise ListenError(listen.address, _words(error)) from error


def _prepare_directory(listen: UnixListen) -> None:
    directory = listen.path.parent
    try:
        directory.mkdir(mode=0o700, parents=False)
    except FileExistsError:
        if directory.stat().st_mode & stat.S_IWOTH:
            reason = f"its directory {directory} is writable by every local user, who could put another socket there"
            raise ListenError(listen.address, reason) from None
        return
    os.chown(directory, *_owner(listen))
    directory.chmod(DIRECTORY_MODE)


def _refuse_if_taken(listen: UnixListen) -> None:
    try:
        mode = listen.path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(listen.address, "something that is not a socket stands there")
    if listen.takes_over:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        failure = probe.connect_ex(str(listen.path))
    if failure not in (errno.ECONNREFUSED, errno.ENOENT):
        raise AddressInUse(listen.address, "another server answers there")


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold an exclusive lock on the directory; others hold it only for the moment of a start or stop.

    Waiting is bounded, because whoever may read the directory may also hold its lock: raises TimeoutError.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        give_up_s = time.monotonic() + LOCK_WAIT_MAX_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up_s:
                    raise TimeoutError(errno.ETIMEDOUT, "another process holds the lock on the directory") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _owner(listen: UnixListen) -> tuple[int, int]:
    """Return user and group for chown(2), where -1 means: as it is."""
    return (-1 if listen.uid is None else listen.uid, -1 if listen.gid is None else listen.gid)


def _inode(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino


def _words(error: OSError) -> str:
    name = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{name}"
