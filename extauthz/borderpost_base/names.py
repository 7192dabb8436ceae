"""Names that Envoy's configuration and our answers must agree on; each has its one home here."""

from __future__ import annotations

from typing import Final

HEADER_PREFIX: Final = "x-borderpost-"
"""Every header we set begins so; Envoy strips the prefix from clients before any filter runs."""
CLUSTER_HEADER: Final = "x-borderpost-cluster"
"""Request header that carries the decision to Envoy's router; removed toward upstreams."""
CLIENT_HEADER: Final = "x-borderpost-client"
"""Request header with the trusted client address, without port, on the ext_authz door. There, unlike over
ext_proc, `source.address` is the TCP peer whatever the trusted hops (Envoy 1.40, tried), so the rendered
filter chain writes this header first, over anything a client sent; removed toward upstreams."""
DECISION_HEADER: Final = "x-borderpost-decision"
"""Response header with the decision id, for the caller."""
REGION_HEADER: Final = "x-borderpost-region"
"""Response header with the id of the region that served the request."""
FEED_SIGNATURE_HEADER: Final = "x-feed-signature"
"""Header of a webhook's message: `sha256=` and the HMAC of its bytes. Not under our prefix, which Envoy strips."""
METADATA_NAMESPACE: Final = "borderpost"
"""Dynamic metadata namespace of our ext_proc answers, and of the route metadata that we read."""
EXT_PROC_FILTER: Final = "borderpost.ext_proc"
"""Filter name; unlike Envoy's default name, it cannot be configured from a route by somebody else."""
EXT_AUTHZ_FILTER: Final = "borderpost.ext_authz"
"""Filter name of the ext_authz door."""
OBSERVE_FILTER: Final = "borderpost.observe"
"""Name of the ext_proc filter that tells us of requests on observed routes, and waits for no answer."""
EXT_AUTHZ_NAMESPACE: Final = "envoy.filters.http.ext_authz"
"""Dynamic metadata namespace of our ext_authz answers: Envoy's own, whatever the filter is called (tried)."""
JWT_NAMESPACE: Final = "envoy.filters.http.jwt_authn"
"""Dynamic metadata namespace in which Envoy's jwt_authn leaves verified token payloads."""
ROUTE_KEY: Final = "route"
"""Key of the route's name in route metadata under `METADATA_NAMESPACE`, for the ext_authz door."""
BODY_KEY: Final = "body"
"""Key in route metadata under `METADATA_NAMESPACE`, for the ext_authz door: whether Envoy sends the route's bodies."""
BODY_BUFFERED: Final = "buffered"
"""Its value where Envoy sends them whole."""
OBSERVE_KEY: Final = "observe"
"""Key in route metadata under `METADATA_NAMESPACE`, for the ext_authz door: true where Envoy goes its own way whatever
we answer. Over ext_proc Envoy says so itself (`observability_mode`)."""
REGION_KEY: Final = "region"
"""Key of the region's id in our answer's metadata, and in the metadata of its endpoints in Envoy, both under
`METADATA_NAMESPACE`."""
UNKNOWN: Final = "-"
"""Value of a fact in our answer's metadata that nobody knows; limits count it like any other."""
PARTIAL_BODY_HEADER: Final = "x-envoy-auth-partial-body"
"""Header by which Envoy says over ext_authz, where there is a body, whether it is a part of one."""
ANSWER_HEADERS: Final = ("content-type", "retry-after", "link", "cache-control")
"""What a refusal may set beside our own headers: Envoy drops or refuses everything else from us."""
STEERING_HEADERS: Final = (
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-max-retries",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-ms",
)
"""Request headers that steer Envoy's router (http_filters/router_filter), for proxies that cannot strip by prefix."""
