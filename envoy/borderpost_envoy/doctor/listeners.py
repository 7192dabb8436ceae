"""Reads listeners: filter chains, connection managers, HTTP filters, and the routes that belong to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from borderpost_envoy.doctor.message import Message
from borderpost_envoy.doctor.model import FilterChain, HttpFilter, Listener, Manager, RouteTable
from borderpost_envoy.doctor.routes import read_table

_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_MATCHED = "envoy.extensions.common.matching.v3.ExtensionWithMatcher"
_FORWARDERS = ("TcpProxy", "UdpProxyConfig", "RedisProxy", "MongoProxy", "ThriftProxy", "GenericProxy", "FilterConfig")
"""Last words of the types of network and listener filters that send connections on by themselves."""


class ListenerReader:
    """Reads listeners, given the routes and filters that were discovered beside them."""

    def __init__(self, tables: Mapping[str, RouteTable], discovered: Mapping[str, Message]) -> None:
        """Take route configurations by name, and HTTP filters' configurations (ECDS) by name."""
        self._tables = tables
        self._discovered = discovered
        self.used: set[str] = set()
        """Names of the route configurations that some listener uses."""

    def read(self, message: Message) -> Listener:
        """Read one listener."""
        name = message.text("name") or _address(message)
        chains = list(message.each("filter_chains"))
        if message.get("default_filter_chain").present:
            chains.append(message.get("default_filter_chain"))
        read = [self._chain(chain, name, number, len(chains)) for number, chain in enumerate(chains)]
        kind, manager = message.get("api_listener").typed("api_listener")
        if kind.endswith("HttpConnectionManager"):
            read.append(FilterChain(manager, name, self._manager(manager, name, tls=False), ()))
        read += [
            FilterChain(one, name, None, clusters)
            for one in message.each("listener_filters")
            if (clusters := tuple(_clusters(one.typed("typed_config")[1])))
        ]
        return Listener(name, message, tuple(read))

    def _chain(self, message: Message, listener: str, number: int, count: int) -> FilterChain:
        own = message.text("name")
        label = listener if count == 1 else f"{listener}, chain {own or number}"
        manager: Manager | None = None
        clusters: list[str] = []
        for each in message.each("filters"):
            kind, config = each.typed("typed_config")
            if kind == _MANAGER:
                manager = self._manager(config, label, tls=message.get("transport_socket").present)
            elif kind.endswith(_FORWARDERS):
                clusters += _clusters(config)
        return FilterChain(message, label, manager, tuple(clusters))

    def _manager(self, message: Message, label: str, *, tls: bool) -> Manager:
        tables: list[RouteTable] = []
        missing: list[str] = []
        if message.get("route_config").present:
            tables.append(read_table(message.get("route_config")))
        for name in dict.fromkeys(_route_names(message, self._tables)):
            if name in self._tables:
                tables.append(self._tables[name])
                self.used.add(name)
            else:
                missing.append(name)
        filters = tuple(self._filter(each, index) for index, each in enumerate(message.each("http_filters")))
        return Manager(message, label, filters, tuple(tables), tuple(missing), tls)

    def _filter(self, message: Message, index: int) -> HttpFilter:
        name = message.text("name") or ""
        kind, config = message.typed("typed_config")
        if not kind and message.get("config_discovery").present and name in self._discovered:
            kind, config = self._discovered[name].typed("typed_config")
        conditional = kind == _MATCHED
        if conditional:
            kind, config = config.get("extension_config").typed("typed_config")
        return HttpFilter(name, index, kind, message, config, conditional)


def _route_names(manager: Message, known: Mapping[str, RouteTable]) -> Iterator[str]:
    if manager.get("rds").present:
        yield manager.get("rds").text("route_config_name") or ""
    if manager.get("scoped_routes").present:
        scopes = manager.get("scoped_routes", "scoped_route_configurations_list")
        listed = list(scopes.each("scoped_route_configurations"))
        for scope in listed:
            if (name := scope.text("route_configuration_name")) is not None:
                yield name
        if not listed:  # scopes that are discovered: any route configuration may be theirs
            yield from known


def _clusters(config: Message) -> list[str]:
    """Return every cluster that a proxying filter names, at whatever depth."""
    found: list[str] = []
    waiting = [config.node]
    while waiting:
        node = waiting.pop()
        for key, child in node.items():
            if key in ("cluster", "cluster_name") and child.text is not None:
                found.append(child.text)
            elif key == "weighted_clusters":
                found += [name for one in child.below("clusters") if (name := one.get("name").text) is not None]
            else:
                waiting.append(child)
        waiting += node.each()
    return found


def _address(message: Message) -> str:
    socket = message.get("address", "socket_address")
    return f"{socket.text('address') or '?'}:{socket.text('port_value') or '?'}"
