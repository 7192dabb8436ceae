"""Istio's `security.istio.io`: who may do what, and which tokens are verified.

Only the fields that are used here. Source: istio.io/api 1.29, `security/v1beta1` and `type/v1beta1`.
"""

from __future__ import annotations

from typing import Literal

from borderpost_istio.kinds.model import KubeModel, KubeObject, WorkloadSelector


class MutualTls(KubeModel):
    """Whether callers must bring a certificate of the mesh."""

    mode: Literal["STRICT", "PERMISSIVE", "DISABLE", "UNSET"]


class PeerAuthenticationSpec(KubeModel):
    """Whether callers must bring a certificate of the mesh."""

    selector: WorkloadSelector | None = None
    mtls: MutualTls


class PeerAuthentication(KubeObject):
    """Whether callers must bring a certificate of the mesh."""

    api_version: Literal["security.istio.io/v1"] = "security.istio.io/v1"
    kind: Literal["PeerAuthentication"] = "PeerAuthentication"
    spec: PeerAuthenticationSpec


class SourceMatch(KubeModel):
    """Who calls, by the identity in the certificate: `cluster.local/ns/NAMESPACE/sa/ACCOUNT`."""

    principals: tuple[str, ...] | None = None


class From(KubeModel):
    """One kind of caller."""

    source: SourceMatch


class OperationMatch(KubeModel):
    """What is asked for. Lists are alternatives, fields are conditions that hold together."""

    hosts: tuple[str, ...] | None = None
    ports: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None
    paths: tuple[str, ...] | None = None
    not_paths: tuple[str, ...] | None = None


class To(KubeModel):
    """One kind of request."""

    operation: OperationMatch


class Condition(KubeModel):
    """A condition on an attribute, such as `request.headers[upgrade]`."""

    key: str
    values: tuple[str, ...] | None = None
    not_values: tuple[str, ...] | None = None


class Rule(KubeModel):
    """A rule fits if all its parts do; an empty rule fits everything."""

    from_: tuple[From, ...] | None = None
    to: tuple[To, ...] | None = None
    when: tuple[Condition, ...] | None = None


class Provider(KubeModel):
    """An extension provider of the mesh configuration, by its name."""

    name: str


class AuthorizationPolicySpec(KubeModel):
    """What is allowed, denied, or asked of a provider."""

    selector: WorkloadSelector | None = None
    action: Literal["ALLOW", "DENY", "CUSTOM", "AUDIT"]
    provider: Provider | None = None
    rules: tuple[Rule, ...]


class AuthorizationPolicy(KubeObject):
    """What is allowed, denied, or asked of a provider."""

    api_version: Literal["security.istio.io/v1"] = "security.istio.io/v1"
    kind: Literal["AuthorizationPolicy"] = "AuthorizationPolicy"
    spec: AuthorizationPolicySpec


class JwtRule(KubeModel):
    """An issuer whose tokens are verified."""

    issuer: str
    audiences: tuple[str, ...] | None = None
    jwks_uri: str | None = None
    jwks: str | None = None
    forward_original_token: bool | None = None


class RequestAuthenticationSpec(KubeModel):
    """Which tokens are verified. One that does not verify is 401; none at all goes on without evidence."""

    selector: WorkloadSelector | None = None
    jwt_rules: tuple[JwtRule, ...]


class RequestAuthentication(KubeObject):
    """Which tokens are verified."""

    api_version: Literal["security.istio.io/v1"] = "security.istio.io/v1"
    kind: Literal["RequestAuthentication"] = "RequestAuthentication"
    spec: RequestAuthenticationSpec
