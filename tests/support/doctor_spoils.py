"""The ways themselves, rule by rule: BPD001 to BPD025, what concerns our filter and what clients bring."""

from __future__ import annotations

import copy

from borderpost_envoy.doctor import Expected
from support.doctor_cases import (
    AUTHZ,
    CASES,
    FILTER,
    PER_ROUTE,
    REGIONS,
    Case,
    Tree,
    action,
    after_ours,
    before_ours,
    case,
    chain,
    cluster,
    clusters,
    door,
    entry,
    host,
    listener,
    manager,
    over_tls,
    override,
    routes,
    setting,
    table,
)

TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
FILTER_CONFIG = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
AUTHZ_PER_ROUTE = f"{FILTER}ext_authz.v3.ExtAuthzPerRoute"


def route(tree: Tree) -> Tree:
    """Return the first route."""
    return routes(tree)[0]


# BPD001, BPD002: somebody asks


@case("BPD001", "patch-matched-nothing")
def _(tree: Tree) -> None:
    chain(tree).remove(entry(tree))
    table(tree).pop("cluster_specifier_plugins")
    action(tree).pop("cluster_specifier_plugin")
    action(tree)["cluster"] = "us-1"


def _second_listener(tree: Tree) -> Tree:
    second = copy.deepcopy(listener(tree))
    second["name"] = "side"
    tree["static_resources"]["listeners"].append(second)
    return second


def _side_manager(tree: Tree) -> Tree:
    side: Tree = _second_listener(tree)["filter_chains"][0]["filters"][0]["typed_config"]
    side["http_filters"] = side["http_filters"][-1:]
    return side


@case("BPD002", "second-listener-direct")
def _(tree: Tree) -> None:
    side = _side_manager(tree)
    side["route_config"].pop("cluster_specifier_plugins")
    side["route_config"]["virtual_hosts"][0]["routes"] = [{"match": {"prefix": "/"}, "route": {"cluster": "us-1"}}]


@case("BPD002", "second-listener-same-routes")
def _(tree: Tree) -> None:
    del _side_manager(tree)["early_header_mutation_extensions"]


@case("BPD002", "tcp-proxy")
def _(tree: Tree) -> None:
    config = {"@type": TCP_PROXY, "stat_prefix": "side", "cluster": "us-1"}
    _second_listener(tree)["filter_chains"] = [{"filters": [{"name": "tcp", "typed_config": config}]}]


@case("BPD002", "second-chain")
def _(tree: Tree) -> None:
    other = copy.deepcopy(listener(tree)["filter_chains"][0])
    other["filter_chain_match"] = {"source_prefix_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}
    config = other["filters"][0]["typed_config"]
    config["http_filters"] = config["http_filters"][-1:]
    config["route_config"].pop("cluster_specifier_plugins")
    config["route_config"]["virtual_hosts"][0]["routes"] = [{"match": {"prefix": "/"}, "route": {"cluster": "us-1"}}]
    listener(tree)["filter_chains"].append(other)


@case("BPD001", "off-on-every-route")
def _(tree: Tree) -> None:
    entry(tree)["disabled"] = True
    table(tree).pop("cluster_specifier_plugins")
    action(tree).pop("cluster_specifier_plugin")
    action(tree)["cluster"] = "us-1"


# BPD003 to BPD009: asking

setting("BPD003", "filter", door, {"failure_mode_allow": True})
setting("BPD003", "authz", door, {"failure_mode_allow": True}, base="authz")
_ALLOWING = {"@type": PER_ROUTE, "overrides": {"failure_mode_allow": True}}
CASES.append(Case("BPD003", "route", override(route, _ALLOWING)))
CASES.append(Case("BPD003", "host", override(host, _ALLOWING)))
CASES.append(Case("BPD003", "table", override(table, _ALLOWING)))
CASES.append(
    Case("BPD003", "wrapped", override(route, {"@type": FILTER_CONFIG, "config": _ALLOWING})),
)

setting("BPD004", "chain", entry, {"disabled": True}, also=("BPD001",))
setting("BPD004", "optional", entry, {"is_optional": True})
_DISABLED = {"@type": PER_ROUTE, "disabled": True}
for _name, _level in (("route", route), ("host", host), ("table", table)):
    CASES.append(Case("BPD004", _name, override(_level, _DISABLED)))
CASES.append(Case("BPD004", "generic", override(route, {"@type": FILTER_CONFIG, "disabled": True})))
CASES.append(
    Case("BPD004", "authz-route", override(route, {"@type": AUTHZ_PER_ROUTE, "disabled": True}, AUTHZ), "authz")
)


@case("BPD004", "matcher")
def _(tree: Tree) -> None:
    inner = copy.deepcopy(entry(tree))
    skip = {"@type": "type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"}
    entry(tree)["typed_config"] = {
        "@type": "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
        "extension_config": inner,
        "xds_matcher": {
            "matcher_tree": {
                "input": {
                    "name": "h",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
                        "header_name": "x-skip",
                    },
                },
                "exact_match_map": {"map": {"yes": {"action": {"name": "skip", "typed_config": skip}}}},
            }
        },
    }


