"""The limiter's record of refusals: each under its decision id, bounded in a flood, and none uncounted."""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from borderpost.audit.inputs import InputStore
from borderpost.audit.record import parse
from borderpost.audit.verify import verify
from borderpost.limiter.refusal_log import STREAM, RecordedRefusals, recorded_rule
from borderpost_base import limits
from borderpost_base.metrics import local_metrics
from borderpost_base.world import World
from borderpost_ratelimit.charges import Source
from borderpost_ratelimit.files.loading import load
from borderpost_ratelimit.refusals import Refusal
from support.audit import FailingDisk, TestClock, lines_of, small_spec
from support.worker_parts import until

NOW_US = 1_800_000_000_000_000
MANY_MS = 60_000


def refusal(request: str = "ab" * 16, rule: str = "inference.tenant", **changes: Any) -> Refusal:
    whole = Refusal(request, "inference", rule, 10, 60_000_000, "fixed_window", Source.STORE)
    return whole._replace(**changes)


class Kept:
    """A log of refusals on a disk that can fail."""

    def __init__(self, directory: Path, **bounds: Any) -> None:
        self.directory = directory
        self.disk = FailingDisk()
        self.clock = TestClock()
        self.metrics = local_metrics()
        self.log = RecordedRefusals(
            small_spec(directory=directory), World(disk=self.disk, clock=self.clock), self.metrics,
            **{"wait_ms_max": MANY_MS, "sum_up_s": 0.01, **bounds},
        )  # fmt: skip

    async def open(self) -> None:
        self.log.open_soon()
        await until(lambda: self.log.available)

    async def refuse(self, *refusals: Refusal) -> bool:
        """Hand over refusals of one turn, and return what was told of them."""
        told: list[bool] = []
        self.log.refused(refusals, NOW_US, told.append)
        await until(lambda: bool(told))
        assert len(told) == 1
        return told[0]

    def records(self, kind: str) -> list[dict[str, Any]]:
        return [record for line in lines_of(self.directory, STREAM) if (record := parse(line))["type"] == kind]

    def counted(self) -> tuple[int, int, int]:
        """Return the refusals with records of their own, and those in records of several, by why."""
        sums = self.records("limit.refusals")
        assert all(sum(each["rules"].values()) == each["count"] == each["flood"] + each["untaken"] for each in sums)
        return (
            len(self.records("limit.refuse")),
            sum(each["flood"] for each in sums),
            sum(each["untaken"] for each in sums),
        )


@asynccontextmanager
async def keeping(directory: Path, **bounds: Any) -> AsyncIterator[Kept]:
    kept = Kept(directory, **bounds)
    try:
        yield kept
    finally:
        kept.disk.heal()
        kept.disk.hang.set()
        await kept.log.stop(within_s=10)


def test_a_refusal_is_durable_under_its_decision_before_envoy_hears_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with keeping(tmp_path) as kept:
            await kept.open()
            assert await kept.refuse(refusal(), refusal("", amount=0), refusal("6f1b-name", source=Source.ESTIMATE))
            first, second, third = kept.records("limit.refuse")
            assert first["req"] == {"decision": "ab" * 16}
            assert (second["req"], second["amount"]) == ({}, 0)
            assert (third["req"], third["source"]) == ({"name": "6f1b-name"}, "estimate")
            told = {key: first[key] for key in ("rule", "algorithm", "amount", "window_us", "source", "log")}
            assert told == {
                "rule": "inference.tenant", "algorithm": "fixed_window", "amount": 10, "window_us": 60_000_000,
                "source": "store", "log": f"{small_spec().log}/limiter",
            }  # fmt: skip

    asyncio.run(main())
    assert verify(tmp_path / STREAM).findings == []


def test_a_flood_is_counted_and_its_sum_recorded(tmp_path: Path) -> None:
    async def main() -> None:
        async with keeping(tmp_path, singly_s_max=5) as kept:
            await kept.open()
            assert await kept.refuse(*[refusal()] * 3)
            assert await kept.refuse(*[refusal()] * 4, *[refusal(rule="inference.key")] * 6)
            assert await kept.refuse(refusal())  # no room: counted, and told at once
            kept.clock.step(1)
            assert await kept.refuse(refusal())
            await until(lambda: kept.counted() == (6, 9, 0))
            by_rule = [Counter(each["rules"]) for each in kept.records("limit.refusals")]
            assert sum(by_rule, Counter()) == {"inference.tenant": 3, "inference.key": 6}
            metric = kept.metrics.limiter_refusals_recorded_total
            assert (metric.get("singly"), metric.get("counted"), metric.get("untaken")) == (6, 9, 0)

    asyncio.run(main())
    report = verify(tmp_path / STREAM)
    assert report.findings == [] and [stream.limited for stream in report.streams] == [15]


def test_a_sum_is_recorded_by_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with keeping(tmp_path, singly_s_max=0) as kept:
            await kept.open()
            assert await kept.refuse(refusal())
            await until(lambda: kept.counted() == (0, 1, 0))
            assert await kept.refuse(refusal(), refusal())
            await until(lambda: kept.counted() == (0, 3, 0))

    asyncio.run(main())


