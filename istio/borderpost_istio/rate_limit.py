"""The rate-limit filter: a service that Envoy asks once we have decided where a request goes.

It cannot stand before us: Envoy's filter asks nobody about a request whose route has no cluster (Envoy 1.40,
tried), and none has one before our answer.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.ratelimit import v3 as service
from envoy_data_plane.envoy.config.route import v3 as route
from envoy_data_plane.envoy.extensions.filters.http.ratelimit import v3 as ratelimit
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm
from envoy_data_plane.envoy.type.metadata import v3 as metadata
from envoy_data_plane.google import protobuf

from borderpost.config.rate_limit import DescriptorEntry, RateLimitSpec
from borderpost_base.names import JWT_NAMESPACE
from borderpost_envoy import HostPort, UnixSocket
from borderpost_envoy.clusters import grpc_cluster
from borderpost_envoy.messages import as_data

FILTER = "borderpost.ratelimit"
"""Name of the filter; unlike Envoy's own, nobody configures it from a route by accident."""
CLUSTER = "borderpost.ratelimit"
"""Envoy's cluster of the service."""


def rate_limit_cluster(spec: RateLimitSpec) -> dict[str, Any]:
    """Return the service's cluster as data."""
    where = UnixSocket(spec.socket) if spec.socket is not None else HostPort(spec.host or "", spec.port)
    return as_data(grpc_cluster(CLUSTER, (where,), connect_timeout_ms=spec.timeout_ms, speaks=None))


def route_limits(spec: RateLimitSpec | None) -> dict[str, Any]:
    """Return what a route says of the filter: what is asked. On the route, where every release reads it."""
    if spec is None:
        return {}
    limits = [route.RateLimit(actions=[_action(entry) for entry in entries]) for entries in spec.descriptors]
    return {FILTER: as_data(protobuf.Any.pack(ratelimit.RateLimitPerRoute(rate_limits=limits)))}


def rate_limit_filter(spec: RateLimitSpec) -> dict[str, Any]:
    """Return the filter as data."""
    settings = ratelimit.RateLimit(
        domain=spec.domain,
        timeout=timedelta(milliseconds=spec.timeout_ms),
        failure_mode_deny=spec.when_unreachable == "refuse",
        rate_limit_service=service.RateLimitServiceConfig(
            grpc_service=core.GrpcService(envoy_grpc=core.GrpcServiceEnvoyGrpc(cluster_name=CLUSTER)),
            transport_api_version=core.ApiVersion.V3,
        ),
        stat_prefix="borderpost",
    )
    data = as_data(hcm.HttpFilter(name=FILTER, typed_config=protobuf.Any.pack(settings)))
    # Envoy's default is to admit, so what was chosen is written, whichever it is.
    data["typed_config"]["failure_mode_deny"] = spec.when_unreachable == "refuse"
    return data


def _action(entry: DescriptorEntry) -> route.RateLimitAction:
    if entry.value is not None:
        return route.RateLimitAction(
            generic_key=route.RateLimitActionGenericKey(descriptor_key=entry.key, descriptor_value=entry.value)
        )
    if entry.header is not None:
        return route.RateLimitAction(
            request_headers=route.RateLimitActionRequestHeaders(header_name=entry.header, descriptor_key=entry.key)
        )
    path = [metadata.MetadataKeyPathSegment(key=key) for key in ("payload", entry.claim or "")]
    return route.RateLimitAction(
        metadata=route.RateLimitActionMetaData(
            descriptor_key=entry.key, metadata_key=metadata.MetadataKey(key=JWT_NAMESPACE, path=path)
        )
    )
