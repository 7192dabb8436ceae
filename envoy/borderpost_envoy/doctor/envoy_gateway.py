"""What Envoy Gateway delivers, told by the names of Borderpost's configuration.

Envoy Gateway names clusters after rules of HTTPRoutes (`httproute/NAMESPACE/NAME/rule/0`), and routes by our header
are rules, each with a cluster of its own. The cluster of the rule for `eu-1` is what the configuration calls `eu-1`. A
failover group is one cluster with a priority for each region: it is taken for what an aggregate would be only where
each priority has exactly the endpoints of one of the group's regions. What does not fit keeps its name, and the rules
find it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from borderpost_envoy.doctor.expected import Expected
from borderpost_envoy.doctor.model import Cluster, Configuration, FilterChain, Listener, Manager, Route, RouteTable
from borderpost_envoy.doctor.scene import named_in_match

_MARK = "envoy-gateway"
"""Key under which Envoy Gateway says in metadata what a resource was made of."""


def is_made_by_envoy_gateway(route: Route) -> bool:
    """Return True for a route of Envoy Gateway's."""
    return any(name == _MARK for name, _ in route.message.get("metadata").entries("filter_metadata"))


def by_our_names(configuration: Configuration, expected: Expected) -> Configuration:
    """Return the same configuration with Envoy Gateway's names of regions and groups replaced by ours."""
    clusters = {cluster.name: cluster for cluster in configuration.clusters}
    ours = _names(configuration, expected, clusters)
    if not ours:
        return configuration
    regions = {name: clusters[theirs] for theirs, name in ours.items() if name in expected.regions}
    renamed: dict[str, Cluster] = {}
    for theirs, name in ours.items():
        found = clusters[theirs]
        if name in expected.groups:
            members = _members(
                found, {member: regions[member] for member in expected.groups[name] if member in regions}
            )
            if len(members) != len(expected.groups[name]):
                continue
            found = replace(found, endpoints=(), members=members)
        renamed[theirs] = replace(found, name=name)
    names = {theirs: cluster.name for theirs, cluster in renamed.items()}
    return replace(
        configuration,
        clusters=tuple(renamed.get(cluster.name, cluster) for cluster in configuration.clusters),
        listeners=tuple(_listener(each, names) for each in configuration.listeners),
    )


def _names(configuration: Configuration, expected: Expected, clusters: Mapping[str, Cluster]) -> dict[str, str]:
    """Return the configuration's name for each cluster that a rule by our header has. A name is given once, and not
    where a cluster has it already; a second cluster for it must have the same endpoints."""
    found: dict[str, str] = {}
    first: dict[str, Cluster] = {}
    for route in _routes(configuration):
        name = named_in_match(route)
        if name is None or len(route.clusters) != 1 or not is_made_by_envoy_gateway(route):
            continue
        cluster = clusters.get(route.clusters[0])
        if cluster is None or name in clusters or (name not in expected.regions and name not in expected.groups):
            continue
        if _addresses(first.setdefault(name, cluster)) == _addresses(cluster) and found.get(cluster.name, name) == name:
            found[cluster.name] = name
    return found


def _routes(configuration: Configuration) -> Iterator[Route]:
    for listener in configuration.listeners:
        for chain in listener.chains:
            if chain.manager is not None:
                for _, _, route in chain.manager.routes():
                    yield route


def _members(group: Cluster, regions: Mapping[str, Cluster]) -> tuple[str, ...]:
    """Return the regions whose endpoints a group's priorities are, in order; fewer where one is nobody's."""
    by_endpoints = {_addresses(cluster): name for name, cluster in regions.items()}
    found = []
    for priority in sorted({endpoint.priority for endpoint in group.endpoints}):
        own = frozenset((each.address, 0) for each in group.endpoints if each.priority == priority)
        found.append(by_endpoints.get(own))
    return tuple(name for name in found if name is not None) if len(set(found)) == len(found) else ()


def _addresses(cluster: Cluster) -> frozenset[tuple[str, int]]:
    return frozenset((endpoint.address, endpoint.priority) for endpoint in cluster.endpoints)


def _listener(listener: Listener, names: Mapping[str, str]) -> Listener:
    return replace(listener, chains=tuple(_chain(chain, names) for chain in listener.chains))


def _chain(chain: FilterChain, names: Mapping[str, str]) -> FilterChain:
    return chain if chain.manager is None else replace(chain, manager=_manager(chain.manager, names))


def _manager(manager: Manager, names: Mapping[str, str]) -> Manager:
    return replace(manager, tables=tuple(_table(table, names) for table in manager.tables))


def _table(table: RouteTable, names: Mapping[str, str]) -> RouteTable:
    hosts = tuple(replace(host, routes=tuple(_route(route, names) for route in host.routes)) for host in table.hosts)
    return replace(table, hosts=hosts)


def _route(route: Route, names: Mapping[str, str]) -> Route:
    return replace(route, clusters=tuple(names.get(cluster, cluster) for cluster in route.clusters))
