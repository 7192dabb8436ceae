"""What other teams write for the lab's gateway: patches of Envoy's configuration, services, hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from borderpost.demo.istio.gateway_node import LABELS
from borderpost.demo.istio.scenery import REGION_PORT, region_host
from support.istio_lab import resource

_GATEWAYS = {"context": "GATEWAY"}
_MANAGER = "envoy.filters.network.http_connection_manager"


def region_cluster(region: str) -> str:
    """Return Istio's name of a region's cluster."""
    return f"outbound|{REGION_PORT}||{region_host(region)}"


def service_entry(region: str, *ports: int, name: str | None = None, localities: Sequence[str] = ()) -> dict[str, Any]:
    """Return a ServiceEntry for a region's host whose endpoints are these ports of loopback."""
    endpoints: list[dict[str, Any]] = [{"address": "127.0.0.1", "ports": {"http": port}} for port in ports]
    for endpoint, locality in zip(endpoints, localities, strict=False):
        endpoint["locality"] = locality
    return resource(
        "ServiceEntry",
        name or region,
        {
            "hosts": [region_host(region)],
            "location": "MESH_EXTERNAL",
            "resolution": "STATIC",
            "ports": [{"number": REGION_PORT, "name": "http", "protocol": "HTTP"}],
            "endpoints": endpoints,
        },
    )


def patch_of(name: str, *patches: Mapping[str, Any], priority: int = 9000) -> dict[str, Any]:
    """Return an EnvoyFilter on the lab's gateway, which comes after ours unless another priority is given."""
    spec = {"workloadSelector": {"labels": dict(LABELS)}, "priority": priority, "configPatches": list(patches)}
    return resource("EnvoyFilter", name, spec, api="networking.istio.io/v1alpha3")


def added(cluster: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch that adds a cluster."""
    return {"applyTo": "CLUSTER", "match": _GATEWAYS, "patch": {"operation": "ADD", "value": cluster}}


def before_the_router(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch that puts an HTTP filter right before the router."""
    return at_filter("envoy.filters.http.router", "INSERT_BEFORE", value)


def at_filter(name: str, operation: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch at an HTTP filter."""
    manager = {"name": _MANAGER, "subFilter": {"name": name}}
    match = {"context": "GATEWAY", "listener": {"filterChain": {"filter": manager}}}
    return {"applyTo": "HTTP_FILTER", "match": match, "patch": {"operation": operation, "value": dict(value)}}


def bare_manager(cluster: str) -> dict[str, Any]:
    """Return a connection manager that asks nobody and leads to a cluster."""
    kinds = "type.googleapis.com/envoy.extensions.filters"
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster}}
    router = {"@type": f"{kinds}.http.router.v3.Router"}
    config = {
        "@type": f"{kinds}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "theirs",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    return {"name": _MANAGER, "typed_config": config}


def added_listener(port: int, manager: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch that adds a listener on loopback."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    value = {"name": "theirs", "address": address, "filter_chains": [{"filters": [dict(manager)]}]}
    return {"applyTo": "LISTENER", "match": _GATEWAYS, "patch": {"operation": "ADD", "value": value}}


def replaced_manager(manager: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch that puts another connection manager in the place of every one."""
    match = {**_GATEWAYS, "listener": {"filterChain": {"filter": {"name": _MANAGER}}}}
    return {"applyTo": "NETWORK_FILTER", "match": match, "patch": {"operation": "REPLACE", "value": dict(manager)}}


def added_host(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch that adds a virtual host."""
    return {"applyTo": "VIRTUAL_HOST", "match": _GATEWAYS, "patch": {"operation": "ADD", "value": dict(value)}}


def on_every_host(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch that merges something into every virtual host."""
    return {"applyTo": "VIRTUAL_HOST", "match": _GATEWAYS, "patch": {"operation": "MERGE", "value": dict(value)}}


def on_every_table(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch that merges something into every route configuration."""
    return {"applyTo": "ROUTE_CONFIGURATION", "match": _GATEWAYS, "patch": {"operation": "MERGE", "value": dict(value)}}


def first_route(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch that puts a route before all others of every virtual host."""
    return {"applyTo": "HTTP_ROUTE", "match": _GATEWAYS, "patch": {"operation": "INSERT_FIRST", "value": dict(value)}}


def on_every_route(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch that merges something into every route of a VirtualService that leads somewhere."""
    match = {**_GATEWAYS, "routeConfiguration": {"vhost": {"route": {"action": "ROUTE"}}}}
    return {"applyTo": "HTTP_ROUTE", "match": match, "patch": {"operation": "MERGE", "value": dict(value)}}
