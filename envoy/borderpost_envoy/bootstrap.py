"""The whole bootstrap: listener, connection manager, admin, and what the other modules here make."""

from __future__ import annotations

from typing import Any

from envoy_data_plane.envoy.config.bootstrap import v3 as boot
from envoy_data_plane.envoy.config.listener import v3 as listener
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm
from envoy_data_plane.google import protobuf

from borderpost_envoy.clusters import listener_socket, own_cluster, region_cluster, server_cluster, socket_address
from borderpost_envoy.connections import MANAGER, connection_manager
from borderpost_envoy.failover import failover_cluster
from borderpost_envoy.filters import http_filters
from borderpost_envoy.messages import as_data
from borderpost_envoy.plan import EnvoyPlan
from borderpost_envoy.rate_limit import limiter_cluster
from borderpost_envoy.routes import route_configuration


def bootstrap(plan: EnvoyPlan) -> dict[str, Any]:
    """Return the bootstrap as JSON-ready data, proto field names, fields in proto order."""
    message = boot.Bootstrap(
        admin=boot.Admin(address=socket_address(plan.admin)) if plan.admin else None,
        static_resources=boot.BootstrapStaticResources(
            listeners=[_listener(plan)],
            clusters=[
                server_cluster(plan),
                *([limiter_cluster(plan.rate_limit)] if plan.rate_limit is not None else []),
                *(region_cluster(region, named=plan.endpoints_tell) for region in plan.regions),
                *(own_cluster(one) for one in plan.observed if one.endpoints),
                *(failover_cluster(group.cluster, plan.leaves(group)) for group in plan.failover),
            ],
        ),
    )
    return as_data(message)


def _listener(plan: EnvoyPlan) -> listener.Listener:
    limits = plan.rate_limit
    return listener.Listener(
        name="ingress",
        address=socket_address(plan.listen),
        per_connection_buffer_limit_bytes=limits.response_bytes_max if limits and limits.charges else None,
        filter_chains=[
            listener.FilterChain(
                filters=[listener.Filter(name=MANAGER, typed_config=protobuf.Any.pack(_connection_manager(plan)))],
                transport_socket=listener_socket(plan.tls) if plan.tls else None,
            )
        ],
    )


def _connection_manager(plan: EnvoyPlan) -> hcm.HttpConnectionManager:
    manager = connection_manager(plan)
    manager.stat_prefix = "ingress"
    manager.codec_type = hcm.HttpConnectionManagerCodecType.AUTO
    manager.route_config = route_configuration(plan)
    manager.http_filters = http_filters(plan)
    return manager
