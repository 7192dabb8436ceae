"""What stands in a mesh that people wired by hand: services, hosts, patches, the faults among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from borderpost.demo.istio.scenery import HOST, REGION_PORT, region_host
from borderpost_base.names import CLUSTER_HEADER, EXT_PROC_FILTER
from borderpost_envoy.plan import SERVER_CLUSTER
from support.istio_lab import GATEWAY, resource
from support.istio_patches import added, before_the_router, patch_of, region_cluster, service_entry
from support.istio_wiring import MeshWiring

EU, US = "eu-1", "us-1"
_TYPE = "type.googleapis.com/envoy"
_MANAGER = "envoy.filters.network.http_connection_manager"
_HTTP = f"{_TYPE}.extensions.filters.http"

Made = list[dict[str, Any]]


def strip(**typed: Any) -> dict[str, Any]:
    """Return the patch that strips our headers; `typed` stands in place of the setting."""
    mutation = f"{_TYPE}.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    extension = {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {"@type": mutation, "mutations": [{"remove": CLUSTER_HEADER}]},
    }
    kind = f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    config = {"@type": kind, **(typed or {"early_header_mutation_extensions": [extension]})}
    match = {"context": "GATEWAY", "listener": {"filterChain": {"filter": {"name": _MANAGER}}}}
    return {
        "applyTo": "NETWORK_FILTER",
        "match": match,
        "patch": {"operation": "MERGE", "value": {"name": _MANAGER, "typed_config": config}},
    }


def mistyped_strip() -> dict[str, Any]:
    """Return the patch with a field that nobody has."""
    made = strip()
    config = made["patch"]["value"]["typed_config"]
    config["early_header_mutation_extension"] = config.pop("early_header_mutation_extensions")
    return made


def asking(mesh: MeshWiring, **settings: Any) -> list[dict[str, Any]]:
    """Return the patches that have Borderpost asked about every request of the gateway."""
    options = {
        "@type": f"{_TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(mesh.stub.socket)}}}}
    cluster = {
        "name": SERVER_CLUSTER,
        "type": "STATIC",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "load_assignment": {"cluster_name": SERVER_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    config = {
        "@type": f"{_HTTP}.ext_proc.v3.ExternalProcessor",
        "grpc_service": {"envoy_grpc": {"cluster_name": SERVER_CLUSTER}},
        "message_timeout": "3s",
        "route_cache_action": "CLEAR",
        "processing_mode": {"request_header_mode": "SEND", "response_header_mode": "SKIP"},
        **settings,
    }
    return [added(cluster), before_the_router({"name": EXT_PROC_FILTER, "typed_config": config})]


def by_the_header(route: str = "infer", operation: str = "MERGE", **match: Any) -> dict[str, Any]:
    """Return the patch that has a route follow our header."""
    vhost = {"name": match.pop("vhost", None), "route": {"name": route}}
    found = {"context": "GATEWAY", "routeConfiguration": {"vhost": {k: v for k, v in vhost.items() if v}}, **match}
    action = {"cluster_header": CLUSTER_HEADER}
    return {"applyTo": "HTTP_ROUTE", "match": found, "patch": {"operation": operation, "value": {"route": action}}}


def ours(*patches: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Return the EnvoyFilter of Borderpost, which applies before those of others."""
    made = patch_of("borderpost", *patches, priority=1)
    made["spec"].update(spec)
    return made


def to(region: str, **more: Any) -> dict[str, Any]:
    """Return a destination of a VirtualService."""
    return {"destination": {"host": region_host(region), "port": {"number": REGION_PORT}}, **more}


def served_host(*entries: dict[str, Any], name: str = "inference", host: str = HOST) -> dict[str, Any]:
    """Return a VirtualService at the gateway."""
    return resource("VirtualService", name, {"hosts": [host], "gateways": [GATEWAY], "http": list(entries)})


def infer(region: str = US, **more: Any) -> dict[str, Any]:
    """Return the route that is patched: it has to lead somewhere, and until the patch arrives it does."""
    return {"name": "infer", "route": [to(region)], **more}


def decided(region: str, **more: Any) -> dict[str, Any]:
    """Return a route that is taken by decision alone."""
    match = [{"headers": {CLUSTER_HEADER: {"exact": region_cluster(region)}}}]
    return {"name": region, "match": match, "route": [to(region)], **more}


def regions(mesh: MeshWiring) -> Made:
    """Return the two regions, each a host."""
    return [service_entry(region, mesh.regions.ports[region]) for region in (EU, US)]


