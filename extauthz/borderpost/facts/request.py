"""What is taken out of Envoy's message, before anything is believed: the raw values, and who is asking.

A request has two parts. What may change the law is a `RawRequest`, hashable, so that facts are worked out once for
all requests that are alike. What only joins our record to other logs is an `Identity`, new for each request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from google.protobuf.struct_pb2 import Struct

from borderpost.policy.schema import TokenSource
from borderpost_base import limits

MALFORMED_CLAIM: Final = ""
"""Stands for a claim that is there and is no text; no claim that holds is empty."""
ISSUER_CLAIM: Final = "iss"
"""RFC 7519, section 4.1.1."""

_CONTENT_DIGEST = re.compile(
    rb"[a-z0-9-]{1,32}=:[A-Za-z0-9+/]{1,128}={0,2}:(, ?[a-z0-9-]{1,32}=:[A-Za-z0-9+/]{1,128}={0,2}:)*"
)
_REQUEST_ID = re.compile(rb"[\x21-\x7e]+")
_TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class Stated(NamedTuple):
    """What the body of a request says, where bodies are read. Nothing of the body itself."""

    model: str | None = None
    """The model that it names."""
    declared: tuple[str, ...] = ()
    """Data classes that it names, sorted."""
    brought: tuple[str, ...] = ()
    """Data classes that its content brings, sorted: by detectors, or because its form is not read."""
    strictest: bool = False
    """What holds where a header says another model or other classes: the strictest of both, or a refusal."""
    refusal: tuple[int, str, str] | None = None
    """HTTP status, error code and reason where the request ends with its body."""


class RawRequest(NamedTuple):
    """Everything of a request that may change the law, as Envoy sent it."""

    address: str
    """`source.address`: the client as Envoy trusts it, with or without a port (`192.0.2.1:0`, `[2001:db8::1]:443`)."""
    headers: tuple[tuple[str, bytes], ...] = ()
    """(lower-case name, value) of the headers in `Extractor.headers`, duplicates kept, in Envoy's order."""
    residency_claim: str | None = None
    """The verified token's residency claim (`read_claims`); None without one."""
    tenant_claim: str | None = None
    """The verified token's tenant claim (`read_claims`); None without one."""
    issuer: str | None = None
    """Who issued the verified token (`read_claims`); None without a token, or where every issuer is believed."""
    sans: tuple[str, ...] = ()
    """URI and DNS SANs of a client certificate that Envoy has verified; empty without mTLS."""
    route: str | None = None
    """Name of Envoy's route, by `xds.route_name` or route metadata."""
    route_tenant: str | None = None
    """Tenant that the route's own metadata name; configuration, so verified."""
    body: Stated | None = None
    """What its body says; None where bodies are not read."""


class Claims(NamedTuple):
    """What a verified token says: None where absent, `MALFORMED_CLAIM` where it is no text."""

    residency: str | None = None
    tenant: str | None = None
    issuer: str | None = None
    """Read only where some issuers are believed and others not; a token without one has a malformed one."""


class Identity(NamedTuple):
    """What joins a record to other logs; never a reason for a decision."""

    request_id: str | None
    """`x-request-id`, at most 128 bytes of visible ASCII."""
    trace_id: str | None
    """32 hex digits of `traceparent` (W3C Trace Context, section 3.2)."""
    dropped: tuple[str, ...] = ()
    """Names of the headers that were there and did not fit; they are left out of the record, not refused."""
    digest: str | None = None
    """`content-digest` as the client sent it (RFC 9530), at most 256 bytes: its word on the body, held against that
    only where bodies are read."""


def client_host(address: str) -> str:
    """Return the address without its port: of `1.2.3.4:80`, `[::1]:80`, or an address that has none.

    Anything may come back for text that is no address (a pipe's path, say); it is not validated here.
    """
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def read_identity(
    request_ids: Sequence[bytes], traceparents: Sequence[bytes], digests: Sequence[bytes] = ()
) -> Identity:
    """Return what these headers give; one sent twice gives nothing."""
    dropped: list[str] = []
    request_id = trace_id = None
    if request_ids:
        value = request_ids[0]
        if len(request_ids) == 1 and len(value) <= limits.REQUEST_ID_BYTES_MAX and _REQUEST_ID.fullmatch(value):
            request_id = value.decode("ascii")
        else:
            dropped.append("x-request-id")
    if traceparents:
        value = traceparents[0]
        bounded = len(traceparents) == 1 and len(value) <= limits.HEADER_VALUE_BYTES_MAX
        found = _TRACEPARENT.fullmatch(value) if bounded else None
        if found is not None and (found[3] is None or found[1] != b"00"):  # version 00 has no further fields
            trace_id = found[2].decode("ascii")
        else:
            dropped.append("traceparent")
    digest = None
    if digests:
        value = digests[0]
        bounded = len(digests) == 1 and len(value) <= limits.CONTENT_DIGEST_BYTES_MAX
        if bounded and _CONTENT_DIGEST.fullmatch(value):
            digest = value.decode("ascii")
        else:
            dropped.append("content-digest")
    return Identity(request_id, trace_id, tuple(dropped), digest)


def read_claims(filter_metadata: Mapping[str, Struct], token: TokenSource | None) -> Claims:
    """Return what a verified token claims; nothing without one.

    Only Envoy's `jwt_authn` writes that namespace, and only after the signature, issuer and times hold.
    """
    if token is None or token.namespace not in filter_metadata:
        return Claims()
    fields = filter_metadata[token.namespace].fields
    if token.payload_key not in fields:
        return Claims()
    payload = fields[token.payload_key]
    issuer = MALFORMED_CLAIM if token.issuers else None
    if payload.WhichOneof("kind") != "struct_value":
        return Claims(MALFORMED_CLAIM, MALFORMED_CLAIM, issuer)
    claims = payload.struct_value.fields
    if token.issuers:
        issuer = _claim(claims, ISSUER_CLAIM) or MALFORMED_CLAIM
    return Claims(_claim(claims, token.residency_claim), _claim(claims, token.tenant_claim), issuer)


def _claim(claims: Mapping[str, object], name: str) -> str | None:
    if name not in claims:
        return None
    value = claims[name]
    # string_value is empty for every other kind of value
    text: str = getattr(value, "string_value", MALFORMED_CLAIM)
    return text
