"""Envoy's messages to raw requests: the one place that knows the shape of a question.

Each door has a reader. It parses (upb), refuses what is not a question of that door, and takes out only what the
configuration reads. Facts about the two protocols in Envoy 1.40, each held by a recorded message or a
black-box test:

* ext_proc gives attributes under one constant key whatever the filter is called; `source.address` there is the
  trusted client. Header values are in `raw_value`.
* ext_authz gives as source the peer of the connection, which behind a trusted hop is the hop. So the rendered
  filter chain writes the trusted address into a header of ours, over anything a client sent. A request without
  that header has an unknown address, which the law refuses unless a verified claim resolves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from google.protobuf.message import DecodeError

from borderpost.facts import Identity, RawRequest, Stated, read_claims, read_identity
from borderpost.facts.needs import CLUSTER_ATTRIBUTE, MTLS_ATTRIBUTE, ROUTE_ATTRIBUTE, SAN_ATTRIBUTES, SOURCE_ATTRIBUTE
from borderpost.policy.schema import TokenSource
from borderpost_base.names import CLIENT_HEADER, METADATA_NAMESPACE, OBSERVE_KEY, ROUTE_KEY
from borderpost_proto import ext_authz_pb2 as authz
from borderpost_proto import ext_proc_pb2 as proc
from borderpost_wire.service import Call

_ATTRIBUTES_KEY = "envoy.filters.http.ext_proc"
_TENANT_KEY = "tenant"
"""Key of a route's tenant in route metadata under our namespace."""
_OBSERVE = OBSERVE_KEY.encode()
_REQUEST_ID, _TRACEPARENT, _CONTENT_DIGEST = "x-request-id", "traceparent", "content-digest"


class UnexpectedMessage(Exception):
    """A message that is no question of this door; its text is ASCII and holds nothing of the request."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the configuration reads of a request."""

    headers: frozenset[str]
    """Lower-case names of the headers that may change the law."""
    token: TokenSource | None
    """Where a verified token's claims stand."""


class BodyRead(NamedTuple):
    """A body that has been read."""

    stated: Stated
    """What it says."""
    field: Mapping[str, Any]
    """What its decision's record tells of it (`audit.fields`, `req.body`)."""


class Bodies(Protocol):
    """What is asked of body mode, where it is on."""

    def awaits(self, call: Call, question: Any, size_bytes: int) -> bool:
        """Return True if a question, of that size, is not to be decided yet: the call has been told what to do."""
        ...

    def read(self, question: Any) -> BodyRead | None:
        """Return what the body says of a question that is decided now; None where headers alone decide."""
        ...

    def reads(self, question: Any) -> bool:
        """Return True for a request with a body that would be read, were it asked for."""
        ...

    def take(self, call: Call, message: bytes) -> tuple[Any, BodyRead]:
        """Return the question of a call that was awaited, and its body. Raises UnexpectedMessage."""
        ...


class RequestReader(Protocol):
    """One door's way of reading."""

    def parse(self, message: bytes) -> Any:
        """Return the parsed question. Raises UnexpectedMessage."""
        ...

    def observes(self, question: Any, message: bytes) -> bool:
        """Return True where Envoy only tells us of a request, and goes its own way whatever we answer.

        `message` is the question as it came.
        """
        ...

    def route(self, question: Any) -> str | None:
        """Return the name of Envoy's route; None where it tells none."""
        ...

    def cluster(self, question: Any) -> str | None:
        """Return the cluster to which Envoy's route leads without us; None where it tells none."""
        ...

    def read(self, question: Any, reading: Reading) -> tuple[RawRequest, Identity]:
        """Return what may change the law, and what joins the record to other logs."""
        ...


class ProcessReader:
    """Reads `ProcessingRequest` (envoy.service.ext_proc.v3)."""

    def parse(self, message: bytes) -> proc.ProcessingRequest:
        """Parse the question; only the request-headers phase is one."""
        try:
            question = proc.ProcessingRequest.FromString(message)
        except DecodeError as error:
            raise UnexpectedMessage("not a ProcessingRequest") from error
        phase = question.WhichOneof("request")
        if phase != "request_headers":
            raise UnexpectedMessage(f"unexpected phase: {phase or 'none'}; only request_headers is answered")
        return question

    @staticmethod
    def observes(question: proc.ProcessingRequest, _message: bytes) -> bool:
        """Return True for `observability_mode`: Envoy does not wait for an answer, and takes none."""
        return question.observability_mode

    @staticmethod
    def cluster(question: proc.ProcessingRequest) -> str | None:
        """Return the cluster of a route that has one of its own."""
        return text_of(_attributes(question), CLUSTER_ATTRIBUTE)

    @staticmethod
    def parse_body(message: bytes) -> bytes:
        """Return the body of a question that was told to send it. Raises UnexpectedMessage."""
        try:
            question = proc.ProcessingRequest.FromString(message)
        except DecodeError as error:
            raise UnexpectedMessage("not a ProcessingRequest") from error
        phase = question.WhichOneof("request")
        if phase != "request_body":
            raise UnexpectedMessage(f"unexpected phase: {phase or 'none'}; request_body was asked for")
        return question.request_body.body

    @staticmethod
    def route(question: proc.ProcessingRequest) -> str | None:
        """Return the name of Envoy's route; None where it has none."""
        return text_of(_attributes(question), ROUTE_ATTRIBUTE)

    @staticmethod
    def headers(question: proc.ProcessingRequest) -> list[tuple[str, bytes]]:
        """Return every header that Envoy forwarded, duplicates kept."""
        return [(h.key, h.raw_value or h.value.encode()) for h in question.request_headers.headers.headers]

    def read(self, question: proc.ProcessingRequest, reading: Reading) -> tuple[RawRequest, Identity]:
        """Take out what is read."""
        headers, identity = _headers(self.headers(question), reading)
        fields = _attributes(question)
        claims = read_claims(question.metadata_context.filter_metadata, reading.token)
        raw = RawRequest(
            address=text_of(fields, SOURCE_ATTRIBUTE) or "",
            headers=headers,
            residency_claim=claims.residency,
            tenant_claim=claims.tenant,
            issuer=claims.issuer,
            sans=_sans(fields),
            route=text_of(fields, ROUTE_ATTRIBUTE),
        )
        return raw, identity


