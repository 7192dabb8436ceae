"""What Envoy's configuration is made from: small frozen values, checked when they are built.

A plan says only what differs between deployments. What keeps a request from leaking (header stripping, the
route without a default, the mutation allow-list, refusal on every failure) is not here, because nobody gets
to choose it: it stands in the modules that render.
"""

from __future__ import annotations

import abc
import enum
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from borderpost.config.rate_limit import RateLimitSpec
from borderpost_base.errors import BorderpostError
from borderpost_base.names import EXT_AUTHZ_NAMESPACE, JWT_NAMESPACE, METADATA_NAMESPACE


class Via(enum.StrEnum):
    """The door by which Envoy asks us."""

    EXT_PROC = "ext_proc"
    EXT_AUTHZ = "ext_authz"

    @property
    def metadata_namespace(self) -> str:
        """Return where our answer's dynamic metadata lands, which over ext_authz we cannot choose."""
        return METADATA_NAMESPACE if self is Via.EXT_PROC else EXT_AUTHZ_NAMESPACE


class RouteStyle(enum.StrEnum):
    """How Envoy turns our header into a cluster."""

    MATCHER = "matcher"
    """An allow-list of exactly the plan's clusters; anything else, repeated headers too, is 503."""
    CLUSTER_HEADER = "cluster_header"
    """Any cluster Envoy knows by that name, and of repeated headers the first. For thousands of clusters."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """A TCP address. `host` is an IP address or a DNS name, `port` 0 (the system chooses) to 65535."""

    host: str
    port: int

    def __post_init__(self) -> None:
        if not self.host or any(c.isspace() for c in self.host):
            raise BorderpostError("BP0903", f"`{self.host}` is not a host")
        if not 0 <= self.port <= 65535:
            raise BorderpostError("BP0903", f"port {self.port} is outside 0..65535")

    @classmethod
    def parse(cls, text: str) -> HostPort:
        """Read `host:port`, `[ipv6]:port`. Raises BorderpostError BP0903."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit():
            raise BorderpostError("BP0903", f"`{text}` is not host:port")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    @property
    def is_address(self) -> bool:
        """Return True for an IP address, False for a name that needs DNS."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A Unix socket by its absolute path, at most 107 bytes (sun_path of Linux, unix(7))."""

    path: str

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or len(self.path.encode()) > 107:
            raise BorderpostError("BP0903", f"`{self.path}` is not an absolute path of at most 107 bytes")


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """TLS that Envoy offers to clients. Paths are read by Envoy."""

    certificate: str
    private_key: str
    client_ca: str | None = None
    """With it, a client certificate that is presented must verify, and its URI SAN becomes evidence."""


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """TLS that Envoy speaks to a peer, whose certificate must name `sni`."""

    sni: str
    ca: str = "/etc/ssl/certs/ca-certificates.crt"
    certificate: str | None = None
    private_key: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedRegion:
    """One legal region is one Envoy cluster, so that no retry or balancing can leave it."""

    region: str
    cluster: str


@dataclass(frozen=True, slots=True)
class RegionCluster(PlannedRegion):
    """A region whose cluster is rendered here, too."""

    endpoints: tuple[HostPort, ...]
    tls: UpstreamTls | None = None


@dataclass(frozen=True, slots=True)
class FailoverCluster:
    """Regions behind one cluster, in order: a retry goes on to the next. The only way out of a region, and a way only
    for requests that Borderpost answers with this cluster."""

    cluster: str
    regions: tuple[str, ...]
    """Ids of regions of the plan; the first is the first choice."""


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """One data path. Its name is what the policy's `routes` section knows it by."""

    name: str = "inference"
    prefix: str = "/"
    timeout_ms: int = 0
    """Whole response; 0 sets no bound, because a completion may stream for many minutes."""
    idle_timeout_ms: int = 300_000
    """Silence in both directions; what must end is silence, not length."""
    connect_retries: int = 1
    """Further attempts in the same region where no byte of the request was processed."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Further route metadata under our namespace, for access logs."""


@dataclass(frozen=True, slots=True)
class ObservedRoute:
    """A route of the operator's own of which we are only told. It leads where it led before; no law is kept on it."""

    name: str
    """Under `observe.routes`."""


@dataclass(frozen=True, slots=True)
class OwnRoute(ObservedRoute):
    """An observed route that is rendered here, too."""

    prefix: str
    cluster: str
    endpoints: tuple[HostPort, ...] = ()
    """Of a cluster of its own; empty where the cluster is a region's."""
    tls: UpstreamTls | None = None


