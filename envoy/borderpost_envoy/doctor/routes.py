"""Reads route configurations: virtual hosts, routes, and what names the cluster."""

from __future__ import annotations

from collections.abc import Mapping

from borderpost_envoy.doctor.message import Message
from borderpost_envoy.doctor.model import Leads, Route, RouteTable, VirtualHost

_ANSWERS = ("redirect", "direct_response")


def read_table(message: Message) -> RouteTable:
    """Read one RouteConfiguration."""
    plugins = {
        plugin.get("extension").text("name") or "": plugin.get("extension")
        for plugin in message.each("cluster_specifier_plugins")
    }
    return RouteTable(
        message.text("name") or "",
        message,
        tuple(_host(host, plugins, index) for index, host in enumerate(message.each("virtual_hosts"))),
    )


def _host(message: Message, plugins: Mapping[str, Message], index: int) -> VirtualHost:
    routes = [_route(route, plugins, number) for number, route in enumerate(message.each("routes"))]
    routes += _matched(message.get("matcher"), plugins, len(routes))
    return VirtualHost(message.text("name") or f"[{index}]", message, message.texts("domains"), tuple(routes))


def _matched(matcher: Message, plugins: Mapping[str, Message], begin: int) -> list[Route]:
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


def _route(message: Message, plugins: Mapping[str, Message], index: int) -> Route:
    action = message.get("route")
    name = message.text("name") or ""
    leads = Leads.UNKNOWN
    clusters: tuple[str, ...] = ()
    plugin: Message | None = None
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
        plugin = plugins.get(named) if named else action.get("inline_cluster_specifier_plugin", "extension")
    header = (action.text("cluster_header") or "").lower() or None
    return Route(name, name or f"[{index}]", message, leads, clusters, header, plugin)
