"""Istio's `networking.istio.io`: routes, services and patches of Envoy's configuration.

Only the fields that are used here. Source: istio.io/api 1.29, `networking/v1alpha3`; the kinds other than EnvoyFilter
are `v1` since Istio 1.22.
"""

from __future__ import annotations

from typing import Any, Literal

from borderpost_istio.kinds.model import KubeModel, KubeObject

Operation = Literal[
    "ADD", "MERGE", "REMOVE", "REPLACE", "INSERT_FIRST", "INSERT_BEFORE", "INSERT_AFTER"
]  # fmt: skip
ApplyTo = Literal["CLUSTER", "NETWORK_FILTER", "HTTP_FILTER", "ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"]


class NamedMatch(KubeModel):
    """A match by name alone: of an HTTP filter, or a route."""

    name: str


class FilterMatch(KubeModel):
    """A network filter by its name, and an HTTP filter in it."""

    name: str
    sub_filter: NamedMatch | None = None


class FilterChainMatch(KubeModel):
    """A filter chain by a filter in it."""

    filter: FilterMatch


class ListenerMatch(KubeModel):
    """A listener by a filter chain of it."""

    filter_chain: FilterChainMatch
    port_number: int | None = None


class VirtualHostMatch(KubeModel):
    """A virtual host: by its name, `host:port`, by one of its domains, or by a route in it."""

    name: str | None = None
    domain_name: str | None = None
    route: NamedMatch | None = None


class RouteConfigurationMatch(KubeModel):
    """A route configuration; all of the gateway if empty."""

    gateway: str | None = None
    port_number: int | None = None
    vhost: VirtualHostMatch | None = None


class ClusterMatch(KubeModel):
    """A cluster by its name."""

    name: str


class PatchMatch(KubeModel):
    """What a patch is applied to."""

    context: Literal["GATEWAY", "ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND"] = "GATEWAY"
    listener: ListenerMatch | None = None
    route_configuration: RouteConfigurationMatch | None = None
    cluster: ClusterMatch | None = None


class Patch(KubeModel):
    """What is done."""

    operation: Operation
    value: dict[str, Any] | None = None
    """Envoy's message as JSON, with the field names of Envoy's proto files."""


class ConfigPatch(KubeModel):
    """One patch."""

    apply_to: ApplyTo
    match: PatchMatch
    patch: Patch


class ProxySelector(KubeModel):
    """Which proxies are patched, by the labels of their pods."""

    labels: dict[str, str]


class EnvoyFilterSpec(KubeModel):
    """Patches, applied in this order."""

    workload_selector: ProxySelector | None = None
    config_patches: tuple[ConfigPatch, ...]
    priority: int | None = None


class EnvoyFilter(KubeObject):
    """Patches of the Envoy configuration that istiod makes."""

    api_version: Literal["networking.istio.io/v1alpha3"] = "networking.istio.io/v1alpha3"
    kind: Literal["EnvoyFilter"] = "EnvoyFilter"
    spec: EnvoyFilterSpec


class ServicePort(KubeModel):
    """A port of a service."""

    number: int
    name: str
    protocol: Literal["HTTP", "HTTPS", "HTTP2", "GRPC", "TLS", "TCP"]
    target_port: int | None = None


class WorkloadEndpoint(KubeModel):
    """An endpoint of a ServiceEntry: an address, a name, or `unix:///PATH`."""

    address: str
    ports: dict[str, int] | None = None
    """Port numbers by the service port's name."""


class ServiceEntrySpec(KubeModel):
    """A service that Kubernetes does not know."""

    hosts: tuple[str, ...]
    location: Literal["MESH_EXTERNAL", "MESH_INTERNAL"] = "MESH_EXTERNAL"
    resolution: Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN"]
    ports: tuple[ServicePort, ...]
    endpoints: tuple[WorkloadEndpoint, ...] | None = None
    export_to: tuple[str, ...] | None = None


class ServiceEntry(KubeObject):
    """A service that Kubernetes does not know."""

    api_version: Literal["networking.istio.io/v1"] = "networking.istio.io/v1"
    kind: Literal["ServiceEntry"] = "ServiceEntry"
    spec: ServiceEntrySpec


class LocalityLoadBalancing(KubeModel):
    """Whether endpoints elsewhere are turned to."""

    enabled: bool


class LoadBalancing(KubeModel):
    """How endpoints are chosen."""

    simple: Literal["LEAST_REQUEST", "ROUND_ROBIN", "RANDOM"]
    locality_lb_setting: LocalityLoadBalancing


class HttpPool(KubeModel):
    """Bounds of requests. `http1_max_pending_requests` and `http2_max_requests` are Envoy's circuit breakers."""

    http1_max_pending_requests: int
    http2_max_requests: int


class ConnectionPool(KubeModel):
    """Bounds of connections and requests."""

    http: HttpPool


class ClientTls(KubeModel):
    """How the gateway speaks TLS to a service."""

    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]
    credential_name: str | None = None
    client_certificate: str | None = None
    private_key: str | None = None
    ca_certificates: str | None = None
    subject_alt_names: tuple[str, ...] | None = None
    sni: str | None = None


class TrafficPolicy(KubeModel):
    """What holds for connections to a service."""

    load_balancer: LoadBalancing | None = None
    connection_pool: ConnectionPool | None = None
    tls: ClientTls | None = None


class Subset(KubeModel):
    """Some endpoints of a service, by their labels."""

    name: str
    labels: dict[str, str]
    traffic_policy: TrafficPolicy | None = None


class DestinationRuleSpec(KubeModel):
    """What holds for connections to a host."""

    host: str
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] | None = None
    export_to: tuple[str, ...] | None = None


class DestinationRule(KubeObject):
    """What holds for connections to a host."""

    api_version: Literal["networking.istio.io/v1"] = "networking.istio.io/v1"
    kind: Literal["DestinationRule"] = "DestinationRule"
    spec: DestinationRuleSpec


class DirectResponse(KubeModel):
    """An answer of Envoy's own."""

    status: int


class VirtualServiceRoute(KubeModel):
    """A route of a VirtualService that leads nowhere."""

    name: str
    direct_response: DirectResponse


class VirtualServiceSpec(KubeModel):
    """Routes of hosts at gateways."""

    hosts: tuple[str, ...]
    gateways: tuple[str, ...]
    http: tuple[VirtualServiceRoute, ...]
    export_to: tuple[str, ...] | None = None


class VirtualService(KubeObject):
    """Routes of hosts at gateways."""

    api_version: Literal["networking.istio.io/v1"] = "networking.istio.io/v1"
    kind: Literal["VirtualService"] = "VirtualService"
    spec: VirtualServiceSpec


class GatewayPort(KubeModel):
    """A port that a gateway listens on."""

    number: int
    name: str
    protocol: Literal["HTTP", "HTTPS"]


class ServerTls(KubeModel):
    """TLS toward clients."""

    mode: Literal["SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"]
    credential_name: str


class GatewayServer(KubeModel):
    """A port with its hosts."""

    port: GatewayPort
    hosts: tuple[str, ...]
    tls: ServerTls | None = None


class GatewaySpec(KubeModel):
    """What a gateway listens on."""

    selector: dict[str, str]
    servers: tuple[GatewayServer, ...]


class Gateway(KubeObject):
    """What a gateway listens on."""

    api_version: Literal["networking.istio.io/v1"] = "networking.istio.io/v1"
    kind: Literal["Gateway"] = "Gateway"
    spec: GatewaySpec
