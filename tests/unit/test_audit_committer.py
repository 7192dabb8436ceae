"""Group commit: whoever is told True has a durable record, whoever is told False has none that counts."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from borderpost.audit.batch import Batch
from borderpost.audit.committer import Committer
from borderpost.audit.record import parse
from borderpost.audit.verify import verify
from borderpost.audit.writer import AuditUnavailable
from borderpost_base import limits
from support.audit import STREAM, FailingDisk, decision, lines_of, open_writer
from support.committer import names, run, until

Body = Callable[[Committer], Awaitable[None]]


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
