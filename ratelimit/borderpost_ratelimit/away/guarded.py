"""A store that wraps one that may be away: no request waits longer than the bound, and none while the breaker is open.

    take ── CLOSED ──▶ store.take ── answers in time ──▶ done
              │            └── bound over, or no answer ──▶ the estimate answers ──▶ done
              └─ OPEN, PROBING ──▶ the estimate answers ──▶ done      one request at a time is also sent to the store:
                                                                      a probe, whose client has its answer already

An answer that comes too late for its request is still heard: it says what the counters hold, and which of the hits that
were let through without the store it has counted after all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from borderpost_base.errors import BorderpostError
from borderpost_base.limits import LIMITER_OWED_AT_ONCE_MAX
from borderpost_base.logs import get_logger
from borderpost_base.world import World
from borderpost_ratelimit.away.breaker import AwaySettings, Breaker, State
from borderpost_ratelimit.away.estimate import Answers, Estimate, Requests
from borderpost_ratelimit.away.owed import Owed
from borderpost_ratelimit.away.standing import Standing
from borderpost_ratelimit.away.timers import Handle, Timers
from borderpost_ratelimit.away.told import Told
from borderpost_ratelimit.charges import Charge, Done, Phase, Source, Store, Unanswered
from borderpost_ratelimit.limits import Algorithm

_EARLY_US: Final = 500
"""A timer may fire so much early: libuv counts in milliseconds."""
_TELL_S: Final = 0.01
"""The pause between batches that tell the store what it is owed, where no requests take it along: some 6,000 charges a
second, which a server that has just come back bears from many limiters at once."""
_SPOILT: Final = Unanswered("garbage", "not one answer a request")
_STORE: Final = Source.STORE
_BUDGET: Final = Algorithm.BUDGET
_CONCURRENCY: Final = Algorithm.CONCURRENCY


class Counters:
    """What happened since the start, for metrics."""

    def __init__(self) -> None:
        self.timeouts = 0
        """Batches to which the store had no answer within the bound."""
        self.late = 0
        """Answers that came after their bound."""
        self.unanswered: dict[str, int] = {}
        """Requests that the store did not answer, by its reason."""
        self.opened = 0
        """How often the breaker opened."""
        self.probes = 0
        self.probes_failed = 0


class _Asked:
    """What the store was asked in one batch, and who waits for it."""

    __slots__ = ("_guard", "answered", "deadline_us", "done", "given", "now_us", "owed", "probe", "requests")

    def __init__(self, guard: Guarded, requests: Requests, now_us: int, deadline_us: int) -> None:
        self._guard = guard
        self.requests = requests
        self.now_us = now_us
        self.deadline_us = deadline_us
        self.owed: list[tuple[Charge, ...]] = []
        """Sent before the requests, with nobody waiting."""
        self.done: Done | None = None
        """Who waits; None once the requests have their answers."""
        self.given: Answers = ()
        """The answers that were given without the store."""
        self.probe = False
        self.answered = False
        """Whether the store has answered, or is given up as a probe."""

    def answer(self, answers: Answers) -> None:
        """Take the store's answers, whenever they come."""
        self._guard.answered(self, answers)


