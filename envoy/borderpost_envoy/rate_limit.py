"""The rate-limit filter: a service that Envoy asks once we have decided where a request goes, and tells of its end.

It cannot stand before us: Envoy's filter asks nobody about a request whose route has no cluster (Envoy 1.40,
tried), and none has one before our answer. What it asks by stands in RateLimitPerRoute: on a route's own `rate_limits`
Envoy takes no `hits_addend` (tried).

    request  ─▶ ours ─▶ asked: keys, request=ID ─▶ region
    response ◀─ ours ◀─ told:  keys, request=ID, phase=done, hits=what was used ◀─ read ◀─ region

At a request's end Envoy sends what `apply_on_stream_done` marks, also of one that was refused (tried). So each such
charge is one of two that are true of a refused request as well: what the response says was used, without which Envoy
sends nothing (tried), or no hits at all, by which a lease is given back and nothing is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from betterproto2 import Message
from envoy_data_plane.envoy.config.cluster import v3 as cluster
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.ratelimit import v3 as service
from envoy_data_plane.envoy.config.route import v3 as route
from envoy_data_plane.envoy.extensions.content_parsers.json import v3 as json_parser
from envoy_data_plane.envoy.extensions.filters.http.json_to_metadata import v3 as from_json
from envoy_data_plane.envoy.extensions.filters.http.ratelimit import v3 as ratelimit
from envoy_data_plane.envoy.extensions.filters.http.sse_to_metadata import v3 as from_events
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm
from envoy_data_plane.envoy.type.metadata import v3 as metadata
from envoy_data_plane.google import protobuf

from borderpost.config.rate_limit import Descriptor, DescriptorEntry, RateLimitSpec
from borderpost_base.names import UNKNOWN
from borderpost_envoy.clusters import grpc_cluster
from borderpost_envoy.plan import LIMITER_CLUSTER, GatewayPlan, HostPort, UnixSocket
from borderpost_ratelimit.rules import PHASE_DONE, PHASE_KEY, REQUEST_KEY

FILTER = "borderpost.ratelimit"
"""Name of the filter; unlike Envoy's own, nobody configures it from a route by accident."""
JSON_FILTER = "borderpost.usage.json"
"""Name of the filter that reads JSON responses."""
EVENTS_FILTER = "borderpost.usage.events"
"""Name of the filter that reads streamed responses (server-sent events)."""
USAGE_NAMESPACE = "borderpost.usage"
"""Dynamic metadata namespace of what responses say, each under the path where they say it."""
_EVENT_BYTES_MAX = 1 << 20
"""Envoy's default of 8 KiB for one event is less than some models' last one."""


def limiter_cluster(spec: RateLimitSpec) -> cluster.Cluster:
    """Return the service's cluster."""
    where = UnixSocket(spec.socket) if spec.socket is not None else HostPort(spec.host or "", spec.port)
    return grpc_cluster(LIMITER_CLUSTER, (where,), connect_timeout_ms=spec.timeout_ms, speaks=None)


def limiting_filters(plan: GatewayPlan) -> list[hcm.HttpFilter]:
    """Return the filters that ask and that read responses, in order; they stand between ours and the router.

    Those that read are off: they hold responses back, so only the routes that we decide on turn them on.
    """
    spec = plan.rate_limit
    if spec is None:
        return []
    asking = hcm.HttpFilter(name=FILTER, typed_config=protobuf.Any.pack(_filter(spec)))
    return [
        asking,
        *(
            hcm.HttpFilter(name=name, typed_config=protobuf.Any.pack(message), disabled=True)
            for name, message in _readers(plan, spec).items()
        ),
    ]


def route_limits(plan: GatewayPlan) -> dict[str, protobuf.Any]:
    """Return what a route that we decide on says of the filters, by filter: what is asked and told. It turns them on
    where they are off for other routes."""
    spec = plan.rate_limit
    if spec is None:
        return {}
    limits = [limit for one in spec.descriptors for limit in _limits(plan, spec, one)]
    found: dict[str, Message] = {FILTER: ratelimit.RateLimitPerRoute(rate_limits=limits)}
    readers = _readers(plan, spec)
    if JSON_FILTER in readers:
        found[JSON_FILTER] = readers[JSON_FILTER]
    if EVENTS_FILTER in readers:  # a filter without settings for routes is turned on by empty ones
        found[EVENTS_FILTER] = route.FilterConfig(config=protobuf.Any())
    return {name: protobuf.Any.pack(message) for name, message in found.items()}


def unread_headers(plan: GatewayPlan) -> tuple[str, ...]:
    """Return the request headers that no region sees where responses are read: what is compressed cannot be."""
    return ("accept-encoding",) if plan.rate_limit is not None and plan.rate_limit.charges else ()


