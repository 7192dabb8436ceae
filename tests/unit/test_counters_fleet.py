"""Counting together over a real Redis: absolute values, so nothing counts twice, and nothing is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from borderpost.config.counters import CountersRedisSpec, CountersSection
from borderpost.counters.book import Others
from borderpost.counters.counting import Counting
from borderpost.counters.fleet import Fleet
from borderpost.counters.tally import WorkerTally
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.event_schema import LegalEvent
from borderpost.policy.pack import Counter
from borderpost_base.errors import BorderpostError
from borderpost_base.metrics import local_metrics
from borderpost_base.world import World
from support.redis_server import RedisServer, redis_server

EXPORTS = Counter(id="exports", bases=("exempt",))
POLICY = PolicyBundle.model_validate(
    {
        "here": {"country": "DE"},
        "inline": {
            "data_classes": {"personal": {}},
            "regimes": [
                {
                    "id": "r", "title": "t", "source": "s", "applies_when": {"subject_in": "*"},
                    "counters": [EXPORTS.model_dump()],
                    "allow": [{"to": "*", "basis": "exempt", "below": {"counter": "exports", "count": 100}}],
                }
            ],
        },
    }
)  # fmt: skip
NOW_US = 1_800_000_000_000_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as server:
        yield server


def spec(server: RedisServer) -> CountersRedisSpec:
    return CountersRedisSpec(url=server.url, sink="redis", interval_s=0.05, timeout_s=0.5)


def test_each_reads_the_sum_of_the_others_and_a_repeated_write_changes_nothing(server: RedisServer) -> None:
    async def main() -> None:
        one, two, three = (Fleet(spec(server), name * 16) for name in "abc")
        nobody = Others()
        assert await one.exchange({"exports/2027-01": 5}, nobody, NOW_US) == Others(own={"exports/2027-01": 5})
        for _ in range(3):
            await two.exchange({"exports/2027-01": 7, "exports/2026-12": 1}, nobody, NOW_US)
        await three.exchange({}, nobody, NOW_US - 400_000_000)  # not seen for long: gone, what it counted stays
        found = await one.exchange({"exports/2027-01": 6}, nobody, NOW_US)
        assert found == Others(
            replicas=1, counts={"exports/2027-01": 7, "exports/2026-12": 1}, own={"exports/2027-01": 6}
        )
        for fleet in (one, two, three):
            await fleet.close()

    asyncio.run(main())


def test_a_server_that_lost_its_memory_takes_nothing_back(server: RedisServer) -> None:
    async def main() -> None:
        one, two = Fleet(spec(server), "a" * 16), Fleet(spec(server), "b" * 16)
        await two.exchange({"exports/2027-01": 7}, Others(), NOW_US)
        known = await one.exchange({}, Others(), NOW_US)
        server.client.flushall()
        known = await one.exchange({"exports/2027-01": 1}, known, NOW_US)
        assert known.counts == {"exports/2027-01": 7}
        assert server.client.hget("borderpost:counters", "exports/2027-01/" + "a" * 16) == b"1"
        await one.close()
        await two.close()

    asyncio.run(main())


HOSTILE: list[tuple[str | bytes, str | bytes]] = [
    ("x", "1"), ("exports/2027-01/r", "1"), ("/y", "1"), ("exports/2027-01/" + "b" * 16, "many"),
    ("exports/2027-01/" + "b" * 16, "9" * 5000), ("exports/2027-01/" + "b" * 16, "-1"), ("seen/" + "b" * 16, "٣"),
    ("no name/2027-01/" + "b" * 16, "1"), (b"\xff/2027-01/" + b"b" * 16, "1"), ("seen/" + "b" * 16, b"\xff"),
    ("exports/2027-01/" + "b" * 16 + "\n", "1"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), HOSTILE)
def test_a_hash_that_holds_what_no_gateway_writes_is_told(
    server: RedisServer, field: str | bytes, value: str | bytes
) -> None:
    server.client.hset("borderpost:counters", field, value)

    async def main() -> None:
        fleet = Fleet(spec(server), "a" * 16)
        with pytest.raises(BorderpostError) as caught:
            await fleet.exchange({}, Others(), NOW_US)
        assert caught.value.code == "BP1102"
        await fleet.close()

    asyncio.run(main())


def test_another_kind_of_key_is_told(server: RedisServer) -> None:
    server.client.set("borderpost:counters", "x")

    async def main() -> None:
        fleet = Fleet(spec(server), "a" * 16)
        with pytest.raises(BorderpostError) as caught:
            await fleet.exchange({}, Others(), NOW_US)
        assert (caught.value.code, "ResponseError" in caught.value.detail) == ("BP1102", True)

    asyncio.run(main())


class Gateway:
    """One of a fleet: a steward's counting, its list of events, and workers that count."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        folder.mkdir()
        self.folder = folder
        self.world = World()
        self.events: list[LegalEvent] = []
        section = CountersSection(directory=folder / "counters", save_s=0.1, redis=spec(server))
        self.metrics = local_metrics()
        self.counting = Counting(
            section, folder, bundle=lambda: POLICY, add=self._add, world=self.world, metrics=self.metrics
        )

    def _add(self, event: LegalEvent) -> bool:
        self.events.append(event)
        return True

    def count(self, by: int) -> None:
        tally = WorkerTally(self.folder, 0)
        tally.add(EXPORTS, by, self.world.now_us())
        tally.close()

    @property
    def heard(self) -> int:
        """Return what the others had counted when they were last heard of."""
        return sum(self.counting.book.others.counts.values())


async def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


def test_a_threshold_is_reached_together_and_an_outage_only_narrows(tmp_path: Path, server: RedisServer) -> None:
    async def main() -> None:
        one, two = Gateway(tmp_path / "one", server), Gateway(tmp_path / "two", server)
        tasks = [asyncio.create_task(each.counting.run()) for each in (one, two)]
        one.count(40)
        two.count(30)
        await eventually(lambda: (one.heard, two.heard) == (30, 40))
        assert one.events == two.events == []
        server.kill()
        with capture_logs() as told:
            one.count(10)  # the other is taken to count as fast: 40 + 10, 30 + 10
            await eventually(lambda: any(line.get("code") == "BP1102" for line in told))
            await eventually(lambda: one.counting.book.counts.get(next(iter(one.counting.book.counts))) == 50)
            month = next(iter(one.counting.book.counts)).partition("/")[2]
            assert one.counting.book.total("exports", [month]) == 90
            one.count(5)
            await eventually(lambda: bool(one.events))
        assert len([line for line in told if line.get("code") == "BP1102"]) <= 4  # once a gateway and kind of failure
        assert (one.events[0].count, two.events) == (100, [])
        server.start()
        two.count(15)
        await eventually(lambda: bool(two.events))
        await eventually(lambda: one.heard == 45)
        assert one.counting.book.total("exports", [month]) == 100
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A steward that starts anew knows the fleet before it hears from it.
        section = CountersSection(directory=tmp_path / "one" / "counters")
        again = Counting(
            section, tmp_path / "one", bundle=lambda: POLICY, add=one._add, world=World(), metrics=local_metrics()
        )
        assert again.book.total("exports", [month]) == 100

    asyncio.run(main())
