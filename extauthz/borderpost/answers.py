"""What Envoy is told: answer templates built once, with the decision id spliced in.

An answer depends on few things (region and cluster, or the reason of a refusal), so its bytes are serialised
once with a placeholder where the decision id goes, cut at the placeholder, and joined with the real id for
each request.

Two doors, two dialects of the same decision (facts about Envoy 1.40, each held by a black-box test):

* ext_proc reads only `raw_value` of a header; dynamic metadata is a map of namespaces, of which the rendered
  filter lets in `borderpost`. A header mutation and `clear_route_cache` must be in one message. Where the body is
  read too, the headers are answered by leave to send it (`SEND_BODY`), and the body by the decision.
* ext_authz reads only `value`; dynamic metadata is flat and lands in the filter's own namespace; the filter's
  own configuration clears the route cache.

A refusal carries a problem body (RFC 9457) and an explicit status; one by law, 451, also names who blocks
(RFC 7725, `Link` with `rel="blocked-by"`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from borderpost.policy.model import Facts
from borderpost_base.errors import ERRORS
from borderpost_base.memo import Remembered
from borderpost_base.names import CLUSTER_HEADER, METADATA_NAMESPACE, UNKNOWN
from borderpost_proto import common_pb2
from borderpost_proto import ext_authz_pb2 as authz
from borderpost_proto import ext_proc_pb2 as proc

_PLACEHOLDER = b"\x7e" * 32
"""Stands for a decision id (32 hex digits); `~` occurs in no id, region, fact, reason or code."""
_REMEMBERED_ANSWERS_MAX = 4096
SEND_BODY: Final = proc.ProcessingResponse(
    request_headers=proc.HeadersResponse(response=proc.CommonResponse())
).SerializeToString()
"""Answers a request's headers by nothing but leave to send its body. It names no cluster, and Envoy routes no request
whose body it was told to buffer before that is answered as well."""


class Leaf(NamedTuple):
    """A further region that Envoy may turn to, within the cluster answered."""

    region: str
    rule: str
    """The legal basis that allows it."""


@dataclass(frozen=True, slots=True)
class Route:
    """The request goes to this region's cluster, or to that of a failover group which begins with this region."""

    region: str
    cluster: str
    jurisdiction: str
    """Effective jurisdictions joined by a comma, `UNKNOWN` if none."""
    rule: str
    """The legal basis of the chosen region."""
    then: tuple[Leaf, ...] = ()
    """Where a retry of Envoy's may go, in order: the other regions of the group. Empty for a region's own cluster."""

    @property
    def regions(self) -> tuple[str, ...]:
        """Return every region that may see the request, in order."""
        return (self.region, *(leaf.region for leaf in self.then))

    @property
    def rules(self) -> str:
        """Return the legal bases of all of them, joined by commas."""
        return ",".join((self.rule, *(leaf.rule for leaf in self.then)))


@dataclass(frozen=True, slots=True)
class Refusal:
    """The request is answered by Envoy itself."""

    status: int
    """HTTP status: 400, 403, 451 or 503."""
    code: str
    """Registered error code, BP08xx or BP03xx."""
    reason: str
    """Stable identifier of the particular reason, such as `embargo` or `evidence-required:token`."""
    jurisdiction: str = UNKNOWN
    regimes: tuple[str, ...] = ()


Answer = Route | Refusal


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """What the operator may say in answers."""

    blocked_by: str
    """URI of whoever implements the blocking (RFC 7725, section 4)."""
    retry_after_s: int
    """Seconds a caller should wait after a 503."""
    facts: tuple[str, ...] = ()
    """Facts of a request that answers tell in metadata, because limits go by them: keys of `_FACTS`. Region and
    jurisdiction are always told."""


Told = tuple[tuple[str, str], ...]
"""Facts of a request by their keys, for metadata."""

_FACTS: Mapping[str, Callable[[Facts], str]] = {
    "class": lambda facts: ",".join(facts.classes) or UNKNOWN,
    "model": lambda facts: facts.model or UNKNOWN,
    "purpose": lambda facts: facts.purpose or UNKNOWN,
    "tenant": lambda facts: facts.tenant or UNKNOWN,
}


