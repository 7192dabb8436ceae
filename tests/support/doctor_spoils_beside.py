"""The ways themselves, rule by rule: BPD041 to BPD049, what stands beside our filter, and running it."""

from __future__ import annotations

import copy

from support.doctor_cases import (
    FILTER,
    PER_ROUTE,
    PROC,
    Spoil,
    Tree,
    action,
    after_ours,
    before_ours,
    case,
    chain,
    cluster,
    clusters,
    entry,
    http_options,
    manager,
    override,
    routes,
    setting,
)
from support.doctor_spoils import route

EXTENSIONS = "type.googleapis.com/envoy.extensions."

# BPD041 to BPD044: beside our filter


@case("BPD041", "generic-name")
def _(tree: Tree) -> None:
    entry(tree)["name"] = "envoy.filters.http.ext_proc"


@case("BPD041", "generic-name-configured", also=("BPD004",))
def _(tree: Tree) -> None:
    entry(tree)["name"] = "envoy.filters.http.ext_proc"
    override(route, {"@type": PER_ROUTE, "disabled": True}, "envoy.filters.http.ext_proc")(tree)


@case("BPD041", "second")
def _(tree: Tree) -> None:
    other = copy.deepcopy(entry(tree)["typed_config"])
    other["grpc_service"] = {"envoy_grpc": {"cluster_name": "other"}}
    del other["mutation_rules"]
    clusters(tree).append({**copy.deepcopy(cluster(tree, "borderpost")), "name": "other"})
    before_ours(tree, "other.ext_proc", other)


@case("BPD041", "twins")
def _(tree: Tree) -> None:
    config = {"@type": f"{FILTER}cors.v3.Cors"}
    before_ours(tree, PROC, config)


LUA = f"{FILTER}lua.v3.Lua"


@case("BPD042", "lua")
def _(tree: Tree) -> None:
    code = "function envoy_on_request(h) h:headers():replace('x-borderpost-cluster', 'us-1') h:clearRouteCache() end"
    after_ours(tree, "other.lua", {"@type": LUA, "default_source_code": {"inline_string": code}})


@case("BPD042", "processor", also=("BPD041",))
def _(tree: Tree) -> None:
    other = copy.deepcopy(entry(tree)["typed_config"])
    other["grpc_service"] = {"envoy_grpc": {"cluster_name": "other"}}
    clusters(tree).append({**copy.deepcopy(cluster(tree, "borderpost")), "name": "other"})
    after_ours(tree, "other.ext_proc", other)


@case("BPD042", "authz")
def _(tree: Tree) -> None:
    config = {
        "@type": f"{FILTER}ext_authz.v3.ExtAuthz",
        "grpc_service": {"envoy_grpc": {"cluster_name": "other"}},
        "transport_api_version": "V3",
        "clear_route_cache": True,
    }
    clusters(tree).append({**copy.deepcopy(cluster(tree, "borderpost")), "name": "other"})
    after_ours(tree, "other.ext_authz", config)


@case("BPD042", "upstream")
def _(tree: Tree) -> None:
    other = copy.deepcopy(entry(tree)["typed_config"])
    other["grpc_service"] = {"envoy_grpc": {"cluster_name": "other"}}
    clusters(tree).append({**copy.deepcopy(cluster(tree, "borderpost")), "name": "other"})
    codec = {"@type": f"{FILTER}upstream_codec.v3.UpstreamCodec"}
    http_options(tree, "eu-1")["http_filters"] = [
        {"name": "other.ext_proc", "typed_config": other},
        {"name": "envoy.filters.http.upstream_codec", "typed_config": codec},
    ]


@case("BPD043", "rbac", base="matched")
def _(tree: Tree) -> None:
    before_ours(tree, "envoy.filters.http.rbac", {"@type": f"{FILTER}rbac.v3.RBAC"})
    everybody = {"permissions": [{"any": True}], "principals": [{"any": True}]}
    config = {
        "@type": f"{FILTER}rbac.v3.RBACPerRoute",
        "rbac": {"rules": {"action": "DENY", "policies": {"all": everybody}}},
    }
    override(lambda one: routes(one)[1], config, "envoy.filters.http.rbac")(tree)


