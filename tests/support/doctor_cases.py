"""What the doctor must find: for each rule, ways to spoil a bootstrap that is rendered as operators render it.

The mended twin of each is the rendered one. Unit tests look at what the doctor says of both, black-box tests at what a
real Envoy does with them.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from borderpost_envoy import BodyPlan, HostPort, RegionCluster, RoutePlan, RouteStyle, Via, render_bootstrap
from borderpost_envoy.doctor import UNKNOWN, Expected
from support.wiring import plan_for

Tree = dict[str, Any]
Spoil = Callable[[Tree], None]

_TYPE = "type.googleapis.com/envoy."
FILTER = f"{_TYPE}extensions.filters.http."
PER_ROUTE = f"{FILTER}ext_proc.v3.ExtProcPerRoute"
PROC, AUTHZ = "borderpost.ext_proc", "borderpost.ext_authz"
MESSAGE_TIMEOUT_MS = 800
"""Envoy's bound on one decision; a busy machine must not reach it by itself."""
PORTS = {"eu-1": 8001, "us-1": 8002, "ae-1": 8003}
REGIONS = {name: name for name in PORTS}
BASES: dict[str, dict[str, Any]] = {
    "proc": {},
    "header": {"route_style": RouteStyle.CLUSTER_HEADER},
    "authz": {"via": Via.EXT_AUTHZ},
    "routes": {"routes": (RoutePlan("chat", prefix="/v1/chat"), RoutePlan("rest"))},
    "bodies": {"bodies": BodyPlan(4096)},
    "authz-bodies": {"via": Via.EXT_AUTHZ, "bodies": BodyPlan(4096)},
    "matched": {},
    "log": {"access_log": "/dev/null"},
    "far": {
        "regions": (
            RegionCluster("eu-1", "eu-1", (HostPort("10.0.0.1", 8001),)),
            RegionCluster("us-1", "us-1", (HostPort("10.0.0.2", 8002),)),
        )
    },
}
"""Plans by name. `matched` is rendered as `proc` and then turned to routes that match on the decision."""


@functools.cache
def _rendered(base: str) -> Tree:
    return render_bootstrap(
        plan_for(
            Path("/run/borderpost/worker-0.sock"), PORTS, **{"message_timeout_ms": MESSAGE_TIMEOUT_MS, **BASES[base]}
        )
    )


def rendered(base: str) -> Tree:
    """Return a fresh copy of the mended twin of a base."""
    tree = copy.deepcopy(_rendered(base))
    if base == "matched":
        match_on_header(tree)
    return tree


def match_on_header(tree: Tree) -> None:
    """Replace the routes by one for each region, matched on the decision, as a VirtualService would."""
    first = routes(tree)[0]
    table(tree).pop("cluster_specifier_plugins")
    host(tree)["routes"] = []
    for region in PORTS:
        one = copy.deepcopy(first)
        one["name"] = f"inference-{region}"
        one["match"]["headers"] = [{"name": "x-borderpost-cluster", "string_match": {"exact": region}}]
        one["route"].pop("cluster_specifier_plugin")
        one["route"]["cluster"] = region
        routes(tree).append(one)


# Parts of a rendered bootstrap


def listener(tree: Tree) -> Tree:
    """Return the one listener."""
    found: Tree = tree["static_resources"]["listeners"][0]
    return found


