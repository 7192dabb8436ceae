"""The section `istio`: what an Istio ingress gateway is made of, for `borderpost render istio`.

Nothing here is read by a request but the names of clusters: on Istio a region's cluster is `outbound|PORT|SUBSET|HOST`,
and the answer to Envoy must carry exactly that. So the name follows from this section wherever there is one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, StringConstraints, field_validator, model_validator

from borderpost.config.istio_regions import IstioRegion
from borderpost.config.mesh_fields import (
    FileInProxy,
    GatewayName,
    HostName,
    Labels,
    NamespaceName,
    Network,
    PathPrefix,
    Port,
    ServedHost,
)
from borderpost.policy.fields import Identifier, RouteName, Text
from borderpost.policy.schema import RegionSpec
from borderpost_base.errors import BadValue, BorderpostError
from borderpost_base.limits import GATEWAY_HOSTS_MAX, REGIONS_MAX
from borderpost_base.strict import StrictModel
from borderpost_base.yaml_source import KeyPath

IstioVersion: TypeAlias = Literal["1.27", "1.28", "1.29", "1.30", "1.31"]
"""Minor releases of Istio that are rendered for."""


class GatewayRoute(StrictModel):
    """One data path of the gateway."""

    name: RouteName
    """Its name; under `routes` it has its law."""

    prefix: PathPrefix = "/"
    """Start of the paths that it serves; `/` serves all."""

    timeout_ms: int = Field(default=0, ge=0, le=86_400_000)
    """Bound on a whole response; 0 sets none, because a completion may stream for many minutes."""

    idle_timeout_ms: int = Field(default=300_000, ge=1, le=86_400_000)
    """Bound on silence in both directions; five minutes by default."""

    connect_retries: int = Field(default=1, ge=0, le=10)
    """Further attempts in the same region where no byte of the request was processed; one by default."""


class TokenIssuer(StrictModel):
    """An issuer whose tokens are verified and become evidence. A token that does not verify is 401."""

    issuer: Text
    """The `iss` of its tokens."""

    jwks_uri: Annotated[str, StringConstraints(pattern=r"^https://[\x21-\x7e]{1,1016}$")] | None = None
    """Where istiod fetches the issuer's keys; null finds them by OpenID Connect discovery."""

    audiences: tuple[Text, ...] = ()
    """Audiences of which a token must have one; empty asks for none."""


class ServerTrust(StrictModel):
    """How the gateway reaches Borderpost on the network (`server.listen: tcp` with `server.tls`)."""

    ca: FileInProxy
    """PEM file in the proxy with the authority of `server.tls`."""

    name: HostName | None = None
    """Name in Borderpost's certificate; `server.host` if null."""

    certificate: FileInProxy
    """PEM file in the proxy with the gateway's own certificate, which Borderpost asks for."""

    key: FileInProxy
    """PEM file in the proxy with its private key."""


class EgressPlace(StrictModel):
    """A place that the gateway's pods may connect to besides the regions."""

    network: Network
    """Where it is."""

    ports: Annotated[tuple[Port, ...], Field(min_length=1)]
    """Its ports."""

    protocol: Literal["TCP", "UDP"] = "TCP"
    """UDP is for DNS that is no pod of the cluster, such as a cache on each node (port 53)."""


class EgressSpec(StrictModel):
    """What the NetworkPolicy lets the gateway's pods connect to: the regions, DNS, Istio's control plane, and these."""

    also: tuple[EgressPlace, ...] = ()
    """Further places, of what stands in the same pods: Redis, an evidence bucket, a collector."""

    control_plane: NamespaceName = "istio-system"
    """Namespace of istiod; Istio's own default."""

    dns_namespace: NamespaceName = "kube-system"
    """Namespace of the cluster's DNS; Kubernetes' own default."""


