"""A sync that the kernel makes while the event loop goes on: fdatasync by Linux AIO, its end told by an eventfd.

A thread that waits for the disk costs two hand-offs of the interpreter lock a batch; a loop that waits for it can do
nothing else. The kernel needs neither: `io_submit(2)` with IOCB_CMD_FDSYNC (Linux 4.18, linux/aio_abi.h) starts the
sync in a worker of its own and adds to an eventfd when it has ended, which the loop watches like a socket.

Python has no such call, so the C library's `syscall(2)` is used. Where the system has none (another system or
processor, a sandbox that forbids it) `open` gives None, and the audit log does without.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import platform
from collections.abc import Callable
from typing import Any, Final, NamedTuple

Done = Callable[[int], None]
"""Told the outcome of a sync on the loop's thread: 0, or the errno with which it failed."""

_FDSYNC: Final = 3
"""IOCB_CMD_FDSYNC"""
_TELL_EVENTFD: Final = 1
"""IOCB_FLAG_RESFD"""


class _Calls(NamedTuple):
    """Numbers of the system calls on one kind of processor."""

    setup: int
    destroy: int
    get_events: int
    submit: int


_CALLS: Final = {"x86_64": _Calls(206, 207, 208, 209), "aarch64": _Calls(0, 1, 4, 2)}
"""asm/unistd_64.h and asm-generic/unistd.h; on other processors there is no sync by the kernel."""


class _Request(ctypes.Structure):
    """struct iocb (linux/aio_abi.h) of a little-endian processor."""

    _fields_ = (
        ("data", ctypes.c_uint64), ("key", ctypes.c_uint32), ("rw_flags", ctypes.c_int32),
        ("opcode", ctypes.c_uint16), ("priority", ctypes.c_int16), ("fd", ctypes.c_uint32),
        ("buffer", ctypes.c_uint64), ("size_bytes", ctypes.c_uint64), ("offset", ctypes.c_int64),
        ("reserved", ctypes.c_uint64), ("flags", ctypes.c_uint32), ("event_fd", ctypes.c_uint32),
    )  # fmt: skip


class _Event(ctypes.Structure):
    """struct io_event (linux/aio_abi.h)."""

    _fields_ = (
        ("data", ctypes.c_uint64), ("request", ctypes.c_uint64), ("result", ctypes.c_int64),
        ("result2", ctypes.c_int64),
    )  # fmt: skip


class KernelSync:
    """Syncs one file at a time for one event loop. Used on the loop's thread; make it with `open`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, calls: _Calls, syscall: Callable[..., int]) -> None:
        """Raises OSError where the kernel does not do it."""
        self._loop = loop
        self._calls = calls
        self._syscall = syscall
        self._context = ctypes.c_ulong(0)
        self._done: Done | None = None
        self._event = _Event()
        self._call(calls.setup, ctypes.c_int(1), ctypes.byref(self._context))
        try:
            self._event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError:
            self._call(calls.destroy, self._context)
            raise
        self._request = _Request(opcode=_FDSYNC, flags=_TELL_EVENTFD, event_fd=self._event_fd)
        self._requests = (ctypes.POINTER(_Request) * 1)(ctypes.pointer(self._request))
        loop.add_reader(self._event_fd, self._ended)

    @classmethod
    def open(cls, loop: asyncio.AbstractEventLoop) -> KernelSync | None:
        """Return one for a loop; None where this system has none."""
        calls = _CALLS.get(platform.machine()) if platform.system() == "Linux" else None
        if calls is None:
            return None
        syscall: Any = ctypes.CDLL(None, use_errno=True).syscall
        syscall.restype = ctypes.c_long
        try:
            return cls(loop, calls, syscall)
        except OSError:
            return None

    @property
    def busy(self) -> bool:
        """Return True while a sync is under way."""
        return self._done is not None

    def start(self, fd: int, done: Done) -> None:
        """Begin to bring a file's data to stable storage. Raises OSError if it was not begun.

        `done` is called once, in a later turn of the loop.
        """
        assert self._done is None, "one sync at a time"
        self._request.fd = fd
        if self._call(self._calls.submit, self._context, ctypes.c_long(1), self._requests) != 1:
            raise OSError(errno.EAGAIN, "the kernel took no request")
        self._done = done

    def close(self) -> None:
        """Let go of the kernel's resources; waits for a sync that is under way."""
        self._loop.remove_reader(self._event_fd)
        os.close(self._event_fd)
        self._call(self._calls.destroy, self._context)

    def _ended(self) -> None:
        try:
            os.eventfd_read(self._event_fd)
        except BlockingIOError:
            return
        taken = self._call(
            self._calls.get_events, self._context, ctypes.c_long(0), ctypes.c_long(1), ctypes.byref(self._event), None
        )
        done = self._done
        if taken != 1 or done is None:
            return
        self._done = None
        done(-int(self._event.result))

    def _call(self, number: int, *arguments: Any) -> int:
        result = self._syscall(ctypes.c_long(number), *arguments)
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return result