def manager(tree: Tree) -> Tree:
    """Return the connection manager's configuration."""
    found: Tree = listener(tree)["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def table(tree: Tree) -> Tree:
    """Return the RouteConfiguration."""
    found: Tree = manager(tree)["route_config"]
    return found


def host(tree: Tree) -> Tree:
    """Return the one virtual host."""
    found: Tree = table(tree)["virtual_hosts"][0]
    return found


def routes(tree: Tree) -> list[Tree]:
    """Return the routes."""
    found: list[Tree] = host(tree)["routes"]
    return found


def action(tree: Tree) -> Tree:
    """Return the first route's action."""
    found: Tree = routes(tree)[0]["route"]
    return found


def chain(tree: Tree) -> list[Tree]:
    """Return the HTTP filters."""
    found: list[Tree] = manager(tree)["http_filters"]
    return found


def entry(tree: Tree) -> Tree:
    """Return our filter's entry in the chain."""
    return next(one for one in chain(tree) if one["name"] in (PROC, AUTHZ))


def door(tree: Tree) -> Tree:
    """Return our filter's configuration."""
    found: Tree = entry(tree)["typed_config"]
    return found


def cluster(tree: Tree, name: str) -> Tree:
    """Return one cluster."""
    return next(one for one in clusters(tree) if one["name"] == name)


def clusters(tree: Tree) -> list[Tree]:
    """Return all clusters."""
    found: list[Tree] = tree["static_resources"]["clusters"]
    return found


def matcher(tree: Tree) -> Tree:
    """Return the matcher of the allow-list."""
    found: Tree = table(tree)["cluster_specifier_plugins"][0]["extension"]["typed_config"]["cluster_matcher"]
    return found


def named(cluster_name: str) -> Tree:
    """Return a matcher's action that names a cluster."""
    kind = f"{_TYPE}extensions.router.cluster_specifiers.matcher.v3.ClusterAction"
    return {"action": {"name": cluster_name, "typed_config": {"@type": kind, "cluster": cluster_name}}}


def after_ours(tree: Tree, name: str, config: Tree) -> None:
    """Put a filter between ours and the router."""
    chain(tree).insert(len(chain(tree)) - 1, {"name": name, "typed_config": config})


def before_ours(tree: Tree, name: str, config: Tree) -> None:
    """Put a filter at the begin of the chain."""
    chain(tree).insert(0, {"name": name, "typed_config": config})


def http_options(tree: Tree, name: str) -> Tree:
    """Return the HTTP options of a region's cluster, made if there are none."""
    key = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    kind = f"type.googleapis.com/{key}"
    options = cluster(tree, name).setdefault("typed_extension_protocol_options", {})
    found: Tree = options.setdefault(key, {"@type": kind, "explicit_http_config": {"http_protocol_options": {}}})
    return found


TLS_CONTEXT = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def over_tls(**validation: object) -> Tree:
    """Return a transport socket of TLS with this validation of the peer's certificate."""
    common = {"validation_context": validation} if validation else {}
    config = {"@type": TLS_CONTEXT, "common_tls_context": common, "sni": "peer.example"}
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


@dataclass(frozen=True)
class Case:
    """One way to break one rule."""

    rule: str
    name: str
    spoil: Spoil
    base: str = "proc"
    expected: Expected = UNKNOWN
    also: tuple[str, ...] = ()
    """Rules that are broken by the same."""

    @property
    def id(self) -> str:
        return f"{self.rule}-{self.name}"

    def spoiled(self) -> Tree:
        """Return the failing example."""
        tree = rendered(self.base)
        self.spoil(tree)
        return tree


CASES: list[Case] = []
"""Every way, in order of the rules."""


def case(
    rule: str, name: str, base: str = "proc", expected: Expected = UNKNOWN, also: tuple[str, ...] = ()
) -> Callable[[Spoil], Spoil]:
    """Register a function that spoils a bootstrap in place."""

    def register(spoil: Spoil) -> Spoil:
        CASES.append(Case(rule, name, spoil, base, expected, also))
        return spoil

    return register


def setting(
    rule: str,
    name: str,
    where: Callable[[Tree], Tree],
    change: Tree,
    base: str = "proc",
    also: tuple[str, ...] = (),
    expected: Expected = UNKNOWN,
) -> None:
    """Register a case that sets fields; a field that is set to None is taken out."""

    def spoil(tree: Tree) -> None:
        target = where(tree)
        for key, value in change.items():
            target[key] = copy.deepcopy(value)
            if value is None:
                del target[key]

    CASES.append(Case(rule, name, spoil, base, expected, also))


def override(level: Callable[[Tree], Tree], config: Tree, name: str = PROC) -> Callable[[Tree], None]:
    """Return what writes a filter's configuration at a level of the routes."""

    def spoil(tree: Tree) -> None:
        level(tree).setdefault("typed_per_filter_config", {})[name] = copy.deepcopy(config)

    return spoil
