"""Istio's resources for the wiring of a rendered bootstrap, written by hand after the rules of the product's guide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from borderpost.demo.istio.scenery import HOST, region_host
from support.envoy_process import connection_manager
from support.istio_lab import GATEWAY, resource

_MANAGER = "envoy.filters.network.http_connection_manager"
_MANAGER_FIELDS = (
    "early_header_mutation_extensions",
    "common_http_protocol_options",
    "path_with_escaped_slashes_action",
)


def region_cluster(region: str) -> str:
    """Return Istio's name of a region's cluster."""
    return f"outbound|80||{region_host(region)}"


def wired_resources(bootstrap: Mapping[str, Any], ports: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return what makes the lab's gateway route as the bootstrap does, to regions on loopback."""
    manager = connection_manager(dict(bootstrap))
    servers = bootstrap["static_resources"]["clusters"][0]
    filters = [before_the_router(one) for one in manager["http_filters"][:-1]]
    first = {"destination": {"host": region_host(next(iter(ports))), "port": {"number": 80}}}
    service = {"hosts": [HOST], "gateways": [GATEWAY], "http": [{"name": "inference", "route": [first]}]}
    return [
        patch_of("borderpost", added(servers), _merged_into_managers(manager), *filters, _merged_into_routes(manager)),
        resource("VirtualService", "inference", service),
        *(service_entry(region, port) for region, port in ports.items()),
        *(resource("DestinationRule", region, _traffic(region)) for region in ports),
    ]


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
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "endpoints": endpoints,
        },
    )


def patch_of(name: str, *patches: Mapping[str, Any]) -> dict[str, Any]:
    """Return an EnvoyFilter on the lab's gateway."""
    selector = {"labels": {"istio": "ingressgateway"}}
    spec = {"workloadSelector": selector, "priority": 10, "configPatches": list(patches)}
    return resource("EnvoyFilter", name, spec, api="networking.istio.io/v1alpha3")


def added(cluster: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch that adds a cluster."""
    return {"applyTo": "CLUSTER", "match": {"context": "GATEWAY"}, "patch": {"operation": "ADD", "value": cluster}}


def before_the_router(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch that puts an HTTP filter right before the router."""
    return at_filter("envoy.filters.http.router", "INSERT_BEFORE", value)


def at_filter(name: str, operation: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch at an HTTP filter."""
    manager = {"name": _MANAGER, "subFilter": {"name": name}}
    match = {"context": "GATEWAY", "listener": {"filterChain": {"filter": manager}}}
    return {"applyTo": "HTTP_FILTER", "match": match, "patch": {"operation": operation, "value": dict(value)}}


def on_every_route(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch that merges something into every route with a destination."""
    match = {"context": "GATEWAY", "routeConfiguration": {"vhost": {"route": {"action": "ROUTE"}}}}
    return {"applyTo": "HTTP_ROUTE", "match": match, "patch": {"operation": "MERGE", "value": dict(value)}}


def _traffic(region: str) -> dict[str, Any]:
    balancing = {"simple": "LEAST_REQUEST", "localityLbSetting": {"enabled": False}}
    return {"host": region_host(region), "trafficPolicy": {"loadBalancer": balancing}}


def _merged_into_managers(manager: Mapping[str, Any]) -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    config = {"@type": kind, **{key: manager[key] for key in _MANAGER_FIELDS}}
    match = {"context": "GATEWAY", "listener": {"filterChain": {"filter": {"name": _MANAGER}}}}
    value = {"name": _MANAGER, "typed_config": config}
    return {"applyTo": "NETWORK_FILTER", "match": match, "patch": {"operation": "MERGE", "value": value}}


def _merged_into_routes(manager: Mapping[str, Any]) -> dict[str, Any]:
    """Return the patch on routes of the name that the VirtualService gives."""
    configuration = manager["route_config"]
    route = configuration["virtual_hosts"][0]["routes"][0]
    action = {key: route["route"][key] for key in ("cluster_header", "auto_host_rewrite") if key in route["route"]}
    if "cluster_specifier_plugin" in route["route"]:
        (action["inline_cluster_specifier_plugin"],) = configuration["cluster_specifier_plugins"]
    kept = {key: configuration[key] for key in ("request_headers_to_remove", "response_headers_to_add")}
    value = {"route": action, "metadata": route["metadata"], **kept}
    match = {"context": "GATEWAY", "routeConfiguration": {"vhost": {"route": {"name": "inference"}}}}
    return {"applyTo": "HTTP_ROUTE", "match": match, "patch": {"operation": "MERGE", "value": value}}