def followed(mesh: MeshWiring, *others: dict[str, Any], route: dict[str, Any] | None = None) -> Made:
    """Return a gateway whose route follows the header, and what others add."""
    filters = ours(*asking(mesh), strip(), by_the_header() if route is None else route)
    return [*regions(mesh), served_host(infer()), filters, *others]


def matched(mesh: MeshWiring, *entries: dict[str, Any], others: Made | None = None) -> Made:
    """Return a gateway whose routes match the header."""
    return [*regions(mesh), served_host(*entries), ours(*asking(mesh), strip()), *(others or [])]


def judged(mesh: MeshWiring, *others: dict[str, Any], **settings: Any) -> Made:
    """Return a gateway of one region, where Borderpost only lets pass or refuses."""
    return [*regions(mesh), served_host(infer(EU)), ours(*asking(mesh, **settings), strip()), *others]


def on_route(value: dict[str, Any], operation: str = "MERGE") -> dict[str, Any]:
    """Return another team's patch of the route."""
    match = {"context": "GATEWAY", "routeConfiguration": {"vhost": {"route": {"name": "infer"}}}}
    return patch_of(
        "theirs", {"applyTo": "HTTP_ROUTE", "match": match, "patch": {"operation": operation, "value": value}}
    )


def per_route(**settings: Any) -> dict[str, Any]:
    """Return another team's settings of our filter on the route."""
    config = {"@type": f"{_HTTP}.ext_proc.v3.ExtProcPerRoute", **settings}
    return on_route({"typed_per_filter_config": {EXT_PROC_FILTER: config}})


def lua(line: str) -> dict[str, Any]:
    """Return another team's filter, right before the router."""
    code = f"function envoy_on_request(handle) {line} end"
    config = {"@type": f"{_HTTP}.lua.v3.Lua", "default_source_code": {"inline_string": code}}
    return patch_of("zz-lua", before_the_router({"name": "theirs.lua", "typed_config": config}))


