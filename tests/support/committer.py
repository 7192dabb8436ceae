"""A committer on a loop of its own, and a kernel whose syncs fail on demand."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from borderpost.audit.committer import Commit, Committer
from borderpost.audit.inputs import InputStore
from borderpost.audit.kernel_sync import KernelSync
from borderpost.audit.record import parse
from borderpost.audit.writer import AuditWriter
from borderpost_base.world import World
from support.audit import STREAM, FailingDisk, lines_of, small_spec

Body = Callable[[Committer], Awaitable[None]]


def run(
    directory: Path,
    body: Body,
    disk: FailingDisk | None = None,
    *,
    stop: bool = True,
    in_loop: bool = False,
    kernel: Callable[[asyncio.AbstractEventLoop], KernelSync | None] | None = None,
    **keys: Any,
) -> list[Commit]:
    """Run a body with a committer on a loop of its own; return the commits it made."""
    commits: list[Commit] = []

    async def main() -> None:
        world = World(disk=disk) if disk is not None else World()
        spec = small_spec(**keys)
        writer = AuditWriter.open(directory, STREAM, spec, world, InputStore(directory, world))
        loop = asyncio.get_running_loop()
        kernel_sync = kernel(loop) if kernel is not None else None
        committer = Committer(
            writer, spec, world, loop, on_commit=commits.append, in_loop=in_loop, kernel_sync=kernel_sync
        )
        try:
            await body(committer)
        finally:
            if stop:
                assert await committer.stop(within_s=10)

    asyncio.run(main())
    return commits


class FaultyKernel:
    """A kernel whose syncs take a while and fail as its disk does."""

    def __init__(self, loop: asyncio.AbstractEventLoop, disk: FailingDisk) -> None:
        self.loop = loop
        self.disk = disk
        self.started = 0
        self.unwilling = False
        self.closed = False

    def start(self, fd: int, done: Callable[[int], None]) -> None:
        if self.unwilling:
            raise OSError(errno.EAGAIN, "no room for a request")
        self.started += 1
        self.loop.call_later(0.001, self._end, fd, done)

    def _end(self, fd: int, done: Callable[[int], None]) -> None:
        if not self.disk.hang.is_set():
            self.loop.call_later(0.005, self._end, fd, done)
            return
        try:
            self.disk.fdatasync(fd)
        except OSError as error:
            done(error.errno or errno.EIO)
        else:
            done(0)

    def close(self) -> None:
        self.closed = True


def names(directory: Path) -> list[str]:
    records = [parse(line) for line in lines_of(directory)]
    return [record["req"]["id"] for record in records if record["type"] == "decision"]


async def until(condition: Callable[[], bool], within_s: float = 10) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        await asyncio.sleep(0.002)
