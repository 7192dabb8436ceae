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
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from borderpost_base.errors import BorderpostError
from borderpost_base.limits import LIMITER_OWED_AT_ONCE_MAX
from borderpost_base.logs import get_logger
from borderpost_base.world import World
from borderpost_ratelimit.away.breaker import AwaySettings, Breaker, State
from borderpost_ratelimit.away.estimate import Answers, Estimate, Requests, has_end, refuses
from borderpost_ratelimit.away.owed import Owed
from borderpost_ratelimit.away.told import NOBODY, Told
from borderpost_ratelimit.charges import Charge, Done, Phase, Source, Store, Unanswered, Verdicts
from borderpost_ratelimit.limits import Algorithm

_EARLY_US: Final = 500
"""A timer may fire so much early: libuv counts in milliseconds."""


class Handle(Protocol):
    """A timer that has been set."""

    def cancel(self) -> object:
        """Do not call back."""
        ...


class Timers(Protocol):
    """Where timers are set: an event loop."""

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Handle:
        """Call back after so many seconds."""
        ...


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
        self.owed = 0
        """Charges that the store was told after it was back."""


class _Asked:
    """What the store was asked in one batch, and who waits for it."""

    __slots__ = ("_guard", "answered", "deadline_us", "done", "given", "owed", "probe", "requests")

    def __init__(self, guard: Guarded, requests: Requests, deadline_us: int) -> None:
        self._guard = guard
        self.requests = requests
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
        self, store: Store, local: Store, settings: AwaySettings, world: World, *, timers: Timers | None = None
    ) -> None:
        """Wrap a store; `local` counts while it is away and must answer at once. `timers`: the running loop."""
        self._store = store
        self._local = local
        self._settings = settings
        self._world = world
        self._clock = world.clock
        self._timers = timers
        self._timer: Handle | None = None
        self._breaker = Breaker(settings, world.randomness)
        self._told = Told()
        self._waiting: deque[_Asked] = deque()
        self._away_since_us = 0
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

    async def start(self) -> None:
        """Start both stores."""
        if self._timers is None:
            self._timers = asyncio.get_running_loop()
        await self._local.start()
        await self._store.start()

    async def close(self) -> None:
        """Close both stores. What still waits is answered as if the store were away."""
        await self._store.close()
        while self._waiting:
            self._give_up(self._waiting.popleft())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._local.close()

    def take(self, requests: Sequence[tuple[Charge, ...]], now_us: int, done: Done) -> None:
        """Ask the store and wait within the bound, or answer at once."""
        mono_us = self._clock.mono_us()
        if self._breaker.state is not State.CLOSED:
            given = self._without(requests, now_us, sent=False)
            done(given)
            self._probe(requests, given, now_us, mono_us)
            return
        asked = _Asked(self, requests, mono_us + self._settings.wait_us)
        asked.done = done
        if len(self.owed):
            asked.owed = self.owed.take(LIMITER_OWED_AT_ONCE_MAX, now_us)
        self._store.take([*asked.owed, *requests] if asked.owed else requests, now_us, asked.answer)
        if not asked.answered:
            self._await(asked)

    def answered(self, asked: _Asked, answers: Answers) -> None:
        """Take the store's answers to a batch: in time, late, or to a probe."""
        if asked.answered and not asked.probe:
            return
        asked.answered, gave_up = True, asked.answered
        now_us = self._world.now_us()
        sent = len(asked.owed)
        own = answers[sent:] if sent else answers
        stored, missing = self._note(asked.requests, own, now_us)
        if asked.done is None:
            self._reconcile(asked, answers, now_us)
            if asked.probe and not gave_up:
                self._probed(stored, missing)
            else:
                self.counters.late += 1
                if stored and not asked.probe:
                    self._breaker.heard(self._clock.mono_us())
            return
        done, asked.done = asked.done, None
        for index in range(sent):
            self._told_or_owed(asked.owed[index], answers[index], now_us)
        self.estimate.follow(asked.requests, own, now_us)
        done(self._completed(asked.requests, own, now_us) if missing else own)
        if missing and missing == len(own):
            self._failed(_reason(own))
        elif stored and not missing:
            self._breaker.succeeded(self._clock.mono_us())

    def _note(self, requests: Requests, answers: Answers, now_us: int) -> tuple[bool, int]:
        """Remember what the store said; return whether anything comes from it, and how many requests have no answer."""
        stored, missing = False, 0
        told = self._told
        for charges, verdicts in zip(requests, answers, strict=True):
            if isinstance(verdicts, Unanswered):
                missing += 1
                continue
            for charge, verdict in zip(charges, verdicts, strict=True):
                if verdict.source is Source.STORE:
                    stored = True
                if charge.limit.algorithm is not Algorithm.CONCURRENCY:
                    told.note(charge.key, verdict, now_us)
        return stored, missing

    def _completed(self, requests: Requests, answers: Answers, now_us: int) -> Answers:
        """Return the answers, with an estimate wherever the store has none."""
        left = []
        for charges, verdicts in zip(requests, answers, strict=True):
            if isinstance(verdicts, Unanswered):
                left.append(charges)
                counted = self.counters.unanswered
                counted[verdicts.reason] = counted.get(verdicts.reason, 0) + 1
        given = iter(self._without(left, now_us, sent=True))
        return [next(given) if isinstance(verdicts, Unanswered) else verdicts for verdicts in answers]

    def _without(self, requests: Requests, now_us: int, *, sent: bool) -> Answers:
        """Answer without the store; what passes is owed to it. `sent`: the store was asked and may have counted it."""
        given = self.estimate.answer(requests, now_us)
        for charges, verdicts in zip(requests, given, strict=True):
            if isinstance(verdicts, Unanswered):
                continue
            passed = not refuses(charges, verdicts)
            for charge, verdict in zip(charges, verdicts, strict=True):
                if _is_end(charge):
                    # To release twice does no harm, to settle twice would charge twice.
                    if not (sent and charge.limit.algorithm is Algorithm.BUDGET):
                        self.owed.ended(charge, now_us)
                elif _adds(charge, passed and not verdict.over):
                    self.owed.counted(charge, now_us)
        return given

    def _reconcile(self, asked: _Asked, answers: Answers, now_us: int) -> None:
        """Compare what the store counted with what was answered without it."""
        sent = len(asked.owed)
        for index, verdicts in enumerate(answers):
            if isinstance(verdicts, Unanswered):
                continue
            if index < sent:
                self._known(asked.owed[index], verdicts, now_us)
                continue
            charges, given = asked.requests[index - sent], asked.given[index - sent]
            self._known(charges, verdicts, now_us)
            if isinstance(given, Unanswered) or (refuses(charges, given) and not refuses(charges, verdicts)):
                for charge in charges:
                    if has_end(charge.limit) and charge.phase is Phase.BEGIN:
                        self.owed.ended(charge._replace(phase=Phase.DONE, hits=0), now_us)

    def _known(self, charges: tuple[Charge, ...], verdicts: Verdicts, now_us: int) -> None:
        """Owe no longer what the store has counted."""
        passed = not refuses(charges, verdicts)
        for charge, verdict in zip(charges, verdicts, strict=True):
            fixed = charge.limit.algorithm is Algorithm.FIXED_WINDOW
            if not _is_end(charge) and _adds(charge, fixed or (passed and not verdict.over)):
                self.owed.known(charge, now_us)

    def _told_or_owed(self, charges: tuple[Charge, ...], verdicts: Verdicts | Unanswered, now_us: int) -> None:
        """Count what the store has been told, and owe it again if it did not answer."""
        if not isinstance(verdicts, Unanswered):
            self.counters.owed += 1
            return
        (charge,) = charges
        if not _is_end(charge):
            self.owed.counted(charge, now_us)
        elif charge.limit.algorithm is Algorithm.CONCURRENCY:
            self.owed.ended(charge, now_us)

    def _probe(self, requests: Requests, given: Answers, now_us: int, mono_us: int) -> None:
        """Ask the store about one of these requests, if it is time; the request has its answer already."""
        for index, charges in enumerate(requests):
            if all(charge.phase is Phase.BEGIN and charge.hits > 0 for charge in charges) and charges:
                if not self._breaker.probe_due(mono_us):
                    return
                asked = _Asked(self, (charges,), mono_us + self._settings.wait_us)
                asked.probe, asked.given = True, (given[index],)
                self.counters.probes += 1
                self._store.take(asked.requests, now_us, asked.answer)
                if not asked.answered:
                    self._await(asked)
                return

    def _probed(self, stored: bool, missing: int) -> None:
        """Judge a probe that was answered in time."""
        mono_us = self._clock.mono_us()
        if missing:
            self.counters.probes_failed += 1
            self._breaker.failed(mono_us)
        elif not stored:
            self._breaker.undecided(mono_us)
        elif self._breaker.succeeded(mono_us):
            away_s = (mono_us - self._away_since_us) / 1e6
            self._log.info("the store of counters answers again", store=self.name, away_s=away_s, owed=len(self.owed))

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
        """Answer a batch without the store."""
        if asked.done is None or asked.answered:
            return
        done, asked.done = asked.done, None
        now_us = self._world.now_us()
        for charges in asked.owed:
            self._told_or_owed(charges, Unanswered("timeout"), now_us)
        asked.given = self._without(asked.requests, now_us, sent=True)
        done(asked.given)

    def _failed(self, reason: str) -> None:
        """Tell the breaker; if it opens, nobody waits any longer."""
        mono_us = self._clock.mono_us()
        if not self._breaker.failed(mono_us):
            return
        self.counters.opened += 1
        self._away_since_us = mono_us
        error = BorderpostError("BP1640", f"{self.name}: {reason}")
        self._log.error("the store of counters does not answer", **error.as_dict())
        waiting = list(self._waiting)
        self._waiting.clear()
        for asked in waiting:
            self._give_up(asked)


def _is_end(charge: Charge) -> bool:
    """Return True for the end of one request, which gives back what its beginning took."""
    return charge.phase is Phase.DONE and has_end(charge.limit) and charge.request != NOBODY


def _adds(charge: Charge, passed: bool) -> bool:
    """Return True if the charge stays in its counter: made at the end whatever it finds, at the beginning if it passed.

    A lease and the reservation of a request that has a name do not: their end says what remains of them.
    """
    if charge.phase is Phase.DONE:
        return True
    if charge.phase is Phase.LOOK or not passed or charge.limit.algorithm is Algorithm.CONCURRENCY:
        return False
    return charge.limit.algorithm is not Algorithm.BUDGET or not charge.request


def _reason(answers: Answers) -> str:
    for verdicts in answers:
        if isinstance(verdicts, Unanswered):
            return f"{verdicts.reason} {verdicts.detail}".rstrip()
    return ""
