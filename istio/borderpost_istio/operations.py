"""What keeps the gateway's pods: what they log, where they may connect to, and how many may go at once."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from borderpost.config.istio import EgressSpec
from borderpost_base.errors import BorderpostError, Place
from borderpost_envoy import HostPort
from borderpost_istio.kinds import KubeObject, Metadata
from borderpost_istio.kinds.kubernetes import (
    EgressRule,
    IpBlock,
    NetworkPolicy,
    NetworkPolicySpec,
    Peer,
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    PolicyPort,
)
from borderpost_istio.kinds.model import LabelSelector, WorkloadSelector
from borderpost_istio.kinds.telemetry import AccessLogging, Telemetry, TelemetrySpec
from borderpost_istio.names import PREFIX, object_name
from borderpost_istio.plan import IstioPlan, MeshRegion
from borderpost_istio.services import endpoint
from borderpost_istio.sizes import in_parts

_NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""Label that Kubernetes puts on every namespace (since 1.22)."""
_ISTIOD_PORTS = (15012,)
"""istiod's port for proxies, by mTLS: configuration and certificates."""
_DNS_PORT = 53


def operation_objects(plan: IstioPlan) -> list[KubeObject]:
    """Return Telemetry, NetworkPolicy and PodDisruptionBudget; the former two where they are wanted.

    Raises BorderpostError BP1407 for a region whose addresses the NetworkPolicy would need and nobody knows.
    """
    return [*_telemetry(plan), *_network(plan), _disruption(plan)]


def _telemetry(plan: IstioPlan) -> Iterator[Telemetry]:
    if not plan.whole_gateway or plan.access_log is None:
        return
    yield Telemetry(
        metadata=Metadata(name=PREFIX, namespace=plan.namespace),
        spec=TelemetrySpec(
            selector=WorkloadSelector(match_labels=dict(plan.workload)),
            access_logging=(AccessLogging(disabled=True),),
        ),
    )


def _disruption(plan: IstioPlan) -> PodDisruptionBudget:
    return PodDisruptionBudget(
        metadata=Metadata(name=PREFIX, namespace=plan.namespace),
        spec=PodDisruptionBudgetSpec(
            max_unavailable=plan.unavailable_max, selector=LabelSelector(match_labels=dict(plan.workload))
        ),
    )


def _network(plan: IstioPlan) -> Iterator[NetworkPolicy]:
    if plan.egress is None:
        return
    rules = [*_platform(plan.egress), *(_to_region(region) for region in plan.regions), *_others(plan)]
    for number, part in enumerate(in_parts(rules), 1):  # what several policies allow adds up
        yield NetworkPolicy(
            metadata=Metadata(name=PREFIX if number == 1 else object_name(str(number)), namespace=plan.namespace),
            spec=NetworkPolicySpec(
                pod_selector=LabelSelector(match_labels=dict(plan.workload)), policy_types=("Egress",), egress=part
            ),
        )


def _platform(egress: EgressSpec) -> Iterator[EgressRule]:
    yield EgressRule(
        to=(_namespace(egress.dns_namespace),),
        ports=(PolicyPort(protocol="UDP", port=_DNS_PORT), PolicyPort(protocol="TCP", port=_DNS_PORT)),
    )
    yield EgressRule(to=(_namespace(egress.control_plane),), ports=_tcp(*_ISTIOD_PORTS))


def _to_region(region: MeshRegion) -> EgressRule:
    spec = region.spec
    places = [endpoint(text, spec.port) for text in spec.endpoints]
    named = [place for place in places if not place.is_address]
    if spec.pods is not None and spec.service_namespace is not None:
        peer = Peer(
            namespace_selector=LabelSelector(match_labels={_NAMESPACE_LABEL: spec.service_namespace}),
            pod_selector=LabelSelector(match_labels=dict(spec.pods)),
        )
        return EgressRule(to=(peer,), ports=_tcp(spec.pod_port or spec.port))
    if not spec.networks and (named or not places):
        raise BorderpostError(
            "BP1407",
            f"region `{region.region}` is reached as `{named[0].host if named else spec.host}`",
            place=Place(key=f"istio.regions.{region.region}"),
        )
    blocks = (*spec.networks, *(_single(place) for place in places if place.is_address))
    ports = dict.fromkeys((spec.pod_port or spec.port,) if not places else (place.port for place in places))
    return EgressRule(
        to=tuple(Peer(ip_block=IpBlock(cidr=block)) for block in dict.fromkeys(blocks)), ports=_tcp(*ports)
    )


def _others(plan: IstioPlan) -> Iterator[EgressRule]:
    for place in plan.egress.also if plan.egress is not None else ():
        ports = tuple(PolicyPort(protocol=place.protocol, port=port) for port in place.ports)
        yield EgressRule(to=(Peer(ip_block=IpBlock(cidr=place.network)),), ports=ports)


def _namespace(name: str) -> Peer:
    return Peer(namespace_selector=LabelSelector(match_labels={_NAMESPACE_LABEL: name}))


def _single(place: HostPort) -> str:
    return str(ipaddress.ip_network(place.host))


def _tcp(*ports: int) -> tuple[PolicyPort, ...]:
    return tuple(PolicyPort(protocol="TCP", port=port) for port in ports)
