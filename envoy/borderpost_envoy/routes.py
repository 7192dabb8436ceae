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
    REGION_HEADER,
    REGION_KEY,
    ROUTE_KEY,
)
from borderpost_envoy.filters import HOST_SELECTIONS_MAX, PREVIOUS_HOSTS, headers_only
from borderpost_envoy.plan import EnvoyPlan, RoutePlan, RouteStyle

_SPECIFIER = "borderpost.regions"
SERVED_REGION = f"%UPSTREAM_METADATA({METADATA_NAMESPACE}:{REGION_KEY})%"
"""Format of the region that has served a request, by the metadata of its endpoint: one of a failover group's."""
_RETRY_ON = "connect-failure,refused-stream,reset-before-request"
"""Conditions under which no upstream has begun to process the request: a completion is never paid twice."""


def route_configuration(plan: EnvoyPlan, namespace: str) -> route.RouteConfiguration:
    """Return the routes. `namespace` is where our answer's dynamic metadata stands."""
    return route.RouteConfiguration(
        name="borderpost",
        virtual_hosts=[
            route.VirtualHost(
                name="borderpost",
                domains=list(plan.hosts),
                routes=[_route(plan, one) for one in plan.routes],
            )
        ],
        request_headers_to_remove=[CLUSTER_HEADER, CLIENT_HEADER],
        response_headers_to_add=[
            _told(DECISION_HEADER, _answered(namespace, "decision")),
            _told(REGION_HEADER, SERVED_REGION if plan.failover else _answered(namespace, REGION_KEY)),
        ],
        cluster_specifier_plugins=[_allow_list(plan)] if plan.route_style is RouteStyle.MATCHER else [],
    )


def _route(plan: EnvoyPlan, one: RoutePlan) -> route.Route:
    action = route.RouteAction(
        timeout=timedelta(milliseconds=one.timeout_ms),
        idle_timeout=timedelta(milliseconds=one.idle_timeout_ms),
        retry_policy=_retries(one.connect_retries) if one.connect_retries else None,
        auto_host_rewrite=True,
    )
    if plan.route_style is RouteStyle.MATCHER:
        action.cluster_specifier_plugin = _SPECIFIER
    else:
        action.cluster_header = CLUSTER_HEADER
    own = {**one.metadata, ROUTE_KEY: one.name}
    with_body = plan.bodies is not None and plan.bodies.covers(one)
    if with_body:
        own[BODY_KEY] = BODY_BUFFERED
    return route.Route(
        name=one.name,
        match=route.RouteMatch(prefix=one.prefix),
        route=action,
        # ext_authz is not told the route's name; it is told this.
        metadata=core.Metadata(filter_metadata={METADATA_NAMESPACE: protobuf.Struct.from_dict(own)}),
        typed_per_filter_config=headers_only(plan) if plan.bodies is not None and not with_body else {},
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


def _allow_list(plan: EnvoyPlan) -> route.ClusterSpecifierPlugin:
    """Return the matcher on our header. Header input only: metadata input crashes Envoy 1.40.0."""
    clusters = {
        name: xds_match.MatcherOnMatch(
            action=xds_core.TypedExtensionConfig(
                name=name, typed_config=protobuf.Any.pack(specifier.ClusterAction(cluster=name))
            )
        )
        for name in (each.cluster for each in (*plan.regions, *plan.failover))
    }
    matcher = xds_match.Matcher(
        matcher_tree=xds_match.MatcherMatcherTree(
            input=xds_core.TypedExtensionConfig(
                name=CLUSTER_HEADER,
                typed_config=protobuf.Any.pack(envoy_match.HttpRequestHeaderMatchInput(header_name=CLUSTER_HEADER)),
            ),
            exact_match_map=xds_match.MatcherMatcherTreeMatchMap(map=clusters),
        )
    )
    return route.ClusterSpecifierPlugin(
        extension=core.TypedExtensionConfig(
            name=_SPECIFIER,
            typed_config=protobuf.Any.pack(specifier.MatcherClusterSpecifier(cluster_matcher=matcher)),
        )
    )


def _answered(namespace: str, key: str) -> str:
    """Return the format of a value of our answer's metadata."""
    return f"%DYNAMIC_METADATA({namespace}:{key})%"


def _told(header: str, value: str) -> core.HeaderValueOption:
    """Return a response header, in place of whatever an upstream set by that name."""
    return core.HeaderValueOption(
        header=core.HeaderValue(key=header, value=value),
        append_action=core.HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
