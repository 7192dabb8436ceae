"""A store that fails as a test says, with a clock and timers that the test moves, and a `Guarded` before it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any

from borderpost_base.world import World
from borderpost_ratelimit.away import AwaySettings, Guarded
from borderpost_ratelimit.charges import Charge, Done, Phase, Unanswered, Verdict, Verdicts
from borderpost_ratelimit.limits import Algorithm, Limit, Unit
from borderpost_ratelimit.stores.memory import MemoryStore
from support.ratelimit_parts import StillClock, limit_of

REFUSED = Unanswered("unreachable", "there is no connection")


class HandTimer:
    """A timer that was set, and can be cancelled."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class HandTimers:
    """Timers on a clock that a test moves."""

    def __init__(self, clock: StillClock) -> None:
        self._clock = clock
        self._set: list[tuple[int, int, HandTimer, Callable[[], object]]] = []
        self._count = 0

    def call_later(self, delay: float, callback: Callable[[], object], /) -> HandTimer:
        self._count += 1
        timer = HandTimer()
        heapq.heappush(self._set, (self._clock.now_us + round(delay * 1e6), self._count, timer, callback))
        return timer

    def advance(self, by_us: int) -> None:
        """Let so much time pass, with what falls due in it."""
        until_us = self._clock.now_us + by_us
        while self._set and self._set[0][0] <= until_us:
            due_us, _, timer, callback = heapq.heappop(self._set)
            self._clock.now_us = max(self._clock.now_us, due_us)
            if not timer.cancelled:
                callback()
        self._clock.now_us = until_us


class FaultyStore:
    """Counts truly in a memory of its own; whether and when it says so is the test's choice."""

    name = "faulty"

    def __init__(self, clock: StillClock) -> None:
        self.kept = MemoryStore(100_000)
        self.refusing: Unanswered | None = None
        """What every request gets, uncounted."""
        self.hanging = False
        """Whether what arrives lies unread until `go_on`, as with a stopped process."""
        self.asked: list[tuple[Charge, ...]] = []
        self.unread: list[tuple[Sequence[tuple[Charge, ...]], Done]] = []
        self._clock = clock

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """What was not read has no answer, and that is said."""
        self.drop()

    def take(self, requests: Sequence[tuple[Charge, ...]], now_us: int, done: Done) -> None:
        self.asked += requests
        if self.hanging:
            self.unread.append((requests, done))
        elif self.refusing is not None:
            done([self.refusing] * len(requests))
        else:
            self.kept.take(requests, self._clock.now_us, done)

    def go_on(self) -> None:
        """Read and answer what lies there."""
        self.hanging, unread = False, self.unread
        self.unread = []
        for requests, done in unread:
            self.kept.take(requests, self._clock.now_us, done)

    def drop(self) -> None:
        """Forget what lies there unread, as when the connection is lost: it is never counted."""
        self.hanging, unread = False, self.unread
        self.unread = []
        for requests, done in unread:
            done([Unanswered("unreachable", "the connection was lost")] * len(requests))


class Asked:
    """One request to the guard, and what came of it."""

    def __init__(self, clock: StillClock) -> None:
        self._clock = clock
        self._since_us = clock.now_us
        self.waited_us: int | None = None
        self.answers: Sequence[Verdicts | Unanswered] = ()

    def done(self, answers: Sequence[Verdicts | Unanswered]) -> None:
        assert self.waited_us is None, "answered twice"
        self.answers = answers
        self.waited_us = self._clock.now_us - self._since_us

    @property
    def verdict(self) -> Verdict:
        """Return the first verdict of the first request."""
        first = self.answers[0]
        assert not isinstance(first, Unanswered)
        return first[0]


class Halves:
    """Randomness that always says half."""

    def token(self, size_bytes: int) -> bytes:
        return b"\x80" + bytes(size_bytes - 1)


class Outage:
    """All of it together. The guard's own clock and the store's are the same."""

    def __init__(self, **settings: Any) -> None:
        self.clock = StillClock()
        self.timers = HandTimers(self.clock)
        self.store = FaultyStore(self.clock)
        self.local = MemoryStore(100_000)
        self.world = World(clock=self.clock, randomness=Halves())
        self.guard = Guarded(self.store, self.local, AwaySettings(**settings), self.world, timers=self.timers)

    def ask(self, *requests: tuple[Charge, ...]) -> Asked:
        """Ask about requests of one batch."""
        asked = Asked(self.clock)
        self.guard.take(requests, self.clock.now_us, asked.done)
        return asked

    def one(
        self, limit: Limit, hits: int = 1, *, key: str = "k", phase: Phase = Phase.BEGIN, request: str = ""
    ) -> Asked:
        """Ask about one charge."""
        return self.ask((Charge(limit, key, hits, phase, request),))

    def advance(self, by_us: int) -> None:
        self.timers.advance(by_us)

    def open(self, limit: Limit | None = None) -> None:
        """Have the store go away until the breaker is open."""
        self.store.refusing = REFUSED
        for _ in range(20):
            if self.guard.state.value != "closed":
                return
            self.one(limit or limit_of(1000), key="the one that opens")
        raise AssertionError("it does not open")

    def back(self, limit: Limit | None = None) -> None:
        """Have the store come back, and be found."""
        self.store.refusing = None
        self.advance(2_000_001)
        self.one(limit or limit_of(1000), key="the one that probes")
        assert self.guard.state.value == "closed"

    def in_store(self, limit: Limit, key: str = "k") -> int:
        """Return what the store itself holds of a counter."""
        found: list[Any] = []
        self.store.kept.take([(Charge(limit, key, 0, Phase.LOOK),)], self.clock.now_us, found.extend)
        return int(found[0][0].used)


def bucket_of(amount: int, burst: int, **more: Any) -> Limit:
    return limit_of(amount, Unit.MINUTE, algorithm=Algorithm.TOKEN_BUCKET, burst=burst, **more)


def leases_of(amount: int, **more: Any) -> Limit:
    return limit_of(amount, Unit.MINUTE, algorithm=Algorithm.CONCURRENCY, **more)


def budget_of(amount: int, **more: Any) -> Limit:
    return limit_of(amount, Unit.MINUTE, algorithm=Algorithm.BUDGET, **more)
