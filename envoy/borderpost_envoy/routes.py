"""Routes without a default: only a decision of ours names a cluster, and only a cluster of the plan."""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.route import v3 as route
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts import v3 as previous_hosts
from envoy_data_plane.envoy.extensions.router.cluster_specifiers.matcher import v3 as specifier
from envoy_data_plane.envoy.type.matcher import v3 as envoy_match
from envoy_data_plane.google import protobuf
from envoy_data_plane.xds.core import v3 as xds_core
from envoy_data_plane.xds.type.matcher import v3 as xds_match

from borderpost_base.names import (
    BODY_BUFFERED,
    BODY_KEY,
    CLIENT_HEADER,
    CLUSTER_HEADER,
    DECISION_HEADER,
    METADATA_NAMESPACE,
    OBSERVE_KEY,
    REGION_HEADER,
    REGION_KEY,
    ROUTE_KEY,
)
from borderpost_envoy.filters import HOST_SELECTIONS_MAX, PREVIOUS_HOSTS, headers_only, observed_only
from borderpost_envoy.plan import EnvoyPlan, GatewayPlan, OwnRoute, RoutePlan, RouteStyle
from borderpost_envoy.rate_limit import route_limits, unread_headers

SPECIFIER = "borderpost.regions"
SERVED_REGION = f"%UPSTREAM_METADATA({METADATA_NAMESPACE}:{REGION_KEY})%"
"""Format of the region that has served a request, by the metadata of its endpoint: one of a failover group's."""
REMOVED_HEADERS = (CLUSTER_HEADER, CLIENT_HEADER)
"""Request headers that are between Envoy and us; no upstream sees them."""
REFUSED = 503
"""Status of a route that no answer of ours has led anywhere."""
_RETRY_ON = "connect-failure,refused-stream,reset-before-request"
"""Conditions under which no upstream has begun to process the request: a completion is never paid twice."""


def route_configuration(plan: EnvoyPlan) -> route.RouteConfiguration:
    """Return the routes."""
    return route.RouteConfiguration(
        name="borderpost",
        virtual_hosts=[
            route.VirtualHost(
                name="borderpost",
                domains=list(plan.hosts),
                routes=[
                    region_route(plan, one) if isinstance(one, RoutePlan) else _own_route(plan, one)
                    for one in plan.ordered_routes()
                ],
            )
        ],
        request_headers_to_remove=list(REMOVED_HEADERS),
        response_headers_to_add=told_headers(plan),
        cluster_specifier_plugins=[allow_list(plan)] if plan.routes and plan.route_style is RouteStyle.MATCHER else [],
    )


def region_route(plan: GatewayPlan, one: RoutePlan) -> route.Route:
    """Return a route that leads to the cluster that our answer names."""
    action = _action(one)
    if plan.route_style is RouteStyle.MATCHER:
        action.cluster_specifier_plugin = SPECIFIER
    else:
        action.cluster_header = CLUSTER_HEADER
    found = _named(plan, one)
    found.route = action
    return found


def _own_route(plan: EnvoyPlan, one: OwnRoute) -> route.Route:
    """Return a route of the operator's own, of which we are only told: it leads to its own cluster."""
    own = {ROUTE_KEY: one.name, OBSERVE_KEY: True}
    return route.Route(
        name=one.name,
        match=route.RouteMatch(prefix=one.prefix),
        route=route.RouteAction(
            cluster=one.cluster, timeout=timedelta(0), auto_host_rewrite=True if one.tls is not None else None
        ),
        metadata=core.Metadata(filter_metadata={METADATA_NAMESPACE: protobuf.Struct.from_dict(own)}),
        typed_per_filter_config=observed_only(plan),
    )


def cluster_route(plan: GatewayPlan, one: RoutePlan, cluster: str) -> route.Route:
    """Return a route that leads to one cluster, if that is what our answer names.

    One for each cluster is an allow-list for a proxy without the matcher, with `refusing_route` as the last.
    """
    found = _named(plan, one)
    found.match = route.RouteMatch(
        prefix=one.prefix,
        headers=[route.HeaderMatcher(name=CLUSTER_HEADER, string_match=envoy_match.StringMatcher(exact=cluster))],
    )
    action = _action(one)
    action.cluster = cluster
    found.route = action
    return found


