"""What routes at a gateway, and which of it follows the decision.

Which virtual hosts and route names istiod makes of them is its `buildGatewayHTTPRouteConfig` (istio/istio 1.29,
pilot/pkg/networking/core/gateway.go): a virtual host is `host:port` with the port of the Gateway's server; of hosts
with the very same routes, which those of one VirtualService have, the longest stands for all, the others are domains of
it; routes carry `http[].name`, and `.name` of the match where there is one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Iterator, Mapping
from typing import NamedTuple

from borderpost.manifests.objects import Object
from borderpost.manifests.tree import Node
from borderpost_base.names import OBSERVE_FILTER
from borderpost_istio.doctor.http_routes import Entry, Routes
from borderpost_istio.doctor.mesh import Mesh, Patch, routes_by_us
from borderpost_istio.doctor.reading import NETWORKING, covers, field, labels_of, present

UNKNOWN_PORT = "?"
"""What stands for the port of a server that is not among the files."""
_HTTP = frozenset({"HTTP", "HTTP2", "GRPC", "HTTPS", "TLS", "HBONE"})


class Server(NamedTuple):
    """One server of a Gateway."""

    gateway: Object
    """Where it is not among the files, an object that is bound to it."""
    key: str
    """How routes refer to the Gateway: `namespace/name`."""
    node: Node
    port: int | None
    """None: the Gateway is not among the files, and nothing is known of it but its name."""
    port_name: str
    hosts: tuple[str, ...]
    tls: bool

    @property
    def route_configuration(self) -> str:
        """Return the name of its route configuration (istio/istio, `GatewayRDSRouteName`)."""
        if not self.tls:
            return f"http.{self.port}"
        return f"https.{self.port}.{self.port_name}.{self.gateway.name}.{self.gateway.namespace}"


class VirtualHost(NamedTuple):
    """A virtual host as istiod builds it."""

    server: Server
    name: str
    domains: tuple[str, ...]
    routes: tuple[tuple[Routes, Entry], ...]


class Routing:
    """Everything that routes at the gateways of a mesh."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.all = mesh.routes

    @functools.cached_property
    def servers(self) -> tuple[Server, ...]:
        """Return the HTTP servers of Istio's Gateways that may run on a protected workload, or on any if none is."""
        gateways = list(self.mesh.of(NETWORKING, "Gateway"))
        there = {f"Gateway/{gateway.namespace}/{gateway.name}" for gateway in gateways}
        found = [server for gateway in gateways if self.may_run_on_ours(gateway) for server in _servers(gateway)]
        missing = {
            key: routes.owner
            for routes in self.all
            for key in sorted(routes.gateways)
            if key.startswith("Gateway/") and key not in there
        }
        found += [
            Server(owner, key.removeprefix("Gateway/"), owner.node, None, "", ("*",), False)
            for key, owner in missing.items()
        ]
        return tuple(found)

    @property
    def knows_gateways(self) -> bool:
        """Say whether some Gateway of a protected workload is among the files."""
        return any(server.port is not None for server in self.servers)

    def may_run_on_ours(self, gateway: Object) -> bool:
        """Say whether a Gateway's selector may take a protected workload."""
        selector = labels_of(gateway.spec.get("selector"))
        return not self.mesh.workloads or any(
            self.mesh.may_select(selector, workload) for workload in self.mesh.workloads
        )

    @functools.cached_property
    def virtual_hosts(self) -> tuple[VirtualHost, ...]:
        """Return the virtual hosts of `servers`."""
        found: list[VirtualHost] = []
        for server in self.servers:
            key = f"Gateway/{server.key}"
            of_host: dict[str, list[tuple[Routes, Entry]]] = {}
            for routes in self.all:
                if key in routes.gateways and routes.owner.kind == "VirtualService":
                    for host, _ in routes.hosts:
                        for shared in _shared(server.hosts, host):
                            of_host.setdefault(shared, []).extend((routes, entry) for entry in _built(routes))
            by_routes: dict[tuple[int, ...], list[str]] = {}
            for host in sorted(of_host, key=_order):
                by_routes.setdefault(tuple(id(entry) for _, entry in of_host[host]), []).append(host)
            for domains in by_routes.values():
                name = f"{domains[0]}:{UNKNOWN_PORT if server.port is None else server.port}"
                found.append(VirtualHost(server, name, tuple(domains), tuple(of_host[domains[0]])))
        return tuple(found)

    def _reached(
        self, operations: Container[str], wanted: Callable[[Node], bool]
    ) -> Iterator[tuple[VirtualHost, Entry]]:
        """Yield what patches of ours on routes reach, of those whose value is as wanted."""
        ours = [
            patch
            for patch in self.mesh.patches
            if self.mesh.is_ours(patch)
            and patch.apply_to == "HTTP_ROUTE"
            and patch.operation in operations
            and wanted(patch.value)
        ]
        for host in self.virtual_hosts:
            for _, entry in host.routes:
                if any(matches_route(patch, host, entry, name) for patch in ours for name in entry.names):
                    yield host, entry

    @functools.cached_property
    def patched(self) -> frozenset[int]:
        """Return the entries that EnvoyFilters of ours make follow the header in each virtual host, by id."""
        reached = {(id(host), id(entry)) for host, entry in self._reached({"MERGE"}, _takes_over)}
        missed = {
            id(entry) for host in self.virtual_hosts for _, entry in host.routes if (id(host), id(entry)) not in reached
        }
        return frozenset(entry for _, entry in reached if entry not in missed)

    @functools.cached_property
    def shielded(self) -> frozenset[int]:
        """Return the entries that no request reaches, by id: routes of ours for every path stand before them."""
        hosts = {id(host) for host, _ in self._reached({"INSERT_FIRST"}, _takes_all)}
        bare = {id(routes) for host in self.virtual_hosts if id(host) not in hosts for routes, _ in host.routes}
        return frozenset(
            id(entry)
            for host in self.virtual_hosts
            for routes, _ in host.routes
            if id(routes) not in bare
            for entry in routes.entries
        )

    @functools.cached_property
    def observed(self) -> frozenset[int]:
        """Return the entries that are observed and keep no law, by id."""
        return frozenset(id(entry) for _, entry in self._reached({"MERGE"}, observes))

    def is_asked(self, entry: Entry) -> bool:
        """Say whether requests of an entry go only where the header says, or none come to it."""
        return entry.by_header or id(entry) in self.patched or id(entry) in self.shielded

    @functools.cached_property
    def protecting(self) -> list[Routes]:
        """Return what routes by the decision: some entry of it follows the header, or its host is said to be ours."""
        return [
            routes
            for routes in self.all
            if any(self.is_asked(entry) for entry in routes.entries)
            or any(host in self.mesh.setting.hosts for host, _ in routes.hosts)
        ]

    @functools.cached_property
    def hosts(self) -> frozenset[str]:
        """Return the protected hosts."""
        said = {host for routes in self.protecting for host, _ in routes.hosts}
        return frozenset(said | set(self.mesh.setting.hosts))

    def meets_protected(self, host: str) -> bool:
        """Say whether a host pattern and a protected host have a name in common."""
        return not self.hosts or any(covers(host, own) or covers(own, host) for own in self.hosts)

    def at_our_gateways(self, routes: Routes) -> bool:
        """Say whether something is bound to a gateway that may be protected; one that is not among the files may."""
        known = {f"Gateway/{server.key}" for server in self.servers}
        elsewhere = {
            f"Gateway/{gateway.namespace}/{gateway.name}" for gateway in self.mesh.of(NETWORKING, "Gateway")
        } - known
        return bool(routes.gateways - elsewhere)


