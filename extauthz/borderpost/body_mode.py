"""Body mode: requests whose bodies are read before they are decided. Imported only where it is configured.

Over ext_proc a request comes in two messages. Its headers are answered by leave to send the body, which names no
cluster; the decision is made, recorded and given when the body is here. In between the call is *awaited*: bounded in
number, in bytes and in time, and it can only end with an answer or with an error, since a clean end would be leave to
pass (`Call.ask`). Over ext_authz the body is in the one question.

What was found on Envoy 1.40, each held by a black-box test: a body that was told to be buffered comes whole, and its
message says so at the stream's beginning (`protocol_config`); trailers may follow, of which we are not told. Over
ext_authz with HTTP/2 a body one byte beyond the bound comes cut, whatever `allow_partial_message` says, with a header
that tells.

Whatever Envoy is configured to do, a request whose body should be read and is not is refused. Nothing of a body is kept
or logged: of an error in reading, only where it happened.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from typing import Any

from borderpost.answers import SEND_BODY
from borderpost.config.payload import Assume, PayloadSection, hash_key_of, make_detectors_of
from borderpost.facts import Stated
from borderpost.payload.model import Payload, PayloadSpec, Unreadable
from borderpost.payload.pointer import parse_pointer
from borderpost.payload.reading import read_payload
from borderpost.requests import BodyRead, CheckReader, ProcessReader, UnexpectedMessage, text_of
from borderpost_base import limits
from borderpost_base.logs import get_logger
from borderpost_base.metrics import Metrics
from borderpost_base.names import BODY_BUFFERED, BODY_KEY, PARTIAL_BODY_HEADER, ROUTE_KEY
from borderpost_base.world import World
from borderpost_proto import common_pb2 as common
from borderpost_proto import ext_authz_pb2 as authz
from borderpost_proto import ext_proc_pb2 as proc
from borderpost_wire.service import Call, StatusCode

_NOT_SENT = (503, "BP1331", "body-not-sent")
_CUT = (413, "BP1306", "body-too-long")
_FAILED = (503, "BP1333", "body-not-read")


class Awaited:
    """A question whose body has been asked for."""

    __slots__ = ("question", "since_us", "size_bytes")

    def __init__(self, question: proc.ProcessingRequest, size_bytes: int, since_us: int) -> None:
        self.question = question
        self.size_bytes = size_bytes
        self.since_us = since_us


class BodyMode:
    """What a worker reads of bodies, and the calls whose bodies it waits for. Lives on the engine's loop."""

    def __init__(
        self, spec: PayloadSpec, *, routes: Iterable[str], strictest: bool, wait_us: int, world: World, metrics: Metrics
    ) -> None:
        self._spec = spec
        self._routes = frozenset(routes)
        self._strictest = strictest
        self._wait_us = wait_us
        self._world = world
        self._metrics = metrics
        self._awaited: dict[Call, Awaited] = {}
        """In the order in which they began to wait."""
        self._awaited_bytes = 0
        self._log = get_logger("bodies")

    @property
    def message_bytes_max(self) -> int:
        """Return the longest message in which a body may come; a longer one is refused by the engine."""
        return limits.REQUEST_MESSAGE_BYTES_MAX + self._spec.body_bytes_max

    # What the processor asks (requests.Bodies)

    def awaits(self, call: Call, question: Any, size_bytes: int) -> bool:
        """Return True if a question is not to be decided yet: the call has been asked for the body, or failed."""
        if not isinstance(question, proc.ProcessingRequest) or not self._is_buffered(question):
            return False
        full = len(self._awaited) >= limits.BODIES_AWAITED_MAX
        if full or self._awaited_bytes + size_bytes > limits.BODIES_AWAITED_BYTES_MAX:
            self._end(call, StatusCode.RESOURCE_EXHAUSTED, "too many requests wait for their bodies", "crowd")
            return True
        awaited = call.state = Awaited(question, size_bytes, self._world.clock.mono_us())
        self._awaited[call] = awaited
        self._awaited_bytes += size_bytes
        call.ask(SEND_BODY)
        return True

    def read(self, question: Any) -> BodyRead | None:
        """Return what the body says of a question that is decided now; None where headers alone decide."""
        if isinstance(question, proc.ProcessingRequest):
            if not self._is_read(ProcessReader.route(question)):
                return None
            if question.request_headers.end_of_stream:
                return self.read_body(ProcessReader.headers(question), b"")
            return self._refused(_NOT_SENT, 0)  # it has a body, and Envoy does not mean to send it
        return self._read_check(question)

    def reads(self, question: Any) -> bool:
        """Return True for a request with a body that would be read."""
        if isinstance(question, proc.ProcessingRequest):
            return not question.request_headers.end_of_stream and self._is_read(ProcessReader.route(question))
        return self._is_read(text_of(CheckReader.route_fields(question), ROUTE_KEY))

    def take(self, call: Call, message: bytes) -> tuple[Any, BodyRead]:
        """Return the question of a call that was awaited, and its body. Raises UnexpectedMessage."""
        awaited = call.state
        if not isinstance(awaited, Awaited):
            raise UnexpectedMessage("this stream has its answer")
        self._forget(call, awaited)
        body = ProcessReader.parse_body(message)
        return awaited.question, self.read_body(ProcessReader.headers(awaited.question), body)

    def read_body(self, headers: Iterable[tuple[str, bytes]], body: bytes) -> BodyRead:
        """Return what a body says. Whatever goes wrong refuses its request."""
        began_us = self._world.clock.mono_us()
        try:
            found = read_payload(headers, body, self._spec)
        except Exception as error:  # noqa: BLE001 - a reader's bug refuses this request, whatever it is
            # No message and no cause: either may hold what was being read.
            frames = traceback.extract_tb(error.__traceback__)
            where = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames]
            self._log.error("a body could not be read; its request is refused", error=type(error).__name__, at=where)
            return self._refused(_FAILED, len(body))
        self._metrics.body_read_seconds.observe((self._world.clock.mono_us() - began_us) / 1e6)
        if isinstance(found, Unreadable):
            told = {"bytes": found.size_bytes, **({"hash": found.body_hash} if found.body_hash is not None else {})}
            return self._refused((found.status, found.code, found.reason), found.size_bytes, told)
        for finding in found.found:
            self._metrics.body_findings_total.inc(finding.detector)
        self._metrics.bodies_total.inc("read" if found.unread is None else "assumed")
        stated = Stated(
            model=found.model,
            declared=tuple(sorted(found.declared)),
            brought=tuple(sorted({*found.assumed, *(finding.data_class for finding in found.found)})),
            strictest=self._strictest,
        )
        return BodyRead(stated, _field(found))

    # What the worker does now and then

    def look(self) -> None:
        """Let go of calls whose peer has gone, and end those whose body did not come in time."""
        overdue_us = self._world.clock.mono_us() - self._wait_us
        for call, awaited in list(self._awaited.items()):
            if not call.alive:
                self._forget(call, awaited)
            elif awaited.since_us < overdue_us:
                self._forget(call, awaited)
                self._end(call, StatusCode.DEADLINE_EXCEEDED, "the body did not come in time", "overdue")

    # Inside

    def _forget(self, call: Call, awaited: Awaited) -> None:
        del self._awaited[call]
        self._awaited_bytes -= awaited.size_bytes
        call.state = True

    def _end(self, call: Call, status: StatusCode, text: str, outcome: str) -> None:
        self._metrics.bodies_total.inc(outcome)
        call.fail(status, text)

    def _is_read(self, route: str | None) -> bool:
        return not self._routes or route is None or route in self._routes

    def _is_buffered(self, question: proc.ProcessingRequest) -> bool:
        """Return True if the body of a question is to be read, and Envoy holds the request until it has come whole."""
        if question.request_headers.end_of_stream or not self._is_read(ProcessReader.route(question)):
            return False
        return question.protocol_config.request_body_mode == common.ProcessingMode.BUFFERED

    def _read_check(self, question: authz.CheckRequest) -> BodyRead | None:
        fields = CheckReader.route_fields(question)
        if not self._is_read(text_of(fields, ROUTE_KEY)):
            return None
        http = question.attributes.request.http
        headers = CheckReader.headers(question)
        partial = [value for name, value in headers if name == PARTIAL_BODY_HEADER]
        body = http.raw_body
        if text_of(fields, BODY_KEY) != BODY_BUFFERED or http.body or (body and not partial):
            return self._refused(_NOT_SENT, len(body))
        if any(value != b"false" for value in partial) or http.size > len(body):
            return self._refused(_CUT, len(body))
        return self.read_body(headers, body)

    def _refused(
        self, refusal: tuple[int, str, str], size_bytes: int, told: Mapping[str, Any] | None = None
    ) -> BodyRead:
        self._metrics.bodies_total.inc("refused")
        return BodyRead(Stated(refusal=refusal), told or {"bytes": size_bytes})


