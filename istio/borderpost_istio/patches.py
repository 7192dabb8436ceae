"""The EnvoyFilters: what istiod is told to change in the gateway's Envoy.

Every patch is made so that where it does not match, requests are refused and not let through: routes are put before
all others of a virtual host, next to one of ours that refuses; without our filter nobody names a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from envoy_data_plane.envoy.config.common.mutation_rules import v3 as mutation
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.route import v3 as route
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation import v3 as early
from envoy_data_plane.google import protobuf

from borderpost_base.names import (
    CLIENT_HEADER,
    CLUSTER_HEADER,
    DECISION_HEADER,
    EXT_PROC_FILTER,
    REGION_HEADER,
    STEERING_HEADERS,
)
from borderpost_envoy.clusters import server_cluster
from borderpost_envoy.connections import EARLY_MUTATION, MANAGER, connection_manager
from borderpost_envoy.failover import failover_cluster
from borderpost_envoy.filters import observed_only, observing_filters, own_filters, switched_on
from borderpost_envoy.messages import as_data
from borderpost_envoy.plan import RoutePlan, RouteStyle
from borderpost_envoy.rate_limit import limiter_cluster, limiting_filters
from borderpost_envoy.routes import (
    REMOVED_HEADERS,
    allow_list,
    cluster_route,
    clusters,
    refusing_route,
    region_route,
    told_headers,
)
from borderpost_istio.kinds import Metadata
from borderpost_istio.kinds.networking import (
    ApplyTo,
    ConfigPatch,
    EnvoyFilter,
    EnvoyFilterSpec,
    FilterChainMatch,
    FilterMatch,
    ListenerMatch,
    NamedMatch,
    Operation,
    Patch,
    PatchMatch,
    ProxySelector,
    RouteConfigurationMatch,
    VirtualHostMatch,
)
from borderpost_istio.names import PREFIX, object_name
from borderpost_istio.plan import IstioPlan
from borderpost_istio.sizes import in_parts
from borderpost_istio.versions import Feature, has

MARKER = PREFIX
"""Name of the route of our VirtualService: it refuses, and shows the virtual hosts that are ours."""
OBSERVE = "observe"
"""What the names of EnvoyFilters that only observe have after the prefix: to be deleted apart from the others."""
ROUTER = "envoy.filters.http.router"
PRIORITY = 1000
"""Of our EnvoyFilters; later ones come closer to the router and further to the front of the routes."""
REFERENCED = "envoyfilter.istio.io/referenced-services"
"""Annotation with the services that are kept for a gateway where `PILOT_FILTER_GATEWAY_CLUSTER_CONFIG` prunes those
that no VirtualService names."""
_NOT_FOUND = 404


def envoy_filters(plan: IstioPlan) -> list[EnvoyFilter]:
    """Return the EnvoyFilters in order of their priority: connections and filters, then routes, split by size."""
    if not plan.routes:
        return observing_envoy_filters(plan)
    base = _envoy_filter(plan, PREFIX, PRIORITY, tuple(_base_patches(plan)), referenced=_referenced(plan))
    parts = in_parts(_route_patches(plan))
    routes = [
        _envoy_filter(plan, object_name("routes", *([str(number)] if len(parts) > 1 else [])), PRIORITY + number, part)
        for number, part in enumerate(parts, 1)
    ]
    return [base, *routes, *observing_envoy_filters(plan)]


def observing_envoy_filters(plan: IstioPlan) -> list[EnvoyFilter]:
    """Return what has Envoy tell us of requests on routes of VirtualServices that are not ours, by the routes' names,
    and changes nothing of these routes; split by size. Nothing where no route is observed."""
    if not plan.observed:
        return []
    cluster = [] if plan.routes else [_patch("CLUSTER", "ADD", as_data(server_cluster(plan)))]
    told = [
        _patch("HTTP_FILTER", "INSERT_BEFORE", as_data(each), listener=_listener(ROUTER))
        for each in observing_filters(plan)
    ]
    on = {"typed_per_filter_config": {name: as_data(config) for name, config in observed_only(plan).items()}}
    named = [
        RouteConfigurationMatch(vhost=VirtualHostMatch(route=NamedMatch(name=each.name))) for each in plan.observed
    ]
    parts = in_parts([*cluster, *told, *(_patch("HTTP_ROUTE", "MERGE", on, routes=match) for match in named)])
    return [
        _envoy_filter(plan, object_name(OBSERVE, *([str(number)] if number > 1 else [])), PRIORITY, part)
        for number, part in enumerate(parts, 1)
    ]


def _envoy_filter(
    plan: IstioPlan, name: str, priority: int, patches: tuple[ConfigPatch, ...], *, referenced: str | None = None
) -> EnvoyFilter:
    annotations = {REFERENCED: referenced} if referenced else None
    return EnvoyFilter(
        metadata=Metadata(name=name, namespace=plan.namespace, annotations=annotations),
        spec=EnvoyFilterSpec(
            workload_selector=ProxySelector(labels=dict(plan.workload)), config_patches=patches, priority=priority
        ),
    )


def _referenced(plan: IstioPlan) -> str:
    return ",".join(dict.fromkeys(region.spec.host for region in plan.regions))


def _base_patches(plan: IstioPlan) -> Iterable[ConfigPatch]:
    yield _patch("CLUSTER", "ADD", as_data(server_cluster(plan)))
    for group in plan.failover:
        yield _patch("CLUSTER", "ADD", as_data(failover_cluster(group.cluster, plan.leaves(group))))
    yield _patch("NETWORK_FILTER", "MERGE", _connection_rules(plan), listener=_listener())
    if plan.rate_limit is not None:
        yield _patch("CLUSTER", "ADD", as_data(limiter_cluster(plan.rate_limit)))
    for filter in _filters(plan):
        yield _patch("HTTP_FILTER", "INSERT_BEFORE", _switched(plan, filter), listener=_listener(ROUTER))


def _connection_rules(plan: IstioPlan) -> dict[str, Any]:
    """Return the connection manager's part that is laid over what istiod makes."""
    manager = connection_manager(plan)
    if not has(plan.version, Feature.STRIP_BY_PREFIX):
        manager.early_header_mutation_extensions = [_strip_by_name()]
    return {"name": MANAGER, "typed_config": as_data(protobuf.Any.pack(manager))}