@dataclass(frozen=True, slots=True)
class JwtProvider:
    """A token issuer whose verified payload becomes evidence. A token that fails verification is 401."""

    name: str
    issuer: str
    jwks_file: str
    """Path, read by Envoy, of the issuer's JSON Web Key Set."""
    audiences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """Which bodies Envoy collects whole and sends to us before it routes a request."""

    bytes_max: int
    """A longer body is refused with 413. Must equal `payload.bytes_max`."""
    routes: tuple[str, ...] = ()
    """Names of the routes; empty means all."""

    def __post_init__(self) -> None:
        _need(0 < self.bytes_max < 1 << 32, "the bound of a body is a number of bytes")

    def covers(self, route: RoutePlan) -> bool:
        """Return whether bodies of a route are sent."""
        return not self.routes or route.name in self.routes


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPlan(abc.ABC):
    """What differs between two gateways of ours, whoever brings Envoy its configuration."""

    servers: tuple[UnixSocket | HostPort, ...]
    """One for each worker of Borderpost; Envoy balances over them."""
    regions: tuple[PlannedRegion, ...]
    headers_read: tuple[str, ...]
    """The request headers our evidence needs, lower case. Envoy sends us these and no others."""
    via: Via = Via.EXT_PROC
    route_style: RouteStyle = RouteStyle.MATCHER
    routes: tuple[RoutePlan, ...] = (RoutePlan(),)
    """In order: the first whose prefix matches."""
    hosts: tuple[str, ...] = ("*",)
    attributes: tuple[str, ...] = ("source.address", "xds.route_name")
    """Envoy attributes sent over ext_proc; client certificates add the first URI and DNS SAN."""
    trusted_hops: int = 0
    """Proxies of yours in front of this Envoy that append to x-forwarded-for. Too high a number lets
    clients choose their own address; 0 takes the TCP peer."""
    message_timeout_ms: int = 250
    """Envoy's bound on one decision; past it the request is refused."""
    server_tls: UpstreamTls | None = None
    """For `servers` on TCP."""
    jwt_namespace: str = JWT_NAMESPACE
    """Metadata namespace forwarded to us; must equal `evidence.token.namespace`."""
    jwt_payload_key: str = "payload"
    """Key of the payload in jwt_authn's metadata; must equal `evidence.token.payload_key`."""
    access_log: str | None = None
    """Path of a JSON access log without client addresses; None writes none."""
    bodies: BodyPlan | None = None
    """Bodies that are sent to us; None sends headers only."""
    failover: tuple[FailoverCluster, ...] = ()
    """Groups of regions that stand in for each other; none lets no retry leave a region."""
    observed: tuple[ObservedRoute, ...] = ()
    """Routes that are only observed, beside `routes`."""
    rate_limit: RateLimitSpec | None = None
    """A rate-limit service that is asked about requests on `routes`, with its place said; None asks none."""

    def __post_init__(self) -> None:
        _need(bool(self.regions) or not self.routes, "a plan needs at least one region")
        _need(bool(self.servers), "a plan needs at least one socket of Borderpost")
        _need(bool(self.routes or self.observed), "a plan needs at least one route")
        _need(bool(self.hosts), "a plan needs at least one host (`*` for all)")
        _need(self.trusted_hops >= 0, "trusted_hops is a count")
        _need(self.message_timeout_ms > 0, "a message timeout of 0 would never end a request")
        groups = [group.cluster for group in self.failover]
        _distinct("cluster", [r.cluster for r in self.regions] + groups + [SERVER_CLUSTER, LIMITER_CLUSTER])
        _distinct("region", [r.region for r in self.regions])
        _distinct("route", [r.name for r in self.routes])
        _distinct("observed route", [r.name for r in self.observed])
        both = sorted({r.name for r in self.routes} & {r.name for r in self.observed})
        if both:
            raise BorderpostError("BP1442", f"route `{both[0]}` is among those that are enforced, and observed")
        unknown = sorted({*(self.bodies.routes if self.bodies else ())} - {route.name for route in self.routes})
        _need(not unknown, f"bodies of `{unknown[0] if unknown else ''}` are to be sent, which is no route")
        _need(self.rate_limit is None or not self.rate_limit.is_inside, "a rate-limit service needs a place")
        for region in self.regions:
            _need(bool(region.cluster), f"region `{region.region}` has an empty cluster name")
        for group in self.failover:
            self._check_group(group)

    def _check_group(self, group: FailoverCluster) -> None:
        _need(bool(group.cluster), "a failover group has an empty cluster name")
        _need(len(set(group.regions)) > 1, f"failover group `{group.cluster}` needs two regions")
        _distinct("region", list(group.regions))
        unknown = sorted({*group.regions} - {region.region for region in self.regions})
        _need(not unknown, f"failover group `{group.cluster}` names `{unknown[0] if unknown else ''}`, no region")

    def leaves(self, group: FailoverCluster) -> tuple[str, ...]:
        """Return the clusters of a group's regions, in its order."""
        by_id = {region.region: region.cluster for region in self.regions}
        return tuple(by_id[region] for region in group.regions)

    @property
    def endpoints_tell(self) -> bool:
        """Whether endpoints say in metadata which region they are of; they can where their clusters are rendered here,
        and need to where one cluster stands for several."""
        return False

    @property
    def reads_events(self) -> bool:
        """Whether this Envoy can read streamed responses (the filter `sse_to_metadata`, 1.38 and later)."""
        return True

    @property
    @abc.abstractmethod
    def asks_for_certificates(self) -> bool:
        """Whether clients are asked for certificates, whose names are evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyPlan(GatewayPlan):
    """Everything that differs between two Envoy bootstraps of ours."""

    listen: HostPort
    regions: tuple[RegionCluster, ...]
    admin: HostPort | None = HostPort("127.0.0.1", 9901)
    tls: ListenerTls | None = None
    jwt_providers: tuple[JwtProvider, ...] = ()
    observed: tuple[OwnRoute, ...] = ()

    def __post_init__(self) -> None:
        GatewayPlan.__post_init__(self)  # `super()` does not know a class with slots before Python 3.14
        _distinct("JWT provider", [p.name for p in self.jwt_providers])
        for region in self.regions:
            _need(bool(region.endpoints), f"region `{region.region}` has no endpoint")
        taken = [region.cluster for region in self.regions] + [group.cluster for group in self.failover]
        taken += [SERVER_CLUSTER, LIMITER_CLUSTER]
        _distinct("cluster", [one.cluster for one in self.observed if one.endpoints] + taken)
        for own in self.observed:
            known = bool(own.endpoints) or own.cluster in {region.cluster for region in self.regions}
            _need(known, f"observed route `{own.name}` leads to `{own.cluster}`, which has no endpoint")
        prefixes = [own.prefix for own in self.observed]
        _need(len(set(prefixes)) == len(prefixes), "two observed routes have one prefix")
        self.ordered_routes()

    def ordered_routes(self) -> list[RoutePlan | OwnRoute]:
        """Return every route in the order in which Envoy tries them: the enforced in theirs, an observed one before the
        first that would take its requests. Raises BP1442 where an observed one would take those of an enforced one."""
        ordered: list[RoutePlan | OwnRoute] = list(self.routes)
        for own in sorted(self.observed, key=lambda one: len(one.prefix)):
            covers = (at for at, other in enumerate(ordered) if own.prefix.startswith(other.prefix))
            ordered.insert(next(covers, len(ordered)), own)
        for at, first in enumerate(ordered):
            after = [one for one in ordered[at + 1 :] if isinstance(one, RoutePlan)] if first in self.observed else []
            for later in after:
                if later.prefix.startswith(first.prefix):
                    detail = f"observed route `{first.name}` takes the requests of `{later.name}`, which is enforced"
                    raise BorderpostError("BP1442", detail)
        return ordered

    @property
    def endpoints_tell(self) -> bool:
        """Whether endpoints say in metadata which region they are of."""
        return bool(self.failover)

    @property
    def asks_for_certificates(self) -> bool:
        """Whether there is an authority to check clients' certificates by."""
        return self.tls is not None and self.tls.client_ca is not None


SERVER_CLUSTER = "borderpost"
"""Envoy's cluster of our own workers; no region may have this name, and no route leads to it."""
LIMITER_CLUSTER = "borderpost.ratelimit"
"""Envoy's cluster of the rate-limit service."""


def _need(condition: bool, text: str) -> None:
    if not condition:
        raise BorderpostError("BP0902", text)


def _distinct(kind: str, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    _need(not repeated, f"{kind} name `{repeated[0] if repeated else ''}` stands for two things")