def body_mode_of(settings: Mapping[str, Any], world: World, metrics: Metrics) -> BodyMode:
    """Return body mode as the section `payload` says it, given as plain data.

    Raises BorderpostError BP1320 for a key that cannot be used, BP1309 for a library that is not installed.
    """
    section = PayloadSection.model_validate(settings)
    detectors = make_detectors_of(section) if section.detectors else ()
    assumed = None
    if isinstance(section.unread, Assume):
        assumed = tuple(sorted({*section.unread.assume, *(each.data_class for each in detectors)}))
    spec = PayloadSpec(
        key=hash_key_of(section),
        body_bytes_max=section.bytes_max,
        model=parse_pointer(section.model) if section.model is not None else None,
        data_class=parse_pointer(section.data_class) if section.data_class is not None else None,
        detectors=detectors,
        assumed=assumed,
    )
    return BodyMode(
        spec, routes=section.routes, strictest=section.contradiction == "strictest",
        wait_us=round(section.wait_s * 1e6), world=world, metrics=metrics,
    )  # fmt: skip


def _field(found: Payload) -> dict[str, Any]:
    """Return what a record tells of a body that was read."""
    told: dict[str, Any] = {"bytes": found.size_bytes, "hash": found.body_hash}
    for name, outcome in (("digest", found.content_digest), ("repr_digest", found.repr_digest)):
        if outcome != "absent":
            told[name] = outcome.value
    if found.declared:
        told["declared"] = sorted(found.declared)
    if found.found:
        told["found"] = [finding.detector for finding in found.found]
    if found.unread is not None:
        told["unread"] = found.unread
    return told