def _strip_by_name() -> core.TypedExtensionConfig:
    own = (CLIENT_HEADER, CLUSTER_HEADER, DECISION_HEADER, REGION_HEADER)
    return core.TypedExtensionConfig(
        name=EARLY_MUTATION,
        typed_config=protobuf.Any.pack(
            early.HeaderMutation(mutations=[mutation.HeaderMutation(remove=name) for name in (*own, *STEERING_HEADERS)])
        ),
    )


def _filters(plan: IstioPlan) -> list[dict[str, Any]]:
    """Return our filters as data, without what the proxy does not know."""
    found = [as_data(each) for each in (*own_filters(plan), *limiting_filters(plan))]
    if not has(plan.version, Feature.EXT_PROC_STATUS):
        for each in found:
            if each["name"] == EXT_PROC_FILTER:
                del each["typed_config"]["status_on_error"]
    return found


def _switched(plan: IstioPlan, filter: dict[str, Any]) -> dict[str, Any]:
    """Return a filter that is off where the gateway has hosts that are not ours: our routes turn it on."""
    return filter if plan.whole_gateway else {**filter, "disabled": True}


def _route_patches(plan: IstioPlan) -> list[ConfigPatch]:
    """Return the routes, last first: each is put before all that stand there already."""
    table = [as_data(allow_list(plan))] if plan.has_table else []
    merged = [_patch("ROUTE_CONFIGURATION", "MERGE", {"cluster_specifier_plugins": table})] if table else []
    routes = [route for one in plan.routes for route in _routes(plan, one)]
    if all(one.prefix != "/" for one in plan.routes):
        routes.append(_nothing_else())
    return merged + [_patch("HTTP_ROUTE", "INSERT_FIRST", value, routes=_our_hosts(plan)) for value in reversed(routes)]


def _routes(plan: IstioPlan, one: RoutePlan) -> list[dict[str, Any]]:
    if plan.has_table or plan.route_style is RouteStyle.CLUSTER_HEADER:
        return [_dressed(plan, region_route(plan, one))]
    names = clusters(plan)
    # A message takes milliseconds to become data, so of routes that differ in their cluster alone one is made.
    example = _dressed(plan, cluster_route(plan, one, names[0]))
    return [*(_to_cluster(example, name) for name in names), _dressed(plan, refusing_route(plan, one))]


def _dressed(plan: IstioPlan, made: route.Route) -> dict[str, Any]:
    """Return a route as data, with what stands on the route configuration where that is ours as a whole."""
    made.request_headers_to_remove = [*REMOVED_HEADERS, *made.request_headers_to_remove]
    made.response_headers_to_add = told_headers(plan)
    data = as_data(made)
    own = {**_turned_on(plan), **data.get("typed_per_filter_config", {})}
    if own:
        data["typed_per_filter_config"] = own
    return data


def _to_cluster(example: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the same route to another cluster."""
    headers = [{**header, "string_match": {"exact": name}} for header in example["match"]["headers"]]
    return {
        **example,
        "match": {**example["match"], "headers": headers},
        "route": {**example["route"], "cluster": name},
    }


def _turned_on(plan: IstioPlan) -> dict[str, Any]:
    """Return what turns our filters on for a route, where they are off for others."""
    return {} if plan.whole_gateway else {name: as_data(own) for name, own in switched_on(plan).items()}


def _nothing_else() -> dict[str, Any]:
    """Return the route for paths that no route of ours serves: none of somebody else's does, either."""
    return as_data(
        route.Route(
            name=f"{PREFIX}.none",
            match=route.RouteMatch(prefix="/"),
            direct_response=route.DirectResponseAction(status=_NOT_FOUND),
        )
    )


def _our_hosts(plan: IstioPlan) -> RouteConfigurationMatch | None:
    """Return the match on virtual hosts of ours: those with the route of our VirtualService, or simply all."""
    if plan.whole_gateway:
        return None
    return RouteConfigurationMatch(vhost=VirtualHostMatch(route=NamedMatch(name=MARKER)))


def _listener(sub_filter: str | None = None) -> ListenerMatch:
    inside = NamedMatch(name=sub_filter) if sub_filter is not None else None
    return ListenerMatch(filter_chain=FilterChainMatch(filter=FilterMatch(name=MANAGER, sub_filter=inside)))


def _patch(
    apply_to: ApplyTo,
    operation: Operation,
    value: dict[str, Any],
    *,
    listener: ListenerMatch | None = None,
    routes: RouteConfigurationMatch | None = None,
) -> ConfigPatch:
    return ConfigPatch(
        apply_to=apply_to,
        match=PatchMatch(listener=listener, route_configuration=routes),
        patch=Patch(operation=operation, value=value),
    )
