"""Routes of HTTP hosts in one shape, whoever writes them: VirtualService, HTTPRoute or GRPCRoute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from borderpost.manifests.objects import Inventory, Object
from borderpost.manifests.tree import Node
from borderpost_base.names import CLUSTER_HEADER
from borderpost_istio.doctor.reading import GATEWAY_API, NETWORKING, full_host, present


class Destination(NamedTuple):
    """Where a route sends requests, or copies of them."""

    node: Node
    host: str
    subset: str
    weight: int


class Entry(NamedTuple):
    """One rule of a host's routes."""

    node: Node
    name: str | None
    names: tuple[str, ...]
    """The names that its Envoy routes carry: one a match."""
    by_header: bool
    """Whether each match asks for a value of our header."""
    destinations: tuple[Destination, ...]
    mirrors: tuple[Destination, ...]


@dataclass(frozen=True, slots=True)
class Routes:
    """An object that routes HTTP requests of some hosts at some gateways."""

    owner: Object
    hosts: tuple[tuple[str, Node], ...]
    gateways: frozenset[str]
    """`kind/namespace/name` of what it is bound to."""
    entries: tuple[Entry, ...]


def read_routes(inventory: Inventory) -> Iterator[Routes]:
    """Yield everything that routes HTTP requests."""
    for one in inventory.of("VirtualService"):
        if one.group == NETWORKING:
            yield _virtual_service(one)
    for kind in ("HTTPRoute", "GRPCRoute"):
        for one in inventory.of(kind):
            if one.group == GATEWAY_API:
                yield _http_route(one)


def _virtual_service(one: Object) -> Routes:
    gateways = {
        f"Gateway/{name}" if "/" in name else f"Gateway/{one.namespace}/{name}"
        for name in (node.text or "" for node in one.spec.below("gateways"))
        if name != "mesh"
    }
    return Routes(
        one,
        tuple((node.text.lower(), node) for node in one.spec.below("hosts") if node.text is not None),
        frozenset(gateways),
        tuple(_virtual_service_entry(node, one.namespace) for node in one.spec.below("http")),
    )


def _virtual_service_entry(node: Node, namespace: str) -> Entry:
    matches = list(node.below("match"))
    name = node.get("name").text
    names = [f"{name or ''}.{match.get('name').text}" if match.get("name").text else (name or "") for match in matches]
    mirrors = [node.get("mirror")] if present(node.get("mirror")) else []
    mirrors += [mirror.get("destination") for mirror in node.below("mirrors")]
    return Entry(
        node,
        name,
        tuple(names or [name or ""]),
        bool(matches) and all(_asks_value(match.get("headers", CLUSTER_HEADER)) for match in matches),
        tuple(_destination(route.get("destination"), route, namespace) for route in node.below("route")),
        tuple(_destination(mirror, mirror, namespace) for mirror in mirrors),
    )


def _asks_value(node: Node) -> bool:
    """Say whether a header match asks for one value, or for one of a pattern that is not everything."""
    regex = node.get("regex").text
    return any(node.get(kind).text for kind in ("exact", "prefix")) or (regex is not None and regex not in (".*", ".+"))


def _destination(node: Node, weighed: Node, namespace: str) -> Destination:
    weight = weighed.get("weight").text
    host = full_host(node.get("host").text or "", namespace)
    subset = node.get("subset").text or ""
    return Destination(node, host, subset, int(weight) if weight is not None and weight.isdigit() else 100)


def _http_route(one: Object) -> Routes:
    parents = [
        f"{ref.get('kind').text or 'Gateway'}.api/{ref.get('namespace').text or one.namespace}/{ref.get('name').text}"
        for ref in one.spec.below("parentRefs")
        if ref.get("kind").text != "Service"
    ]
    hosts = tuple((node.text.lower(), node) for node in one.spec.below("hostnames") if node.text is not None)
    return Routes(
        one,
        hosts or ((("*", one.node.get("metadata", "name")),) if parents else ()),
        frozenset(parents),
        tuple(_http_entry(node, one.namespace) for node in one.spec.below("rules")),
    )


def _http_entry(node: Node, namespace: str) -> Entry:
    matches = list(node.below("matches"))
    references = list(node.below("backendRefs"))
    filters = [item for holder in (node, *references) for item in holder.below("filters")]
    mirrors = [item.get("requestMirror", "backendRef") for item in filters if present(item.get("requestMirror"))]
    asked = bool(matches) and all(
        any(
            (header.get("name").text or "").lower() == CLUSTER_HEADER and header.get("type").text in (None, "Exact")
            for header in match.below("headers")
        )
        for match in matches
    )
    name = node.get("name").text
    return Entry(
        node,
        name,
        (name or "",),
        asked,
        tuple(_backend(reference, namespace) for reference in references),
        tuple(_backend(mirror, namespace) for mirror in mirrors),
    )


def _backend(node: Node, namespace: str) -> Destination:
    kind, name = node.get("kind").text or "Service", node.get("name").text or ""
    host = name.lower() if kind == "Hostname" else full_host(name, node.get("namespace").text or namespace)
    weight = node.get("weight").text
    return Destination(node.get("name"), host, "", int(weight) if weight is not None and weight.isdigit() else 1)