class IstioSection(StrictModel):
    """An Istio ingress gateway that asks Borderpost, which runs beside it."""

    version: IstioVersion = "1.29"
    """Minor release of Istio's proxies. What is rendered for an older one works on newer ones; 1.30 and later have the
    allow-list of clusters as one table in place of a route for each region."""

    namespace: NamespaceName
    """Namespace of the gateway's pods. Everything is rendered into it."""

    workload: Labels
    """Labels of the gateway's pods, such as `istio: ingressgateway`. What else has them is configured as well."""

    service_account: NamespaceName | None = None
    """Account of the gateway's pods; with it, pods of regions in the mesh accept no other caller."""

    trust_domain: HostName = "cluster.local"
    """The mesh's trust domain; `cluster.local` is Istio's own default."""

    gateways: Annotated[tuple[GatewayName, ...], Field(min_length=1, max_length=64)]
    """Your Gateway objects that serve the hosts, `NAME` or `NAMESPACE/NAME`. They are not rendered: ports and
    certificates are yours."""

    hosts: Annotated[tuple[ServedHost, ...], Field(min_length=1, max_length=GATEWAY_HOSTS_MAX)]
    """Hosts that Borderpost decides on. `["*"]` takes the whole gateway, whatever host it comes to serve; others leave
    requests to further hosts of the same gateway alone."""

    ports: tuple[Port, ...] = ()
    """Ports on which the gateway's pods listen for the hosts (container ports, such as 8443). With them an
    AuthorizationPolicy denies what is no request to decide; none is rendered otherwise, since one without ports would
    deny all TCP."""

    routes: tuple[GatewayRoute, ...] = ()
    """Data paths in order, the first whose prefix fits wins; empty is one for everything. A path that none fits is
    404."""

    regions: Annotated[dict[Identifier, IstioRegion], Field(min_length=1, max_length=REGIONS_MAX)]
    """How each of the `regions` is reached."""

    trusted_proxies: int = Field(default=0, ge=0, le=16)
    """Proxies of yours in front of the gateway that append to x-forwarded-for. Too high a number lets clients choose
    their own address; 0, the default, takes the TCP peer, which behind a balancer needs `externalTrafficPolicy: Local`
    to be the client."""

    message_timeout_ms: int = Field(default=250, ge=1, le=60_000)
    """Envoy's bound on one decision; past it the request is refused."""

    client_certificates: bool = False
    """Whether your Gateway asks clients for certificates (`MUTUAL`, `OPTIONAL_MUTUAL`), whose names are evidence."""

    tokens: tuple[TokenIssuer, ...] = ()
    """Issuers of tokens; empty renders no RequestAuthentication, and none may be needed if you have your own."""

    server: ServerTrust | None = None
    """How Borderpost is reached on the network; null for Unix sockets."""

    access_log: Annotated[str, StringConstraints(pattern=r"^/[\x21-\x7e]{1,1023}$")] | None = "/dev/stdout"
    """Where the proxy writes a JSON line a request without client addresses, paths or headers; null writes none. With
    `hosts: ["*"]` the mesh's own access log, which has all of these, is turned off for the gateway."""

    egress: EgressSpec | None = EgressSpec()
    """What the gateway's pods may connect to. By default the regions alone, by addresses; null renders no
    NetworkPolicy, for regions whose addresses nobody knows."""

    unavailable_max: int = Field(default=1, ge=1, le=1000)
    """How many pods of the gateway may be taken away at once by those who drain nodes."""

    @field_validator("version", mode="before")
    @classmethod
    def _quoted(cls, value: object) -> object:
        if isinstance(value, float):
            raise BadValue("BP0104", "a release in quotes is needed here", mend='Quote it: `"1.30"`.')
        return value

    @property
    def whole_gateway(self) -> bool:
        """Whether every host of the gateway is meant."""
        return self.hosts == ("*",)

    def cluster_of(self, region: str) -> str | None:
        """Return Envoy's name of a region's cluster; None for a region that is not described."""
        spec = self.regions.get(region)
        if spec is None:
            return None
        subset = subset_name(region) if spec.labels is not None else ""
        return f"outbound|{spec.port}|{subset}|{spec.host}"

    @model_validator(mode="after")
    def _hosts_mean_one_thing(self) -> Self:
        if "*" in self.hosts and not self.whole_gateway:
            raise BadValue("BP0104", "`*` stands alone under `hosts`")
        host, count = Counter(self.hosts).most_common(1)[0]
        if count > 1:
            raise BadValue("BP0104", f"`{host}` is named twice under `hosts`")
        return self


