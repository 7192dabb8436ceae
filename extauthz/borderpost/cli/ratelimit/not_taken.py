"""Settings of envoyproxy/ratelimit that become no key of ours: what holds instead, by setting.

They are those of its src/settings/settings.go at f2fb157 (July 2026) that `counterparts` does not take.
"""

from __future__ import annotations

from typing import Final

SAME: Final = {
    "CONFIG_TYPE": "limits are read from files",
    "RUNTIME_IGNOREDOTFILES": "names that begin with a dot are passed over",
    "RUNTIME_WATCH_ROOT": "files that change in place and links that are exchanged are both noticed",
    "HEALTHY_WITH_AT_LEAST_ONE_CONFIG_LOADED": "it is ready only with limits, and starts only with them",
    "EXPIRATION_JITTER_MAX_SECONDS": "counters expire when their window has ended; nothing expires in bulk",
    "REDIS_POOL_SIZE": "one connection carries what all requests of a turn of the loop charge",
    "REDIS_PERSECOND_POOL_SIZE": "one connection carries what all requests of a turn of the loop charge",
    "REDIS_PIPELINE_WINDOW": "what comes in one turn of the loop is one message, without waiting for more",
    "REDIS_PIPELINE_LIMIT": "it has no effect there either",
    "REDIS_PERSECOND_PIPELINE_WINDOW": "what comes in one turn of the loop is one message, without waiting for more",
    "REDIS_PERSECOND_PIPELINE_LIMIT": "it has no effect there either",
    "REDIS_CLUSTER_PIPELINE_PARALLELISM": "the servers of a Cluster are asked at the same time",
    "REDIS_PERSECOND_CLUSTER_PIPELINE_PARALLELISM": "the servers of a Cluster are asked at the same time",
    "REDIS_POOL_ON_EMPTY_BEHAVIOR": "there is no pool that could be empty; `limiter.away.wait_ms` bounds waiting",
    "REDIS_POOL_ON_EMPTY_WAIT_DURATION": "there is no pool that could be empty",
    "REDIS_PERSECOND_POOL_ON_EMPTY_BEHAVIOR": "there is no pool that could be empty",
    "REDIS_PERSECOND_POOL_ON_EMPTY_WAIT_DURATION": "there is no pool that could be empty",
    "REDIS_STARTUP_INITIAL_INTERVAL": "it starts without the server, and tries for as long as it runs",
    "REDIS_STARTUP_MAX_INTERVAL": "it starts without the server, and tries for as long as it runs",
    "REDIS_STARTUP_MAX_ELAPSED_TIME": "it starts without the server, and tries for as long as it runs",
    "USE_PROMETHEUS": "`/metrics` of `limiter.admin` is always there",
}
"""What is so anyway."""

OTHERWISE: Final = {
    "DEBUG_HOST": "`/rlconfig` is one of the endpoints of `limiter.admin`; there is no profiler",
    "DEBUG_PORT": "`/rlconfig` is one of the endpoints of `limiter.admin`; there is no profiler",
    "GRPC_MAX_CONNECTION_AGE": "connections are kept; one that ends or is replaced sends Envoy to its successor",
    "GRPC_MAX_CONNECTION_AGE_GRACE": "`limiter.server.drain_s` bounds how long it answers on when it ends",
    "PROMETHEUS_ADDR": "`/metrics` is one of the endpoints of `limiter.admin`",
    "PROMETHEUS_PATH": "metrics are at `/metrics`",
    "PROMETHEUS_RESPONSE_TIME_AS_MILLISECONDS": "times are in seconds, as Prometheus recommends",
    "USE_STATSD": "statistics are scraped by Prometheus, from `/metrics`",
    "DISABLE_STATS": "statistics are always counted; they cost nothing until they are scraped",
    "REDIS_HEALTH_CHECK_ACTIVE_CONNECTION": "a server that is away is told by `/readyz?verbose` and by a metric, and "
    "each limit says what holds meanwhile (`when_store_away`)",
}
"""What is there in another way."""

NONE: Final = {
    "FORCE_START_WITHOUT_INITIAL_CONFIG": "it starts only with limits",
    "STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT": "fixed windows count what is over; the other algorithms do not "
    "(`format: borderpost/1`)",
    "PROMETHEUS_MAPPER_YAML": "metrics have fixed names, with the rule as a label",
    "EXTRA_TAGS": "labels are added by what scrapes",
    **dict.fromkeys(
        ("USE_DOG_STATSD", "USE_DOG_STATSD_MOGRIFIERS", "STATSD_HOST", "STATSD_PORT", "STATS_FLUSH_INTERVAL"),
        "nothing is sent to statsd; Prometheus scrapes `/metrics`",
    ),
    **dict.fromkeys(
        (
            "CONFIG_GRPC_XDS_NODE_ID", "CONFIG_GRPC_XDS_NODE_METADATA", "CONFIG_GRPC_XDS_SERVER_URL",
            "CONFIG_GRPC_XDS_SERVER_CONNECT_RETRY_INTERVAL", "CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS",
            "CONFIG_GRPC_XDS_SERVER_USE_TLS", "CONFIG_GRPC_XDS_CLIENT_TLS_CERT", "CONFIG_GRPC_XDS_CLIENT_TLS_KEY",
            "CONFIG_GRPC_XDS_SERVER_TLS_CACERT", "CONFIG_GRPC_XDS_SERVER_TLS_SAN",
            "XDS_CLIENT_BACKOFF_INITIAL_INTERVAL", "XDS_CLIENT_BACKOFF_MAX_INTERVAL",
            "XDS_CLIENT_BACKOFF_RANDOM_FACTOR", "XDS_CLIENT_BACKOFF_JITTER",
            "XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES",
        ),
        "limits come from files, not from an xDS server",
    ),
    **dict.fromkeys(
        (
            "MEMCACHE_HOST_PORT", "MEMCACHE_MAX_IDLE_CONNS", "MEMCACHE_SRV", "MEMCACHE_SRV_REFRESH", "MEMCACHE_TLS",
            "MEMCACHE_TLS_CLIENT_CERT", "MEMCACHE_TLS_CLIENT_KEY", "MEMCACHE_TLS_CACERT",
            "MEMCACHE_TLS_SKIP_HOSTNAME_VERIFICATION",
        ),
        "counters are kept in memory, Redis or Valkey, not in Memcached",
    ),
    **dict.fromkeys(
        (
            "TRACING_ENABLED", "TRACING_SERVICE_NAME", "TRACING_SERVICE_NAMESPACE", "TRACING_SERVICE_INSTANCE_ID",
            "TRACING_EXPORTER_PROTOCOL", "TRACING_SAMPLING_RATE",
        ),
        "it sends no traces",
    ),
}  # fmt: skip
"""What is not there."""

PER_SECOND: Final = (
    "REDIS_PERSECOND", "REDIS_PERSECOND_SOCKET_TYPE", "REDIS_PERSECOND_TYPE", "REDIS_PERSECOND_URL",
    "REDIS_PERSECOND_AUTH", "REDIS_PERSECOND_TLS", "REDIS_PERSECOND_SENTINEL_AUTH", "REDIS_PERSECOND_TIMEOUT",
)  # fmt: skip
"""Those of a second Redis for limits by the second."""