def limiter(**settings: Any) -> list[dict[str, Any]]:
    """Return a rate limit whose service is nowhere."""
    endpoint = {"endpoint": {"address": {"pipe": {"path": "/nowhere/limiter.sock"}}}}
    cluster = {
        "name": "limiter",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "limiter", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    config = {
        "@type": f"{_HTTP}.ratelimit.v3.RateLimit",
        "domain": "models",
        "rate_limit_service": {
            "grpc_service": {"envoy_grpc": {"cluster_name": "limiter"}},
            "transport_api_version": "V3",
        },
        **settings,
    }
    actions = {"rate_limits": [{"actions": [{"generic_key": {"descriptor_value": "all"}}]}]}
    limit = {"name": "envoy.filters.http.ratelimit", "typed_config": config}
    return [patch_of("limits", added(cluster), before_the_router(limit)), on_route({"route": actions})]


def charging(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a rate limit whose service is Borderpost's cluster, with a charge at a request's end."""
    config = {
        "@type": f"{_HTTP}.ratelimit.v3.RateLimit",
        "domain": "models",
        "timeout": "1s",
        "failure_mode_deny": True,
        "rate_limit_service": {
            "grpc_service": {"envoy_grpc": {"cluster_name": SERVER_CLUSTER}},
            "transport_api_version": "V3",
        },
    }
    each = {"actions": [{"generic_key": {"descriptor_value": "all"}}]}
    limits = [each, {**each, "apply_on_stream_done": True, **settings}]
    own = {"@type": f"{_HTTP}.ratelimit.v3.RateLimitPerRoute", "rate_limits": limits}
    limit = {"name": "envoy.filters.http.ratelimit", "typed_config": config}
    return [
        patch_of("limits", before_the_router(limit)),
        on_route({"typed_per_filter_config": {"envoy.filters.http.ratelimit": own}}),
    ]


def mixed(mesh: MeshWiring, *, bad: bool, **policy: Any) -> Made:
    """Return a region's host that has an endpoint of another region too, with outlier detection; or neither."""
    found = [one for one in followed(mesh) if one["metadata"]["name"] != EU]
    ports = [mesh.regions.ports[region] for region in ((EU, US) if bad else (EU,))]
    found.append(service_entry(EU, *ports, localities=("eu-central-1", "us-east-1")))
    setting = {"localityLbSetting": policy if bad else {"enabled": False}}
    traffic = {"outlierDetection": {"consecutive5xxErrors": 1, "maxEjectionPercent": 100}, "loadBalancer": setting}
    if bad and not policy:
        del traffic["loadBalancer"]
    found.append(resource("DestinationRule", EU, {"host": region_host(EU), "trafficPolicy": traffic}))
    return found


def unmatched(part: Callable[[bool], dict[str, Any]]) -> Callable[[MeshWiring, bool], Made]:
    """Return the gateway whose route follows the header, with one variable patch."""
    return lambda mesh, bad: followed(mesh, route=part(bad))


def with_strip(part: Callable[[bool], dict[str, Any]]) -> Callable[[MeshWiring, bool], Made]:
    """Return the gateway whose route follows the header, with one variable strip."""
    return lambda mesh, bad: [
        *regions(mesh), served_host(infer()), ours(*asking(mesh), part(bad), by_the_header())
    ]  # fmt: skip


def beside(*theirs: dict[str, Any]) -> Callable[[MeshWiring, bool], Made]:
    """Return the gateway whose route follows the header, with something of others."""
    return lambda mesh, bad: followed(mesh, *(theirs if bad else ()))


def beside_judged(*theirs: dict[str, Any]) -> Callable[[MeshWiring, bool], Made]:
    """Return the gateway of one region, with something of others."""
    return lambda mesh, bad: judged(mesh, *(theirs if bad else ()))


def wrong_listener(bad: bool) -> dict[str, Any]:
    made = strip()
    if bad:
        made["match"]["listener"]["portNumber"] = 8443
    return made


def redirected(mesh: MeshWiring, bad: bool) -> Made:
    shop = served_host({"name": "shop", "route": [to(US)]}, name="shop", host="shop.example")
    policy = on_route({"route": {"internal_redirect_policy": {}}})
    return followed(mesh, shop, *([policy] if bad else []))


def put_together(mesh: MeshWiring, bad: bool) -> Made:
    """Two hosts of one VirtualService, and the patch of the shorter by its name: istiod makes one virtual host of both,
    called after the longer."""
    hosts = served_host(infer())
    hosts["spec"]["hosts"] = ["longer.inference.example", HOST]
    named = by_the_header(vhost=f"{HOST if bad else 'longer.inference.example'}:{mesh.lab.port}")
    return [*regions(mesh), hosts, ours(*asking(mesh), strip(), named)]


def selected(mesh: MeshWiring, bad: bool) -> Made:
    found = followed(mesh)
    if bad:
        found[-1]["spec"]["workloadSelector"] = {"labels": {"istio": "ai-gatewaj"}}
    return found


_REMOTE = {"attempts": 2, "retryOn": "503", "retryRemoteLocalities": True}


def retried(mesh: MeshWiring, bad: bool) -> Made:
    retries = _REMOTE if bad else {"attempts": 2, "retryOn": "503"}
    entry = service_entry(EU, *(mesh.regions.ports[one] for one in (EU, US)), localities=("eu-central-1", "us-east-1"))
    rule = {"outlierDetection": {"consecutive5xxErrors": 1000}}
    found = [one for one in matched(mesh, decided(EU, retries=retries)) if one["metadata"]["name"] != EU]
    return [
        *found, entry, resource("DestinationRule", EU, {"host": region_host(EU), "trafficPolicy": rule})
    ]  # fmt: skip


def second(mesh: MeshWiring) -> dict[str, Any]:
    """Return another team's processor, right before the router."""
    made = asking(mesh)
    cluster, processor = made[0]["patch"]["value"], made[1]["patch"]["value"]
    cluster["name"] = cluster["load_assignment"]["cluster_name"] = "second"
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    endpoint["endpoint"]["address"]["pipe"]["path"] = str(second_socket(mesh))
    processor["name"] = "theirs.ext_proc"
    processor["typed_config"]["grpc_service"]["envoy_grpc"]["cluster_name"] = "second"
    return patch_of("zz-second", *made)


def second_socket(mesh: MeshWiring) -> Path:
    return Path(mesh.stub.socket).with_name("second.sock")


def tunnel() -> dict[str, Any]:
    """Return another team's patches that let CONNECT through."""
    upgrade = {"upgrade_type": "CONNECT"}
    kind = f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    manager = strip()
    manager["patch"]["value"]["typed_config"] = {"@type": kind, "upgrade_configs": [upgrade]}
    action = {"cluster_header": CLUSTER_HEADER, "upgrade_configs": [{**upgrade, "connect_config": {}}]}
    route = by_the_header(operation="INSERT_FIRST")
    route["patch"]["value"] = {"name": "tunnel", "match": {"connect_matcher": {}}, "route": action}
    return patch_of("tunnel", manager, route)


def delegated(mesh: MeshWiring, bad: bool) -> Made:
    entry = {"name": "more", "match": [{"uri": {"prefix": "/"}}], "delegate": {"name": "theirs"}}
    theirs = resource("VirtualService", "theirs", {"http": [{"name": "theirs", "route": [to(US)]}]})
    return matched(mesh, decided(EU), *([entry] if bad else []), others=[theirs] if bad else [])