def _filter(spec: RateLimitSpec) -> ratelimit.RateLimit:
    return ratelimit.RateLimit(
        domain=spec.domain,
        timeout=timedelta(milliseconds=spec.timeout_ms),
        failure_mode_deny=spec.when_unreachable == "refuse",
        rate_limit_service=service.RateLimitServiceConfig(
            grpc_service=core.GrpcService(
                envoy_grpc=core.GrpcServiceEnvoyGrpc(cluster_name=LIMITER_CLUSTER, skip_envoy_headers=True)
            ),
            transport_api_version=core.ApiVersion.V3,
        ),
        stat_prefix="borderpost",
    )


def _limits(plan: GatewayPlan, spec: RateLimitSpec, one: Descriptor) -> Iterator[route.RateLimit]:
    """Return what is asked at a request's beginning and told at its end, for one descriptor."""
    actions = [_action(plan, entry) for entry in one.keys]
    if spec.names_requests:
        actions.append(_metadata(REQUEST_KEY, plan.via.metadata_namespace, "decision"))
    # A budget of ours reserves its own estimate where no hits are said; of another service only a look is wanted.
    only_asks = one.charge is not None and not spec.names_requests
    yield route.RateLimit(actions=actions, hits_addend=route.RateLimitHitsAddend(number=0) if only_asks else None)
    if one.charge is None and not one.release:
        return
    if spec.names_requests:
        actions = [*actions, _always(PHASE_KEY, PHASE_DONE)]
    used = f"%DYNAMIC_METADATA({USAGE_NAMESPACE}:{one.charge})%"
    hits = route.RateLimitHitsAddend(number=0) if one.charge is None else route.RateLimitHitsAddend(format=used)
    yield route.RateLimit(actions=actions, hits_addend=hits, apply_on_stream_done=True)


def _action(plan: GatewayPlan, entry: DescriptorEntry) -> route.RateLimitAction:
    if entry.value is not None:
        return _always(entry.key, entry.value)
    if entry.fact is not None:
        # An answer of workers that do not tell it yet is limited as well.
        return _metadata(entry.key, plan.via.metadata_namespace, entry.fact, otherwise=UNKNOWN)
    if entry.header is not None:
        return route.RateLimitAction(
            request_headers=route.RateLimitActionRequestHeaders(header_name=entry.header, descriptor_key=entry.key)
        )
    return _metadata(entry.key, plan.jwt_namespace, plan.jwt_payload_key, entry.claim or "")


def _always(key: str, value: str) -> route.RateLimitAction:
    return route.RateLimitAction(
        generic_key=route.RateLimitActionGenericKey(descriptor_key=key, descriptor_value=value)
    )


def _metadata(key: str, namespace: str, *path: str, otherwise: str = "") -> route.RateLimitAction:
    """Return an action with a value of dynamic metadata; without it and `otherwise` the descriptor is left out."""
    segments = [metadata.MetadataKeyPathSegment(key=part) for part in path]
    return route.RateLimitAction(
        metadata=route.RateLimitActionMetaData(
            descriptor_key=key,
            metadata_key=metadata.MetadataKey(key=namespace, path=segments),
            default_value=otherwise,
        )
    )


def _readers(plan: GatewayPlan, spec: RateLimitSpec) -> dict[str, Message]:
    """Return the filters that read responses, by name; none where nothing is charged by them."""
    if not spec.charges:
        return {}
    events = {EVENTS_FILTER: _reading_events(spec)} if plan.reads_events else {}
    return {JSON_FILTER: _reading(spec), **events}


def _reading(spec: RateLimitSpec) -> from_json.JsonToMetadata:
    return from_json.JsonToMetadata(response_rules=from_json.JsonToMetadataMatchRules(rules=_rules(spec)))


def _reading_events(spec: RateLimitSpec) -> from_events.SseToMetadata:
    """Return the filter of streamed responses: of several numbers under one path the last one counts."""
    parser = json_parser.JsonContentParser(
        rules=[json_parser.JsonContentParserRuleConfig(rule=rule) for rule in _rules(spec)]
    )
    return from_events.SseToMetadata(
        response_rules=from_events.SseToMetadataProcessingRules(
            content_parser=core.TypedExtensionConfig(
                name="envoy.content_parsers.json", typed_config=protobuf.Any.pack(parser)
            ),
            max_event_size=_EVENT_BYTES_MAX,
        )
    )


def _rules(spec: RateLimitSpec) -> list[from_json.JsonToMetadataRule]:
    return [
        from_json.JsonToMetadataRule(
            selectors=[from_json.JsonToMetadataSelector(key=part) for part in path.split(".")],
            on_present=from_json.JsonToMetadataKeyValuePair(
                metadata_namespace=USAGE_NAMESPACE, key=path, type=from_json.JsonToMetadataValueType.NUMBER
            ),
        )
        for path in spec.charges
    ]