setting("BPD005", "observability", door, {"observability_mode": True})
setting("BPD005", "shadow", door, {"shadow_mode": True}, base="authz")
setting(
    "BPD005",
    "fraction",
    door,
    {"filter_enabled": {"default_value": {"numerator": 0, "denominator": "HUNDRED"}}},
    base="authz",
)
setting(
    "BPD005",
    "metadata",
    door,
    {"filter_enabled_metadata": {"filter": "x", "path": [{"key": "y"}], "value": {"present_match": True}}},
    base="authz",
)


def mode(tree: Tree) -> Tree:
    """Return the filter's processing mode."""
    found: Tree = door(tree)["processing_mode"]
    return found


def unbuffered(tree: Tree) -> None:
    """Take out the filter that bounds bodies."""
    manager(tree)["http_filters"] = [one for one in chain(tree) if one["name"] != "borderpost.body"]


setting("BPD006", "filter", mode, {"request_header_mode": "SKIP"})
_SKIPPING = {"request_header_mode": "SKIP", "response_header_mode": "SKIP"}
CASES.append(
    Case("BPD006", "route", override(route, {"@type": PER_ROUTE, "overrides": {"processing_mode": _SKIPPING}}))
)
setting("BPD007", "absent", door, {"processing_mode": None})
setting("BPD007", "response", mode, {"response_header_mode": "SEND"})
setting("BPD007", "trailers", mode, {"request_trailer_mode": "SEND"})
setting("BPD007", "body", mode, {"response_body_mode": "BUFFERED"})
setting("BPD007", "override", door, {"allow_mode_override": True})
_ANSWERING = {"request_header_mode": "SEND", "response_header_mode": "SEND"}
CASES.append(
    Case("BPD007", "route", override(route, {"@type": PER_ROUTE, "overrides": {"processing_mode": _ANSWERING}}))
)


@case("BPD008", "partial", base="bodies")
def _(tree: Tree) -> None:
    mode(tree)["request_body_mode"] = "BUFFERED_PARTIAL"
    unbuffered(tree)
    listener(tree)["per_connection_buffer_limit_bytes"] = 32_768


setting("BPD008", "streamed", mode, {"request_body_mode": "STREAMED"}, base="bodies")


@case("BPD008", "partial-authz", base="authz-bodies")
def _(tree: Tree) -> None:
    door(tree)["with_request_body"]["allow_partial_message"] = True
    unbuffered(tree)


CASES.append(Case("BPD008", "no-buffer", unbuffered, "bodies"))
CASES.append(Case("BPD008", "no-buffer-authz", unbuffered, "authz-bodies"))

_ELSEWHERE = {"envoy_grpc": {"cluster_name": "other"}}
CASES.append(Case("BPD009", "proc", override(route, {"@type": PER_ROUTE, "overrides": {"grpc_service": _ELSEWHERE}})))
CASES.append(
    Case(
        "BPD009",
        "authz",
        override(host, {"@type": AUTHZ_PER_ROUTE, "check_settings": {"grpc_service": _ELSEWHERE}}, AUTHZ),
        "authz",
    )
)

# BPD010 to BPD016: answers

setting("BPD010", "retain", door, {"route_cache_action": "RETAIN"})
setting("BPD010", "disabled", door, {"route_cache_action": None, "disable_clear_route_cache": True})
setting("BPD010", "authz", door, {"clear_route_cache": None}, base="authz")


