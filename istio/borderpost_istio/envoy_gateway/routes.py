"""Routes: one that refuses, which every request meets first, and one for each cluster that an answer can name.

A request is matched, Borderpost is asked, and with the answer it is matched again: by our header, which no client
brings. What is not answered, or answered with a name that has no rule, is left at the first route, and that leads
nowhere. A rule with a header comes before one without, whichever HTTPRoute they stand in (Gateway API, HTTPRouteRule).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from borderpost_base.names import CLUSTER_HEADER, DECISION_HEADER, METADATA_NAMESPACE, REGION_HEADER, REGION_KEY
from borderpost_envoy.failover import RETRIABLE_STATUSES, RETRY_ON
from borderpost_istio.envoy_gateway.backends import BREAKERS, backend_name, fallback_name
from borderpost_istio.envoy_gateway.plan import EnvoyGatewayPlan
from borderpost_istio.kinds import KubeObject, Metadata
from borderpost_istio.kinds.envoy_gateway import (
    GROUP,
    BackendTrafficPolicy,
    BackendTrafficPolicySpec,
    DirectResponse,
    HTTPRouteFilter,
    HTTPRouteFilterSpec,
    HttpTimeout,
    Retry,
    RetryOn,
    TcpTimeout,
    Timeout,
    UrlRewrite,
)
from borderpost_istio.kinds.gateway_api import (
    GATEWAY_API_GROUP,
    ROUTE_HOSTS_MAX,
    ROUTE_MATCHES_MAX,
    ROUTE_RULES_MAX,
    HeaderMatch,
    HeaderModifier,
    HeaderValue,
    HTTPRoute,
    HTTPRouteSpec,
    LocalReference,
    ParentReference,
    PathMatch,
    RouteFilter,
    RouteMatch,
    RouteRule,
    duration,
)
from borderpost_istio.names import object_name

_NOWHERE = object_name("nowhere")
_HOST = object_name("host")
_IN_REGION = ("connect-failure", "refused-stream", "reset-before-request")
"""Conditions under which no upstream has begun to process a request."""
_CONNECT_MS = 2000
Item = TypeVar("Item")
Explained = tuple[KubeObject, str]
"""An object, and why it is there."""


def route_objects(plan: EnvoyGatewayPlan) -> Iterator[Explained]:
    """Yield the routes, the filters that they name, and how their backends are tried again."""
    nowhere = HTTPRouteFilterSpec(direct_response=DirectResponse(status_code=503))
    yield (
        HTTPRouteFilter(metadata=_meta(plan, _NOWHERE), spec=nowhere),
        "Where a request stays that nobody has sent anywhere.",
    )
    host = HTTPRouteFilterSpec(url_rewrite=UrlRewrite())
    yield HTTPRouteFilter(metadata=_meta(plan, _HOST), spec=host), "A region is spoken to by its own name."
    yield from _refusals(plan)
    yield from _regions(plan)
    yield from _groups(plan)


def _refusals(plan: EnvoyGatewayPlan) -> Iterator[Explained]:
    rule = RouteRule(name="nowhere", matches=_matches(plan, None), filters=(_extension(_NOWHERE),))
    for metadata, hosts in _placed(plan, "nowhere"):
        yield (
            _route(plan, metadata, hosts, (rule,)),
            "The route that every request meets first: by itself it leads nowhere. Borderpost is asked on it.",
        )


def _regions(plan: EnvoyGatewayPlan) -> Iterator[Explained]:
    rules_max = min(ROUTE_RULES_MAX, ROUTE_MATCHES_MAX // len(plan.routes))
    for number, regions in enumerate(_slices(plan.regions, rules_max)):
        rules = [_cluster_rule(plan, region.cluster, (backend_name(region),)) for region in regions]
        for metadata, hosts in _placed(plan, f"regions-{number}"):
            yield (
                _route(plan, metadata, hosts, rules),
                "One rule a region, chosen by the answer alone: the allow-list of where anything can go.",
            )
            yield (
                _traffic(
                    plan,
                    metadata.name,
                    Retry(num_retries=plan.routes[0].connect_retries, retry_on=RetryOn(triggers=_IN_REGION)),
                ),
                "A retry stays in the region: its backend has no other.",
            )


def _groups(plan: EnvoyGatewayPlan) -> Iterator[Explained]:
    by_id = {region.region: region for region in plan.regions}
    for group in plan.failover:
        first, *rest = (by_id[region] for region in group.regions)
        rule = _cluster_rule(plan, group.cluster, (backend_name(first), *(fallback_name(each) for each in rest)))
        retry = Retry(
            num_retries=len(rest),
            num_attempts_per_priority=1,
            retry_on=RetryOn(triggers=tuple(RETRY_ON.split(",")), http_status_codes=RETRIABLE_STATUSES),
        )
        for metadata, hosts in _placed(plan, "failover", group.cluster):
            yield (
                _route(plan, metadata, hosts, (rule,)),
                "A failover group: named by the answer only where each of its regions may serve the request.",
            )
            yield _traffic(plan, metadata.name, retry), "On to the next region of the group, once."


def _cluster_rule(plan: EnvoyGatewayPlan, cluster: str, backends: Sequence[str]) -> RouteRule:
    """Return the rule of one name that an answer can have, which is not told to anybody further on."""
    told = (
        HeaderValue(name=DECISION_HEADER, value=_answered("decision")),
        HeaderValue(name=REGION_HEADER, value=_answered(REGION_KEY)),
    )
    return RouteRule(
        name=backends[0] if len(backends) == 1 else object_name("failover", cluster),
        matches=_matches(plan, cluster),
        filters=(
            RouteFilter(type="RequestHeaderModifier", request_header_modifier=HeaderModifier(remove=(CLUSTER_HEADER,))),
            RouteFilter(type="ResponseHeaderModifier", response_header_modifier=HeaderModifier(set=told)),
            _extension(_HOST),
        ),
        backend_refs=tuple(LocalReference(group=GROUP, kind="Backend", name=name) for name in backends),
    )


def _matches(plan: EnvoyGatewayPlan, cluster: str | None) -> tuple[RouteMatch, ...]:
    headers = None if cluster is None else (HeaderMatch(name=CLUSTER_HEADER, value=cluster),)
    return tuple(RouteMatch(path=PathMatch(value=one.prefix), headers=headers) for one in plan.routes)


def _extension(name: str) -> RouteFilter:
    return RouteFilter(
        type="ExtensionRef", extension_ref=LocalReference(group=GROUP, kind="HTTPRouteFilter", name=name)
    )


def _answered(key: str) -> str:
    return f"%DYNAMIC_METADATA({METADATA_NAMESPACE}:{key})%"


def _placed(plan: EnvoyGatewayPlan, *parts: str) -> Iterator[tuple[Metadata, tuple[str, ...] | None]]:
    """Yield name and hosts of each HTTPRoute that takes all hosts of the plan; no hosts stand for any."""
    if plan.hosts == ("*",):
        yield _meta(plan, object_name(*parts)), None
        return
    for number, hosts in enumerate(_slices(plan.hosts, ROUTE_HOSTS_MAX)):
        yield _meta(plan, object_name(*parts, *([f"hosts-{number}"] if number else []))), hosts


def _route(
    plan: EnvoyGatewayPlan, metadata: Metadata, hosts: tuple[str, ...] | None, rules: Sequence[RouteRule]
) -> HTTPRoute:
    parents = (ParentReference(name=plan.gateway),)
    return HTTPRoute(metadata=metadata, spec=HTTPRouteSpec(parent_refs=parents, hostnames=hosts, rules=tuple(rules)))


def _traffic(plan: EnvoyGatewayPlan, route: str, retry: Retry) -> BackendTrafficPolicy:
    target = LocalReference(group=GATEWAY_API_GROUP, kind="HTTPRoute", name=route)
    timeout = Timeout(
        tcp=TcpTimeout(connect_timeout=duration(_CONNECT_MS)),
        http=HttpTimeout(
            request_timeout=duration(plan.routes[0].timeout_ms),
            stream_idle_timeout=duration(plan.routes[0].idle_timeout_ms),
        ),
    )
    spec = BackendTrafficPolicySpec(target_refs=(target,), circuit_breaker=BREAKERS, timeout=timeout, retry=retry)
    return BackendTrafficPolicy(metadata=_meta(plan, route), spec=spec)


def _slices(items: tuple[Item, ...], size: int) -> Iterator[tuple[Item, ...]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _meta(plan: EnvoyGatewayPlan, name: str) -> Metadata:
    return Metadata(name=name, namespace=plan.namespace)
