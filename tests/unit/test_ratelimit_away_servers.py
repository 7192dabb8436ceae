"""A store of several servers of which one is away: its counters are estimated, those of the others stay exact."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from borderpost_base.world import World
from borderpost_ratelimit.away import AwaySettings, GuardedServers, Standing, State
from borderpost_ratelimit.away.standing import together
from borderpost_ratelimit.charges import Charge, Done, Phase, Source, Unanswered, Verdict
from borderpost_ratelimit.limits import Limit
from borderpost_ratelimit.stores.memory import MemoryStore
from support.ratelimit_outage import REFUSED, Asked, FaultyStore, Halves, HandTimers, bucket_of, leases_of
from support.ratelimit_parts import StillClock, limit_of

BOUND_US = 10_000


class Servers:
    """Three servers; a key's first letter says which one counts it."""

    name = "three"

    def __init__(self, clock: StillClock) -> None:
        self.each = [FaultyStore(clock) for _ in range(3)]
        self.running = 0

    async def start(self) -> None:
        self.running += 1

    async def close(self) -> None:
        self.running -= 1
        for server in self.each:
            server.drop()

    def place_of(self, charge: Charge, now_us: int) -> int:
        return "abc".index(charge.key[0])

    def take(self, requests: Sequence[tuple[Charge, ...]], now_us: int, done: Done) -> None:
        places = {self.place_of(charge, now_us) for charges in requests for charge in charges}
        assert len(places) == 1, "one server at a time"
        self.each[places.pop()].take(requests, now_us, done)


class Fleet:
    """The servers, and their guards."""

    def __init__(self) -> None:
        self.clock = StillClock()
        self.timers = HandTimers(self.clock)
        self.servers = Servers(self.clock)
        world = World(clock=self.clock, randomness=Halves())
        self.local = MemoryStore(10_000)
        self.guard = GuardedServers(self.servers, self.local, AwaySettings(), world, timers=self.timers)

    def ask(self, *requests: tuple[Charge, ...]) -> Asked:
        asked = Asked(self.clock)
        self.guard.take(requests, self.clock.now_us, asked.done)
        return asked

    def used(self, limit: Limit, key: str) -> int:
        """Return what the server itself holds."""
        found: list[tuple[Verdict, ...]] = []
        kept = self.servers.each["abc".index(key[0])].kept
        kept.take([(Charge(limit, key, 0, Phase.LOOK),)], self.clock.now_us, found.extend)
        return found[0][0].used


def sources(asked: Asked) -> list[list[str]]:
    return [[] if isinstance(one, Unanswered) else [verdict.source.value for verdict in one] for one in asked.answers]


def test_only_what_the_stopped_server_counts_is_estimated_and_waits() -> None:
    fleet = Fleet()
    limit = limit_of(1000)
    fleet.servers.each[1].hanging = True
    for _ in range(20):
        assert sources(fleet.ask((Charge(limit, "a", 1),))) == [["store"]]
        asked = fleet.ask((Charge(limit, "b", 1),))
        fleet.timers.advance(BOUND_US)
        assert sources(asked) == [["estimate"]] and (asked.waited_us or 0) <= BOUND_US
        assert sources(fleet.ask((Charge(limit, "c", 1),))) == [["store"]]
    states = {place: guard.state for place, guard in fleet.guard.guards.items()}
    assert states[0] is states[2] is State.CLOSED and states[1] is not State.CLOSED
    assert fleet.guard.standing().away_us > 0 and fleet.guard.standing().opened == 1
    fleet.servers.each[1].go_on()
    fleet.timers.advance(2_000_001)
    for _ in range(2):
        fleet.ask((Charge(limit, "b", 1),))
    assert fleet.guard.standing().away_us == 0
    assert [fleet.used(limit, key) for key in "abc"] == [20, 22, 20]


def test_a_request_of_several_servers_is_estimated_in_part_only_and_counted_once() -> None:
    fleet = Fleet()
    limit = limit_of(1000)
    fleet.servers.each[1].refusing = REFUSED
    for _ in range(10):
        asked = fleet.ask((Charge(limit, "a", 1), Charge(limit, "b", 1)), (Charge(limit, "c", 1),))
        assert sources(asked) == [["store", "estimate"], ["store"]]
    fleet.servers.each[1].refusing = None
    fleet.timers.advance(2_000_001)
    for _ in range(2):
        fleet.ask((Charge(limit, "b", 1),))
    assert [fleet.used(limit, key) for key in "abc"] == [10, 12, 10]