class Guarded:
    """The wrapping store. Runs on one loop's thread, as every store."""

    def __init__(
        self,
        store: Store,
        local: Store,
        settings: AwaySettings,
        world: World,
        *,
        timers: Timers | None = None,
        told: Told | None = None,
        label: str = "",
    ) -> None:
        """Wrap a store; `local` counts while it is away and must answer at once. `timers`: those of the running loop.
        `told`: what the store last said, where others guard other parts of it. `label` tells it from others in logs."""
        self._store = store
        self._local = local
        self._settings = settings
        self._world = world
        self._clock = world.clock
        self._timers = timers
        self._timer: Handle | None = None
        self._teller: Handle | None = None
        self._breaker = Breaker(settings, world.randomness)
        self._told = told if told is not None else Told()
        self._label = label or store.name
        self._waiting: deque[_Asked] = deque()
        self._away_since_us = 0
        self._closing = False
        self._log = get_logger("limiter")
        self.estimate = Estimate(local, self._told, settings.probe_max_us)
        """Answers in the store's place, and counts that."""
        self.owed = Owed(self._told)
        """What the store has yet to be told."""
        self.counters = Counters()

    @property
    def name(self) -> str:
        """Return the wrapped store's kind."""
        return self._store.name

    @property
    def state(self) -> State:
        """Return whether the store is asked."""
        return self._breaker.state

    def away_us(self) -> int:
        """Return for how long the store has not been asked; 0 while it is."""
        if self._breaker.state is State.CLOSED:
            return 0
        return max(1, self._clock.mono_us() - self._away_since_us)

    def standing(self) -> Standing:
        """Return how the store is doing."""
        counters, estimate, owed = self.counters, self.estimate, self.owed
        return Standing(
            away_us=self.away_us(),
            owed=len(owed),
            opened=counters.opened,
            timeouts=counters.timeouts,
            late=counters.late,
            unanswered=counters.unanswered,
            probes=counters.probes,
            probes_failed=counters.probes_failed,
            told=owed.paid,
            dropped=owed.dropped,
            estimated=estimate.estimated,
            allowed=estimate.allowed,
            refused=estimate.refused,
        )

    async def start(self) -> None:
        """Start both stores."""
        if self._timers is None:
            self._timers = asyncio.get_running_loop()
        await self._local.start()
        await self._store.start()

    async def close(self) -> None:
        """Close both stores. What still waits is answered as if the store were away."""
        self.end()
        await self._store.close()
        self.answer_all()
        await self._local.close()

    def end(self) -> None:
        """Take what is unanswered from now on for what it is, the end, and for no outage."""
        self._closing = True

    def answer_all(self) -> None:
        """Answer what still waits."""
        while self._waiting:
            self._give_up(self._waiting.popleft())
        for timer in (self._timer, self._teller):
            if timer is not None:
                timer.cancel()
        self._timer = self._teller = None

    def take(self, requests: Sequence[tuple[Charge, ...]], now_us: int, done: Done) -> None:
        """Ask the store and wait within the bound, or answer at once."""
        mono_us = self._clock.mono_us()
        if self._breaker.state is not State.CLOSED:
            given = self.estimate.answer(requests, now_us)
            done(given)
            probed = self._probe(requests, given, now_us, mono_us) if self._breaker.may_probe(mono_us) else -1
            for index, charges in enumerate(requests):
                if index != probed:
                    self.owed.passed(charges, given[index], now_us)
            return
        asked = _Asked(self, requests, now_us, mono_us + self._settings.wait_us)
        asked.done = done
        if len(self.owed):
            asked.owed = self.owed.take(LIMITER_OWED_AT_ONCE_MAX, now_us)
            self._tell_soon()
        self._store.take([*asked.owed, *requests] if asked.owed else requests, now_us, asked.answer)
        if not asked.answered:
            self._await(asked)

    def _tell_soon(self) -> None:
        """Tell the store what it is still owed, a little later."""
        if len(self.owed) and self._teller is None and self._timers is not None and not self._closing:
            self._teller = self._timers.call_later(_TELL_S, self._tell)

    def _tell(self) -> None:
        self._teller = None
        if len(self.owed) and self._breaker.state is State.CLOSED:
            self.take((), self._world.now_us(), _nobody_waits)

    def answered(self, asked: _Asked, answers: Answers) -> None:
        """Take the store's answers to a batch: in time, late, or to a probe."""
        sent = len(asked.owed)
        if len(answers) != sent + len(asked.requests):
            answers = [_SPOILT] * (sent + len(asked.requests))
        own = answers[sent:] if sent else answers
        done = asked.done
        if done is None:
            self._answered_late(asked, own)
        else:
            asked.done, asked.answered = None, True
            stored, missing = self._note(asked.requests, own, asked.now_us)
            if missing:
                done(self._completed(asked.requests, own, asked.now_us))
                if missing == len(own):
                    self._failed(_reason(own))
            else:
                if stored:
                    self._breaker.succeeded()
                done(own)
        for index in range(sent):
            self.owed.answered(asked.owed[index], answers[index], asked.now_us)

    def _answered_late(self, asked: _Asked, answers: Answers) -> None:
        """Take answers to requests that were answered without the store: late ones, or a probe's."""
        mono_us = self._clock.mono_us()
        stored, missing = self._note(asked.requests, answers, self._world.now_us(), follow=False)
        for charges, given, verdicts in zip(asked.requests, asked.given, answers, strict=True):
            self.owed.compared(charges, given, verdicts, asked.now_us)
        if asked.probe and not asked.answered:
            asked.answered = True
            self._probed(stored, missing, mono_us)
            return
        self.counters.late += 1
        if stored and not asked.probe:
            self._breaker.heard(mono_us)

    def _note(self, requests: Requests, answers: Answers, now_us: int, *, follow: bool = True) -> tuple[bool, int]:
        """Remember what the store said, and count along what will end (`follow`).

        Return whether anything of it comes from the store itself, and how many requests have no answer.
        """
        stored, missing, ends = False, 0, False
        note = self._told.note
        for charges, verdicts in zip(requests, answers, strict=True):
            if isinstance(verdicts, Unanswered):
                missing += 1
                continue
            for charge, verdict in zip(charges, verdicts, strict=True):
                if verdict.source is _STORE:
                    stored = True
                algorithm = charge.limit.algorithm
                if algorithm is _CONCURRENCY:
                    ends = True
                    continue
                if algorithm is _BUDGET:
                    ends = True
                note(charge.key, verdict, now_us)
        if ends and follow:
            self.estimate.follow(requests, answers, now_us)
        return stored, missing

    def _completed(self, requests: Requests, answers: Answers, now_us: int) -> Answers:
        """Return the answers, with an estimate wherever the store has none."""
        left = []
        for charges, verdicts in zip(requests, answers, strict=True):
            if isinstance(verdicts, Unanswered):
                left.append(charges)
                counted = self.counters.unanswered
                counted[verdicts.reason] = counted.get(verdicts.reason, 0) + 1
        given = self.estimate.answer(left, now_us)
        for charges, verdicts in zip(left, given, strict=True):
            self.owed.passed(charges, verdicts, now_us)
        following = iter(given)
        return [next(following) if isinstance(verdicts, Unanswered) else verdicts for verdicts in answers]

    def _probe(self, requests: Requests, given: Answers, now_us: int, mono_us: int) -> int:
        """Ask the store about one of these requests, which has its answer already. Return which, or -1 for none."""
        index = _best_probe(requests)
        if index < 0:
            return -1
        self._breaker.probe()
        asked = _Asked(self, (requests[index],), now_us, mono_us + self._settings.wait_us)
        asked.probe, asked.given = True, (given[index],)
        self.counters.probes += 1
        self._store.take(asked.requests, now_us, asked.answer)
        if not asked.answered:
            self._await(asked)
        return index

    def _probed(self, stored: bool, missing: int, mono_us: int) -> None:
        """Judge a probe that was answered in time."""
        if missing:
            self.counters.probes_failed += 1
            self._breaker.failed(mono_us)
        elif not stored:
            self._breaker.undecided(mono_us)
        elif self._breaker.found(mono_us):
            away_s = (mono_us - self._away_since_us) / 1e6
            self._log.info("the store of counters answers again", store=self._label, away_s=away_s, owed=len(self.owed))
            self._tell_soon()

    def _await(self, asked: _Asked) -> None:
        self._waiting.append(asked)
        if self._timer is None:
            self._set_timer(self._settings.wait_us)

    def _set_timer(self, delay_us: int) -> None:
        assert self._timers is not None, "a store is started before it is used"
        self._timer = self._timers.call_later(delay_us / 1e6, self._expire)

    def _expire(self) -> None:
        """Give up what has waited for as long as it may."""
        self._timer = None
        until_us = self._clock.mono_us() + _EARLY_US
        waiting = self._waiting
        while waiting and (waiting[0].answered or waiting[0].deadline_us <= until_us):
            asked = waiting.popleft()
            if asked.answered:
                continue
            self.counters.timeouts += 1
            if asked.probe:
                asked.answered = True
                self.counters.probes_failed += 1
                self._breaker.failed(self._clock.mono_us())
            else:
                self._give_up(asked)
                self._failed(f"no answer within {self._settings.wait_us / 1000:g} ms")
        if waiting and self._timer is None:
            self._set_timer(max(0, waiting[0].deadline_us - self._clock.mono_us()))

    def _give_up(self, asked: _Asked) -> None:
        """Answer a batch without the store. What is owed for it is known once the store answers, however late."""
        done = asked.done
        if done is not None:
            asked.done = None
            asked.given = self.estimate.answer(asked.requests, self._world.now_us())
            done(asked.given)

    def _failed(self, reason: str) -> None:
        """Tell the breaker; if it opens, nobody waits any longer."""
        mono_us = self._clock.mono_us()
        if self._closing or not self._breaker.failed(mono_us):
            return
        self.counters.opened += 1
        self._away_since_us = mono_us
        error = BorderpostError("BP1640", f"{self._label}: {reason}")
        self._log.error("the store of counters does not answer", **error.as_dict())
        waiting = list(self._waiting)
        self._waiting.clear()
        for asked in waiting:
            self._give_up(asked)


def _nobody_waits(answers: Answers) -> None:
    """Take no answers to no requests."""


def _best_probe(requests: Requests) -> int:
    """Return the first request that takes something, else the first that ends something; -1 if there is neither.

    A server that cannot write may answer all others.
    """
    found = -1
    for index, charges in enumerate(requests):
        for charge in charges:
            if charge.phase is Phase.BEGIN and charge.hits > 0:
                return index
            if charge.phase is Phase.DONE and found < 0:
                found = index
    return found


def _reason(answers: Answers) -> str:
    for verdicts in answers:
        if isinstance(verdicts, Unanswered):
            return f"{verdicts.reason} {verdicts.detail}".rstrip()
    return ""
