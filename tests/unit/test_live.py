"""The view in force: swapped whole, urgent news first, never from damaged bytes, never older than allowed."""

from __future__ import annotations

import asyncio
import errno
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from borderpost import lawful_answer, live
from borderpost.regions.signals import RegionSignal, Signals, State
from borderpost.snapshots import SharedPage
from borderpost_base.world import SystemClock
from support.audit import FailingDisk
from support.worker_parts import FakeCall, WorkerParts, question, until, worker_parts

EVENT = {
    "id": "order-1",
    "type": "region_suspend",
    "scope": {"regions": ["eu-1"]},
    "effective_from": "2026-01-01T00:00:00Z",
    "recorded_at": "2026-01-01T00:00:00Z",
    "source": "a court",
    "reason": "an order",
}
OTHER_LAW = {"policy": {"groups": {"HOUSE": ["DE", "FR"]}}}


class Ahead(SystemClock):
    """The machine's clock, moved forward on request."""

    by_us = 0

    def mono_us(self) -> int:
        return super().mono_us() + self.by_us


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_RETRY_S", 0.05)


def write_events(directory: Path, *events: dict[str, Any]) -> None:
    text = json.dumps({"apiVersion": "residency/v1", "kind": "LegalEvents", "events": list(events)})
    (directory / "events.yaml").write_text(text)


def publish_signals(parts: WorkerParts, **states: State) -> None:
    """Publish as a probe's result does."""
    named = {name.replace("_", "-"): RegionSignal(state) for name, state in states.items()}
    parts.publication._take_signals(Signals(named, parts.world.randomness.token(8).hex(), parts.world.now_us()))


def part_file(parts: WorkerParts, part: str) -> Path:
    manifest = json.loads((parts.directory / "state/snapshots/current").read_text())
    return parts.directory / "state/snapshots" / manifest[part].removeprefix("sha256:")


def test_there_is_no_view_before_the_first_snapshot(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path, opened=False) as parts:
            assert parts.look() is None
            parts.publication.publish()
            view = await parts.take()
            assert parts.adopted == [(view, frozenset({"policy", "catalog", "events", "signals", "geoip"}))]
            assert parts.inputs.is_intact(view.inputs["policy"])
            for part in ("policy", "events", "catalog", "signals", "geoip"):
                assert parts.inputs.is_intact(view.inputs[part]), part

    asyncio.run(main())


