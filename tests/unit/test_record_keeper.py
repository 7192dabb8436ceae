"""A worker's hold on its stream: refuses until it is open, opens when it can, announces before it decides."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from borderpost.audit.inputs import InputStore
from borderpost.audit.profile import encode
from borderpost.audit.record import parse
from borderpost.audit.verify import verify
from borderpost.audit.writer import AuditUnavailable
from borderpost.record_keeper import RecordKeeper, counting_commits
from borderpost_base.metrics import Metrics, local_metrics
from borderpost_base.world import World
from support.audit import STREAM, FailingDisk, decision, lines_of, open_writer, small_spec
from support.worker_parts import until

CANNOT_OPEN = "audit log cannot be opened: every request is refused"


class Kept:
    """A keeper with its metrics and what it was told."""

    def __init__(self, directory: Path, disk: FailingDisk) -> None:
        world = World(disk=disk)
        self.directory = directory
        self.metrics: Metrics = local_metrics()
        self.inputs = InputStore(directory, World())
        self.digest = self.inputs.put(b"an input")
        self.keeper = RecordKeeper(
            stream=STREAM,
            spec=small_spec(directory=directory),
            inputs=self.inputs,
            world=world,
            unavailable=self.metrics.audit_unavailable,
            on_commit=counting_commits(self.metrics),
        )

    def announce(self, key: str, text: str) -> None:
        """Announce a policy of this text under this key."""
        digest = self.inputs.put(text.encode())
        self.keeper.announce(
            key,
            "policy.activate",
            {"digest": digest, "generation": 1, "packs": [{"id": "p", "version": "1", "as_of": "2026-01-01"}]},
        )

    def chain(self, name: str = "r") -> str:
        """Chain a decision and return its id; `when_durable` sends it on its way. Raises AuditUnavailable."""
        fields = decision(name, inputs=self.digest)
        request = encode(fields.pop("req"))
        prepared = self.keeper.prepare(fields)
        (decision_id,) = self.keeper.chain([(prepared, request)], at_us=1_800_000_000_000_000, mono_us=5)
        return decision_id.decode()

    async def decide(self, name: str = "r") -> bool:
        """Chain a decision and wait for what became of it."""
        told: list[bool] = []
        self.chain(name)
        self.keeper.when_durable(told.append)
        await until(lambda: bool(told))
        return told[0]

    def kinds(self) -> list[str]:
        return [parse(line)["type"] for line in lines_of(self.directory)]


@asynccontextmanager
async def keeping(directory: Path, disk: FailingDisk | None = None, *, opened: bool = True) -> AsyncIterator[Kept]:
    disk = disk or FailingDisk()
    kept = Kept(directory, disk)
    if opened:
        kept.keeper.open_soon()
        await until(lambda: kept.keeper.available)
    try:
        yield kept
    finally:
        disk.heal()
        disk.hang.set()
        await kept.keeper.stop(within_s=10)


def test_it_refuses_until_it_is_open(tmp_path: Path) -> None:
    async def main() -> None:
        async with keeping(tmp_path, opened=False) as kept:
            assert not kept.keeper.available
            assert (kept.keeper.pending, kept.keeper.silent_us()) == (0, 0)
            with pytest.raises(AuditUnavailable) as refused:
                kept.chain()
            assert (refused.value.code, refused.value.reason) == ("BP0405", "not-open")
            with pytest.raises(AssertionError):
                kept.keeper.when_durable(lambda durable: None)

    asyncio.run(main())
    assert not (tmp_path / STREAM).exists()


def test_a_locked_log_is_told_once_and_opened_when_it_is_free(tmp_path: Path) -> None:
    holder = open_writer(tmp_path)

    async def main() -> None:
        async with keeping(tmp_path, opened=False) as kept:
            with capture_logs() as told:
                kept.keeper.open_soon()
                await until(lambda: bool(told))
                await asyncio.sleep(0.5)  # several attempts
                assert [(line["event"], line["code"]) for line in told] == [(CANNOT_OPEN, "BP0401")]
                assert kept.metrics.audit_unavailable.get() == 1
                holder.close()
                await until(lambda: kept.keeper.available)
            assert kept.metrics.audit_unavailable.get() == 0
            assert await kept.decide()

    asyncio.run(main())
    assert verify(tmp_path / STREAM).findings == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_at_the_start_is_tried_again(tmp_path: Path, code: int) -> None:
    async def main() -> None:
        disk = FailingDisk()
        disk.fail("open", code, times=1_000_000)
        async with keeping(tmp_path, disk, opened=False) as kept:
            with capture_logs() as told:
                kept.keeper.open_soon()
                await until(lambda: bool(told))
            assert told[0]["code"] == "BP0402"
            assert errno.errorcode[code] in told[0]["detail"]
            assert not kept.keeper.available
            disk.heal()
            await until(lambda: kept.keeper.available)
            assert await kept.decide()

    asyncio.run(main())


def test_announcements_come_before_the_first_decision_and_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with keeping(tmp_path) as kept:
            kept.announce("policy", "old law")
            kept.announce("policy", "law")  # replaces the one that nobody has decided by
            assert await kept.decide()
            assert await kept.decide()
            assert kept.kinds() == ["epoch.open", "policy.activate", "decision", "decision"]
            record = parse(lines_of(tmp_path)[1])
            assert kept.inputs.get(record["digest"]) == b"law"

    asyncio.run(main())


def test_all_that_stands_is_announced_again_after_a_failed_commit(tmp_path: Path) -> None:
    async def main() -> None:
        disk = FailingDisk()
        async with keeping(tmp_path, disk) as kept:
            kept.announce("policy", "law")
            assert await kept.decide("first")
            kept.announce("events", "events")
            disk.fail("fdatasync", errno.EIO)
            assert not await kept.decide("lost")
            assert not kept.keeper.available
            assert kept.metrics.audit_unavailable.get() == 1
            with pytest.raises(AuditUnavailable) as refused:
                kept.chain("refused")
            assert refused.value.reason == "EIO"
            await until(lambda: kept.keeper.available)
            assert await kept.decide("after")
            await until(lambda: kept.metrics.audit_unavailable.get() == 0)

    asyncio.run(main())
    kinds = [parse(line)["type"] for line in lines_of(tmp_path)]
    assert kinds[:3] == ["epoch.open", "policy.activate", "decision"]
    assert kinds[3] == "gap"
    said = [kind for kind in kinds[3:] if kind != "gap"]
    assert said == ["policy.activate", "policy.activate", "decision", "epoch.close"]
    names = [parse(line)["req"]["id"] for line in lines_of(tmp_path) if b'"type":"decision"' in line]
    assert names == ["first", "after"]
    assert verify(tmp_path / STREAM).findings == []


def test_a_silent_disk_is_seen(tmp_path: Path) -> None:
    async def main() -> None:
        disk = FailingDisk()
        async with keeping(tmp_path, disk) as kept:
            disk.hang.clear()
            told: list[bool] = []
            kept.chain()
            kept.keeper.when_durable(told.append)
            await until(lambda: kept.keeper.silent_us() > 100_000)
            assert kept.keeper.available
            assert kept.keeper.pending == 1
            assert told == []
            disk.hang.set()
            await until(lambda: told == [True])
            assert kept.keeper.silent_us() == 0

    asyncio.run(main())


def test_stopping_closes_the_epoch_and_gives_up_the_lock(tmp_path: Path) -> None:
    async def main() -> None:
        async with keeping(tmp_path) as kept:
            assert await kept.decide()
        with pytest.raises(AuditUnavailable):
            kept.chain()

    asyncio.run(main())
    assert parse(lines_of(tmp_path)[-1])["type"] == "epoch.close"
    open_writer(tmp_path).close()


def test_stopping_while_it_cannot_open_ends_the_attempts(tmp_path: Path) -> None:
    holder = open_writer(tmp_path)

    async def main() -> int:
        disk = FailingDisk()
        async with keeping(tmp_path, disk, opened=False) as kept:
            with capture_logs() as told:
                kept.keeper.open_soon()
                await until(lambda: bool(told))
        await asyncio.sleep(0.3)  # an attempt under way in its thread may end
        calls = len(disk.calls)
        await asyncio.sleep(0.3)
        return len(disk.calls) - calls

    assert asyncio.run(main()) == 0
    holder.close()


def test_what_is_made_durable_is_counted(tmp_path: Path) -> None:
    async def main() -> None:
        async with keeping(tmp_path) as kept:
            for _ in range(3):
                assert await kept.decide()
            await until(lambda: kept.metrics.audit_records_total.get() == 3)
            size: Any = kept.metrics.audit_bytes_total.get()
            assert size == sum(len(line) + 1 for line in lines_of(tmp_path)[1:])

    asyncio.run(main())


def test_what_came_into_use_is_recorded_even_if_nobody_asks(tmp_path: Path) -> None:
    async def main() -> None:
        async with keeping(tmp_path, opened=False) as kept:
            kept.announce("policy", "one")
            kept.keeper.say(1_800_000_000_000_000)  # not open yet: it stays to be said
            kept.keeper.open_soon()
            await until(lambda: kept.keeper.available)
            for _ in range(2):
                kept.keeper.say(1_800_000_000_000_000)
            await until(lambda: kept.kinds()[-1:] == ["policy.activate"])
            assert await kept.decide()
        assert kept.kinds() == ["epoch.open", "policy.activate", "decision", "epoch.close"]

    asyncio.run(main())
