"""The Envoy configurations of the bench that are not the product's own: the upstream, and the plain proxy."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from borderpost_base.names import EXT_PROC_FILTER

_MANAGER = "envoy.filters.network.http_connection_manager"
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


def managers(bootstrap: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the connection managers of a bootstrap, to be changed in place."""
    return [
        one["typed_config"]
        for listener in bootstrap["static_resources"]["listeners"]
        for chain in listener["filter_chains"]
        for one in chain["filters"]
        if one["name"] == _MANAGER
    ]


def _loopback() -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
