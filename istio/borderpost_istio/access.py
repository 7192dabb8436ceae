"""Who may ask for what: tokens that are verified, requests that are denied outright, and who may call the regions."""

from __future__ import annotations

from collections.abc import Iterator

from borderpost_istio.kinds import KubeObject, Metadata
from borderpost_istio.kinds.model import WorkloadSelector
from borderpost_istio.kinds.security import (
    AuthorizationPolicy,
    AuthorizationPolicySpec,
    From,
    JwtRule,
    MutualTls,
    OperationMatch,
    PeerAuthentication,
    PeerAuthenticationSpec,
    RequestAuthentication,
    RequestAuthenticationSpec,
    Rule,
    SourceMatch,
    To,
)
from borderpost_istio.names import PREFIX, object_name
from borderpost_istio.plan import IstioPlan, MeshRegion
from borderpost_istio.sizes import in_parts

_METHODS_DENIED = ("CONNECT", "TRACE")
"""A tunnel has no requests that could be decided; TRACE would echo what the gateway added."""


def access_objects(plan: IstioPlan) -> list[KubeObject]:
    """Return the objects of `security.istio.io`, the gateway's first."""
    return [*_tokens(plan), *_denied(plan), _peers(plan), *_regions_guarded(plan)]


def _gateway(plan: IstioPlan) -> WorkloadSelector:
    return WorkloadSelector(match_labels=dict(plan.workload))


def _tokens(plan: IstioPlan) -> Iterator[RequestAuthentication]:
    if not plan.tokens:
        return
    rules = tuple(
        JwtRule(
            issuer=each.issuer,
            audiences=each.audiences or None,
            jwks_uri=each.jwks_uri,
            forward_original_token=True,
        )
        for each in plan.tokens
    )
    yield RequestAuthentication(
        metadata=Metadata(name=PREFIX, namespace=plan.namespace),
        spec=RequestAuthenticationSpec(selector=_gateway(plan), jwt_rules=rules),
    )


def _denied(plan: IstioPlan) -> Iterator[AuthorizationPolicy]:
    """Yield what is denied before anybody is asked: methods without a request to decide, and paths of no route."""
    if not plan.ports:
        return  # without ports the policy would deny TCP as a whole
    ports = tuple(map(str, plan.ports))
    paths = tuple(f"{one.prefix}*" for one in plan.routes)
    open_paths = any(one.prefix == "/" for one in plan.routes)
    hosts_of = [None] if plan.whole_gateway else in_parts(plan.hosts, copies=4)
    for number, part in enumerate(hosts_of, 1):
        hosts = tuple(spelt for host in part for spelt in (host, f"{host}:*")) if part is not None else None
        operations = [OperationMatch(hosts=hosts, ports=ports, methods=_METHODS_DENIED)]
        if not open_paths:
            operations.append(OperationMatch(hosts=hosts, ports=ports, not_paths=paths))
        name = object_name("denied", *([str(number)] if len(hosts_of) > 1 else []))
        yield AuthorizationPolicy(
            metadata=Metadata(name=name, namespace=plan.namespace),
            spec=AuthorizationPolicySpec(
                selector=_gateway(plan),
                action="DENY",
                rules=(Rule(to=tuple(To(operation=each) for each in operations)),),
            ),
        )


def _peers(plan: IstioPlan) -> PeerAuthentication:
    return PeerAuthentication(
        metadata=Metadata(name=PREFIX, namespace=plan.namespace),
        spec=PeerAuthenticationSpec(selector=_gateway(plan), mtls=MutualTls(mode="STRICT")),
    )


def _regions_guarded(plan: IstioPlan) -> Iterator[KubeObject]:
    """Yield what keeps callers from going round the gateway, for each region whose pods are in this cluster."""
    for region in plan.regions:
        namespace = region.spec.service_namespace
        if region.spec.pods is None or namespace is None:
            continue
        metadata = Metadata(name=object_name("region", region.region), namespace=namespace)
        selector = WorkloadSelector(match_labels=dict(region.spec.pods))
        yield PeerAuthentication(
            metadata=metadata, spec=PeerAuthenticationSpec(selector=selector, mtls=MutualTls(mode="STRICT"))
        )
        if plan.service_account is not None:
            yield _only_the_gateway(plan, region, metadata, selector)


def _only_the_gateway(
    plan: IstioPlan, region: MeshRegion, metadata: Metadata, selector: WorkloadSelector
) -> AuthorizationPolicy:
    principal = f"{plan.trust_domain}/ns/{plan.namespace}/sa/{plan.service_account}"
    port = str(region.spec.pod_port or region.spec.port)
    rule = Rule(
        from_=(From(source=SourceMatch(principals=(principal,))),), to=(To(operation=OperationMatch(ports=(port,))),)
    )
    return AuthorizationPolicy(
        metadata=metadata, spec=AuthorizationPolicySpec(selector=selector, action="ALLOW", rules=(rule,))
    )
