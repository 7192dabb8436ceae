"""Limits files that change under a limiter: the last good ones stay, and counters do."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from borderpost.limiter.limits_watch import LimitsWatch
from borderpost.uptake import Uptake, UptakeMetrics
from borderpost_base.errors import Problems
from borderpost_base.metrics import Metrics, local_metrics
from borderpost_base.world import World
from borderpost_ratelimit.config import LimitsSpec
from borderpost_ratelimit.files.book import Book
from borderpost_ratelimit.rules import Entries
from borderpost_ratelimit.service import RateLimitService
from borderpost_ratelimit.settings import ServiceSettings
from borderpost_ratelimit.statistics import Statistics
from borderpost_ratelimit.stores.memory import MemoryStore
from support.ratelimit_parts import answer_of, descriptor_of, still_world

TENANT: Entries = (("tenant", "acme"),)


def limits(amount: int, domain: str = "shop", key: str = "tenant") -> str:
    return f"domain: {domain}\ndescriptors:\n- key: {key}\n  rate_limit: {{unit: hour, requests_per_unit: {amount}}}\n"


class Stage:
    """A watch over a folder, and a service that follows it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.taken: list[Book] = []
        self.kept: list[Book] = []
        self.metrics: Metrics = local_metrics()
        self.uptake = Uptake(UptakeMetrics.of_limiter(self.metrics), World())
        self.watch = LimitsWatch(
            LimitsSpec(limits=(folder,)), take=self.taken.append, keep=self.kept.append, uptake=self.uptake
        )

    def reloads(self, result: str) -> float:
        return self.metrics.limiter_reload_total.get("limits", result)

    async def look_until_still(self) -> None:
        """A change counts at the second look that sees it."""
        await self.watch.look()
        await self.watch.look()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    (tmp_path / "limits").mkdir()
    (tmp_path / "limits" / "shop.yaml").write_text(limits(5))
    return Stage(tmp_path / "limits")


def run(steps: Callable[[], Awaitable[None]]) -> None:
    async def all_of_them() -> None:
        await steps()

    asyncio.run(all_of_them())


def amount_of(book: Book, domain: str = "shop") -> int:
    found = book.match(domain, TENANT)
    assert found is not None
    return found.rule.limits[0].amount


def test_what_lies_there_at_the_start_is_in_force(stage: Stage) -> None:
    book = stage.watch.begin()
    assert amount_of(book) == 5
    assert stage.kept == [book]
    assert stage.taken == []
    assert stage.metrics.limiter_reload_taken_timestamp_seconds.get("limits") > 0


def test_a_mistake_at_the_start_is_told_with_its_line(stage: Stage) -> None:
    (stage.folder / "shop.yaml").write_text(limits(5).replace("hour", "hours"))
    with pytest.raises(Problems) as found:
        stage.watch.begin()
    assert [(error.code, error.place.line) for error in found.value.errors] == [("BP1606", 4)]


def test_nothing_is_read_again_while_nothing_changes(stage: Stage) -> None:
    async def steps() -> None:
        for _ in range(3):
            await stage.watch.look()

    stage.watch.begin()
    run(steps)
    assert stage.taken == []
    assert stage.reloads("taken") == 0


def test_changed_files_are_taken_once_they_lie_still(stage: Stage) -> None:
    async def steps() -> None:
        (stage.folder / "shop.yaml").write_text(limits(70))
        await stage.watch.look()
        assert stage.taken == []
        await stage.watch.look()

    stage.watch.begin()
    run(steps)
    assert [amount_of(book) for book in stage.taken] == [70]
    assert [amount_of(book) for book in stage.kept] == [5, 70]
    assert stage.reloads("taken") == 1


def test_files_that_come_and_go_are_changes(stage: Stage) -> None:
    async def steps() -> None:
        (stage.folder / "deep").mkdir()
        (stage.folder / "deep" / "bank.yaml").write_text(limits(3, "bank"))
        await stage.look_until_still()
        assert stage.taken[-1].domains == {"shop", "bank"}
        (stage.folder / "shop.yaml").unlink()
        await stage.look_until_still()

    stage.watch.begin()
    run(steps)
    assert stage.taken[-1].domains == {"bank"}


def test_a_mistake_leaves_the_last_good_limits_and_is_told_once(stage: Stage) -> None:
    async def steps() -> None:
        (stage.folder / "shop.yaml").write_text(limits(5).replace("hour", "houre"))
        for _ in range(4):
            await stage.watch.look()

    stage.watch.begin()
    with capture_logs() as told:
        run(steps)
    errors = [line for line in told if line["log_level"] == "error"]
    assert [(line["code"], line["place"]["line"]) for line in errors] == [("BP1606", 4)]
    assert stage.taken == []
    assert (stage.reloads("refused"), stage.metrics.limiter_reload_stale.get("limits")) == (1, 1)
    assert [check.name for check in stage.uptake.checks()] == ["limits/current"]