class CheckReader:
    """Reads `CheckRequest` (envoy.service.auth.v3)."""

    def parse(self, message: bytes) -> authz.CheckRequest:
        """Parse the question; one without an HTTP request is none."""
        try:
            question = authz.CheckRequest.FromString(message)
        except DecodeError as error:
            raise UnexpectedMessage("not a CheckRequest") from error
        if not question.attributes.request.HasField("http"):
            raise UnexpectedMessage("a CheckRequest without an HTTP request")
        return question

    @classmethod
    def observes(cls, question: authz.CheckRequest, message: bytes) -> bool:
        """Return True where the route's metadata says so; the message itself has no word for it."""
        if _OBSERVE not in message:
            return False  # to look for it in the fields costs ten times as much, and hardly any question has it
        fields = cls.route_fields(question)
        return OBSERVE_KEY in fields and fields[OBSERVE_KEY].bool_value

    @classmethod
    def route(cls, question: authz.CheckRequest) -> str | None:
        """Return the name of Envoy's route, by its metadata; None where they tell none."""
        return text_of(cls.route_fields(question), ROUTE_KEY)

    @staticmethod
    def cluster(_question: authz.CheckRequest) -> str | None:
        """Return None: Envoy does not tell it over ext_authz."""
        return None

    @staticmethod
    def route_fields(question: authz.CheckRequest) -> Any:
        """Return the fields of the route's metadata under our namespace."""
        metadata = question.attributes.route_metadata_context.filter_metadata
        return metadata[METADATA_NAMESPACE].fields if METADATA_NAMESPACE in metadata else {}

    @staticmethod
    def headers(question: authz.CheckRequest) -> list[tuple[str, bytes]]:
        """Return every header that Envoy sent, duplicates kept where it sent them apart."""
        http = question.attributes.request.http
        if http.header_map.headers:
            return [(h.key, h.raw_value or h.value.encode()) for h in http.header_map.headers]
        return [(key, value.encode()) for key, value in http.headers.items()]

    def read(self, question: authz.CheckRequest, reading: Reading) -> tuple[RawRequest, Identity]:
        """Take out what is read."""
        attributes = question.attributes
        found = self.headers(question)
        headers, identity = _headers(found, reading)
        addresses = {value for key, value in found if key == CLIENT_HEADER}
        address = addresses.pop().decode("ascii", "replace") if len(addresses) == 1 else ""
        fields = self.route_fields(question)
        claims = read_claims(attributes.metadata_context.filter_metadata, reading.token)
        raw = RawRequest(
            # An IPv6 address stands here without port or brackets; facts take it either way.
            address=address,
            headers=headers,
            residency_claim=claims.residency,
            tenant_claim=claims.tenant,
            issuer=claims.issuer,
            sans=(attributes.source.principal,) if attributes.source.principal else (),
            route=text_of(fields, ROUTE_KEY),
            route_tenant=text_of(fields, _TENANT_KEY),
        )
        return raw, identity


def _headers(found: Iterable[tuple[str, bytes]], reading: Reading) -> tuple[tuple[tuple[str, bytes], ...], Identity]:
    """Return the headers that may change the law, duplicates kept, and what identifies the request."""
    kept: list[tuple[str, bytes]] = []
    request_ids: list[bytes] = []
    traceparents: list[bytes] = []
    digests: list[bytes] = []
    for key, value in found:
        if key in reading.headers:
            kept.append((key, value))
        elif key == _REQUEST_ID:
            request_ids.append(value)
        elif key == _TRACEPARENT:
            traceparents.append(value)
        elif key == _CONTENT_DIGEST:
            digests.append(value)
    return tuple(kept), read_identity(request_ids, traceparents, digests)


def _attributes(question: proc.ProcessingRequest) -> Any:
    """Return the fields of the attributes that Envoy sent."""
    return question.attributes[_ATTRIBUTES_KEY].fields if _ATTRIBUTES_KEY in question.attributes else {}


def text_of(fields: Any, name: str) -> str | None:
    """Return a Struct field's text; None where it is absent, empty or no text."""
    return fields[name].string_value or None if name in fields else None


def _sans(fields: Any) -> tuple[str, ...]:
    """Return the SANs of a certificate that Envoy verified; without mutual TLS they say nothing."""
    if MTLS_ATTRIBUTE not in fields or not fields[MTLS_ATTRIBUTE].bool_value:
        return ()
    return tuple(text for name in SAN_ATTRIBUTES if (text := text_of(fields, name)))
