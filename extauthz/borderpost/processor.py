"""Envoy's questions to decisions, decisions to answers: the service behind both doors.

What one turn of the loop brings is one batch: one look at the clock, one look at the snapshot, every request
decided and chained, one wait for the disk, every answer released. An answer that routes leaves this module in
one place only, `_answer`, called after the log said that its record is durable.

    messages ─▶ read (request.py) ─▶ facts ─▶ View.decide ─▶ record chained ─▶ durable ─▶ answer

Whatever goes wrong refuses: a message that does not parse or is not what this door expects ends its call with a
non-OK status, which Envoy turns into a refusal; everything else is answered with a status of its own. A stream
is never ended cleanly before its answer, because Envoy would take that as leave to pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from borderpost.answers import Answer, AnswerSettings, Door, ExtAuthzDoor, ExtProcDoor, Refusal, Route
from borderpost.audit.writer import AuditUnavailable
from borderpost.decision import Decision, View
from borderpost.decision_record import own_fields
from borderpost.facts import Identity
from borderpost.live import Live, events_changed_between
from borderpost.policy.model import Source
from borderpost.record_keeper import RecordKeeper
from borderpost.requests import CheckReader, ProcessReader, RequestReader, UnexpectedMessage
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


class Entrance(NamedTuple):
    """One protocol: how its questions are read and how it is answered."""

    via: str
    reader: RequestReader
    door: Door


class Pending(NamedTuple):
    """A decision whose record is on its way to the disk."""

    call: Call
    entrance: Entrance
    answer: Answer
    decision_id: bytes


class Processor:
    """Decides, records and answers. Lives on the engine's loop."""

    def __init__(
        self, *, live: Live, keeper: RecordKeeper, world: World, metrics: Metrics, settings: AnswerSettings
    ) -> None:
        self._live = live
        self._keeper = keeper
        self._world = world
        self._metrics = metrics
        self._entrances: dict[str, Entrance] = {
            _PROCESS: Entrance("ext_proc", ProcessReader(), ExtProcDoor(settings)),
            _CHECK: Entrance("ext_authz", CheckReader(), ExtAuthzDoor(settings)),
        }
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
        if view is not None:
            self._note_events(view, now_us)
        pending: list[Pending] = []
        for call, message in batch:
            try:
                decided = self._decide(call, message, view, now_us)
            except UnexpectedMessage as error:
                self._metrics.facts_rejected_total.inc("unexpected-message")
                call.fail(StatusCode.INVALID_ARGUMENT, str(error))
                continue
            except Exception:  # noqa: BLE001 - one request's bug must not touch the others; when in doubt, refuse
                self._log.exception("a request could not be decided and is refused")
                self._unrecorded(call, _INTERNAL)
                continue
            if decided is not None:
                pending.append(decided)
        if pending:
            self._keeper.when_durable(lambda durable: self._release(pending, durable, began_us))

    def gone(self, call: Call) -> None:
        """Nothing to do: a record of a request whose caller has gone stays a true record of a decision."""

    def adopt(self, view: View) -> None:
        """Note a new view: events of its list that are in force already need no announcement of their own."""
        self._last_now_us = self._world.now_us()

    def _decide(self, call: Call, message: bytes, view: View | None, now_us: int) -> Pending | None:
        """Decide one request and chain its record; None if it has been answered already."""
        if call.state is not None:
            raise UnexpectedMessage("this stream has its answer")
        call.state = True
        entrance = self._entrances[call.method]
        question = entrance.reader.parse(message)
        if view is None:
            self._unrecorded(call, _NO_POLICY)
            return None
        raw, identity = entrance.reader.read(question, view.reading)
        decision = view.answer(raw, now_us)
        self._count_facts(decision, identity)
        fields = own_fields(
            decision.record, request_id=identity.request_id, trace_id=identity.trace_id, via=entrance.via
        )
        try:
            position = self._keeper.decide(fields, at_us=now_us)
        except AuditUnavailable as error:
            code = "BP0809" if error.reason == "ended" else "BP0808"
            self._unrecorded(call, Refusal(503, code, error.reason))
            return None
        return Pending(call, entrance, decision.answer, position.decision_id.encode())

    def _release(self, pending: list[Pending], durable: bool, began_us: int) -> None:
        """Answer a batch whose records are durable; refuse one whose records never will be."""
        if not durable:
            for one in pending:
                self._unrecorded(one.call, Refusal(503, "BP0808", "not-durable"))
            return
        answered = [one for one in pending if self._answer(one)]
        self._count(answered, began_us)

    def _answer(self, one: Pending) -> bool:
        """Give one recorded answer; False if it could not be made, and the request is refused."""
        try:
            message = one.entrance.door.fill(one.answer, one.decision_id)
        except Exception:  # noqa: BLE001 - as above: the rest of the batch must get its answers
            self._log.exception("an answer could not be made and the request is refused")
            self._unrecorded(one.call, _INTERNAL)
            return False
        one.call.reply(message)
        return True

    def _unrecorded(self, call: Call, refusal: Refusal) -> None:
        """Refuse without a record: there is nothing to record by, or nowhere to record."""
        self._metrics.unrecorded_total.inc(refusal.code, refusal.reason)
        call.reply(self._entrances[call.method].door.unrecorded(refusal))

    def _note_events(self, view: View, now_us: int) -> None:
        """Have a record made of every legal event that took effect or ended since the last batch."""
        for event in events_changed_between(view, self._last_now_us, now_us):
            fields = {"digest": view.inputs["events"], "event": event}
            self._keeper.announce(f"event/{event}", "legal_event.apply", fields)
        self._last_now_us = now_us

    def _count_facts(self, decision: Decision, identity: Identity) -> None:
        if isinstance(decision.answer, Refusal) and decision.law is None:
            self._metrics.facts_rejected_total.inc(decision.answer.reason)
        for name in identity.dropped:
            self._metrics.facts_rejected_total.inc(f"dropped:{name}")
        if all(piece.source is not Source.GEOIP for piece in decision.facts.evidence):
            self._metrics.geoip_unknown_total.inc()

    def _count(self, pending: list[Pending], began_us: int) -> None:
        took_s = (self._world.clock.mono_us() - began_us) / 1e6
        for answer, count in Counter(one.answer for one in pending).items():
            if isinstance(answer, Route):
                self._metrics.decisions_total.inc("routed", "ok", by=count)
                self._metrics.routed_total.inc(answer.region, by=count)
            else:
                self._metrics.decisions_total.inc("refused", answer.reason, by=count)
                self._metrics.refusals_total.inc(str(answer.status), answer.code, by=count)
        for _ in pending:
            self._metrics.decision_seconds.observe(took_s)
