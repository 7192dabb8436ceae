"""What an Istio gateway's objects are made from: the plan of any gateway of ours, and what only a mesh has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from borderpost.config.istio import EgressSpec, IstioVersion, TokenIssuer
from borderpost.config.istio_regions import IstioRegion
from borderpost_base.errors import BorderpostError
from borderpost_envoy import GatewayPlan, PlannedRegion, RouteStyle
from borderpost_istio.versions import Feature, has


@dataclass(frozen=True, slots=True)
class MeshRegion(PlannedRegion):
    """A region whose cluster istiod makes: of a ServiceEntry of ours, or of a service that the mesh has."""

    spec: IstioRegion
    subset: str = ""
    """Name of the DestinationRule's subset that is the region; empty where the whole host is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IstioPlan(GatewayPlan):
    """Everything that differs between two Istio gateways of ours."""

    regions: tuple[MeshRegion, ...]
    version: IstioVersion
    namespace: str
    workload: Mapping[str, str]
    """Labels of the gateway's pods."""
    gateways: tuple[str, ...]
    ports: tuple[int, ...] = ()
    """Ports that the gateway's pods listen on for the hosts; none if they are not known."""
    service_account: str | None = None
    trust_domain: str = "cluster.local"
    client_certificates: bool = False
    tokens: tuple[TokenIssuer, ...] = ()
    egress: EgressSpec | None = None
    unavailable_max: int = 1

    def __post_init__(self) -> None:
        GatewayPlan.__post_init__(self)
        if self.failover and not has(self.version, Feature.CLUSTER_RETRIES):
            raise BorderpostError("BP1409", f"Istio {self.version} has no {Feature.CLUSTER_RETRIES.value}")

    @property
    def asks_for_certificates(self) -> bool:
        """Whether the gateway's Gateway asks clients for certificates."""
        return self.client_certificates

    @property
    def reads_events(self) -> bool:
        """Whether streamed responses can be read: Istio's proxy has no filter for it (its extensions_build_config)."""
        return False

    @property
    def whole_gateway(self) -> bool:
        """Whether every host of the gateway is meant, now and later."""
        return self.hosts == ("*",)

    @property
    def has_table(self) -> bool:
        """Whether the allow-list is one table, in place of a route for each cluster."""
        return self.route_style is RouteStyle.MATCHER and has(self.version, Feature.CLUSTER_MATCHER)
