"""What all rules look at: a configuration, what is expected of it, and which parts of it are ours.

A *door* is the filter that asks Borderpost. A manager with a door is *guarded*. A *law route* lets our answer alone
name the cluster. *Regions* are clusters that law routes name, or that Borderpost's configuration does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from borderpost_base.names import CLUSTER_HEADER, EXT_AUTHZ_FILTER, EXT_PROC_FILTER, OBSERVE_FILTER
from borderpost_envoy.doctor.expected import Expected
from borderpost_envoy.doctor.message import Message
from borderpost_envoy.doctor.model import (
    Cluster,
    Configuration,
    Endpoint,
    FilterChain,
    HttpFilter,
    Leads,
    Listener,
    Manager,
    Route,
    RouteTable,
    VirtualHost,
)
from borderpost_envoy.plan import SERVER_CLUSTER, Via

EXT_PROC_TYPE = "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor"
EXT_AUTHZ_TYPE = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
MATCHER = "envoy.extensions.router.cluster_specifiers.matcher.v3.MatcherClusterSpecifier"
_DOORS = {EXT_PROC_TYPE: Via.EXT_PROC, EXT_AUTHZ_TYPE: Via.EXT_AUTHZ}
_FILTER_CONFIG = "envoy.config.route.v3.FilterConfig"
_SUPPORTING = frozenset(
    ("BlackHoleCluster", "agent", "prometheus_stats", "sds-grpc", "xds-grpc", "zipkin", "xds_cluster")
)
"""Clusters of Istio's own, to which no answer of ours leads."""


@dataclass(frozen=True, slots=True)
class Door:
    """A filter that asks Borderpost, and where it stands."""

    filter: HttpFilter
    via: Via
    manager: Manager

    @property
    def config(self) -> Message:
        """Return the filter's configuration."""
        return self.filter.config

    @property
    def cluster(self) -> str | None:
        """Return the cluster of Borderpost's workers; None where Envoy's own gRPC client is not used."""
        return self.config.get("grpc_service", "envoy_grpc").text("cluster_name")

    @property
    def subject(self) -> str:
        """Return how people are told of it."""
        return f"listener {self.manager.label}: filter {self.filter.name}"


@dataclass(frozen=True, slots=True)
class Override:
    """What a route, a virtual host or a route configuration says about one filter."""

    subject: str
    message: Message
    type: str
    config: Message
    disabled: bool
    route: Route | None


