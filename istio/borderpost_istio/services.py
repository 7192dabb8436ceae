"""How the regions are reached: a ServiceEntry for those outside the mesh, a DestinationRule for each host."""

from __future__ import annotations

from borderpost.config.istio_regions import IstioRegion, RegionTls
from borderpost.config.mesh_fields import split_endpoint
from borderpost_envoy import HostPort
from borderpost_envoy.clusters import OPEN_AT_ONCE_MAX
from borderpost_istio.kinds import Metadata
from borderpost_istio.kinds.networking import (
    ClientTls,
    ConnectionPool,
    DestinationRule,
    DestinationRuleSpec,
    HttpPool,
    LoadBalancing,
    LocalityLoadBalancing,
    ServiceEntry,
    ServiceEntrySpec,
    ServicePort,
    Subset,
    TrafficPolicy,
    WorkloadEndpoint,
)
from borderpost_istio.names import object_name
from borderpost_istio.plan import IstioPlan, MeshRegion

_HERE = (".",)
"""Visible in the gateway's namespace alone: to the rest of the mesh a region is no service to call."""
_PORT_NAME = "http"
_SYSTEM = "system"
"""Istio's word for the authorities of the proxy's image; without it `istioctl analyze` takes nobody to be checked."""


def service_entries(plan: IstioPlan) -> list[ServiceEntry]:
    """Return the services that the mesh does not have, one a region, in the plan's order."""
    return [_service_entry(plan, region) for region in plan.regions if not region.spec.in_mesh]


def destination_rules(plan: IstioPlan) -> list[DestinationRule]:
    """Return what holds for connections to each host; where a host is several regions, each is a subset."""
    by_host: dict[str, list[MeshRegion]] = {}
    for region in plan.regions:
        by_host.setdefault(region.spec.host, []).append(region)
    return [_destination_rule(plan, host, regions) for host, regions in by_host.items()]


def endpoint(text: str, port: int) -> HostPort:
    """Return an endpoint's address and port; without one of its own it has the service's."""
    host, own = split_endpoint(text)
    return HostPort(host, port if own is None else own)


def _service_entry(plan: IstioPlan, region: MeshRegion) -> ServiceEntry:
    spec = region.spec
    places = [endpoint(text, spec.port) for text in spec.endpoints]
    static = bool(places) and all(place.is_address for place in places)
    return ServiceEntry(
        metadata=Metadata(name=object_name("region", region.region), namespace=plan.namespace),
        spec=ServiceEntrySpec(
            hosts=(spec.host,),
            location="MESH_EXTERNAL",
            resolution="STATIC" if static else "DNS",
            ports=(ServicePort(number=spec.port, name=_PORT_NAME, protocol="HTTP"),),
            endpoints=tuple(_endpoint(place, spec.port) for place in places) or None,
            export_to=_HERE,
        ),
    )


def _endpoint(place: HostPort, port: int) -> WorkloadEndpoint:
    own = {_PORT_NAME: place.port} if place.port != port else None
    return WorkloadEndpoint(address=place.host, ports=own)


def _destination_rule(plan: IstioPlan, host: str, regions: list[MeshRegion]) -> DestinationRule:
    first = regions[0]
    shared = None if first.subset else _traffic_policy(first.spec)
    subsets = tuple(
        Subset(name=each.subset, labels=dict(each.spec.labels), traffic_policy=_traffic_policy(each.spec))
        for each in regions
        if each.spec.labels is not None
    )
    return DestinationRule(
        metadata=Metadata(name=object_name("region", first.region), namespace=plan.namespace),
        spec=DestinationRuleSpec(host=host, traffic_policy=shared, subsets=subsets or None, export_to=_HERE),
    )


def _traffic_policy(spec: IstioRegion) -> TrafficPolicy:
    return TrafficPolicy(
        load_balancer=LoadBalancing(simple="LEAST_REQUEST", locality_lb_setting=LocalityLoadBalancing(enabled=False)),
        connection_pool=ConnectionPool(
            http=HttpPool(http1_max_pending_requests=OPEN_AT_ONCE_MAX, http2_max_requests=OPEN_AT_ONCE_MAX)
        ),
        tls=_tls(spec, spec.security),
    )


def _tls(spec: IstioRegion, tls: RegionTls) -> ClientTls:
    if tls.mode == "off":
        return ClientTls(mode="DISABLE")
    if tls.mode == "mesh":
        return ClientTls(mode="ISTIO_MUTUAL", subject_alt_names=tls.names or None, sni=tls.sni)
    return ClientTls(
        mode="MUTUAL" if tls.mode == "mutual" else "SIMPLE",
        credential_name=tls.credential,
        client_certificate=tls.certificate,
        private_key=tls.key,
        ca_certificates=tls.ca or (_SYSTEM if tls.credential is None else None),
        subject_alt_names=tls.names or (tls.sni or spec.host,),
        sni=tls.sni or spec.host,
    )
