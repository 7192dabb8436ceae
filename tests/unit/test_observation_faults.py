"""What goes wrong with us while a route is observed: its requests go on, and what was not recorded is counted."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from borderpost import observation as observation_module
from borderpost.audit.verify import verify
from borderpost.config.observe import ObserveSection
from borderpost.decision import View
from borderpost_base import limits
from borderpost_base.world import World
from support.audit import FailingDisk, TestClock
from support.observed import OBSERVING, ObservedCall, checked, durable, put, told
from support.worker_parts import BRITISH, CHECK, PROCESS, FakeCall, until, worker_parts


@pytest.mark.parametrize("method", [PROCESS, CHECK])
@pytest.mark.parametrize("published", [True, False])
def test_without_a_snapshot_or_a_log_requests_go(tmp_path: Path, method: str, published: bool) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, opened=False, changes=OBSERVING) as parts:
            if published:
                parts.publication.publish()
                await parts.take()
            (call,) = put(parts, told() if method == PROCESS else checked(), method=method)
            assert call.replies and call.failed is None
            assert parts.metrics.observed_total.get("unrecorded") == 1

    asyncio.run(main())


@pytest.mark.parametrize(("broken", "number"), [("fdatasync", errno.EIO), ("write", errno.ENOSPC)])
def test_a_disk_that_fails_stops_no_request_and_is_counted(tmp_path: Path, broken: str, number: int) -> None:
    async def main() -> None:
        disk = FailingDisk()
        async with worker_parts(tmp_path, disk=disk, changes=OBSERVING) as parts:
            put(parts, told())
            await durable(parts, 1)
            disk.fail(broken, number, times=3)
            for _ in range(2):
                calls = put(parts, told(), told())
                assert all(call.finished for call in calls)
                await until(lambda: not parts.keeper.available)
            assert parts.metrics.observed_total.get("unrecorded") == 4
            disk.heal()
            await until(lambda: parts.keeper.available)
            put(parts, told())
            await durable(parts, 2)

    asyncio.run(main())
    assert verify(tmp_path / "audit").clean


def test_a_disk_that_hangs_keeps_no_request_and_the_room_is_left_to_those_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "OBSERVED_PENDING_MAX", 3)

    async def main() -> None:
        disk = FailingDisk()
        async with worker_parts(tmp_path, disk=disk, changes=OBSERVING) as parts:
            put(parts, told())
            await durable(parts, 1)
            await until(lambda: parts.keeper.pending == 0)
            disk.hang.clear()
            try:
                calls = put(parts, *[told(request_id=f"o-{number}") for number in range(5)])
                assert all(call.finished for call in calls)
                assert parts.metrics.observed_total.get("unrecorded") == 2
                waiting = FakeCall()
                parts.processor.messages([(waiting, told(route="rest", observing=False))])
                assert put(parts, told())[0].finished
                assert parts.metrics.observed_total.get("unrecorded") == 3
            finally:
                disk.hang.set()
            await until(lambda: waiting.answered)
            assert waiting.cluster == "eu-1"
            assert len(await durable(parts, 5)) == 5

    asyncio.run(main())


def test_a_bug_stops_no_request_is_told_once_and_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = View.answer

    def poisoned(self: View, raw: Any, now_us: int) -> Any:
        if raw.route == "chat":
            raise RuntimeError("a bug")
        return decided(self, raw, now_us)

    monkeypatch.setattr(View, "answer", poisoned)

    async def main() -> None:
        async with worker_parts(tmp_path, changes=OBSERVING) as parts:
            with capture_logs() as logs:
                calls = put(parts, told(), told(route="rest", observing=False), told())
                await until(lambda: all(call.answered for call in calls))
            assert calls[0].finished and calls[2].finished and calls[1].cluster == "eu-1"
            assert parts.metrics.observed_total.get("unrecorded") == 2
            assert len([line for line in logs if line["event"] == "observed requests could not be recorded"]) == 1
            assert BRITISH not in str(logs)

    asyncio.run(main())


def test_a_call_that_cannot_be_ended_is_recorded_all_the_same(tmp_path: Path) -> None:
    class Broken(ObservedCall):
        def finish(self) -> None:
            raise RuntimeError("gone")

    async def main() -> None:
        async with worker_parts(tmp_path, changes=OBSERVING) as parts:
            parts.processor.messages([(Broken(), told())])
            assert len(await durable(parts, 1)) == 1

    asyncio.run(main())


def test_alarms_are_told_once_a_minute_with_how_many_there_were(tmp_path: Path) -> None:
    clock = TestClock()
    section = ObserveSection.model_validate(OBSERVING["observe"])

    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            observation = observation_module.Observation(section, World(clock=clock), parts.metrics)  # type: ignore[arg-type]
            with capture_logs() as logs:
                for _ in range(5):
                    observation.alarm_unenforced("rest")
                clock.step(limits.ALARM_INTERVAL_S - 1)
                observation.alarm_unenforced("rest")
                clock.step(1)
                observation.alarm_unenforced("rest")
            assert [(line["code"], line["requests"]) for line in logs] == [("BP1443", 1), ("BP1443", 6)]

    asyncio.run(main())
