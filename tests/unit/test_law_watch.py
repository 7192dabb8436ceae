"""The law watch: what is read, from wherever, becomes the list in force, or is told and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from borderpost import law_watch
from borderpost.clock_error import ClockError
from borderpost.events.store import FileStore
from borderpost.health import Outcome
from borderpost.policy.events import EventList
from borderpost.snapshots import ALWAYS_FRESH_US
from borderpost_base.errors import BorderpostError
from support.law_watch_case import Case, fired
from support.signed_lists import ListWriter


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    case = Case(tmp_path)
    yield case
    case.page.close()


def test_lines_that_are_added_are_taken_and_nothing_else_is_published(case: Case) -> None:
    async def main() -> None:
        case.write("a")
        law = case.begin_signed()
        assert (case.ids, law.known) == (["a"], True)
        await law.look()
        assert case.published == []
        case.write("b")
        await law.look()
        await law.look()
        assert case.published == [["a", "b"]]
        assert law.book.current().file.length == 2
        assert law.book.current().file.head == case.writer.head

    asyncio.run(main())


@pytest.mark.parametrize("damage", ["shorter", "forked", "torn", "junk", "gone", "empty"])
def test_a_damaged_list_changes_nothing_and_is_told_until_it_is_whole(case: Case, damage: str) -> None:
    async def main() -> None:
        case.write("a", "b")
        law = case.begin_signed()
        await law.look()
        file = case.directory / "list.jsonl"
        whole = file.read_bytes()
        other = ListWriter()
        forked = b"".join(other.add(name) + b"\n" for name in ("a", "x", "y"))
        damaged = {
            "shorter": case.writer.lines[0] + b"\n", "forked": forked, "torn": whole + whole[:40], "empty": b"",
            "junk": whole + b"{}\n",
        }  # fmt: skip
        file.unlink()
        if damage in damaged:
            file.write_bytes(damaged[damage])
        with capture_logs() as told:
            await law.look()
        assert case.ids == ["a", "b"]
        assert any("events not taken" in line["event"] for line in told)
        assert case.check("events/current") is Outcome.WARNING
        file.write_bytes(whole)
        case.write("c")
        await law.look()
        assert case.ids == ["a", "b", "c"]
        assert case.check("events/current") is None

    asyncio.run(main())


def test_lines_above_a_fault_are_law(case: Case) -> None:
    async def main() -> None:
        case.write("a")
        law = case.begin_signed()
        await law.look()
        case.writer.add("b")
        (case.directory / "list.jsonl").write_bytes(b"".join(line + b"\n" for line in [*case.writer.lines, b"{}"]))
        await law.look()
        assert case.ids == ["a", "b"]
        assert case.check("events/current") is Outcome.WARNING

    asyncio.run(main())


def test_lines_above_a_torn_end_are_law(case: Case) -> None:
    async def main() -> None:
        case.write("a")
        law = case.begin_signed()
        await law.look()
        case.write("b")
        with (case.directory / "list.jsonl").open("ab") as file:
            file.write(b'{"at":')
        await law.look()
        assert case.ids == ["a", "b"]
        assert case.check("events/current") is Outcome.WARNING

    asyncio.run(main())


def test_what_was_in_force_holds_over_a_restart_with_a_shorter_list(case: Case) -> None:
    case.write("a", "b")
    case.begin_signed().add_own(fired())
    last = EventList.from_canonical(case.law.book.current().canonical())
    again = Case(case.directory)
    again.writer = case.writer
    (case.directory / "list.jsonl").write_bytes(case.writer.lines[0] + b"\n")
    law = again.begin_signed(restored=last)
    assert set(again.ids) == {"a", "b", "fired"}
    assert again.check("events/current") is Outcome.WARNING

    async def main() -> None:
        again.write("c")
        await law.look()
        assert set(again.ids) == {"a", "b", "c", "fired"}
        assert again.check("events/current") is None

    asyncio.run(main())


def test_an_event_made_here_is_published_once(case: Case) -> None:
    case.begin()
    assert case.law.add_own(fired())
    assert not case.law.add_own(fired())
    assert case.published == [["fired"]]


def test_another_epsilon_is_published(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = [3_000]
    monkeypatch.setattr(law_watch, "ClockError", lambda setting: ClockError(setting, read=lambda: bound[0]))

    async def main() -> None:
        law = case.begin(clock_error_ms="auto")
        assert law.book.current().file.clock_error_us == 5_000
        await law.look()
        bound[0] = 6_000
        await law.look()
        assert len(case.published) == 1
        assert law.book.current().file.clock_error_us == 10_000
        law.set_gauges()
        assert case.metrics.clock_error_seconds.get() == 0.01
        assert case.check("events/clock") is Outcome.PASSED

    asyncio.run(main())


def test_without_an_age_the_list_is_always_fresh(case: Case) -> None:
    case.begin()
    assert case.page.events_fresh_until_us == ALWAYS_FRESH_US
    assert case.check("events/fresh") is None


def test_a_list_is_as_fresh_as_its_newest_heartbeat(case: Case) -> None:
    async def main() -> None:
        case.write("a")
        law = case.begin_signed(max_age_s=60)
        await law.look()
        assert case.page.events_fresh_until_us == 0
        assert case.check("events/fresh") is Outcome.WARNING
        case.vouch(datetime.now(UTC) - timedelta(seconds=40))
        await law.look()
        assert 15 < case.fresh_for_s() <= 20
        assert case.check("events/fresh") is Outcome.PASSED
        case.vouch(datetime.now(UTC) - timedelta(seconds=50))  # an older one was put back
        await law.look()
        assert 15 < case.fresh_for_s() <= 20
        case.clock.by_us = 21_000_000
        with capture_logs() as told:
            await law.look()
            await law.look()
        assert [line["code"] for line in told if "code" in line] == ["BP0622"]
        assert case.fresh_for_s() < 0
        case.vouch(datetime.now(UTC) + timedelta(seconds=21))
        await law.look()
        assert 55 < case.fresh_for_s() <= 60
        law.set_gauges()
        assert case.metrics.events_stale.get() == 0
        assert case.metrics.events_heartbeat_age_seconds.get() < 5

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["forged", "ahead of the list", "of another list", "junk", "from the future"])
def test_a_heartbeat_that_does_not_fit_makes_nothing_fresh(case: Case, kind: str) -> None:
    async def main() -> None:
        case.write("a", "b")
        law = case.begin_signed(max_age_s=60)
        now = datetime.now(UTC)
        other = ListWriter()
        other.lines = list(case.writer.lines)
        elsewhere = ListWriter()
        elsewhere.keys = case.writer.keys
        for name in ("x", "y"):
            elsewhere.add(name)
        ahead = ListWriter()
        ahead.keys, ahead.signers, ahead.lines = case.writer.keys, case.writer.signers, list(case.writer.lines)
        ahead.add("c")
        elsewhere.signers = case.writer.signers
        beats = {
            "forged": other.heartbeat(now), "ahead of the list": ahead.heartbeat(now),
            "of another list": elsewhere.heartbeat(now), "junk": b"{}",
            "from the future": case.writer.heartbeat(now + timedelta(hours=1)),
        }  # fmt: skip
        FileStore(case.directory / "list.jsonl").put_heartbeat(beats[kind])
        await law.look()
        assert case.page.events_fresh_until_us == 0
        assert case.check("events/current") is Outcome.WARNING
        case.vouch()
        await law.look()
        assert case.fresh_for_s() > 50
        assert case.check("events/current") is None

    asyncio.run(main())


def test_a_steward_that_begins_again_makes_nothing_fresher_than_it_was(case: Case) -> None:
    case.write("a")
    case.page.keep_events_fresh(case.world.now_us() + 5_000_000)
    case.begin_signed(max_age_s=60)
    assert 4 < case.fresh_for_s() <= 5
    case.page.keep_events_fresh(case.world.now_us() + 500_000_000)  # under a longer age
    case.begin_signed(max_age_s=60)
    assert 55 < case.fresh_for_s() <= 60
    case.page.keep_events_fresh(ALWAYS_FRESH_US)  # under none
    case.begin_signed(max_age_s=60)
    assert case.page.events_fresh_until_us == 0


def test_other_signers_vouch_anew(case: Case) -> None:
    async def main() -> None:
        case.write("a")
        law = case.begin_signed(max_age_s=60)
        case.vouch()
        await law.look()
        assert case.fresh_for_s() > 50
        signers = case.writer.config()
        settings = {"file": "list.jsonl", "signers": {**signers, "cleo": "03" * 32}, "max_age_s": 60}
        case.reload(**settings)
        assert case.page.events_fresh_until_us == 0
        await law.look()
        assert case.fresh_for_s() > 50
        case.reload(**{**settings, "max_age_s": 30})
        assert 20 < case.fresh_for_s() <= 30
        case.reload(**{**settings, "max_age_s": None})
        assert case.page.events_fresh_until_us == ALWAYS_FRESH_US
        await law.stop()

    asyncio.run(main())


def test_a_configuration_that_forgets_events_is_refused_and_changes_nothing(case: Case) -> None:
    async def main() -> None:
        case.write("a")
        case.begin_signed()
        with pytest.raises(BorderpostError, match="BP0606"):
            case.reload()
        assert case.ids == ["a"]

    asyncio.run(main())
