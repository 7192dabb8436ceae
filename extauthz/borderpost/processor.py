"""Envoy's questions to decisions, decisions to answers: the service behind both doors.

What one turn of the loop brings is one batch: one look at the clock, one look at the snapshot, every request
decided and chained, one wait for the disk, every answer released. An answer that routes leaves this module in
one place only, `_answer`, called after the log said that its record is durable.

    messages ─▶ recognised (recognition.py) ──────────────────────────┐
             └▶ read (requests.py) ─▶ facts ─▶ View.answer ─▶ known ─┴▶ record chained ─▶ durable ─▶ answer
             ├▶ body asked for (body_mode.py) ─▶ body ─▶ read, as above; only where it is configured
             └▶ let go (observer.py) ─▶ read, decided, record chained; only where Envoy goes its own way

Whatever goes wrong refuses: a message that does not parse or is not what this door expects ends its call with a
non-OK status, which Envoy turns into a refusal; everything else is answered with a status of its own. A stream
is never ended cleanly before its answer, because Envoy would take that as leave to pass. What is only observed has
gone its way before anything can go wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from borderpost.answers import AnswerSettings, ExtAuthzDoor, ExtProcBodyDoor, ExtProcDoor, Refusal, Route
from borderpost.audit.writer import AuditUnavailable
from borderpost.counters.tally import WorkerTally
from borderpost.decision import Decision, View
from borderpost.decision_record import request_field
from borderpost.entrance import Decided, Entrance, Known
from borderpost.facts import Identity, RawRequest
from borderpost.live import Live, applied_event
from borderpost.observation import Observation
from borderpost.observer import Observer
from borderpost.recognition import Recogniser
from borderpost.record_keeper import RecordKeeper
from borderpost.requests import Bodies, BodyRead, CheckReader, ProcessReader, UnexpectedMessage
from borderpost_base import limits
from borderpost_base.logs import get_logger
from borderpost_base.metrics import Metrics
from borderpost_base.world import World
from borderpost_wire.service import Call, MethodKind, StatusCode

EXTERNAL_PROCESSOR_SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
AUTHORIZATION_SERVICE = "envoy.service.auth.v3.Authorization"
_PROCESS = f"/{EXTERNAL_PROCESSOR_SERVICE}/Process"
_CHECK = f"/{AUTHORIZATION_SERVICE}/Check"

_NO_POLICY = Refusal(503, "BP0807", "no-current-policy")
_INTERNAL = Refusal(503, "BP0810", "internal")
_BACKLOG = Refusal(503, "BP0808", "backlog")


Pending = tuple[Call, Known, bytes]
"""A call, its decision and the id of that decision, whose record is on its way to the disk."""


class Processor:
    """Decides, records and answers. Lives on the engine's loop."""

    def __init__(
        self, *, live: Live, keeper: RecordKeeper, tally: WorkerTally, world: World, metrics: Metrics,
        settings: AnswerSettings, observation: Observation, bodies: Bodies | None = None,
    ) -> None:  # fmt: skip
        self._live = live
        self._keeper = keeper
        self._tally = tally
        self._world = world
        self._metrics = metrics
        self._entrances: dict[str, Entrance] = {
            _PROCESS: Entrance(
                "ext_proc", ProcessReader(), ExtProcDoor(settings), Recogniser(limits.REMEMBERED_MESSAGES_MAX)
            ),
            _CHECK: Entrance("ext_authz", CheckReader(), ExtAuthzDoor(settings), None),
        }
        self._bodies = bodies
        """Body mode; None where headers alone decide."""
        self._body_entrance = Entrance("ext_proc", ProcessReader(), ExtProcBodyDoor(settings), None)
        """For questions whose headers had leave to go on: nothing of a body is recognised by its headers."""
        self._observer = Observer(observation, keeper, metrics, bodies)
        self._stale: tuple[View, View] | None = None
        """A view whose events are too old, and the same one as it holds then; None while they are fresh."""
        self._events_digest = ""
        self._last_now_us = 0
        self._log = get_logger("processor")

    @property
    def methods(self) -> Mapping[str, MethodKind]:
        """Return the two doors' methods."""
        return {_PROCESS: MethodKind.STREAM, _CHECK: MethodKind.UNARY}

    def messages(self, batch: Sequence[tuple[Call, bytes]]) -> None:
        """Decide a batch; answers follow when its records are durable."""
        began_us = self._world.clock.mono_us()
        view = self._live.current(began_us)
        now_us = self._world.now_us()
        counting = False
        if view is not None:
            view = self._by_freshness(view, now_us)
            self._note_events(view, now_us)
            counting = bool(view.compiled.policy.counters)
        calls: list[Call] = []
        decided: list[Decided] = []
        for call, message in batch:
            try:
                one = self._decide(call, message, view, now_us)
                if counting and one is not None:
                    self._count_up(one[0], now_us)
            except UnexpectedMessage as error:
                self._metrics.facts_rejected_total.inc("unexpected-message")
                call.fail(StatusCode.INVALID_ARGUMENT, str(error))
            except AuditUnavailable as refusal:
                self._unrecorded(call, _refusal_of(refusal))
            except Exception:  # noqa: BLE001 - one request's bug must not touch the others; when in doubt, refuse
                self._log.exception("a request could not be decided and is refused")
                self._unrecorded(call, _INTERNAL)
            else:
                if one is not None:
                    calls.append(call)
                    decided.append(one)
        pending = self._chain(calls, decided, now_us, began_us) if calls else []
        seen = self._observer.chain(now_us, began_us) if self._observer.waiting else []
        if pending or seen:
            self._keeper.when_durable(lambda durable: self._release(pending, seen, durable, began_us))

    def gone(self, call: Call) -> None:
        """Nothing to do: a record of a request whose caller has gone stays a true record of a decision."""

    def adopt(self, view: View) -> None:
        """Take a new view: what was remembered of the last one is forgotten.

        Events of a new list that are in force already need no announcement of their own.
        """
        if view.inputs["events"] != self._events_digest:
            self._events_digest = view.inputs["events"]
            self._last_now_us = self._world.now_us()
        self._stale = None
        self._forget()

    def _forget(self) -> None:
        for entrance in (*self._entrances.values(), self._body_entrance):
            entrance.forget()
        self._observer.forget()

    def _by_freshness(self, view: View, now_us: int) -> View:
        """Return the view as it holds now: where its events are too old, without what they could have taken away."""
        if now_us <= self._live.events_fresh_until_us:
            if self._stale is not None:
                self._stale = None
                self._forget()
            return view
        if self._stale is None or self._stale[0] is not view:
            self._stale = (view, view.turned(stale=True))
            self._forget()
        return self._stale[1]

    def _count_up(self, known: Known, now_us: int) -> None:
        """Count a request on the counters of its bases, before its record is chained.

        So one that is refused after all is counted too, and none is routed uncounted. Raises BorderpostError.
        """
        for counter in known.decision.counts:
            self._tally.add(counter, 1, now_us)

    def _decide(self, call: Call, message: bytes, view: View | None, now_us: int) -> Decided | None:
        """Decide one request; None if it has been answered already, waits for its body, or went its own way."""
        if call.state is not None:
            return self._decide_by_body(call, message, view, now_us)
        call.state = True
        entrance = self._entrances[call.method]
        recogniser = entrance.recogniser
        if recogniser is not None and view is not None:
            found = recogniser.find(message, view.locator.place_number)
            if found is not None and found[0].view is view and now_us < found[0].until_us:
                if found[0].observed is None:
                    return found
                self._observer.again(entrance, call, found)
                return None
        question = entrance.reader.parse(message)
        if entrance.reader.observes(question, message):
            self._observer.observe(entrance, call, question, message, view, now_us)
            return None
        if self._observer.routes and self._observer.refuses(entrance, call, question):
            return None
        if view is None:
            self._unrecorded(call, _NO_POLICY)
            return None
        body = None
        if self._bodies is not None:
            if self._bodies.awaits(call, question, len(message)):
                return None
            body = self._bodies.read(question)
        raw, identity = entrance.reader.read(question, view.reading)
        known = self._judge(entrance, view, raw, identity, body, now_us)
        if recogniser is not None and body is None and known.decision.law is not None:
            recogniser.remember(message, question, raw.address, view.locator.place_number, known)
        return known, request_field(identity, body.field if body is not None else None)

    def _decide_by_body(self, call: Call, message: bytes, view: View | None, now_us: int) -> Decided | None:
        """Decide a request whose headers had leave to send its body, by both."""
        if self._bodies is None:
            raise UnexpectedMessage("this stream has its answer")
        question, body = self._bodies.take(call, message)
        if view is None:
            self._unrecorded(call, _NO_POLICY)
            return None
        entrance = self._body_entrance
        raw, identity = entrance.reader.read(question, view.reading)
        return self._judge(entrance, view, raw, identity, body, now_us), request_field(identity, body.field)

    def _judge(
        self, entrance: Entrance, view: View, raw: RawRequest, identity: Identity, body: BodyRead | None, now_us: int
    ) -> Known:  # fmt: skip
        for name in identity.dropped:
            self._metrics.facts_rejected_total.inc(f"dropped:{name}")
        if body is not None:
            raw = raw._replace(body=body.stated)
        return self._know(entrance, view, view.answer(raw, now_us))

    def _chain(self, calls: list[Call], decided: list[Decided], now_us: int, began_us: int) -> list[Pending]:
        """Chain the records of a batch and return what waits for the disk; what the log does not take is refused."""
        entries = [(known.prepared, request) for known, request in decided]
        try:
            ids = self._keeper.chain(entries, at_us=now_us, mono_us=began_us)
        except AuditUnavailable as error:
            self._refuse_all(calls, _refusal_of(error))
            return []
        except Exception:  # noqa: BLE001 - nothing was chained, so nothing may be routed
            self._log.exception("a batch could not be recorded and is refused")
            self._refuse_all(calls, _INTERNAL)
            return []
        self._refuse_all(calls[len(ids) :], _BACKLOG)
        return [(call, known, identity) for call, (known, _), identity in zip(calls, decided, ids, strict=False)]

    def _know(self, entrance: Entrance, view: View, decision: Decision) -> Known:
        """Return a decision ready to be given; made once a decision and door."""
        known = entrance.known.get(decision)
        if known is None:
            prepared = self._keeper.prepare({**decision.record, "via": entrance.via})
            known = Known(view, decision, prepared, entrance.door.template(decision.answer, decision.facts))
            if decision.law is not None:  # one that was refused before the law is made anew each time
                entrance.known.put(decision, known)
        return known

    def _release(self, pending: list[Pending], seen: list[Known], durable: bool, began_us: int) -> None:
        """Answer a batch whose records are durable; refuse one whose records never will be."""
        if seen:
            self._observer.count(seen, durable=durable)
        if not pending:
            return
        if not durable:
            self._refuse_all([call for call, _, _ in pending], Refusal(503, "BP0808", "not-durable"))
            return
        for call, known, decision_id in pending:
            try:
                call.reply(decision_id.join(known.pieces))
            except Exception:  # noqa: BLE001 - one call's trouble must not keep the others from their answers
                self._log.exception("an answer could not be given")
        self._count(pending, began_us)

    def _refuse_all(self, calls: Iterable[Call], refusal: Refusal) -> None:
        """Refuse each without a record."""
        for call in calls:
            try:
                self._unrecorded(call, refusal)
            except Exception:  # noqa: BLE001 - one call's trouble must not keep the others from their answers
                self._log.exception("a refusal could not be given")

    def _unrecorded(self, call: Call, refusal: Refusal) -> None:
        """Refuse without a record: there is nothing to record by, or nowhere to record."""
        self._entrances[call.method].refuse(call, refusal, self._metrics)

    def _note_events(self, view: View, now_us: int) -> None:
        """Have a record made of every legal event that took effect or ended since the last batch."""
        for event in view.events.changed_between(self._last_now_us, now_us):
            self._keeper.announce(f"event/{event}", "legal_event.apply", applied_event(view, event))
        self._last_now_us = now_us

    def _count(self, pending: list[Pending], began_us: int) -> None:
        """Count a batch that has been answered: once for each decision in it, not once for each request."""
        metrics = self._metrics
        for known, count in Counter([known for _, known, _ in pending]).items():
            answer = known.decision.answer
            if isinstance(answer, Route):
                metrics.decisions_total.inc("routed", "ok", by=count)
                metrics.routed_total.inc(answer.region, by=count)
            else:
                metrics.decisions_total.inc("refused", answer.reason, by=count)
                metrics.refusals_total.inc(str(answer.status), answer.code, by=count)
                if known.decision.law is None:
                    metrics.facts_rejected_total.inc(answer.reason, by=count)
            known.count(metrics, count)
        metrics.decision_seconds.observe((self._world.clock.mono_us() - began_us) / 1e6, times=len(pending))


def _refusal_of(error: AuditUnavailable) -> Refusal:
    return Refusal(503, "BP0809" if error.reason == "ended" else "BP0808", error.reason)