def rules(tree: Tree) -> Tree:
    """Return the mutation rules."""
    found: Tree = door(tree)["mutation_rules"]
    return found


setting("BPD011", "absent", door, {"mutation_rules": None})
setting("BPD011", "authz", door, {"decoder_header_mutation_rules": None}, base="authz")
setting("BPD011", "no-disallow", rules, {"disallow_all": None})
setting("BPD011", "silent", rules, {"disallow_is_error": None})
setting("BPD011", "wide", rules, {"allow_expression": {"regex": ".*"}})
setting("BPD011", "too-narrow", rules, {"allow_expression": {"regex": "content-type"}})
setting("BPD011", "unreadable", rules, {"allow_expression": {"regex": "("}})


def metadata(tree: Tree) -> Tree:
    """Return the metadata options."""
    found: Tree = door(tree)["metadata_options"]
    return found


setting("BPD012", "absent", metadata, {"receiving_namespaces": None})
setting("BPD012", "wide", metadata, {"receiving_namespaces": {"untyped": ["borderpost", "envoy.lb"]}})
_OTHER_METADATA = {"metadata_options": {"receiving_namespaces": {"untyped": ["envoy.lb"]}}}
CASES.append(Case("BPD012", "route", override(route, {"@type": PER_ROUTE, "overrides": _OTHER_METADATA})))

setting("BPD013", "absent", door, {"message_timeout": None})
setting("BPD013", "zero", door, {"message_timeout": "0s"})
setting("BPD013", "long", door, {"message_timeout": "60s"})
setting("BPD013", "stretch", door, {"max_message_timeout": "3600s"})


def service(tree: Tree) -> Tree:
    """Return whom the filter asks."""
    found: Tree = door(tree)["grpc_service"]
    return found


setting("BPD013", "authz-absent", service, {"timeout": None}, base="authz")
setting("BPD013", "authz-zero", service, {"timeout": "0s", "retry_policy": None}, base="authz")
setting("BPD014", "proc", door, {"status_on_error": None})
setting("BPD014", "authz", door, {"status_on_error": None}, base="authz")
setting("BPD014", "ok", door, {"status_on_error": {"code": "OK"}}, base="authz")
setting("BPD015", "proc", door, {"forward_rules": None})
setting("BPD015", "authz", door, {"allowed_headers": None}, base="authz")
setting("BPD015", "all", door, {"forward_rules": {"allowed_headers": {"patterns": [{"safe_regex": {"regex": ".*"}}]}}})
setting("BPD016", "joined", door, {"encode_raw_headers": None}, base="authz")

# BPD017 to BPD019: the way to Borderpost


@case("BPD017", "no-cluster")
def _(tree: Tree) -> None:
    clusters(tree).remove(cluster(tree, "borderpost"))


@case("BPD017", "no-endpoint")
def _(tree: Tree) -> None:
    cluster(tree, "borderpost")["load_assignment"]["endpoints"] = []


@case("BPD017", "other-socket", expected=Expected(regions=REGIONS, servers=frozenset({"/run/elsewhere.sock"})))
def _(tree: Tree) -> None:
    assert cluster(tree, "borderpost")["load_assignment"]["endpoints"]


@case("BPD017", "google-grpc")
def _(tree: Tree) -> None:
    service(tree).pop("envoy_grpc")
    service(tree)["google_grpc"] = {"target_uri": "unix:/run/borderpost/worker-0.sock", "stat_prefix": "b"}


def own(tree: Tree) -> Tree:
    """Return the cluster of our workers."""
    return cluster(tree, "borderpost")


setting("BPD018", "absent", own, {"circuit_breakers": None})
setting(
    "BPD018", "small", own, {"circuit_breakers": {"thresholds": [{"max_requests": 1, "max_pending_requests": 9999}]}}
)
setting(
    "BPD018",
    "wrong-priority",
    own,
    {"circuit_breakers": {"thresholds": [{"priority": "HIGH", "max_requests": 9999, "max_pending_requests": 9999}]}},
)


def _remote(tree: Tree, host_name: str, socket: Tree | None) -> None:
    endpoint = {"address": {"socket_address": {"address": host_name, "port_value": 9443}}}
    own(tree)["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": endpoint}]}]
    if socket is not None:
        own(tree)["transport_socket"] = socket


