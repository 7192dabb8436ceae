"""How a batch comes to the disk: by the thread, in the loop, or by the kernel; what is told is true in each way."""

from __future__ import annotations

import asyncio
import errno
import random
import threading
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borderpost.audit import pace
from borderpost.audit.committer import Committer
from borderpost.audit.kernel_sync import KernelSync
from borderpost.audit.pace import BRISK_US, RUN, SLOW_US, Pace
from borderpost.audit.record import parse
from borderpost.audit.verify import verify
from borderpost.audit.writer import AuditUnavailable
from support.audit import STREAM, FailingDisk, decision, lines_of
from support.committer import FaultyKernel, names, run, until


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write is brisk, whatever else the machine does."""
    monkeypatch.setattr(pace, "BRISK_US", 60_000_000)
    monkeypatch.setattr(pace, "SLOW_US", 60_000_000)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), faults=st.integers(0, 6), by=st.sampled_from(["thread", "loop", "kernel"]))
def test_in_any_interleaving_true_means_durable_and_false_means_not(
    tmp_path_factory: pytest.TempPathFactory, seed: int, faults: int, by: str
) -> None:
    """Requests come and go at random while the disk fails at random; then the log is compared with what was told."""
    directory = tmp_path_factory.mktemp("interleaved")
    rng = random.Random(seed)
    disk = FailingDisk()
    told: dict[str, bool] = {}
    refused = 0
    asked = 0

    async def body(committer: Committer) -> None:
        nonlocal refused, asked
        for turn in range(40):
            if faults and rng.random() < faults / 40:
                call = rng.choice(["write", "fdatasync", "truncate", "open", None])
                disk.fail(call, rng.choice([errno.EIO, errno.ENOSPC]), nth=rng.randint(1, 3), times=rng.randint(1, 3))
            for each in range(rng.randint(0, 5)):
                name = f"{turn}-{each}"
                asked += 1
                try:
                    committer.append("decision", decision(name))
                except AuditUnavailable:
                    refused += 1
                    continue
                committer.when_durable(lambda ok, name=name: told.__setitem__(name, ok))
            await asyncio.sleep(rng.choice([0, 0, 0.001, 0.004]))
        disk.heal()
        await until(lambda: committer.available and committer.pending == 0)

    kernel = (lambda loop: cast("KernelSync", FaultyKernel(loop, disk))) if by == "kernel" else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "RUN", 1)
        run(directory, body, disk, in_loop=by == "loop", kernel=kernel, retry_s=0.05)
    assert len(told) + refused == asked
    assert names(directory) == [name for name, ok in told.items() if ok]
    gaps = [parse(line) for line in lines_of(directory) if parse(line)["type"] == "gap"]
    assert sum(gap["refused"] for gap in gaps) == refused
    assert sum(gap["lost"] for gap in gaps) >= sum(not ok for ok in told.values())
    assert verify(directory / STREAM).findings == []


def test_a_brisk_disk_is_waited_for_in_the_loop_and_a_slow_sync_goes_back_to_the_thread() -> None:
    kept, never = Pace(allowed=True), Pace(allowed=False)
    for _ in range(RUN - 1):
        kept.note(BRISK_US)
        assert not kept.in_loop
    kept.note(BRISK_US)
    assert kept.in_loop
    kept.note(BRISK_US + 1)
    assert kept.in_loop
    kept.note(SLOW_US + 1)
    assert not kept.in_loop
    for _ in range(RUN * 2):
        never.note(0)
    assert not never.in_loop


@pytest.mark.plain
@pytest.mark.usefixtures("brisk")
def test_commits_in_the_loop_use_no_thread_and_answer_in_order(tmp_path: Path) -> None:
    told: list[int] = []
    threads: set[int] = set()

    class Watched(FailingDisk):
        def fdatasync(self, fd: int) -> None:
            threads.add(threading.get_ident())
            super().fdatasync(fd)

    async def body(committer: Committer) -> None:
        for number in range(RUN * 3):
            if number == RUN * 2:
                threads.clear()
            committer.append("decision", decision(str(number)))
            committer.when_durable(lambda ok, number=number: told.append(number if ok else -1))
            await until(lambda number=number: len(told) == number + 1)
        assert threads == {threading.get_ident()}

    run(tmp_path, body, Watched(), in_loop=True)
    assert told == list(range(RUN * 3))


async def several(committer: Committer, count: int, told: list[bool], name: str = "r") -> None:
    """Append records one after the other, each once the one before is told of."""
    for number in range(count):
        before = len(told)
        committer.append("decision", decision(f"{name}-{number}"))
        committer.when_durable(told.append)
        await until(lambda before=before: len(told) > before)


@pytest.mark.plain
@pytest.mark.usefixtures("brisk")
def test_the_kernel_syncs_for_real_while_the_loop_goes_on(tmp_path: Path) -> None:
    told: list[bool] = []
    kernels: list[KernelSync | None] = []
    by_thread: list[str] = []
    disk = FailingDisk()

    def kernel(loop: asyncio.AbstractEventLoop) -> KernelSync | None:
        kernels.append(KernelSync.open(loop))
        return kernels[0]

    async def body(committer: Committer) -> None:
        if kernels[0] is None:
            pytest.skip("needs Linux with asynchronous I/O by the kernel")
        await several(committer, RUN, told)
        disk.calls.clear()
        await several(committer, RUN, told)
        by_thread.extend(call for call in disk.calls if call == "fdatasync")

    run(tmp_path, body, disk, kernel=kernel)
    assert told == [True] * 2 * RUN
    assert by_thread == []
    assert verify(tmp_path / STREAM).findings == []


@pytest.mark.plain
@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize(("call", "number"), [("fdatasync", errno.EIO), ("confirm", errno.EROFS)])
def test_a_sync_of_the_kernel_that_fails_is_told_and_repaired(tmp_path: Path, call: str, number: int) -> None:
    """Whether it says so itself, or the file system turns out to have failed behind it."""
    disk = FailingDisk()
    told: list[bool] = []

    async def body(committer: Committer) -> None:
        await several(committer, RUN, told)
        disk.fail(call, number)
        await several(committer, 1, told, "lost")
        assert told[-1] is False
        found = (errno.errorcode[number], "fdatasync")
        assert committer.fault is not None and (committer.fault.reason, committer.fault.during) == found
        await until(lambda: committer.available)
        await several(committer, 3, told, "after")

    run(tmp_path, body, disk, kernel=lambda loop: cast("KernelSync", FaultyKernel(loop, disk)))
    assert told == [True] * RUN + [False] + [True] * 3
    assert not any(name.startswith("lost") for name in names(tmp_path))
    assert verify(tmp_path / STREAM).findings == []


@pytest.mark.plain
@pytest.mark.usefixtures("brisk")
def test_a_sync_that_hangs_in_the_kernel_leaves_the_loop_free_and_is_seen(tmp_path: Path) -> None:
    disk = FailingDisk()
    told: list[bool] = []

    async def body(committer: Committer) -> None:
        await several(committer, RUN, told)
        disk.hang.clear()
        committer.append("decision", decision("waiting"))
        committer.when_durable(told.append)
        await until(lambda: committer.stalled_for_us() > 50_000)
        committer.append("decision", decision("behind"))
        committer.when_durable(told.append)
        assert (committer.pending, len(told)) == (2, RUN)
        disk.hang.set()
        await until(lambda: len(told) == RUN + 2)

    # The write itself does not hang: only what FaultyKernel asks of the disk waits.
    class SlowToSync(FailingDisk):
        def write(self, fd: int, data: bytes) -> int:
            return super(FailingDisk, self).write(fd, data)

    disk = SlowToSync()
    run(tmp_path, body, disk, kernel=lambda loop: cast("KernelSync", FaultyKernel(loop, disk)))
    assert told == [True] * (RUN + 2)


@pytest.mark.plain
@pytest.mark.usefixtures("brisk")
def test_where_the_kernel_takes_no_request_the_thread_makes_that_sync(tmp_path: Path) -> None:
    """And makes all others from then on, where the loop was not to wait for syncs: however brisk they are."""
    threads: list[int] = []

    class Watched(FailingDisk):
        def fdatasync(self, fd: int) -> None:
            threads.append(threading.get_ident())
            super().fdatasync(fd)

    disk = Watched()
    told: list[bool] = []
    kernels: list[FaultyKernel] = []

    def kernel(loop: asyncio.AbstractEventLoop) -> KernelSync:
        kernels.append(FaultyKernel(loop, disk))
        return cast("KernelSync", kernels[0])

    async def body(committer: Committer) -> None:
        await several(committer, RUN * 2, told)
        started = kernels[0].started
        assert started > 0
        kernels[0].unwilling = True
        threads.clear()
        await several(committer, RUN * 2, told)
        assert len(threads) == RUN * 2
        assert threading.get_ident() not in threads
        assert kernels[0].started == started
        assert kernels[0].closed

    run(tmp_path, body, disk, kernel=kernel)
    assert told == [True] * RUN * 4
    assert len(names(tmp_path)) == RUN * 4
    assert verify(tmp_path / STREAM).findings == []


def test_the_kernel_says_what_is_no_open_file() -> None:
    async def main() -> None:
        kernel = KernelSync.open(asyncio.get_running_loop())
        if kernel is None:
            pytest.skip("needs Linux with asynchronous I/O by the kernel")
        with pytest.raises(OSError, match="descriptor"):
            kernel.start(1 << 20, lambda number: None)
        assert not kernel.busy
        kernel.close()

    asyncio.run(main())
