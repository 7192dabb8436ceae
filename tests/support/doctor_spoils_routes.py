"""The ways themselves, rule by rule: BPD026 to BPD040, routes, clusters, second sendings."""

from __future__ import annotations

import copy

from borderpost_envoy.doctor import Expected
from support.doctor_cases import (
    CASES,
    REGIONS,
    Case,
    Tree,
    action,
    case,
    cluster,
    clusters,
    host,
    http_options,
    matcher,
    named,
    over_tls,
    routes,
    setting,
    table,
)
from support.doctor_spoils import route

EXTENSIONS = "type.googleapis.com/envoy.extensions."
KNOWN = Expected(regions=REGIONS)


# BPD026 to BPD032: routes


@case("BPD026", "direct", also=())
def _(tree: Tree) -> None:
    action(tree).pop("cluster_specifier_plugin")
    action(tree)["cluster"] = "us-1"
    routes(tree).append(
        {"name": "law", "match": {"prefix": "/law"}, "route": {"cluster_specifier_plugin": "borderpost.regions"}}
    )


@case("BPD026", "weighted", expected=KNOWN)
def _(tree: Tree) -> None:
    action(tree).pop("cluster_specifier_plugin")
    action(tree)["weighted_clusters"] = {"clusters": [{"name": "us-1", "weight": 100}]}


@case("BPD026", "catch-all", base="matched")
def _(tree: Tree) -> None:
    routes(tree).append({"name": "rest", "match": {"prefix": "/"}, "route": {"cluster": "us-1"}})


@case("BPD026", "default-cluster", base="matched")
def _(tree: Tree) -> None:
    clusters(tree).append({**copy.deepcopy(cluster(tree, "us-1")), "name": "default"})
    routes(tree).append({"name": "rest", "match": {"prefix": "/"}, "route": {"cluster": "default"}})


@case("BPD026", "beside")
def _(tree: Tree) -> None:
    clusters(tree).append({**copy.deepcopy(cluster(tree, "us-1")), "name": "default"})
    routes(tree).insert(0, {"name": "models", "match": {"prefix": "/v1/models"}, "route": {"cluster": "default"}})


@case("BPD026", "renamed", base="matched")
def _(tree: Tree) -> None:
    action(tree)["cluster"] = "us-1"


@case("BPD027", "no-match")
def _(tree: Tree) -> None:
    matcher(tree)["on_no_match"] = named("us-1")


@case("BPD027", "renamed")
def _(tree: Tree) -> None:
    matcher(tree)["matcher_tree"]["exact_match_map"]["map"]["eu-1"] = named("us-1")


@case("BPD027", "other-header")
def _(tree: Tree) -> None:
    matcher(tree)["matcher_tree"]["input"]["typed_config"]["header_name"] = "x-region"


@case("BPD027", "prefix-map")
def _(tree: Tree) -> None:
    tree_ = matcher(tree)["matcher_tree"]
    tree_["prefix_match_map"] = tree_.pop("exact_match_map")


@case("BPD027", "lua")
def _(tree: Tree) -> None:
    code = "function envoy_on_route(handle) return 'us-1' end"
    config = {
        "@type": f"{EXTENSIONS}router.cluster_specifiers.lua.v3.LuaConfig",
        "source_code": {"inline_string": code},
        "default_cluster": "us-1",
    }
    table(tree)["cluster_specifier_plugins"][0]["extension"]["typed_config"] = config


@case("BPD028", "metadata")
def _(tree: Tree) -> None:
    kind = f"{EXTENSIONS}matching.common_inputs.network.v3.DynamicMetadataInput"
    config = {"@type": kind, "filter": "borderpost", "path": [{"key": "cluster"}]}
    matcher(tree)["matcher_tree"]["input"]["typed_config"] = config


def _action_header(tree: Tree) -> None:
    action(tree)["cluster_header"] = "x-region"


CASES.append(Case("BPD029", "other-header", _action_header, "header"))


@case("BPD030", "original-destination", base="header")
def _(tree: Tree) -> None:
    one = {
        "name": "PassthroughCluster",
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "1s",
    }
    clusters(tree).append({**one, "original_dst_lb_config": {"use_http_header": True, "http_header_name": "x-target"}})


@case("BPD030", "forward-proxy")
def _(tree: Tree) -> None:
    cluster(tree, "us-1").pop("type")
    cluster(tree, "us-1").pop("load_assignment")
    cluster(tree, "us-1")["lb_policy"] = "CLUSTER_PROVIDED"
    cache = {"name": "cache", "dns_lookup_family": "V4_ONLY"}
    cluster(tree, "us-1")["cluster_type"] = {
        "name": "envoy.clusters.dynamic_forward_proxy",
        "typed_config": {
            "@type": f"{EXTENSIONS}clusters.dynamic_forward_proxy.v3.ClusterConfig",
            "dns_cache_config": cache,
        },
    }


setting("BPD031", "unnamed", route, {"name": None})
setting(
    "BPD031", "unknown", route, {"name": "other"}, expected=Expected(regions=REGIONS, routes=frozenset({"inference"}))
)
setting("BPD032", "kept", table, {"request_headers_to_remove": None})

# BPD033 to BPD037: clusters