def test_one_record_names_so_many_rules_and_counts_the_rest_together(tmp_path: Path) -> None:
    rules = limits.RECORDED_RULES_MAX + 10

    async def main() -> None:
        async with keeping(tmp_path, singly_s_max=0) as kept:
            await kept.open()
            await kept.refuse(*[refusal(rule=f"{'d' * 300}.{number}") for number in range(rules)])
            await until(lambda: kept.counted() == (0, rules, 0))
            (several,) = kept.records("limit.refusals")
            assert len(several["rules"]) == limits.RECORDED_RULES_MAX and several["rules"]["other"] == 11

    asyncio.run(main())


def test_refusals_stand_while_the_log_is_not_open_and_are_told_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with keeping(tmp_path) as kept:
            assert await kept.refuse(refusal(), refusal()) is False
            await kept.open()
            assert await kept.refuse(refusal())
            await until(lambda: kept.counted() == (1, 0, 2))

    asyncio.run(main())


def test_what_no_record_will_ever_tell_is_said_at_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        with capture_logs() as told:
            async with keeping(tmp_path) as kept:
                assert await kept.refuse(refusal(), refusal()) is False
        (line,) = [line for line in told if line["log_level"] == "error"]
        assert line["refusals"] == 2

    asyncio.run(main())


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_what_a_failing_disk_loses_is_told_once_it_is_back(tmp_path: Path, call: str) -> None:
    async def main() -> None:
        async with keeping(tmp_path) as kept:
            await kept.open()
            kept.disk.fail(call, errno.EIO, times=1_000_000)
            assert await kept.refuse(refusal(), refusal(rule="inference.key")) is False
            assert await kept.refuse(refusal()) is False  # the log refuses now
            assert kept.metrics.limiter_audit_unavailable.get() == 1
            kept.disk.heal()
            await until(lambda: kept.log.available)
            assert await kept.refuse(refusal())
            await until(lambda: kept.counted() == (1, 0, 3))
            assert sum(gap["lost"] for gap in kept.records("gap")) == 2

    asyncio.run(main())
    assert verify(tmp_path / STREAM).findings == []


def test_a_disk_that_hangs_holds_no_refusal_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with keeping(tmp_path, wait_ms_max=1) as kept:
            await kept.open()
            kept.disk.hang.clear()
            assert await kept.refuse(refusal()) is False
            assert kept.metrics.limiter_refusals_late_total.get() == 1
            kept.disk.hang.set()
            await until(lambda: len(kept.records("limit.refuse")) == 1)
            assert kept.counted() == (1, 0, 0)

    asyncio.run(main())


def test_a_sum_that_is_lost_is_counted_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with keeping(tmp_path, singly_s_max=0) as kept:
            await kept.open()
            await kept.refuse(refusal())
            kept.disk.fail("fdatasync", errno.EIO, times=1_000_000)
            await until(lambda: not kept.log.available)
            await kept.refuse(refusal(rule="inference.key"))
            kept.disk.heal()
            await until(lambda: kept.log.available)
            await until(lambda: kept.counted() == (0, 2, 0))
            (several,) = kept.records("limit.refusals")
            assert several["rules"] == {"inference.tenant": 1, "inference.key": 1}

    asyncio.run(main())


def test_the_limits_in_force_are_stored_and_named_before_the_first_refusal(tmp_path: Path) -> None:
    limits_file = tmp_path / "limits.yaml"
    limits_file.write_text(
        "domain: inference\ndescriptors: [{key: a, rate_limit: {unit: day, requests_per_unit: 1}}]\n"
    )

    async def main() -> None:
        async with keeping(tmp_path / "audit") as kept:
            await kept.open()
            book = load([limits_file])
            kept.log.store(book)
            kept.log.in_force(book)
            assert await kept.refuse(refusal())
            (named,), (refused,) = kept.records("limits.activate"), kept.records("limit.refuse")
            assert named["seq"] < refused["seq"] and named["domains"] == 1
            assert limits_file.read_bytes() in InputStore(kept.directory, World()).get(named["digest"])

    asyncio.run(main())
    assert verify(tmp_path / "audit").findings == []


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("inference.tenant_acme.region", "inference.tenant_acme.region"),
        ("inference.a b", "inference.a b"),
        ("", "?"),
        ('inference."x"\\\n', "inference.?x???~"),
        ("inference.tenant_Zoë", "inference.tenant_Zo?~"),
        ("inference." + "x" * 300, "inference." + "x" * 229 + "~"),
    ],
)
def test_a_rule_s_place_is_told_in_what_a_record_holds(path: str, told: str) -> None:
    recorded = recorded_rule(path)
    assert recorded.startswith(told) and len(recorded) <= limits.RECORDED_RULE_BYTES_MAX
    assert len(recorded) == len(told) + (16 if told.endswith("~") else 0)
    assert recorded_rule(path) == recorded != recorded_rule(path + "é")
