"""Group commit: whoever is told True has a durable record, whoever is told False has none that counts."""

from __future__ import annotations

import asyncio
import errno
import random
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borderpost.audit import pace
from borderpost.audit.batch import Batch
from borderpost.audit.committer import Commit, Committer
from borderpost.audit.inputs import InputStore
from borderpost.audit.kernel_sync import KernelSync
from borderpost.audit.pace import BRISK_US, RUN, SLOW_US, Pace
from borderpost.audit.record import parse
from borderpost.audit.verify import verify
from borderpost.audit.writer import AuditUnavailable, AuditWriter
from borderpost_base import limits
from borderpost_base.world import World
from support.audit import STREAM, FailingDisk, decision, lines_of, open_writer, small_spec

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


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write is brisk, whatever else the machine does."""
    monkeypatch.setattr(pace, "BRISK_US", 60_000_000)
    monkeypatch.setattr(pace, "SLOW_US", 60_000_000)


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


def test_a_release_comes_after_the_record_is_durable(tmp_path: Path) -> None:
    told: list[bool] = []

    async def body(committer: Committer) -> None:
        position = committer.append("decision", decision("one"))

        def release(durable: bool) -> None:
            told.append(durable)
            assert parse(lines_of(tmp_path)[position.seq])["req"]["id"] == "one"

        committer.when_durable(release)
        assert told == []
        await until(lambda: bool(told))
        assert committer.pending == 0

    run(tmp_path, body)
    assert told == [True]
    assert verify(tmp_path / STREAM).findings == []


def test_what_one_turn_of_the_loop_brings_is_one_sync(tmp_path: Path) -> None:
    disk = FailingDisk()

    async def body(committer: Committer) -> None:
        disk.calls.clear()
        told: list[bool] = []
        for n in range(50):
            committer.append("decision", decision(f"r-{n}"))
            committer.when_durable(told.append)
        await until(lambda: len(told) == 50)
        assert disk.calls == ["write", "fdatasync", "confirm"]

    commits = run(tmp_path, body, disk)
    assert commits[0].records == 50
    assert commits[0].took_us > 0


def test_appends_gather_while_a_commit_is_under_way(tmp_path: Path) -> None:
    disk = FailingDisk()

    async def body(committer: Committer) -> None:
        told: list[str] = []
        disk.hang.clear()
        committer.append("decision", decision("first"))
        committer.when_durable(lambda ok: told.append(f"first {ok}"))
        await asyncio.sleep(0.02)
        for n in range(10):
            committer.append("decision", decision(f"next-{n}"))
            committer.when_durable(lambda ok, n=n: told.append(f"next-{n} {ok}"))
            await asyncio.sleep(0)
        assert committer.pending == 11
        assert told == []
        disk.hang.set()
        await until(lambda: len(told) == 11)
        assert told == ["first True", *(f"next-{n} True" for n in range(10))]

    commits = run(tmp_path, body, disk)
    assert [commit.records for commit in commits] == [1, 10, 1]


def test_a_hanging_disk_shows_and_bounds_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AUDIT_PENDING_RECORDS_MAX", 20)
    disk = FailingDisk()
    told: list[bool] = []

    async def body(committer: Committer) -> None:
        assert committer.stalled_for_us() == 0
        disk.hang.clear()
        committer.append("decision", decision("hangs"))
        committer.when_durable(told.append)
        await asyncio.sleep(0.06)
        assert committer.stalled_for_us() > 50_000
        refused = 0
        for _ in range(30):
            try:
                committer.append("decision", decision("waits"))
            except AuditUnavailable as error:
                assert error.reason == "backlog"
                refused += 1
        assert refused == 11
        committer.when_durable(told.append)
        disk.hang.set()
        await until(lambda: len(told) == 2)
        assert committer.stalled_for_us() == 0

    run(tmp_path, body, disk)
    assert told == [True, True]
    gap = next(parse(line) for line in lines_of(tmp_path) if parse(line)["type"] == "gap")
    assert (gap["reason"], gap["refused"]) == ("backlog", 11)
    assert verify(tmp_path / STREAM).findings == []


def test_a_failure_refuses_the_batch_and_all_that_came_after_it_then_heals(tmp_path: Path) -> None:
    disk = FailingDisk()

    async def body(committer: Committer) -> None:
        told: list[tuple[str, bool]] = []
        disk.hang.clear()
        disk.fail("fdatasync", errno.EIO, times=3)
        committer.append("decision", decision("lost-1"))
        committer.when_durable(lambda ok: told.append(("lost-1", ok)))
        await asyncio.sleep(0.02)
        committer.append("decision", decision("lost-2"))
        committer.when_durable(lambda ok: told.append(("lost-2", ok)))
        disk.hang.set()
        await until(lambda: len(told) == 2)
        assert told == [("lost-1", False), ("lost-2", False)]
        assert not committer.available
        assert committer.fault is not None
        assert committer.fault.reason == "EIO"
        with pytest.raises(AuditUnavailable):
            committer.append("decision", decision("refused"))
        late: list[bool] = []
        committer.when_durable(late.append)
        await until(lambda: bool(late))
        assert late == [False]
        await until(lambda: committer.available)
        committer.append("decision", decision("after"))
        committer.when_durable(lambda ok: told.append(("after", ok)))
        await until(lambda: len(told) == 3)
        assert told[-1] == ("after", True)

    commits = run(tmp_path, body, disk)
    assert [commit.fault is None for commit in commits][:4] == [False, False, False, True]
    assert names(tmp_path) == ["after"]
    gap = next(parse(line) for line in lines_of(tmp_path) if parse(line)["type"] == "gap")
    assert (gap["lost"], gap["refused"], gap["attempts"]) == (2, 1, 3)
    assert verify(tmp_path / STREAM).findings == []


def test_a_callback_that_fails_does_not_keep_the_others_from_theirs(tmp_path: Path) -> None:
    async def body(committer: Committer) -> None:
        told: list[bool] = []

        def broken(durable: bool) -> None:
            raise ValueError("a bug")

        committer.append("decision", decision("one"))
        committer.when_durable(broken)
        committer.when_durable(told.append)
        await until(lambda: told == [True])

    run(tmp_path, body)


@pytest.mark.plain
def test_an_unforeseen_error_in_the_flusher_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(committer: Committer) -> None:
        told: list[bool] = []

        def broken(batch: Batch) -> None:
            raise ZeroDivisionError("a bug")

        with monkeypatch.context() as patched:
            patched.setattr(committer._writer, "write", broken)
            committer.append("decision", decision("one"))
            committer.when_durable(told.append)
            await until(lambda: told == [False])
            assert committer.fault is not None
            assert committer.fault.reason == "internal"
        await until(lambda: committer.available)

    run(tmp_path, body)
    assert names(tmp_path) == []
    assert verify(tmp_path / STREAM).findings == []


def test_stop_makes_everything_durable_and_ends_the_epoch(tmp_path: Path) -> None:
    told: list[bool] = []

    async def body(committer: Committer) -> None:
        for n in range(5):
            committer.append("decision", decision(f"r-{n}"))
            committer.when_durable(told.append)
        assert await committer.stop(within_s=10, reason="drain")
        assert told == [True] * 5
        with pytest.raises(AuditUnavailable):
            committer.append("decision", decision("late"))
        assert await committer.stop(within_s=10)

    run(tmp_path, body)
    last = parse(lines_of(tmp_path)[-1])
    assert (last["type"], last["reason"]) == ("epoch.close", "drain")
    open_writer(tmp_path).close()  # the lock was given up


@pytest.mark.parametrize("failures", [1, 2])
def test_stop_during_a_fault_records_the_gap_before_the_end(tmp_path: Path, failures: int) -> None:
    disk = FailingDisk()

    async def body(committer: Committer) -> None:
        disk.fail("fdatasync", errno.EIO, times=failures)
        told: list[bool] = []
        committer.append("decision", decision("lost"))
        committer.when_durable(told.append)
        await until(lambda: told == [False])
        assert await committer.stop(within_s=10) is (failures == 1)

    run(tmp_path, body, disk, stop=False, retry_s=60)
    types = [parse(line)["type"] for line in lines_of(tmp_path)]
    assert (types == ["epoch.open", "gap", "epoch.close"]) is (failures == 1)
    assert ("epoch.close" in types) is (failures == 1)
    open_writer(tmp_path).close()
    assert verify(tmp_path / STREAM).findings == []


def test_stop_on_a_full_disk_uses_the_ballast(tmp_path: Path) -> None:
    disk = FailingDisk()

    async def body(committer: Committer) -> None:
        disk.fail("allocate", errno.ENOSPC, times=1000)
        disk.fail("write", errno.ENOSPC)
        committer.append("decision", decision("lost"))
        assert await committer.stop(within_s=10)

    run(tmp_path, body, disk, stop=False)
    assert [parse(line)["type"] for line in lines_of(tmp_path)] == ["epoch.open", "gap", "epoch.close"]


def test_stop_on_a_hanging_disk_ends_in_time_and_says_so(tmp_path: Path) -> None:
    disk = FailingDisk()

    async def body(committer: Committer) -> None:
        disk.hang.clear()
        committer.append("decision", decision("hangs"))
        began = time.monotonic()
        assert not await committer.stop(within_s=0.1)
        assert time.monotonic() - began < 5
        disk.hang.set()
        assert await committer.stop(within_s=10)

    run(tmp_path, body, disk, stop=False)


@pytest.mark.slow
def test_a_quiet_stream_beats_and_a_busy_one_does_not(tmp_path: Path) -> None:
    async def quiet(committer: Committer) -> None:
        await asyncio.sleep(1.5)

    async def busy(committer: Committer) -> None:
        for _ in range(15):
            committer.append("decision", decision())
            await asyncio.sleep(0.1)

    run(tmp_path / "quiet", quiet, heartbeat_s=1)
    run(tmp_path / "busy", busy, heartbeat_s=1)
    beats = [sum(parse(x)["type"] == "heartbeat" for x in lines_of(tmp_path / name)) for name in ("quiet", "busy")]
    assert beats == [1, 0]


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
    disk = FailingDisk()
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
        await several(committer, RUN, told)
        assert kernels[0].started == started
        assert kernels[0].closed

    run(tmp_path, body, disk, kernel=kernel)
    assert told == [True] * RUN * 3
    assert len(names(tmp_path)) == RUN * 3
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