class Scene:
    """A configuration with what is ours in it."""

    def __init__(self, configuration: Configuration, expected: Expected) -> None:
        """Take a configuration and what is expected of it."""
        self.configuration = configuration
        self.expected = expected
        self.file = configuration.file
        self.clusters: dict[str, Cluster] = {cluster.name: cluster for cluster in configuration.clusters}
        """By name; of one that is being replaced, the new one."""

    def chains(self) -> Iterator[tuple[Listener, FilterChain]]:
        """Yield every filter chain."""
        for listener in self.configuration.listeners:
            for chain in listener.chains:
                yield listener, chain

    @cached_property
    def doors(self) -> tuple[Door, ...]:
        """Every filter that asks Borderpost."""
        return tuple(
            Door(each, _DOORS[each.type], chain.manager)
            for _, chain in self.chains()
            if chain.manager is not None
            for each in chain.manager.filters
            if self._is_door(each)
        )

    @cached_property
    def guarded(self) -> tuple[Manager, ...]:
        """Every manager with a door, once."""
        return tuple({id(door.manager): door.manager for door in self.doors}.values())

    def doors_of(self, manager: Manager) -> tuple[Door, ...]:
        """Return a manager's doors, in order of the chain."""
        return self._doors_by_manager.get(id(manager), ())

    @cached_property
    def _doors_by_manager(self) -> dict[int, tuple[Door, ...]]:
        found: dict[int, tuple[Door, ...]] = {}
        for door in self.doors:
            found[id(door.manager)] = (*found.get(id(door.manager), ()), door)
        return found

    def _is_door(self, each: HttpFilter) -> bool:
        """Return True for a filter of ours: by its name, or by whom it asks."""
        if each.type not in _DOORS or is_observer(each):
            return False
        if each.name in (EXT_PROC_FILTER, EXT_AUTHZ_FILTER):
            return True
        cluster = each.config.get("grpc_service", "envoy_grpc").text("cluster_name") or ""
        if cluster == SERVER_CLUSTER or SERVER_CLUSTER in cluster.replace("_", ".").replace("|", ".").split("."):
            return True
        return any(endpoint.address in self.expected.servers for endpoint in self._endpoints(cluster))

    def _endpoints(self, cluster: str) -> Iterator[Endpoint]:
        yield from self.clusters[cluster].endpoints if cluster in self.clusters else ()

    @cached_property
    def servers(self) -> frozenset[str]:
        """Clusters of Borderpost's workers."""
        return frozenset(door.cluster for door in self.doors if door.cluster is not None) | {SERVER_CLUSTER}

    def turned(self, door: Door, table: RouteTable, host: VirtualHost, route: Route) -> tuple[bool, Message]:
        """Return whether a door is on for a route, and what says so: the most specific that speaks of it."""
        for holder in (route.message, host.message, table.message):
            for key, packed in holder.entries("typed_per_filter_config"):
                if key == door.filter.name:
                    return not _is_off(packed), packed
        entry = door.filter.message
        return not entry.flag("disabled"), entry.get("disabled")

    def asks(self, manager: Manager, table: RouteTable, host: VirtualHost, route: Route) -> bool:
        """Return True for a route whose requests Borderpost is asked about, and obeyed."""
        doors = self.doors_of(manager)
        return any(self.turned(door, table, host, route)[0] for door in doors) and not self.observed(manager, route)

    def asking(self, manager: Manager) -> Iterator[tuple[RouteTable, VirtualHost, Route]]:
        """Yield the routes of a guarded manager that Borderpost decides about; others may share the gateway."""
        for table, host, route in manager.routes():
            if self.asks(manager, table, host, route):
                yield table, host, route

    def observed(self, manager: Manager, route: Route) -> bool:
        """Return True for a route that is only observed: the observer is turned on for it, and every door is off."""
        own = dict(route.message.entries("typed_per_filter_config"))
        watching = own.get(OBSERVE_FILTER)
        if watching is None or watching.content.flag("disabled"):
            return False
        if not any(is_observer(each) for each in manager.filters):
            return False
        return all(_is_off(own.get(door.filter.name)) for door in self.doors_of(manager))

    def guarded_routes(self) -> Iterator[tuple[Manager, RouteTable, VirtualHost, Route]]:
        """Yield every route of every guarded manager."""
        for manager in self.guarded:
            for table, host, route in manager.routes():
                yield manager, table, host, route

    @cached_property
    def regions(self) -> frozenset[str]:
        """Clusters of regions and of groups of them, by name."""
        named = set(self.expected.regions) | set(self.expected.groups)
        if not self.expected.known:
            for _, _, _, route in self.guarded_routes():
                if route.specifier is not None:
                    named |= route.specifier.clusters
                elif named_in_match(route) is not None:
                    named |= set(route.clusters)
        return frozenset(named - self.servers)

    @cached_property
    def reachable(self) -> tuple[Cluster, ...]:
        """Clusters to which an answer of ours can lead, or that Borderpost's configuration calls regions.

        Behind `cluster_header` that is every cluster of Envoy, but for our own and Istio's; where Borderpost's
        configuration is known, only what it names.
        """
        names = set(self.regions)
        by_header = any(route.leads is Leads.HEADER for _, _, _, route in self.guarded_routes())
        if by_header and not self.expected.known:
            names |= set(self.clusters) - self.servers - _SUPPORTING
        for name in tuple(names):
            names |= set(self.clusters[name].members) if name in self.clusters else set()
        return tuple(self.clusters[name] for name in sorted(names) if name in self.clusters)

    def overrides(self, manager: Manager, name: str) -> Iterator[Override]:
        """Yield what routes and those above them say about a filter by its name, the widest first."""
        for table in manager.tables:
            yield from _overrides(table.message, name, f"routes {table.name}", None)
            for host in table.hosts:
                subject = f"virtual host {host.name}"
                yield from _overrides(host.message, name, subject, None)
                for route in host.routes:
                    told = f"{subject}, route {route.label}"
                    yield from _overrides(route.message, name, told, route)
                    for one in route.action.get("weighted_clusters").each("clusters"):
                        yield from _overrides(one, name, f"{told}, cluster {one.text('name')}", route)


def is_observer(each: HttpFilter) -> bool:
    """Return True for the filter by which routes are only observed: off unless a route turns it on, never obeyed."""
    return each.name == OBSERVE_FILTER and each.config.flag("observability_mode") and each.message.flag("disabled")


def _is_off(override: Message | None) -> bool:
    """Return True for an override that turns its filter off; any other turns on what the chain has turned off."""
    if override is None:
        return False
    return override.content.flag("disabled") or override.content.get("config").flag("disabled")


def _overrides(message: Message, name: str, subject: str, route: Route | None) -> Iterator[Override]:
    for key, packed in message.entries("typed_per_filter_config"):
        if key == name:
            kind, config, disabled = packed.type_name, packed.content, False
            if kind == _FILTER_CONFIG:
                disabled = config.flag("disabled")
                kind, config = config.typed("config")
            yield Override(subject, packed, kind, config, disabled, route)


def is_law(route: Route) -> bool:
    """Return True for a route whose cluster only an answer of ours names."""
    return route.leads in (Leads.HEADER, Leads.PLUGIN) or named_in_match(route) is not None


def named_in_match(route: Route) -> str | None:
    """Return the value of our cluster header that a route's match asks for; None if it does not ask for one value."""
    for header in route.message.get("match").each("headers"):
        if (header.text("name") or "").lower() == CLUSTER_HEADER and not header.flag("invert_match"):
            value = header.get("string_match").text("exact") or header.text("exact_match")
            if value is not None:
                return value
    return None