@case("BPD019", "clear")
def _(tree: Tree) -> None:
    _remote(tree, "10.0.0.9", None)


@case("BPD019", "no-authority")
def _(tree: Tree) -> None:
    _remote(tree, "10.0.0.9", over_tls())


@case("BPD019", "any-name")
def _(tree: Tree) -> None:
    _remote(tree, "10.0.0.9", over_tls(trusted_ca={"filename": "/etc/ca.pem"}))


# BPD020 to BPD025: what clients bring

setting("BPD020", "absent", manager, {"early_header_mutation_extensions": None})


@case("BPD020", "one-header")
def _(tree: Tree) -> None:
    mutations = manager(tree)["early_header_mutation_extensions"][0]["typed_config"]["mutations"]
    mutations[0] = {"remove": "x-borderpost-decision"}


@case("BPD020", "internal-only")
def _(tree: Tree) -> None:
    del manager(tree)["early_header_mutation_extensions"]
    table(tree)["internal_only_headers"] = ["x-borderpost-cluster"]
    manager(tree)["internal_address_config"] = {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}


CASES[-1] = Case("BPD020", "internal-only", CASES[-1].spoil, also=("BPD023",))

_SETS = [{"header": {"key": "x-borderpost-cluster", "value": "us-1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]
setting("BPD021", "table", table, {"request_headers_to_add": _SETS})


@case("BPD021", "route", also=("BPD032",))
def _(tree: Tree) -> None:
    route(tree)["request_headers_to_add"] = _SETS
    del table(tree)["request_headers_to_remove"]


@case("BPD021", "host", also=("BPD032",))
def _(tree: Tree) -> None:
    host(tree)["request_headers_to_add"] = _SETS
    del table(tree)["request_headers_to_remove"]


_SETTING = {
    "@type": f"{FILTER}header_mutation.v3.HeaderMutation",
    "mutations": {"request_mutations": [{"append": _SETS[0]}]},
}


@case("BPD021", "filter-after")
def _(tree: Tree) -> None:
    after_ours(tree, "other.team", _SETTING)


@case("BPD021", "filter-before")
def _(tree: Tree) -> None:
    code = "function envoy_on_request(handle) handle:clearRouteCache() end"
    before_ours(tree, "other.lua", {"@type": f"{FILTER}lua.v3.Lua", "default_source_code": {"inline_string": code}})
    before_ours(tree, "other.team", _SETTING)


setting("BPD022", "believed", manager, {"use_remote_address": None})


@case("BPD022", "custom-header")
def _(tree: Tree) -> None:
    kind = "type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig"
    detection = {"name": "custom", "typed_config": {"@type": kind, "header_name": "x-real-ip"}}
    manager(tree)["original_ip_detection_extensions"] = [detection]
    del manager(tree)["use_remote_address"]


@case("BPD022", "xff-of-nobody")
def _(tree: Tree) -> None:
    kind = "type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig"
    detection = {"name": "xff", "typed_config": {"@type": kind, "xff_num_trusted_hops": 0}}
    manager(tree)["original_ip_detection_extensions"] = [detection]
    del manager(tree)["use_remote_address"]


@case("BPD022", "authz-untold", base="authz")
def _(tree: Tree) -> None:
    manager(tree)["http_filters"] = [one for one in chain(tree) if one["name"] != "borderpost.client"]


def _strip_ours_only(tree: Tree) -> None:
    mutations = manager(tree)["early_header_mutation_extensions"][0]["typed_config"]["mutations"]
    del mutations[1]


@case("BPD023", "loopback-internal")
def _(tree: Tree) -> None:
    _strip_ours_only(tree)
    manager(tree)["internal_address_config"] = {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}


@case("BPD023", "empty")
def _(tree: Tree) -> None:
    _strip_ours_only(tree)
    manager(tree)["internal_address_config"] = {}


setting("BPD024", "absent", manager, {"common_http_protocol_options": None})
setting("BPD025", "kept", manager, {"path_with_escaped_slashes_action": "KEEP_UNCHANGED"}, base="routes")
setting("BPD025", "slashes", manager, {"merge_slashes": None}, base="routes")
setting("BPD025", "dots", manager, {"normalize_path": None}, base="routes")

__all__ = ["TCP_PROXY", "action"]
