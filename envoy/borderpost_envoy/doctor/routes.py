"""Reads route configurations: virtual hosts, routes, and what names the cluster."""

from __future__ import annotations

from collections.abc import Mapping

from borderpost_envoy.doctor.message import Message
from borderpost_envoy.doctor.model import Leads, Route, RouteTable, Specifier, VirtualHost

METADATA_INPUT = "DynamicMetadataInput"
"""Last word of the type of a matcher's input that is dynamic metadata."""
_CLUSTER_ACTION = "envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction"
_ANSWERS = ("redirect", "direct_response")


def read_table(message: Message) -> RouteTable:
    """Read one RouteConfiguration."""
    plugins = {
        plugin.get("extension").text("name") or "": _specifier(plugin.get("extension"))
        for plugin in message.each("cluster_specifier_plugins")
    }
    return RouteTable(
        message.text("name") or "",
        message,
        tuple(_host(host, plugins, index) for index, host in enumerate(message.each("virtual_hosts"))),
    )


def _specifier(extension: Message) -> Specifier:
    kind, config = extension.typed("typed_config")
    clusters: set[str] = set()
    reads_metadata = False
    waiting = [config.node]
    while waiting:
        node = waiting.pop()
        url = node.value.get("@type") if isinstance(node.value, dict) else None
        if url is not None:
            packed = Message(node)
            if packed.type_name == _CLUSTER_ACTION:
                clusters.add(packed.content.text("cluster") or "")
                continue
            reads_metadata = reads_metadata or packed.type_name.endswith(METADATA_INPUT)
        waiting += [child for _, child in node.items()] or node.each()
    return Specifier(extension, kind or extension.text("name") or "", config, frozenset(clusters), reads_metadata)


def _host(message: Message, plugins: Mapping[str, Specifier], index: int) -> VirtualHost:
    routes = [_route(route, plugins, number) for number, route in enumerate(message.each("routes"))]
    routes += _matched(message.get("matcher"), plugins, len(routes))
    return VirtualHost(message.text("name") or f"[{index}]", message, message.texts("domains"), tuple(routes))


def _matched(matcher: Message, plugins: Mapping[str, Specifier], begin: int) -> list[Route]:
    """Return the routes of a virtual host's matcher tree, wherever they stand in it."""
    found: list[Route] = []
    waiting = [matcher.node]
    while waiting:
        node = waiting.pop()
        packed = Message(node)
        if packed.present and packed.type_name.endswith("route.v3.Route"):
            found.append(_route(packed.content, plugins, begin + len(found)))
        elif packed.present and packed.type_name.endswith("route.v3.RouteList"):
            found += [
                _route(route, plugins, begin + len(found) + number)
                for number, route in enumerate(packed.content.each("routes"))
            ]
        else:
            waiting += [child for _, child in node.items()] or list(node.each())
    return found


def _route(message: Message, plugins: Mapping[str, Specifier], index: int) -> Route:
    action = message.get("route")
    name = message.text("name") or ""
    leads = Leads.UNKNOWN
    clusters: tuple[str, ...] = ()
    specifier: Specifier | None = None
    if not action.present:
        if any(message.has(kind) for kind in _ANSWERS):
            leads = Leads.NOWHERE
    elif action.has("cluster"):
        leads, clusters = Leads.CLUSTER, (action.text("cluster") or "",)
    elif action.has("weighted_clusters"):
        leads = Leads.WEIGHTED
        clusters = tuple(one.text("name") or "" for one in action.get("weighted_clusters").each("clusters"))
    elif action.has("cluster_header"):
        leads = Leads.HEADER
    elif action.has("cluster_specifier_plugin") or action.has("inline_cluster_specifier_plugin"):
        leads = Leads.PLUGIN
        named = action.text("cluster_specifier_plugin")
        inline = action.get("inline_cluster_specifier_plugin", "extension")
        specifier = plugins.get(named) if named else _specifier(inline)
    header = (action.text("cluster_header") or "").lower() or None
    return Route(name, name or f"[{index}]", message, leads, clusters, header, specifier)
