"""The Gateway API, `gateway.networking.k8s.io/v1`: routes, and TLS towards backends.

Only the fields that are used here. Source: Gateway API 1.4, `apis/v1`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from borderpost_istio.kinds.model import KubeModel, KubeObject, ObjectName

GATEWAY_API_GROUP = "gateway.networking.k8s.io"
ROUTE_RULES_MAX = 16
"""Rules of an HTTPRoute (`HTTPRouteSpec.rules`, maxItems)."""
RULE_MATCHES_MAX = 64
"""Matches of a rule (`HTTPRouteRule.matches`, maxItems)."""
ROUTE_MATCHES_MAX = 128
"""Matches of all rules of an HTTPRoute together (validation of `HTTPRouteSpec.rules`)."""
ROUTE_HOSTS_MAX = 16
"""Host names of an HTTPRoute (`HTTPRouteSpec.hostnames`, maxItems)."""


class ParentReference(KubeModel):
    """The Gateway that a route belongs to, and of its listeners one, if not all."""

    name: ObjectName
    section_name: str | None = None


class PathMatch(KubeModel):
    """The start of a path, by whole segments."""

    type: Literal["PathPrefix"] = "PathPrefix"
    value: str


class HeaderMatch(KubeModel):
    """A header with exactly one value."""

    type: Literal["Exact"] = "Exact"
    name: str
    value: str


class RouteMatch(KubeModel):
    """What a request must have: all of it."""

    path: PathMatch
    headers: tuple[HeaderMatch, ...] | None = None


class HeaderValue(KubeModel):
    """A header to set."""

    name: str
    value: str


class HeaderModifier(KubeModel):
    """Headers that are set or taken away."""

    set: tuple[HeaderValue, ...] | None = None
    remove: tuple[str, ...] | None = None


class LocalReference(KubeModel):
    """An object of the same namespace."""

    group: str
    kind: str
    name: ObjectName


class RouteFilter(KubeModel):
    """One thing that is done to a request or its response: the field of its type is set."""

    type: Literal["RequestHeaderModifier", "ResponseHeaderModifier", "ExtensionRef"]
    request_header_modifier: HeaderModifier | None = None
    response_header_modifier: HeaderModifier | None = None
    extension_ref: LocalReference | None = None


class RouteRule(KubeModel):
    """Requests that fit one of the matches, and where they go."""

    name: str
    matches: Annotated[tuple[RouteMatch, ...], Field(min_length=1, max_length=RULE_MATCHES_MAX)]
    filters: tuple[RouteFilter, ...] | None = None
    backend_refs: tuple[LocalReference, ...] | None = None


class HTTPRouteSpec(KubeModel):
    """Rules of one or more hosts."""

    parent_refs: tuple[ParentReference, ...]
    hostnames: Annotated[tuple[str, ...], Field(max_length=ROUTE_HOSTS_MAX)] | None = None
    rules: Annotated[tuple[RouteRule, ...], Field(min_length=1, max_length=ROUTE_RULES_MAX)]


class HTTPRoute(KubeObject):
    """Routes of a Gateway."""

    api_version: Literal["gateway.networking.k8s.io/v1"] = "gateway.networking.k8s.io/v1"
    kind: Literal["HTTPRoute"] = "HTTPRoute"
    spec: HTTPRouteSpec


class BackendValidation(KubeModel):
    """By which authorities a backend's certificate must hold, and for which name."""

    well_known_ca_certificates: Literal["System"] | None = Field(default=None, alias="wellKnownCACertificates")
    ca_certificate_refs: tuple[LocalReference, ...] | None = None
    hostname: str


class BackendTLSPolicySpec(KubeModel):
    """TLS towards some backends."""

    target_refs: tuple[LocalReference, ...]
    validation: BackendValidation


class BackendTLSPolicy(KubeObject):
    """TLS that the gateway speaks to backends."""

    api_version: Literal["gateway.networking.k8s.io/v1"] = "gateway.networking.k8s.io/v1"
    kind: Literal["BackendTLSPolicy"] = "BackendTLSPolicy"
    spec: BackendTLSPolicySpec


def duration(milliseconds: int) -> str:
    """Return a duration as the Gateway API writes it: at most five digits of a unit (GEP-2257)."""
    if milliseconds % 1000:
        return f"{milliseconds // 1000}s{milliseconds % 1000}ms" if milliseconds > 1000 else f"{milliseconds}ms"
    return f"{milliseconds // 1000}s"
