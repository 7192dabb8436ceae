"""Clusters of failover groups: the one way in which a retry leaves a region, for requests that may be in each of them.

An aggregate cluster lines up the clusters of its regions as priorities 0, 1, 2…, and the retry plugin
`previous_priorities` goes on to the next. No route leads to it but through the answer of Borderpost, which names it
only for a request that every one of its regions may serve.

The retry policy stands on the cluster and not on the route (Envoy 1.37 and later): so a request that was answered with
a region's own cluster is never retried by the rules of a group.
"""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.cluster import v3 as cluster
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.route import v3 as route
from envoy_data_plane.envoy.extensions.clusters.aggregate import v3 as aggregate
from envoy_data_plane.envoy.extensions.retry.priority.previous_priorities import v3 as previous_priorities
from envoy_data_plane.envoy.extensions.upstreams.http import v3 as http
from envoy_data_plane.google import protobuf

from borderpost_envoy.clusters import HTTP_OPTIONS, OPEN_AT_ONCE_MAX

AGGREGATE = "envoy.clusters.aggregate"
PREVIOUS_PRIORITIES = "envoy.retry_priorities.previous_priorities"
RETRY_ON = "connect-failure,refused-stream,reset-before-request,reset,retriable-status-codes"
"""Where a region gave no answer. `reset` takes in a region that fell over at work, so a completion that it had begun
may be made twice; who declares a group prefers that to no answer."""
RETRIABLE_STATUSES = (503,)
"""What an inference server says that has no room. 502 and 504 come from proxies on the way, which may have passed the
request on."""


def failover_cluster(name: str, leaves: tuple[str, ...]) -> cluster.Cluster:
    """Return the cluster of a group, over the clusters of its regions in order."""
    return cluster.Cluster(
        name=name,
        cluster_type=cluster.ClusterCustomClusterType(
            name=AGGREGATE, typed_config=protobuf.Any.pack(aggregate.ClusterConfig(clusters=list(leaves)))
        ),
        connect_timeout=timedelta(seconds=2),
        lb_policy=cluster.ClusterLbPolicy.CLUSTER_PROVIDED,
        circuit_breakers=cluster.CircuitBreakers(
            # Retries are counted here, and Envoy's default would let three requests at a time go on.
            thresholds=[cluster.CircuitBreakersThresholds(max_retries=OPEN_AT_ONCE_MAX)]
        ),
        typed_extension_protocol_options={
            HTTP_OPTIONS: protobuf.Any.pack(
                http.HttpProtocolOptions(
                    explicit_http_config=http.HttpProtocolOptionsExplicitHttpConfig(
                        http_protocol_options=core.Http1ProtocolOptions()
                    ),
                    retry_policy=failover_retries(len(leaves) - 1),
                )
            )
        },
    )


def failover_retries(count: int) -> route.RetryPolicy:
    """Return the policy that takes each retry to the next region of a group."""
    return route.RetryPolicy(
        retry_on=RETRY_ON,
        retriable_status_codes=list(RETRIABLE_STATUSES),
        num_retries=count,
        retry_priority=route.RetryPolicyRetryPriority(
            name=PREVIOUS_PRIORITIES,
            typed_config=protobuf.Any.pack(previous_priorities.PreviousPrioritiesConfig(update_frequency=1)),
        ),
    )