def test_other_signals_swap_the_view_and_keep_the_memory_of_law(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            first = parts.live.view
            assert first is not None
            assert (await parts.ask()).cluster == "eu-1"
            publish_signals(parts, eu_1=State.DOWN)
            second = await parts.take()
            assert parts.adopted[-1] == (second, frozenset({"signals"}))
            assert second.compiled is first.compiled
            assert second._law is first._law
            assert second._decisions is not first._decisions
            assert (await parts.ask()).cluster == "eu-2"

    asyncio.run(main())


def test_another_law_swaps_the_view_and_forgets(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            first = parts.live.view
            assert first is not None
            await parts.ask()
            parts.reload(OTHER_LAW)
            second = await parts.take()
            assert parts.adopted[-1][1] == {"policy"}
            assert second._law is not first._law
            assert second.inputs["policy"] != first.inputs["policy"]
            assert second.geo is first.geo

    asyncio.run(main())


def test_an_event_does_not_wait_for_a_slow_law(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    compiled = lawful_answer.compile_policy

    def slow(*arguments: Any) -> Any:
        assert go_on.wait(20)
        return compiled(*arguments)

    async def main() -> None:
        write_events(tmp_path)
        async with worker_parts(tmp_path, changes={"events": {"file": "events.yaml"}}) as parts:
            first = parts.live.view
            assert first is not None
            monkeypatch.setattr(lawful_answer, "compile_policy", slow)
            write_events(tmp_path, EVENT)
            parts.reload(OTHER_LAW)
            try:
                await until(lambda: parts.look() is not first)
                between = parts.live.view
                assert between is not None
                assert between.compiled is first.compiled
                assert [event.id for event in between.event_list.events] == ["order-1"]
                assert parts.adopted[-1][1] == {"events"}
                assert (await parts.ask()).cluster == "eu-2"
            finally:
                go_on.set()
            last = await parts.take()
            assert last.inputs["policy"] != first.inputs["policy"]
            assert (await parts.ask()).cluster == "eu-2"

    asyncio.run(main())


def test_events_that_do_not_fit_the_old_catalogue_come_with_the_new_one(tmp_path: Path) -> None:
    async def main() -> None:
        write_events(tmp_path)
        async with worker_parts(tmp_path, changes={"events": {"file": "events.yaml"}}) as parts:
            write_events(tmp_path, {**EVENT, "scope": {"regions": ["eu-1", "eu-3"]}})
            parts.reload({"regions": {"eu-3": {"country": "FR"}}})
            view = await parts.take()
            assert "eu-3" in view.compiled.catalog.regions
            assert (await parts.ask()).cluster == "eu-2"

    asyncio.run(main())


def test_what_an_event_changes_is_worked_out_before_its_instant(tmp_path: Path) -> None:
    """Else the first request after it would wait for that."""

    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            view = parts.live.view
            assert view is not None
            assert view.events.is_prepared(parts.world.now_us()), "with the snapshot"
            view.events._effects.clear()
            parts.live.look_ahead()
            parts.live.look_ahead()
            await until(lambda: view.events.is_prepared(parts.world.now_us()))

    asyncio.run(main())


def test_a_silent_steward_ends_decisions_until_it_speaks_again(tmp_path: Path) -> None:
    clock = Ahead()

    async def main() -> None:
        async with worker_parts(tmp_path, clock=clock) as parts:
            assert parts.look() is not None
            clock.by_us = 29_000_000
            assert parts.look() is not None
            clock.by_us = 31_000_000
            assert parts.look() is None
            assert "BP0807" in (await parts.ask()).refusal[1]
            parts.page.beat_steward(clock.mono_us())
            assert parts.look() is not None
            assert (await parts.ask()).cluster

    asyncio.run(main())


@pytest.mark.parametrize("damage", [b"", b"{}", b"\x00" * 40])
def test_damaged_events_keep_the_last_good_view(tmp_path: Path, damage: bytes) -> None:
    async def main() -> None:
        write_events(tmp_path)
        async with worker_parts(tmp_path, changes={"events": {"file": "events.yaml"}}) as parts:
            good = parts.live.view
            write_events(tmp_path, EVENT)
            await parts.publication.look_for_changes()
            whole = part_file(parts, "events").read_bytes()
            part_file(parts, "events").write_bytes(damage)
            with capture_logs() as told:
                parts.look()
                await until(lambda: any("snapshot not taken" in line["event"] for line in told))
                assert parts.live.view is good
                assert (await parts.ask()).cluster == "eu-1"
            assert any("BP0602" in line.get("error", "") for line in told)
            part_file(parts, "events").write_bytes(whole)
            await parts.take()
            assert (await parts.ask()).cluster == "eu-2"

    asyncio.run(main())


@pytest.mark.parametrize("damage", [b"", b"[1]", b'"x"', b"{}", b"\xff"])
def test_a_damaged_manifest_keeps_the_last_good_view(tmp_path: Path, damage: bytes) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            good = parts.live.view
            publish_signals(parts, eu_1=State.DOWN)
            (tmp_path / "state/snapshots/current").write_bytes(damage)
            with capture_logs() as told:
                parts.look()
                await until(lambda: any("snapshot not taken" in line["event"] for line in told))
            assert parts.look() is good
            publish_signals(parts, eu_1=State.DOWN)
            await parts.take()
            assert (await parts.ask()).cluster == "eu-2"

    asyncio.run(main())


def test_a_snapshot_refused_by_a_full_disk_is_taken_when_there_is_room(tmp_path: Path) -> None:
    """Nothing new is published meanwhile: the worker itself must try again, or it would decide by old law."""

    async def main() -> None:
        disk = FailingDisk()
        write_events(tmp_path)
        async with worker_parts(tmp_path, disk=disk, changes={"events": {"file": "events.yaml"}}) as parts:
            write_events(tmp_path, EVENT)
            disk.fail("fdatasync", errno.ENOSPC, times=1_000_000)
            await parts.publication.look_for_changes()
            with capture_logs() as told:
                parts.look()
                await until(lambda: any("snapshot not taken" in line["event"] for line in told))
            disk.heal()
            await parts.take()
            assert (await parts.ask()).cluster == "eu-2"

    asyncio.run(main())


def test_a_snapshot_that_stays_damaged_is_told_once_and_ends_decisions_when_it_is_too_old(tmp_path: Path) -> None:
    clock = Ahead()

    async def main() -> None:
        async with worker_parts(tmp_path, clock=clock) as parts:
            publish_signals(parts, eu_1=State.DOWN)
            part_file(parts, "signals").write_bytes(b"damaged")
            with capture_logs() as told:
                for _ in range(5):
                    parts.look()
                    clock.by_us += 1_500_000
                    parts.page.beat_steward(clock.mono_us())
                    await asyncio.sleep(0.05)
                assert len([line for line in told if "snapshot not taken" in line["event"]]) == 1
            assert parts.look() is not None
            clock.by_us += 31_000_000
            parts.page.beat_steward(clock.mono_us())
            assert parts.look() is None
            publish_signals(parts, eu_2=State.DOWN)
            await parts.take()
            assert (await parts.ask()).cluster == "eu-1"

    asyncio.run(main())


def test_a_snapshot_overtaken_while_the_disk_hung_is_no_fault(tmp_path: Path) -> None:
    async def main() -> None:
        disk = FailingDisk()
        async with worker_parts(tmp_path, disk=disk) as parts:
            publish_signals(parts, eu_1=State.DOWN)
            before = len(disk.calls)
            disk.hang.clear()
            try:
                parts.look()
                await until(lambda: len(disk.calls) > before)
                for _ in range(6):  # so many that the steward removes the parts of the one being read
                    publish_signals(parts, eu_2=State.DOWN)
            finally:
                disk.hang.set()
            with capture_logs() as told:
                await parts.take()
            assert [line for line in told if line["log_level"] == "error"] == []
            assert (await parts.ask()).cluster == "eu-1"

    asyncio.run(main())


def test_a_part_damaged_on_disk_is_written_again_by_the_next_publication(tmp_path: Path) -> None:
    """A worker that starts later reads every part anew, also those that have not changed for months."""

    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            damaged = part_file(parts, "policy")
            whole = damaged.read_bytes()
            damaged.write_bytes(whole[:-1])
            publish_signals(parts, eu_1=State.DOWN)
            assert damaged.read_bytes() == whole
            await parts.take()

    asyncio.run(main())


def test_a_batch_looks_at_the_shared_generation_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests one turn of the loop brings, news cost one load of shared memory."""
    own: Any = vars(SharedPage)["generation"]
    looks = 0

    def counted(page: SharedPage) -> int:
        nonlocal looks
        looks += 1
        found: int = own.fget(page)
        return found

    async def main() -> None:
        nonlocal looks
        async with worker_parts(tmp_path) as parts:
            monkeypatch.setattr(SharedPage, "generation", property(counted))
            calls = [FakeCall() for _ in range(50)]
            parts.processor.messages([(call, question()) for call in calls])
            assert looks == 1
            await until(lambda: all(call.replies for call in calls))
            assert looks == 1
            parts.publication.publish()
            looks = 0
            parts.processor.messages([(call, question()) for call in calls])
            assert parts.live._loading is not None  # read beside the batch, which waits for nothing
            assert looks == 1
            await parts.take()

    asyncio.run(main())
