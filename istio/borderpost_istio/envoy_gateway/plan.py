"""What a Gateway's objects are made from: the plan of any gateway of ours, and what only Envoy Gateway has."""

from __future__ import annotations

from dataclasses import dataclass

from borderpost_base.errors import BorderpostError
from borderpost_envoy import GatewayPlan, HostPort, RegionCluster, RouteStyle, UnixSocket, Via

TARGETS_MAX = 16
"""Objects that one policy of Envoy Gateway can be attached to, and servers that one processor can have."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """Borderpost in Envoy's own pods."""

    image: str
    config_map: str
    """ConfigMap of the Gateway's namespace whose key `borderpost.yaml` is the configuration."""
    log: str
    """Origin name of the log, to which each pod adds its own."""
    evidence_claim: str | None
    """PersistentVolumeClaim that all of Envoy's pods can write to; None keeps the evidence in the pod, with which it
    dies."""
    evidence_directory: str
    """Where the log is kept in the container: the folder of `audit.directory`."""
    socket_directory: str
    state_directory: str


@dataclass(frozen=True, slots=True)
class ServerTrust:
    """Certificates between Envoy and workers on TCP, by name in the Gateway's namespace."""

    hostname: str
    """Name in the workers' certificate."""
    ca_config_map: str
    """ConfigMap with the authority, key `ca.crt`."""
    client_secret: str
    """Secret with the certificate that Envoy presents, keys `tls.crt` and `tls.key`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyGatewayPlan(GatewayPlan):
    """Everything that differs between two Gateways of ours."""

    regions: tuple[RegionCluster, ...]
    namespace: str
    gateway: str
    """Name of the Gateway, which is not rendered: ports and certificates are yours."""
    listeners: tuple[str, ...]
    """Names of its HTTP and HTTPS listeners."""
    client_certificates: bool = False
    """Whether its ClientTrafficPolicy asks clients for certificates, whose names are then evidence."""
    trust: ServerTrust | None = None
    sidecar: Sidecar | None = None

    def __post_init__(self) -> None:
        GatewayPlan.__post_init__(self)
        _need(self.via is Via.EXT_PROC, "ext_authz is told no client address there", "Use ext_proc.")
        _need(self.route_style is RouteStyle.MATCHER, "routes are matched by our header there, each by itself")
        _need(bool(self.listeners), "a Gateway without listeners takes no requests")
        _need(len(self.servers) <= TARGETS_MAX, f"a processor has at most {TARGETS_MAX} servers there")
        _need(not self.observed, "observed routes are not rendered there", "Observe with plain Envoy or Istio.")
        unix = [server for server in self.servers if isinstance(server, UnixSocket)]
        _need(len(unix) in (0, len(self.servers)), "workers are all on Unix sockets, or all on TCP")
        _need(
            bool(unix) or self.sidecar is None, "a sidecar is reached by its Unix socket", "Set `server.listen: unix`."
        )
        _need(not unix or self.trust is None, "a Unix socket has no certificate")
        settings = {(one.timeout_ms, one.idle_timeout_ms, one.connect_retries) for one in self.routes}
        _need(len(settings) == 1, "all paths have the same bounds there, since a policy is of whole routes")
        _need(self.bodies is None, "the size of bodies is not bounded there over HTTP/2")
        for region in self.regions:
            named = {not endpoint.is_address for endpoint in region.endpoints}
            _need(len(named) < 2, f"region `{region.region}` has names and addresses, and a Backend cannot have both")
        for group in self.failover:
            _need(
                len(group.regions) == 2,
                f"failover group `{group.cluster}` has {len(group.regions)} regions; a route there has one fallback",
                "Split it into pairs.",
            )

    @property
    def asks_for_certificates(self) -> bool:
        """Whether clients are asked for certificates."""
        return self.client_certificates

    @property
    def tcp_servers(self) -> tuple[HostPort, ...]:
        """Where workers listen on TCP; empty where they listen on Unix sockets."""
        return tuple(server for server in self.servers if isinstance(server, HostPort))


def _need(condition: bool, text: str, mend: str | None = None) -> None:
    if not condition:
        raise BorderpostError("BP1422", text, mend=mend)
