"""What is done with a question to which Envoy waits for no answer: let go first, then decided and recorded for the eye.

Nothing here can reach the request: it has gone before it is read. Its record is made like any other and chained after
those of requests that wait, and where the log is full, broken or slow it is left out, which is counted.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from borderpost.answers import Refusal
from borderpost.decision import Decision, View
from borderpost.decision_record import request_field
from borderpost.entrance import Decided, Entrance, Known
from borderpost.observation import Observation, Observed, observed_field, outcome_of
from borderpost.record_keeper import RecordKeeper
from borderpost.requests import Bodies, CheckReader
from borderpost_base import limits
from borderpost_base.memo import Remembered
from borderpost_base.metrics import Metrics
from borderpost_proto import common_pb2 as common
from borderpost_proto import ext_authz_pb2 as authz
from borderpost_wire.service import Call, StatusCode

_PASS: Final = authz.CheckResponse(status=common.Status(code=0), ok_response=authz.OkHttpResponse()).SerializeToString()
"""Lets a request go over ext_authz, and changes nothing of it."""
_NOTHING: Final = b""
"""Answers over ext_proc where Envoy reads no answer. If it waited for one after all, this would be an error and
refuse."""
_UNOBSERVED: Final = Refusal(503, "BP1444", "observed-route")
_UNENFORCED: Final = Refusal(503, "BP1443", "unenforced-route")


class Observer:
    """Observes requests for a processor. Lives on the engine's loop."""

    def __init__(
        self, observation: Observation, keeper: RecordKeeper, metrics: Metrics, bodies: Bodies | None
    ) -> None:  # fmt: skip
        self.routes = observation.routes
        """Names of the routes that are observed."""
        self._observation = observation
        self._keeper = keeper
        self._metrics = metrics
        self._bodies = bodies
        self.waiting: list[Decided] = []
        """What would have been decided in the batch under way, for `chain`."""
        self._known: Remembered[tuple[Decision, Observed, str], Known] = Remembered(limits.REMEMBERED_FACTS_MAX)
        """What was made of requests, by decision, where they went, and door."""

    def forget(self) -> None:
        """Forget everything: the view has changed."""
        self._known.clear()

    def refuses(self, entrance: Entrance, call: Call, question: Any) -> bool:
        """Refuse a request whose route is to be observed while Envoy waits for the answer; False for any other."""
        route = entrance.reader.route(question)
        if route not in self.routes:
            return False
        self._observation.alarm_unobserved(route)
        entrance.refuse(call, _UNOBSERVED, self._metrics)
        return True

    def observe(
        self, entrance: Entrance, call: Call, question: Any, message: bytes, view: View | None, now_us: int
    ) -> None:  # fmt: skip
        """Let a request go, and keep what would have been decided; count it where that cannot be recorded."""
        route = entrance.reader.route(question)
        unenforced = route not in self.routes
        if unenforced and isinstance(entrance.reader, CheckReader):
            self._observation.alarm_unenforced(route)
            entrance.refuse(call, _UNENFORCED, self._metrics)  # over ext_authz Envoy may listen
            return
        observed = Observed(route, entrance.reader.cluster(question), None, self._unseen(question), unenforced)
        self._let_go(entrance, call, observed)
        try:
            if view is not None and self._keeper.available:
                self.waiting.append(self._foresee(entrance, question, message, view, now_us, observed))
                return
        except Exception:  # noqa: BLE001 - the request has gone; that it is not recorded is counted
            self._observation.alarm_failed()
        self._metrics.observed_total.inc("unrecorded")

    def again(self, entrance: Entrance, call: Call, found: Decided) -> None:
        """Let a request go that is like one before."""
        observed = found[0].observed
        assert observed is not None, "a request that waits for its answer"
        self._let_go(entrance, call, observed)
        self.waiting.append(found)

    def _let_go(self, entrance: Entrance, call: Call, observed: Observed) -> None:
        """End the call of a request that goes its own way."""
        try:
            if observed.unenforced:
                self._observation.alarm_unenforced(observed.route)
                call.fail(StatusCode.FAILED_PRECONDITION, "the route is to be enforced, and is only observed")
            elif isinstance(entrance.reader, CheckReader):
                call.reply(_PASS)
            else:
                call.reply(_NOTHING)
                call.finish()
        except Exception:  # noqa: BLE001 - the peer has gone, or the engine has: there is nobody to tell
            self._observation.alarm_failed()

    def _unseen(self, question: Any) -> bool:
        return self._bodies is not None and self._bodies.reads(question)

    def _foresee(
        self, entrance: Entrance, question: Any, message: bytes, view: View, now_us: int, gone: Observed
    ) -> Decided:  # fmt: skip
        """Return what would have been decided for a request that has gone its way."""
        raw, identity = entrance.reader.read(question, view.reading)
        decision = view.answer(raw, now_us)
        observed = self._observation.located(gone, view)
        key = (decision, observed, entrance.via)
        known = self._known.get(key)
        if known is None:
            record = {**decision.record, "via": entrance.via, "mode": "observe"}
            prepared = self._keeper.prepare({**record, "observed": observed_field(decision, observed)})
            known = Known(view, decision, prepared, (), observed)
            if decision.law is not None:  # one that was refused before the law is made anew each time
                self._known.put(key, known)
        if entrance.recogniser is not None and decision.law is not None:
            entrance.recogniser.remember(message, question, raw.address, view.locator.place_number, known)
        return known, request_field(identity)

    def chain(self, now_us: int, began_us: int) -> list[Known]:
        """Chain the records of the batch's requests that have gone their way, and return what was chained.

        `RecordKeeper.when_durable` is to be called for them in the same turn. Where they would take the room of
        requests that wait they are left out, as they are while there is no log.
        """
        decided, self.waiting = self.waiting, []
        room = limits.OBSERVED_PENDING_MAX - self._keeper.pending if self._keeper.available else 0
        taken = decided[: max(0, room)]
        chained: list[Known] = []
        try:
            if taken:
                entries = [(known.prepared, request) for known, request in taken]
                ids = self._keeper.chain(entries, at_us=now_us, mono_us=began_us)
                chained = [known for known, _ in taken[: len(ids)]]
        except Exception:  # noqa: BLE001 - as above
            self._observation.alarm_failed()
        if len(chained) < len(decided):
            self._metrics.observed_total.inc("unrecorded", by=len(decided) - len(chained))
        return chained

    def count(self, chained: list[Known], *, durable: bool) -> None:
        """Count what would have been done with requests whose records are durable, or never will be."""
        for known, requests in Counter(chained).items():
            if not durable or known.observed is None:
                self._metrics.observed_total.inc("unrecorded", by=requests)
                continue
            self._metrics.observed_total.inc(outcome_of(known.decision, known.observed), by=requests)
            known.count(self._metrics, requests)