def aggregate(tree: Tree, name: str, members: list[str]) -> None:
    """Turn a region's cluster into an aggregate; its own endpoints go on under another name."""
    leaf = copy.deepcopy(cluster(tree, name))
    leaf["name"] = f"{name}-leaf"
    own = cluster(tree, name)
    for key in ("type", "load_assignment", "circuit_breakers"):
        own.pop(key)
    own["lb_policy"] = "CLUSTER_PROVIDED"
    own["cluster_type"] = {
        "name": "envoy.clusters.aggregate",
        "typed_config": {
            "@type": f"{EXTENSIONS}clusters.aggregate.v3.ClusterConfig",
            "clusters": [leaf["name"], *members],
        },
    }
    clusters(tree).append(leaf)


@case("BPD033", "composite")
def _(tree: Tree) -> None:
    aggregate(tree, "eu-1", [])
    cluster(tree, "eu-1")["cluster_type"] = {
        "name": "envoy.clusters.composite",
        "typed_config": {
            "@type": f"{EXTENSIONS}clusters.composite.v3.ClusterConfig",
            "clusters": [{"name": "eu-1-leaf"}, {"name": "us-1"}],
        },
    }


EJECTING = {"consecutive_5xx": 1, "base_ejection_time": "60s", "max_ejection_percent": 100}
"""An outlier detection that takes an endpoint out at its first 5xx."""


@case("BPD033", "aggregate")
def _(tree: Tree) -> None:
    aggregate(tree, "eu-1", ["us-1"])
    cluster(tree, "eu-1-leaf")["outlier_detection"] = EJECTING


def _endpoints(tree: Tree, name: str) -> list[Tree]:
    found: list[Tree] = cluster(tree, name)["load_assignment"]["endpoints"]
    return found


@case("BPD034", "priorities", also=("BPD035",))
def _(tree: Tree) -> None:
    _endpoints(tree, "eu-1").append({**copy.deepcopy(_endpoints(tree, "us-1")[0]), "priority": 1})
    cluster(tree, "eu-1")["outlier_detection"] = EJECTING


@case("BPD034", "localities", also=("BPD035",))
def _(tree: Tree) -> None:
    _endpoints(tree, "eu-1")[0]["locality"] = {"region": "eu"}
    _endpoints(tree, "eu-1").append({**copy.deepcopy(_endpoints(tree, "us-1")[0]), "locality": {"region": "us"}})


@case("BPD035", "shared")
def _(tree: Tree) -> None:
    cluster(tree, "eu-1")["load_assignment"]["endpoints"] = copy.deepcopy(_endpoints(tree, "us-1"))


@case("BPD036", "pruned")
def _(tree: Tree) -> None:
    clusters(tree).remove(cluster(tree, "ae-1"))


@case("BPD036", "pruned-known", base="header", expected=KNOWN)
def _(tree: Tree) -> None:
    clusters(tree).remove(cluster(tree, "ae-1"))


def _far(tree: Tree, address: str, socket: Tree | None) -> None:
    endpoint = _endpoints(tree, "us-1")[0]["lb_endpoints"][0]["endpoint"]
    endpoint["address"]["socket_address"]["address"] = address
    if socket is not None:
        cluster(tree, "us-1")["transport_socket"] = socket


@case("BPD037", "clear")
def _(tree: Tree) -> None:
    _far(tree, "8.8.8.8", None)


@case("BPD037", "clear-name")
def _(tree: Tree) -> None:
    _far(tree, "inference.us-east-1.example.com", None)


@case("BPD037", "no-authority")
def _(tree: Tree) -> None:
    _far(tree, "8.8.8.8", over_tls())


@case("BPD037", "any-name")
def _(tree: Tree) -> None:
    _far(tree, "10.1.1.1", over_tls(trusted_ca={"filename": "/etc/ca.pem"}))


# BPD038 to BPD040: second sendings

PREVIOUS_PRIORITIES = {
    "name": "envoy.retry_priorities.previous_priorities",
    "typed_config": {
        "@type": f"{EXTENSIONS}retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
        "update_frequency": 1,
    },
}


def retries(tree: Tree) -> Tree:
    """Return the first route's retry policy."""
    found: Tree = action(tree)["retry_policy"]
    return found


setting("BPD038", "alone", retries, {"retry_priority": PREVIOUS_PRIORITIES})


@case("BPD038", "priorities", also=("BPD034", "BPD035"))
def _(tree: Tree) -> None:
    _endpoints(tree, "eu-1").append({**copy.deepcopy(_endpoints(tree, "us-1")[0]), "priority": 1})
    retries(tree).update({"retry_on": "5xx", "retry_priority": PREVIOUS_PRIORITIES})


setting("BPD038", "refresh", retries, {"refresh_cluster_on_retry": True})
setting("BPD038", "host", host, {"retry_policy": {"retry_on": "5xx", "retry_priority": PREVIOUS_PRIORITIES}})
setting("BPD038", "cluster", lambda tree: http_options(tree, "eu-1"), {"retry_policy": {"retry_on": "5xx"}})
_MIRROR = [{"cluster": "us-1"}]
setting("BPD039", "route", action, {"request_mirror_policies": _MIRROR})
setting("BPD039", "host", host, {"request_mirror_policies": _MIRROR})
setting("BPD039", "table", table, {"request_mirror_policies": _MIRROR})
setting("BPD039", "cluster", lambda tree: http_options(tree, "eu-1"), {"request_mirror_policies": _MIRROR})
setting("BPD040", "policy", action, {"internal_redirect_policy": {"max_internal_redirects": 1}})
setting("BPD040", "action", action, {"internal_redirect_action": "HANDLE_INTERNAL_REDIRECT"})
