"""Backends: one a region, so that a rule of the allow-list is one region, and Borderpost's own workers."""

from __future__ import annotations

from collections.abc import Iterator

from borderpost_envoy import HostPort, RegionCluster, UnixSocket, UpstreamTls
from borderpost_envoy.clusters import OPEN_AT_ONCE_MAX
from borderpost_istio.envoy_gateway.plan import EnvoyGatewayPlan
from borderpost_istio.kinds import KubeObject, Metadata
from borderpost_istio.kinds.envoy_gateway import (
    GROUP,
    Backend,
    BackendEndpoint,
    BackendSpec,
    BackendTls,
    CircuitBreaker,
    ClientCertificate,
    IpEndpoint,
    NamedEndpoint,
    SocketPath,
)
from borderpost_istio.kinds.gateway_api import (
    BackendTLSPolicy,
    BackendTLSPolicySpec,
    BackendValidation,
    LocalReference,
)
from borderpost_istio.names import object_name

BREAKERS = CircuitBreaker(
    max_connections=OPEN_AT_ONCE_MAX,
    max_pending_requests=OPEN_AT_ONCE_MAX,
    max_parallel_requests=OPEN_AT_ONCE_MAX,
    max_parallel_retries=OPEN_AT_ONCE_MAX,
)
"""Envoy's own defaults, 1024 requests and three retries at a time, would refuse bursts."""


def backend_name(region: RegionCluster) -> str:
    """Return the name of a region's backend."""
    return object_name("region", region.region)


def fallback_name(region: RegionCluster) -> str:
    """Return the name of a region's backend where it comes second in a failover group."""
    return object_name("fallback", region.region)


def server_name(index: int) -> str:
    """Return the name of a worker's backend."""
    return object_name("worker", str(index))


def backend_objects(plan: EnvoyGatewayPlan) -> Iterator[tuple[KubeObject, str]]:
    """Yield the backends, and how TLS is spoken to them."""
    yield from _servers(plan)
    second = {region for group in plan.failover for region in group.regions[1:]}
    for region in plan.regions:
        yield from _region(plan, region, backend_name(region), fallback=None)
        if region.region in second:
            yield from _region(plan, region, fallback_name(region), fallback=True)


def _servers(plan: EnvoyGatewayPlan) -> Iterator[tuple[KubeObject, str]]:
    trust = plan.trust
    tls = BackendTls(client_certificate_ref=ClientCertificate(name=trust.client_secret)) if trust is not None else None
    for index, server in enumerate(plan.servers):
        spec = BackendSpec(endpoints=(_endpoint(server),), app_protocols=("gateway.envoyproxy.io/h2c",), tls=tls)
        if tls is not None:
            spec = spec.model_copy(update={"app_protocols": None})
        yield Backend(metadata=_meta(plan, server_name(index)), spec=spec), "A worker of Borderpost, over HTTP/2."
    if trust is not None:
        authority = LocalReference(group="", kind="ConfigMap", name=trust.ca_config_map)
        validation = BackendValidation(ca_certificate_refs=(authority,), hostname=trust.hostname)
        names = tuple(server_name(index) for index in range(len(plan.servers)))
        yield _policy(plan, object_name("workers"), names, validation), "Nobody else can answer in Borderpost's place."


def _region(
    plan: EnvoyGatewayPlan, region: RegionCluster, name: str, *, fallback: bool | None
) -> Iterator[tuple[KubeObject, str]]:
    endpoints = tuple(_endpoint(each) for each in region.endpoints)
    why = f"Region {region.region}, and nothing else: whatever is balanced or retried here stays in it."
    if fallback:
        why = f"Region {region.region} again, as the second of a failover group."
    yield Backend(metadata=_meta(plan, name), spec=BackendSpec(endpoints=endpoints, fallback=fallback)), why
    if region.tls is not None:
        yield _policy(plan, name, (name,), _validation(region.tls)), "The region must prove its name."


def _validation(tls: UpstreamTls) -> BackendValidation:
    return BackendValidation(well_known_ca_certificates="System", hostname=tls.sni)


def _policy(
    plan: EnvoyGatewayPlan, name: str, backends: tuple[str, ...], validation: BackendValidation
) -> BackendTLSPolicy:
    targets = tuple(LocalReference(group=GROUP, kind="Backend", name=each) for each in backends)
    return BackendTLSPolicy(
        metadata=_meta(plan, name), spec=BackendTLSPolicySpec(target_refs=targets, validation=validation)
    )


def _endpoint(where: UnixSocket | HostPort) -> BackendEndpoint:
    if isinstance(where, UnixSocket):
        return BackendEndpoint(unix=SocketPath(path=where.path))
    if where.is_address:
        return BackendEndpoint(ip=IpEndpoint(address=where.host, port=where.port))
    return BackendEndpoint(fqdn=NamedEndpoint(hostname=where.host, port=where.port))


def _meta(plan: EnvoyGatewayPlan, name: str) -> Metadata:
    return Metadata(name=name, namespace=plan.namespace)