def refusing_route(plan: GatewayPlan, one: RoutePlan) -> route.Route:
    """Return the route that fits until there is an answer, and after one that names no cluster of ours.

    It carries what the filters need to know of the route; Envoy chooses again once the header is there.
    """
    found = _named(plan, one)
    found.direct_response = route.DirectResponseAction(status=REFUSED)
    return found


def clusters(plan: GatewayPlan) -> tuple[str, ...]:
    """Return the clusters that an answer may name: the regions' and those of failover groups."""
    return (*(region.cluster for region in plan.regions), *(group.cluster for group in plan.failover))


def _action(one: RoutePlan) -> route.RouteAction:
    return route.RouteAction(
        timeout=timedelta(milliseconds=one.timeout_ms),
        idle_timeout=timedelta(milliseconds=one.idle_timeout_ms),
        retry_policy=_retries(one.connect_retries) if one.connect_retries else None,
        auto_host_rewrite=True,
    )


def _named(plan: GatewayPlan, one: RoutePlan) -> route.Route:
    """Return a route without its action: what it fits, and what the filters and we are told of it."""
    own = {**one.metadata, ROUTE_KEY: one.name}
    with_body = plan.bodies is not None and plan.bodies.covers(one)
    if with_body:
        own[BODY_KEY] = BODY_BUFFERED
    return route.Route(
        name=one.name,
        match=route.RouteMatch(prefix=one.prefix),
        # ext_authz is not told the route's name; it is told this.
        metadata=core.Metadata(filter_metadata={METADATA_NAMESPACE: protobuf.Struct.from_dict(own)}),
        request_headers_to_remove=list(unread_headers(plan)),
        typed_per_filter_config={
            **(headers_only(plan) if plan.bodies is not None and not with_body else {}),
            **route_limits(plan),
        },
    )


def _retries(count: int) -> route.RetryPolicy:
    return route.RetryPolicy(
        retry_on=_RETRY_ON,
        num_retries=count,
        retry_host_predicate=[
            route.RetryPolicyRetryHostPredicate(
                name=PREVIOUS_HOSTS, typed_config=protobuf.Any.pack(previous_hosts.PreviousHostsPredicate())
            )
        ],
        host_selection_retry_max_attempts=HOST_SELECTIONS_MAX,
    )


def allow_list(plan: GatewayPlan) -> route.ClusterSpecifierPlugin:
    """Return the matcher on our header. Header input only: metadata input crashes Envoy 1.40.0."""
    found = {
        name: xds_match.MatcherOnMatch(
            action=xds_core.TypedExtensionConfig(
                name=name, typed_config=protobuf.Any.pack(specifier.ClusterAction(cluster=name))
            )
        )
        for name in clusters(plan)
    }
    matcher = xds_match.Matcher(
        matcher_tree=xds_match.MatcherMatcherTree(
            input=xds_core.TypedExtensionConfig(
                name=CLUSTER_HEADER,
                typed_config=protobuf.Any.pack(envoy_match.HttpRequestHeaderMatchInput(header_name=CLUSTER_HEADER)),
            ),
            exact_match_map=xds_match.MatcherMatcherTreeMatchMap(map=found),
        )
    )
    return route.ClusterSpecifierPlugin(
        extension=core.TypedExtensionConfig(
            name=SPECIFIER,
            typed_config=protobuf.Any.pack(specifier.MatcherClusterSpecifier(cluster_matcher=matcher)),
        )
    )


def told_headers(plan: GatewayPlan) -> list[core.HeaderValueOption]:
    """Return the response headers that tell the caller of the decision."""
    namespace = plan.via.metadata_namespace
    return [
        _told(DECISION_HEADER, _answered(namespace, "decision")),
        _told(REGION_HEADER, SERVED_REGION if plan.endpoints_tell else _answered(namespace, REGION_KEY)),
    ]


def _answered(namespace: str, key: str) -> str:
    """Return the format of a value of our answer's metadata."""
    return f"%DYNAMIC_METADATA({namespace}:{key})%"


def _told(header: str, value: str) -> core.HeaderValueOption:
    """Return a response header, in place of whatever an upstream set by that name."""
    return core.HeaderValueOption(
        header=core.HeaderValue(key=header, value=value),
        append_action=core.HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