def _router() -> Tree:
    return {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{FILTER}router.v3.Router"}}


setting("BPD044", "own-chain", manager, {"upgrade_configs": [{"upgrade_type": "websocket", "filters": [_router()]}]})
setting("BPD044", "websocket", manager, {"upgrade_configs": [{"upgrade_type": "websocket"}]})
setting("BPD044", "route", action, {"upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]})


@case("BPD044", "connect")
def _(tree: Tree) -> None:
    one = copy.deepcopy(route(tree))
    one["name"] = "tunnel"
    one["match"] = {"connect_matcher": {}}
    routes(tree).insert(0, one)


# BPD045 to BPD049: running it


@case("BPD045", "everywhere")
def _(tree: Tree) -> None:
    tree["admin"]["address"]["socket_address"]["address"] = "0.0.0.0"


@case("BPD045", "pod")
def _(tree: Tree) -> None:
    tree["admin"]["address"]["socket_address"]["address"] = "::"


FILE_LOG = f"{EXTENSIONS}access_loggers.file.v3.FileAccessLog"


def file_log(path: str, **log_format: object) -> Tree:
    """Return an access log."""
    return {"name": "log", "typed_config": {"@type": FILE_LOG, "path": path, **log_format}}


setting("BPD046", "default", manager, {"access_log": [file_log("/dev/null")]}, base="log")
setting(
    "BPD046",
    "address",
    manager,
    {"access_log": [file_log("/dev/null", log_format={"json_format": {"client": "%DOWNSTREAM_REMOTE_ADDRESS%"}})]},
    base="log",
)


@case("BPD046", "listener", base="log")
def _(tree: Tree) -> None:
    tree["static_resources"]["listeners"][0]["access_log"] = [file_log("/dev/null")]


setting(
    "BPD046",
    "token",
    manager,
    {"access_log": [file_log("/dev/null", log_format={"json_format": {"token": "%REQ(AUTHORIZATION)%"}})]},
    base="log",
)
setting(
    "BPD046",
    "grpc",
    manager,
    {
        "access_log": [
            {
                "name": "als",
                "typed_config": {
                    "@type": f"{EXTENSIONS}access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
                    "common_config": {
                        "log_name": "all",
                        "transport_api_version": "V3",
                        "grpc_service": {"envoy_grpc": {"cluster_name": "borderpost"}},
                    },
                },
            }
        ]
    },
    base="log",
)


def limiting(tree: Tree, **more: object) -> None:
    """Put a rate-limit filter into the chain, whose service is Borderpost's cluster."""
    config = {
        "@type": f"{FILTER}ratelimit.v3.RateLimit",
        "domain": "inference",
        "timeout": "0.2s",
        "failure_mode_deny": True,
        "rate_limit_service": {
            "grpc_service": {"envoy_grpc": {"cluster_name": "borderpost"}},
            "transport_api_version": "V3",
        },
        **more,
    }
    after_ours(tree, "envoy.filters.http.ratelimit", {k: v for k, v in config.items() if v is not None})


_DESCRIPTOR = [{"generic_key": {"descriptor_value": "tokens"}}]
ONE_EACH = {"actions": _DESCRIPTOR}
"""A limit that counts each request once."""


def limited(*limits: Tree) -> Spoil:
    """Return what gives the first route limits in RateLimitPerRoute."""
    config = {"@type": f"{FILTER}ratelimit.v3.RateLimitPerRoute", "rate_limits": list(limits)}
    return override(route, config, "envoy.filters.http.ratelimit")


@case("BPD047", "open")
def _(tree: Tree) -> None:
    limiting(tree, failure_mode_deny=None)
    limited(ONE_EACH)(tree)


@case("BPD047", "too-early")
def _(tree: Tree) -> None:
    limiting(tree)
    limited(ONE_EACH)(tree)
    early = next(one for one in chain(tree) if one["name"] == "envoy.filters.http.ratelimit")
    chain(tree).remove(early)
    chain(tree).insert(0, early)


@case("BPD047", "endless")
def _(tree: Tree) -> None:
    limiting(tree, timeout="0s")


@case("BPD048", "bare")
def _(tree: Tree) -> None:
    limiting(tree)
    limited(ONE_EACH, {**ONE_EACH, "apply_on_stream_done": True})(tree)


@case("BPD048", "numbered")
def _(tree: Tree) -> None:
    limiting(tree)
    limited(ONE_EACH, {**ONE_EACH, "apply_on_stream_done": True, "hits_addend": {"number": 5}})(tree)


@case("BPD048", "by-request")
def _(tree: Tree) -> None:
    limiting(tree)
    limited(ONE_EACH, {**ONE_EACH, "apply_on_stream_done": True, "hits_addend": {"format": "%REQ(X-TOKENS)%"}})(tree)


@case("BPD048", "ignored")
def _(tree: Tree) -> None:
    limiting(tree)
    action(tree)["rate_limits"] = [{**ONE_EACH, "hits_addend": {"number": 5}}]


@case("BPD048", "route-done")
def _(tree: Tree) -> None:
    limiting(tree)
    action(tree)["rate_limits"] = [ONE_EACH, {**ONE_EACH, "apply_on_stream_done": True}]


@case("BPD049", "unseen-endpoints")
def _(tree: Tree) -> None:
    one = cluster(tree, "eu-1")
    del one["load_assignment"]
    one["type"] = "EDS"
    one["eds_cluster_config"] = {"eds_config": {"path_config_source": {"path": "/run/envoy/eds.json"}}}


@case("BPD049", "unseen-hosts")
def _(tree: Tree) -> None:
    manager(tree)["route_config"]["vhds"] = {"config_source": {"ads": {}}}


@case("BPD049", "unseen-filter")
def _(tree: Tree) -> None:
    chain(tree).insert(
        0,
        {
            "name": "later",
            "config_discovery": {
                "config_source": {"path_config_source": {"path": "/run/envoy/ecds.json"}},
                "type_urls": [f"{FILTER}cors.v3.Cors"],
            },
        },
    )


@case("BPD049", "unseen-routes")
def _(tree: Tree) -> None:
    config = copy.deepcopy(manager(tree))
    config["rds"] = {
        "route_config_name": "later",
        "config_source": {"path_config_source": {"path": "/run/envoy/rds.json"}},
    }
    config.pop("route_config")
    tree["static_resources"]["listeners"].append(copy.deepcopy(tree["static_resources"]["listeners"][0]))
    second = tree["static_resources"]["listeners"][1]
    second["name"] = "second"
    second["filter_chains"][0]["filters"][0]["typed_config"] = config