def subset_name(region: str) -> str:
    """Return the name of a region's subset: a DNS label, which region ids need not be."""
    return re.sub(r"[^a-z0-9-]", "-", region).strip("-")[:63].strip("-")


def cluster_name(section: IstioSection | None, region: str, spec: RegionSpec) -> str:
    """Return Envoy's name of a region's cluster: what the section gives, else what is said, else the region's id."""
    found = section.cluster_of(region) if section is not None else None
    return found or spec.cluster or region


def istio_mistakes(
    section: IstioSection | None, regions: Mapping[str, RegionSpec], routes: Mapping[str, object]
) -> Iterator[tuple[KeyPath, BorderpostError]]:
    """Yield where the section and the rest of the configuration disagree."""
    if section is None:
        return
    for name in sorted(set(regions) - set(section.regions)):
        yield ("istio", "regions"), BorderpostError("BP1402", f"nothing says how region `{name}` is reached")
    for name in sorted(set(section.regions) - set(regions)):
        yield ("istio", "regions", name), BorderpostError("BP1402", f"there is no region `{name}` under `regions`")
    for name, spec in regions.items():
        derived = section.cluster_of(name)
        if spec.cluster is not None and derived is not None and spec.cluster != derived:
            detail = f"`{spec.cluster}` is said here, but on Istio the cluster is `{derived}`"
            yield ("regions", name, "cluster"), BorderpostError("BP1403", detail, mend="Leave out `cluster`.")
    yield from _overlapping_hosts(section)
    yield from _route_mistakes(section, routes)


def _overlapping_hosts(section: IstioSection) -> Iterator[tuple[KeyPath, BorderpostError]]:
    """Find regions of one host that are not kept apart by labels: what the law allows one could be given to another."""
    by_host: dict[str, list[str]] = {}
    for name, spec in section.regions.items():
        by_host.setdefault(spec.host, []).append(name)
    for host, names in by_host.items():
        for number, name in enumerate(names):
            for other in names[:number]:
                if not _apart(section.regions[name].labels, section.regions[other].labels):
                    detail = f"regions `{other}` and `{name}` are both `{host}`"
                    yield ("istio", "regions", name, "host"), BorderpostError("BP1404", detail)
                elif subset_name(name) == subset_name(other):
                    detail = f"regions `{other}` and `{name}` would both be the subset `{subset_name(name)}`"
                    yield ("istio", "regions", name), BorderpostError("BP1404", detail, mend="Rename one of them.")


def _apart(one: Mapping[str, str] | None, other: Mapping[str, str] | None) -> bool:
    """Return whether no pod can have both sets of labels."""
    return one is not None and other is not None and any(one[key] != other[key] for key in one.keys() & other.keys())


def _route_mistakes(section: IstioSection, routes: Mapping[str, object]) -> Iterator[tuple[KeyPath, BorderpostError]]:
    """Find routes that have law and no path, and paths that have no law where others do."""
    names = [route.name for route in section.routes]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield ("istio", "routes", index), BorderpostError("BP1405", f"route `{name}` is described twice")
        if routes and name not in routes:
            yield ("istio", "routes", index), BorderpostError("BP1405", f"there is no route `{name}` under `routes`")
    missing = sorted(set(routes) - set(names))
    if missing and (names or len(routes) > 1):
        yield ("istio", "routes"), BorderpostError("BP1405", f"nothing says which paths route `{missing[0]}` serves")
