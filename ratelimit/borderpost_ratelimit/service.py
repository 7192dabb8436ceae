"""The rate-limit service: Envoy's questions to charges, verdicts to answers.

What one turn of the loop brings is one batch: one look at the clock, one plan a request, one call of the store for
all of them, answers as soon as it calls back. A request with bytes that were seen before has its plan already.

    messages ─▶ recognised ───────────────────────────────┐
             └▶ read (questions.py) ─▶ planned (plans.py) ─┴▶ Store.take ─▶ answered (answers.py) ─▶ reply
                                                                         └▶ refusals recorded, then reply

Whatever goes wrong ends the call with a non-OK status: INVALID_ARGUMENT for a request that cannot be understood,
UNAVAILABLE where no limits are loaded or the store has no answer, INTERNAL for a bug. What Envoy makes of an error is
the filter's `failure_mode_deny`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from borderpost_base.alarms import Alarm
from borderpost_base.memo import Remembered
from borderpost_base.world import World
from borderpost_ratelimit.answers import Answerer
from borderpost_ratelimit.charges import Charge, Store, Unanswered, Verdicts
from borderpost_ratelimit.plans import Plan, Planner
from borderpost_ratelimit.questions import NAMING, MalformedRequest, name_of, read, without_names
from borderpost_ratelimit.refusals import Refusal, RefusalLog
from borderpost_ratelimit.rules import RuleBook
from borderpost_ratelimit.settings import ServiceSettings
from borderpost_ratelimit.statistics import Statistics
from borderpost_wire.service import Call, MethodKind, StatusCode

RATE_LIMIT_SERVICE: Final = "envoy.service.ratelimit.v3.RateLimitService"
SHOULD_RATE_LIMIT: Final = f"/{RATE_LIMIT_SERVICE}/ShouldRateLimit"
_REMEMBERED_BYTES_MAX: Final = 2048
"""Longer requests are read each time; usual ones have 50 to 300."""


class RateLimitService:
    """Answers ShouldRateLimit. Lives on the engine's loop."""

    def __init__(
        self, *, rules: RuleBook | None, store: Store, world: World, statistics: Statistics, settings: ServiceSettings,
        refusals: RefusalLog | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._world = world
        self._statistics = statistics
        self._settings = settings
        self._refusals = refusals
        self._answerer = Answerer(settings, statistics)
        self._plans: Remembered[bytes, Plan] = Remembered(settings.remembered_requests_max)
        self._seen: set[int] = set()
        """Hashes of messages that came once."""
        self._planner: Planner | None = None
        self._unplanned = Alarm("requests could not be planned", world, logger="ratelimit")
        self._unanswered = Alarm("requests could not be answered", world, logger="ratelimit")
        self._unrecorded = Alarm("refusals could not be recorded", world, logger="ratelimit")
        if rules is not None:
            self.adopt(rules)

    @property
    def methods(self) -> Mapping[str, MethodKind]:
        """Return the one method."""
        return {SHOULD_RATE_LIMIT: MethodKind.UNARY}

    def adopt(self, rules: RuleBook) -> None:
        """Go on by another set of limits files: what was planned by the last one is forgotten. Counters stay."""
        self._planner = Planner(rules, self._settings, self._statistics)
        self._plans.clear()
        self._seen.clear()

    def messages(self, batch: Sequence[tuple[Call, bytes]]) -> None:
        """Plan a batch and charge it; answers follow when the store has them."""
        turn = Turn(self, self._world.now_us())
        calls, plans, names, charges = turn.calls, turn.plans, turn.names, turn.charges
        remembered = self._plans
        for call, message in batch:
            try:
                if NAMING in message:
                    plan, name = self._named(message)
                else:
                    plan = remembered.recent.get(message) or self._plan(message, message, [])
                    name = plan.name
                if plan.charges:
                    calls.append(call)
                    plans.append(plan)
                    names.append(name)
                    charges.append(plan.charges_of(name) if name else plan.charges)
                else:
                    answer, _ = self._answerer.answer(plan, name, (), turn.now_us)
                    call.reply(answer)
            except MalformedRequest as error:
                self._statistics.malformed += 1
                self._fail(call, StatusCode.INVALID_ARGUMENT, str(error))
            except NoRules:
                self._fail(call, StatusCode.UNAVAILABLE, "no limits are loaded")
            except Exception:  # noqa: BLE001 - one request's bug must not touch the others
                self._unplanned.ring(None)
                self._fail(call, StatusCode.INTERNAL, "the request could not be planned")
        turn.begin(self._store)

    def gone(self, call: Call) -> None:
        """Nothing to do: what was charged stays charged."""

    def _named(self, message: bytes) -> tuple[Plan, str]:
        """Return what a message means in which a descriptor seems to name the request, and the request's name.

        Raises MalformedRequest, NoRules.
        """
        bare, names, places = without_names(message)
        plan = self._plan(message, bare, places)
        return plan, name_of(names) if names else plan.name

    def _plan(self, message: bytes, bare: bytes, places: list[tuple[int, int]]) -> Plan:
        """Return what a message means, and remember it by its bytes without the request's name, cut out at `places`.

        Raises MalformedRequest, NoRules.
        """
        remembered = self._plans.get(bare)
        if remembered is not None:
            return remembered
        if self._planner is None:
            raise NoRules
        plan = self._planner.plan(read(message, self._settings.descriptors_max, self._settings.entries_max))
        if bare and len(message) <= _REMEMBERED_BYTES_MAX and (not places or places == plan.question.names_at):
            self._remember(bare, plan)
        return plan

    def _remember(self, bare: bytes, plan: Plan) -> None:
        """Remember a plan when its bytes come a second time: in a flood of new ones, nothing is kept or thrown out."""
        seen = hash(bare)
        if seen in self._seen:
            self._plans.put(bare, plan)
            return
        if len(self._seen) >= self._settings.remembered_requests_max:
            self._seen.clear()
        self._seen.add(seen)

    def _fail(self, call: Call, status: StatusCode, text: str) -> None:
        self._statistics.service_error += 1
        call.fail(status, text)

    def settle(self, turn: Turn, answers: Sequence[Verdicts | Unanswered]) -> None:
        """Answer the requests of one turn; refusals once they are recorded."""
        refused: list[tuple[Call, bytes]] = []
        refusals: list[Refusal] = []
        calls, plans, names, now_us = turn.calls, turn.plans, turn.names, turn.now_us
        answer = self._answerer.answer
        for index in range(min(len(calls), len(answers))):
            call, verdicts = calls[index], answers[index]
            try:
                if isinstance(verdicts, Unanswered):
                    self._statistics.store_failed(verdicts.reason)
                    call.fail(StatusCode.UNAVAILABLE, f"the store of counters has no answer: {verdicts.reason}")
                    continue
                message, refusal = answer(plans[index], names[index], verdicts, now_us)
                if refusal is None or self._refusals is None:
                    call.reply(message)
                else:
                    refused.append((call, message))
                    refusals.append(refusal)
            except Exception:  # noqa: BLE001 - one request's bug must not keep the others from their answers
                self._unanswered.ring(None)
                self._fail(call, StatusCode.INTERNAL, "the request could not be answered")
        for call in calls[len(answers) :]:
            self._fail(call, StatusCode.INTERNAL, "the store did not answer each request")
        if refusals and self._refusals is not None:
            waiting = _Refused(refused, self._statistics)
            try:
                self._refusals.refused(refusals, self._world.now_us(), waiting.release)
            except Exception:  # noqa: BLE001 - what was refused stays refused
                self._unrecorded.ring(None)
                waiting.release(False)


class NoRules(Exception):
    """No limits files have been taken yet."""


class Turn:
    """The requests of one turn of the loop, from store to answer."""

    def __init__(self, service: RateLimitService, now_us: int) -> None:
        self._service = service
        self.now_us = now_us
        self.calls: list[Call] = []
        self.plans: list[Plan] = []
        self.names: list[str] = []
        self.charges: list[tuple[Charge, ...]] = []

    def begin(self, store: Store) -> None:
        """Ask the store, if there is anything to ask."""
        if self.calls:
            store.take(self.charges, self.now_us, self._answered)

    def _answered(self, answers: Sequence[Verdicts | Unanswered]) -> None:
        self._service.settle(self, answers)


class _Refused:
    """Answers that refuse, until their record is durable or cannot be."""

    def __init__(self, answers: list[tuple[Call, bytes]], statistics: Statistics) -> None:
        self._answers = answers
        self._statistics = statistics

    def release(self, durable: bool) -> None:
        """Give the answers, once."""
        answers, self._answers = self._answers, []
        if not durable:
            self._statistics.unrecorded += len(answers)
        for call, message in answers:
            call.reply(message)