class Door(ABC):
    """One protocol's answers. `fill` gives the bytes for an answer and a decision id."""

    def __init__(self, settings: AnswerSettings) -> None:
        self._settings = settings
        self._facts = tuple(key for key in settings.facts if key in _FACTS)
        self._templates: Remembered[tuple[Answer, Told], tuple[bytes, ...]] = Remembered(_REMEMBERED_ANSWERS_MAX)
        self._unrecorded: Remembered[Refusal, bytes] = Remembered(_REMEMBERED_ANSWERS_MAX)

    def fill(self, answer: Answer, facts: Facts, decision_id: bytes) -> bytes:
        """Return the message for this answer; `decision_id` is 32 ASCII hex digits."""
        return decision_id.join(self.template(answer, facts))

    def template(self, answer: Answer, facts: Facts) -> tuple[bytes, ...]:
        """Return the message in pieces; joined by a decision id they are the message.

        `facts` are those of the request; what the settings name of them is told.
        """
        told = tuple([(key, _FACTS[key](facts)) for key in self._facts])
        pieces = self._templates.get((answer, told))
        if pieces is None:
            pieces = tuple(self._serialise(answer, told, _PLACEHOLDER.decode()).split(_PLACEHOLDER))
            if len(pieces) < 2:
                raise AssertionError("an answer without a place for the decision id")
            self._templates.put((answer, told), pieces)
        return pieces

    def unrecorded(self, refusal: Refusal) -> bytes:
        """Return the message of a refusal that has no record and so no decision id."""
        message = self._unrecorded.get(refusal)
        if message is None:
            message = self._serialise(refusal, (), None)
            self._unrecorded.put(refusal, message)
        return message

    def _serialise(self, answer: Answer, told: Told, decision: str | None) -> bytes:
        metadata = {**dict(told), **_metadata(answer, decision)}
        if isinstance(answer, Route):
            return self._route(answer, metadata)
        return self._refuse(answer, metadata, decision)

    @abstractmethod
    def _route(self, route: Route, metadata: Mapping[str, str]) -> bytes:
        """Serialise a route."""

    @abstractmethod
    def _refuse(self, refusal: Refusal, metadata: Mapping[str, str], decision: str | None) -> bytes:
        """Serialise a refusal."""

    def _refusal_headers(self, refusal: Refusal) -> dict[str, str]:
        headers = {"content-type": "application/problem+json", "cache-control": "no-store"}
        if refusal.status == 451:
            headers["link"] = f'<{self._settings.blocked_by}>; rel="blocked-by"'
        if refusal.status == 503:
            headers["retry-after"] = str(self._settings.retry_after_s)
        return headers


class ExtProcDoor(Door):
    """Answers as `ProcessingResponse` (envoy.service.ext_proc.v3)."""

    def _route(self, route: Route, metadata: Mapping[str, str]) -> bytes:
        response = proc.ProcessingResponse()
        common = self._answered(response)
        option = common.header_mutation.set_headers.add()
        option.header.key = CLUSTER_HEADER
        option.header.raw_value = route.cluster.encode()
        option.append_action = common_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        common.clear_route_cache = True
        response.dynamic_metadata.update({METADATA_NAMESPACE: metadata})
        return response.SerializeToString(deterministic=True)

    @staticmethod
    def _answered(response: proc.ProcessingResponse) -> proc.CommonResponse:
        """Return the part of a response that answers the phase in which this door decides."""
        return response.request_headers.response

    def _refuse(self, refusal: Refusal, metadata: Mapping[str, str], decision: str | None) -> bytes:
        response = proc.ProcessingResponse()
        immediate = response.immediate_response
        immediate.status.code = refusal.status
        immediate.body = _problem(refusal, decision)
        immediate.details = f"borderpost {refusal.code} {refusal.reason}"
        for key, value in self._refusal_headers(refusal).items():
            option = immediate.headers.set_headers.add()
            option.header.key = key
            option.header.raw_value = value.encode()
            option.append_action = common_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        response.dynamic_metadata.update({METADATA_NAMESPACE: metadata})
        return response.SerializeToString(deterministic=True)


class ExtProcBodyDoor(ExtProcDoor):
    """Answers as `ProcessingResponse` to the body of a request, whose headers had leave to go on."""

    @staticmethod
    def _answered(response: proc.ProcessingResponse) -> proc.CommonResponse:
        return response.request_body.response


class ExtAuthzDoor(Door):
    """Answers as `CheckResponse` (envoy.service.auth.v3)."""

    def _route(self, route: Route, metadata: Mapping[str, str]) -> bytes:
        response = authz.CheckResponse()
        response.status.code = 0
        option = response.ok_response.headers.add()
        option.header.key = CLUSTER_HEADER
        option.header.value = route.cluster
        option.append_action = common_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        response.dynamic_metadata.update(metadata)
        return response.SerializeToString(deterministic=True)

    def _refuse(self, refusal: Refusal, metadata: Mapping[str, str], decision: str | None) -> bytes:
        response = authz.CheckResponse()
        response.status.code = 7  # PERMISSION_DENIED
        denied = response.denied_response
        denied.status.code = refusal.status
        denied.body = _problem(refusal, decision).decode()
        for key, value in self._refusal_headers(refusal).items():
            option = denied.headers.add()
            option.header.key = key
            option.header.value = value
            option.append_action = common_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        response.dynamic_metadata.update(metadata)
        return response.SerializeToString(deterministic=True)


def _metadata(answer: Answer, decision: str | None) -> dict[str, str]:
    """Return what access logs and later filters may see; the same keys on both doors.

    `region` names every region that may serve the request, joined by commas: more than one for a failover group.
    """
    metadata = {"jurisdiction": answer.jurisdiction}
    if decision is not None:
        metadata["decision"] = decision
    if isinstance(answer, Route):
        metadata |= {"region": ",".join(answer.regions), "rule": answer.rule}
    else:
        metadata |= {"rule": answer.reason, "code": answer.code}
    return metadata


def _problem(refusal: Refusal, decision: str | None) -> bytes:
    """Return the problem document (RFC 9457); `type` is a URN that `borderpost help CODE` explains."""
    spec = ERRORS[refusal.code]
    problem: Mapping[str, object] = {
        "type": f"urn:borderpost:problem:{refusal.code}",
        "title": spec.title,
        "status": refusal.status,
        "detail": spec.cause,
        "code": refusal.code,
        "reason": refusal.reason,
        **({"regimes": list(refusal.regimes)} if refusal.regimes else {}),
        **({"decision": decision} if decision is not None else {}),
    }
    return orjson.dumps(problem)