@pytest.mark.parametrize("limit", [bucket_of(60, 50), leases_of(50)], ids=["bucket", "leases"])
def test_a_part_that_another_part_refuses_is_given_back_whoever_counted_it(limit: Limit) -> None:
    fleet = Fleet()
    none = limit_of(0)
    fleet.servers.each[1].refusing = REFUSED
    for number in range(10):
        name = f"request {number}"
        asked = fleet.ask(
            (Charge(limit, "a", 1, request=name), Charge(none, "b", 1, request=name)),
            (Charge(none, "a0", 1, request=name), Charge(limit, "b1", 1, request=name)),
        )
        for one in asked.answers:
            assert not isinstance(one, Unanswered) and any(verdict.over for verdict in one)
    assert fleet.used(limit, "a") == 0
    estimated = fleet.ask((Charge(limit, "b1", 0, Phase.LOOK),)).verdict
    assert (estimated.used, estimated.source) == (0, Source.ESTIMATE)


def test_answers_keep_the_order_of_the_requests() -> None:
    fleet = Fleet()
    limits = [limit_of(amount) for amount in range(1, 10)]
    requests = [(Charge(limit, "cab"[number % 3] + str(number), 1),) for number, limit in enumerate(limits)]
    asked = fleet.ask(*requests)
    assert [one[0].remaining for one in asked.answers if not isinstance(one, Unanswered)] == list(range(9))
    assert fleet.ask().waited_us == 0


def test_the_store_is_started_and_closed_once_and_what_waits_is_answered() -> None:
    fleet = Fleet()

    async def run() -> list[Asked]:
        await fleet.guard.start()
        for server in fleet.servers.each:
            server.hanging = True
        asked = [fleet.ask((Charge(limit_of(5), key, 1),)) for key in "abc" for _ in range(4)]
        assert fleet.servers.running == 1
        await fleet.guard.close()
        return asked

    asked = asyncio.run(run())
    assert fleet.servers.running == 0
    assert {one.waited_us for one in asked} == {0}
    assert fleet.guard.standing().opened == 0, "an end is no outage"


def test_a_store_that_forgets_whom_it_owes_an_answer_leaves_nobody_waiting() -> None:
    fleet = Fleet()

    async def forget() -> None:
        """Close without a word."""

    fleet.servers.close = forget  # type: ignore[method-assign]
    for server in fleet.servers.each:
        server.hanging = True
    asked = [fleet.ask((Charge(limit_of(5), key, 1),)) for key in "abc"]
    asyncio.run(fleet.guard.close())
    assert [sources(one) for one in asked] == [[["estimate"]]] * 3


def test_what_one_server_said_is_known_of_a_counter_that_moves_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet()
    limit = limit_of(10)
    fleet.ask((Charge(limit, "a", 8),))
    monkeypatch.setattr(fleet.servers, "place_of", lambda charge, now_us: 1)
    fleet.servers.each[1].refusing = REFUSED
    assert [fleet.ask((Charge(limit, "a", 1),)).verdict.over for _ in range(3)] == [False, False, True]


def test_standings_are_added_up_but_for_the_longest_absence() -> None:
    one = Standing(away_us=5, owed=1, opened=2, timeouts=3, late=4, unanswered={"busy": 1, "timeout": 1}, probes=6,
                   probes_failed=7, told=8, dropped=9, estimated=10, allowed=11, refused=12)  # fmt: skip
    two = one._replace(away_us=3, unanswered={"busy": 2, "denied": 5})
    assert together([one, two]) == Standing(
        away_us=5, owed=2, opened=4, timeouts=6, late=8, unanswered={"busy": 3, "timeout": 1, "denied": 5}, probes=12,
        probes_failed=14, told=16, dropped=18, estimated=20, allowed=22, refused=24,
    )  # fmt: skip
    assert together([]) == Standing()