def matches_route(patch: Patch, host: VirtualHost, entry: Entry, name: str) -> bool:
    """Say whether a patch of a route reaches one, as istiod decides it (`routeConfigurationMatch` and below)."""
    wanted = field(patch.match, "route_configuration")
    route = wanted.get("vhost", "route")
    if not matches_configuration(wanted, host.server) or not matches_virtual_host(wanted, host):
        return False
    if route.get("name").text not in (None, name):
        return False
    action = route.get("action").text or "ANY"
    return action == "ANY" or action == _action(entry)


def matches_configuration(wanted: Node, server: Server) -> bool:
    """Say whether a match names the route configuration of a server.

    A plain HTTP server's is called `http.PORT`: it has neither the Gateway's name nor the port's, and matches neither.
    """
    port = field(wanted, "port_number").text
    own = (server.key, server.port_name) if server.tls else (None, None)
    return server.port is None or (
        wanted.get("name").text in (None, server.route_configuration)
        and wanted.get("gateway").text in (None, own[0])
        and field(wanted, "port_name").text in (None, own[1])
        and port in (None, "0", str(server.port))
    )


def matches_virtual_host(wanted: Node, host: VirtualHost) -> bool:
    """Say whether a match names a virtual host."""
    vhost = wanted.get("vhost")
    name, domain = vhost.get("name").text, field(vhost, "domain_name").text
    if name is not None and host.server.port is None:
        name = f"{name.rpartition(':')[0]}:{UNKNOWN_PORT}"
    return name in (None, host.name) and (domain is None or domain in host.domains)


