"""The Envoy configurations of the bench that are not the product's own: upstream, plain proxy, one before a limiter."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from borderpost_base.names import EXT_PROC_FILTER
from borderpost_bench.limiter_traffic import DOMAIN, TENANT, TENANT_HEADER

_MANAGER = "envoy.filters.network.http_connection_manager"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_BODY_BYTES_MAX = 1 << 20
_TYPE = "type.googleapis.com/envoy.extensions.filters"
_COMPLETION = (
    '{{"id":"chatcmpl-bench","object":"chat.completion","system_fingerprint":"{region}","choices":[{{"index":0,'
    '"message":{{"role":"assistant","content":"It lets through what the law lets through."}},'
    '"finish_reason":"stop"}}]}}'
)


def upstream(regions: Iterable[str], *, whole_bodies: bool = False) -> dict[str, Any]:
    """Return an Envoy that is every region's server: one listener each, whose answer stands in its configuration.

    So no server in Python is what is measured, and its statistics count what reached each region. It answers as soon
    as it has the headers, unless it is to wait for `whole_bodies`.
    """
    return {
        "admin": {"address": _loopback()},
        "static_resources": {"listeners": [_region(region, whole_bodies=whole_bodies) for region in regions]},
    }


def buffer_filter(bytes_max: int) -> dict[str, Any]:
    """Return Envoy's own filter that collects a body before it lets a request go on."""
    return {
        "name": "buffer",
        "typed_config": {"@type": f"{_TYPE}.http.buffer.v3.Buffer", "max_request_bytes": bytes_max},
    }


def _region(region: str, *, whole_bodies: bool) -> dict[str, Any]:
    response = {"status": 200, "body": {"inline_string": _COMPLETION.format(region=region)}}
    manager = {
        "@type": f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": region,
        "route_config": {
            "virtual_hosts": [{
                "name": "all", "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "direct_response": response}],
            }],
        },
        "http_filters": [
            *([buffer_filter(_BODY_BYTES_MAX)] if whole_bodies else []),
            {"name": "router", "typed_config": {"@type": f"{_TYPE}.http.router.v3.Router"}},
        ],
    }  # fmt: skip
    return {
        "name": region,
        "address": _loopback(),
        "filter_chains": [{"filters": [{"name": _MANAGER, "typed_config": manager}]}],
    }


def plain_proxy(rendered: dict[str, Any], cluster: str) -> dict[str, Any]:
    """Return the rendered ext_proc bootstrap without our filter, every route leading to one cluster.

    All else stays: the same listener, header stripping, retries and response headers. Raises ValueError if the
    bootstrap has no filter of ours, so that it can never be the product's that is measured as the plain one.
    """
    plain = copy.deepcopy(rendered)
    for manager in managers(plain):
        kept = [one for one in manager["http_filters"] if one["name"] != EXT_PROC_FILTER]
        if len(kept) == len(manager["http_filters"]):
            raise ValueError(f"no filter {EXT_PROC_FILTER} in this bootstrap")
        manager["http_filters"] = kept
        routes = manager["route_config"]
        routes.pop("cluster_specifier_plugins", None)
        for host in routes["virtual_hosts"]:
            for route in host["routes"]:
                action = route["route"]
                action.pop("cluster_specifier_plugin", None)
                action.pop("cluster_header", None)
                action["cluster"] = cluster
    return plain


def before_limiter(socket: Path, region_port: int) -> dict[str, Any]:
    """Return an Envoy that asks the limiter on a Unix socket about each request and sends what passes to a server.

    It is written by hand, not rendered: every limiter is asked by the same filter, about a header.
    """
    service = {"envoy_grpc": {"cluster_name": "limiter"}, "timeout": "1s"}
    action = {"request_headers": {"header_name": TENANT_HEADER, "descriptor_key": TENANT}}
    route = {"cluster": "region", "rate_limits": [{"actions": [action]}]}
    manager = {
        "@type": f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "route_config": {
            "virtual_hosts": [{
                "name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}],
            }],
        },
        "http_filters": [
            {"name": "ratelimit", "typed_config": {
                "@type": f"{_TYPE}.http.ratelimit.v3.RateLimit", "domain": DOMAIN, "timeout": "1s",
                "failure_mode_deny": True,
                "rate_limit_service": {"transport_api_version": "V3", "grpc_service": service},
            }},
            {"name": "router", "typed_config": {"@type": f"{_TYPE}.http.router.v3.Router"}},
        ],
    }  # fmt: skip
    http2 = {"@type": f"type.googleapis.com/{_HTTP_OPTIONS}", "explicit_http_config": {"http2_protocol_options": {}}}
    limiter = _cluster("limiter", {"pipe": {"path": str(socket)}})
    return {
        "admin": {"address": _loopback()},
        "static_resources": {
            "listeners": [{
                "name": "ingress", "address": _loopback(),
                "filter_chains": [{"filters": [{"name": _MANAGER, "typed_config": manager}]}],
            }],
            "clusters": [
                {**limiter, "typed_extension_protocol_options": {_HTTP_OPTIONS: http2}},
                _cluster("region", _loopback(region_port)),
            ],
        },
    }  # fmt: skip


def managers(bootstrap: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the connection managers of a bootstrap, to be changed in place."""
    return [
        one["typed_config"]
        for listener in bootstrap["static_resources"]["listeners"]
        for chain in listener["filter_chains"]
        for one in chain["filters"]
        if one["name"] == _MANAGER
    ]


def _loopback(port: int = 0) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, address: dict[str, Any]) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    assignment = {"cluster_name": name, "endpoints": endpoints}
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment}