def test_what_is_mended_is_taken_and_no_longer_told(stage: Stage) -> None:
    async def steps() -> None:
        (stage.folder / "shop.yaml").write_text("domain: [")
        await stage.look_until_still()
        (stage.folder / "shop.yaml").write_text(limits(6))
        await stage.look_until_still()
        (stage.folder / "shop.yaml").write_text("domain: [")
        await stage.look_until_still()

    stage.watch.begin()
    run(steps)
    assert [amount_of(book) for book in stage.taken] == [6]
    assert (stage.reloads("refused"), stage.reloads("taken")) == (2, 1)


def test_going_back_to_what_is_in_force_changes_nothing_and_ends_the_alarm(stage: Stage) -> None:
    async def steps() -> None:
        (stage.folder / "shop.yaml").write_text("domain: [")
        await stage.look_until_still()
        (stage.folder / "shop.yaml").write_text(limits(5))
        await stage.look_until_still()

    stage.watch.begin()
    run(steps)
    assert stage.taken == []
    assert stage.uptake.checks() == []
    assert stage.reloads("taken") == 0


@pytest.mark.parametrize("spoil", ["empty", "gone"])
def test_a_folder_that_is_empty_or_gone_is_no_set_of_limits(stage: Stage, spoil: str) -> None:
    async def steps() -> None:
        shutil.rmtree(stage.folder)
        if spoil == "empty":
            stage.folder.mkdir()
        await stage.look_until_still()

    stage.watch.begin()
    run(steps)
    assert stage.taken == []
    assert stage.reloads("refused") == 1


def test_a_folder_that_cannot_be_listed_is_told_and_looked_at_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_paths: object) -> list[Path]:
        raise OSError(5, "Input/output error")

    async def steps() -> None:
        with monkeypatch.context() as broken:
            broken.setattr("borderpost.limiter.limits_watch.named_files", fail)
            await stage.look_until_still()
            await stage.watch.look()
            assert stage.reloads("refused") == 1
            await stage.watch.take()
        assert stage.reloads("refused") == 2
        (stage.folder / "shop.yaml").write_text(limits(8))
        await stage.look_until_still()

    stage.watch.begin()
    run(steps)
    assert [amount_of(book) for book in stage.taken] == [8]


def test_a_bug_in_reading_ends_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_paths: object, **_how: object) -> Book:
        raise RecursionError("too deep")

    async def steps() -> None:
        (stage.folder / "shop.yaml").write_text(limits(7))
        with monkeypatch.context() as broken:
            broken.setattr("borderpost.limiter.limits_watch.load", fail)
            await stage.look_until_still()
        assert [check.detail for check in stage.uptake.checks()] == [
            "the last good one is in force: BP1651 RecursionError"
        ]
        await stage.watch.take()

    stage.watch.begin()
    run(steps)
    assert [amount_of(book) for book in stage.taken] == [7]


def test_a_config_map_is_exchanged_as_a_whole(tmp_path: Path) -> None:
    """Kubernetes keeps a volume's files in a folder of their own, and points `..data` at another in one step."""
    volume = tmp_path / "volume"
    for version, amount in (("..1", 5), ("..2", 9)):
        (volume / version).mkdir(parents=True)
        (volume / version / "shop.yaml").write_text(limits(amount))
        (volume / version / "bank.yaml").write_text(limits(amount, "bank"))
    (volume / "..data").symlink_to("..1")
    for name in ("shop.yaml", "bank.yaml"):
        (volume / name).symlink_to(f"..data/{name}")
    stage = Stage(volume)

    async def steps() -> None:
        (volume / "..data_tmp").symlink_to("..2")
        (volume / "..data_tmp").replace(volume / "..data")
        shutil.rmtree(volume / "..1")
        await stage.look_until_still()

    book = stage.watch.begin()
    assert book.domains == {"shop", "bank"}
    run(steps)
    assert [(amount_of(each, "shop"), amount_of(each, "bank")) for each in stage.taken] == [(9, 9)]


def test_counters_survive_a_reload(stage: Stage) -> None:
    service = RateLimitService(
        rules=stage.watch.begin(), store=MemoryStore(1000), world=still_world(), statistics=Statistics(),
        settings=ServiceSettings(),
    )  # fmt: skip

    def ask() -> tuple[int, int]:
        answer = answer_of(service, descriptor_of(*TENANT))
        return answer.overall_code, answer.statuses[0].limit_remaining

    async def steps() -> None:
        (stage.folder / "shop.yaml").write_text(limits(4))
        await stage.look_until_still()
        service.adopt(stage.taken[-1])

    assert [ask() for _ in range(3)] == [(1, 4), (1, 3), (1, 2)]
    run(steps)
    assert [ask(), ask()] == [(1, 0), (2, 0)]