def _action(entry: Entry) -> str:
    if present(entry.node.get("redirect")):
        return "REDIRECT"
    return "DIRECT_RESPONSE" if present(field(entry.node, "direct_response")) else "ROUTE"


def observes(value: Node) -> bool:
    """Say whether a route's patch has its requests observed."""
    return present(field(value, "typed_per_filter_config").get(OBSERVE_FILTER))


def _takes_over(value: Node) -> bool:
    """Say whether a route's patch has a destination of its own that follows the decision."""
    action = value.get("route")
    return routes_by_us(action) or present(field(action, "cluster_specifier_plugin"))


def _takes_all(value: Node) -> bool:
    """Say whether a route is for every path and follows the decision, or leads nowhere."""
    match = value.get("match")
    narrows = [key for key, _ in match.items() if key != "prefix"]
    refuses = present(field(value, "direct_response"))
    return match.get("prefix").text == "/" and not narrows and (refuses or _takes_over(value))


def _built(routes: Routes) -> Iterator[Entry]:
    """Yield the entries that istiod makes routes of: none after the first that takes every request."""
    for entry in routes.entries:
        yield entry
        matches = [dict(match.items()) for match in entry.node.below("match")]
        if not matches or any(not match or _is_every_path(match) for match in matches):
            return


def _is_every_path(match: Mapping[str, Node]) -> bool:
    return set(match) <= {"uri", "name"} and ("uri" not in match or match["uri"].get("prefix").text == "/")


def _order(host: str) -> tuple[bool, int, str]:
    """Return a key that sorts hosts as istiod does: wildcards last, long ones first (istio/istio, `MoreSpecific`)."""
    return host.startswith("*"), -len(host), host


def _shared(server_hosts: tuple[str, ...], host: str) -> Iterator[str]:
    """Yield the hosts that a server and a VirtualService have in common: of two that overlap, the narrower."""
    for pattern in server_hosts:
        if covers(pattern, host):
            yield host.lower()
            return
        if covers(host, pattern):
            yield pattern.lower()


def _servers(gateway: Object) -> Iterator[Server]:
    for node in gateway.spec.below("servers"):
        port = node.get("port", "number").text
        mode = node.get("tls", "mode").text
        if port is None or not port.isdigit() or (node.get("port", "protocol").text or "HTTP").upper() not in _HTTP:
            continue
        if mode in ("PASSTHROUGH", "AUTO_PASSTHROUGH"):
            continue
        protocol = (node.get("port", "protocol").text or "HTTP").upper()
        hosts = tuple((item.text or "").rpartition("/")[2].lower() for item in node.below("hosts"))
        yield Server(
            gateway,
            f"{gateway.namespace}/{gateway.name}",
            node,
            int(port),
            node.get("port", "name").text or "",
            hosts,
            protocol in ("HTTPS", "TLS"),
        )
