"""Which releases of Istio are rendered for, and what their proxies can do.

A release's proxy is Envoy built by istio/proxy with the extensions of its
`bazel/extension_config/extensions_build_config.bzl`. What is not in that list makes Envoy reject the listener or route
that names it; a field that is newer than the proxy, or than istiod's own protos, is dropped without a word. So every
extension and every field of ours that some release lacks is listed here, and rendering asks before it writes one.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Feature(enum.Enum):
    """What is rendered where the proxy has it, and what stands in for it elsewhere."""

    STRIP_BY_PREFIX = "headers taken from clients by the start of their names (`remove_on_match`); elsewhere by name"
    EXT_PROC_STATUS = "503 where Borderpost cannot answer over ext_proc (`status_on_error`); elsewhere 500 or 504"
    CLUSTER_RETRIES = "retries of failover groups, which a cluster sets for itself; elsewhere no failover groups"
    CLUSTER_MATCHER = "an allow-list of clusters as one table; elsewhere one route for each cluster"


@dataclass(frozen=True, slots=True)
class Release:
    """A minor release of Istio."""

    envoy: tuple[int, int]
    """The Envoy release that its proxy is built from."""
    features: frozenset[Feature]
    """Those that it has."""


_SINCE_28 = frozenset({Feature.STRIP_BY_PREFIX, Feature.EXT_PROC_STATUS})
_SINCE_29 = _SINCE_28 | {Feature.CLUSTER_RETRIES}
_SINCE_30 = _SINCE_29 | {Feature.CLUSTER_MATCHER}

RELEASES: dict[str, Release] = {
    "1.27": Release((1, 35), frozenset()),
    "1.28": Release((1, 36), _SINCE_28),
    "1.29": Release((1, 37), _SINCE_29),
    "1.30": Release((1, 38), _SINCE_30),
    "1.31": Release((1, 39), _SINCE_30),
}
"""Each release by its number, the oldest first.

Source: for extensions istio/proxy, branches `release-1.27` to `release-1.31`; for fields Envoy's changelogs (`http` and
`ext_proc` of 1.36.0, `router` of 1.37.0). istiod's protos are no older than its proxy's.
"""

EXTENSIONS: dict[str, str | None] = {
    "envoy.extensions.access_loggers.file.v3.FileAccessLog": "envoy.access_loggers.file",
    "envoy.extensions.clusters.aggregate.v3.ClusterConfig": "envoy.clusters.aggregate",
    "envoy.extensions.filters.http.buffer.v3.Buffer": "envoy.filters.http.buffer",
    "envoy.extensions.filters.http.buffer.v3.BufferPerRoute": "envoy.filters.http.buffer",
    "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz": "envoy.filters.http.ext_authz",
    "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute": "envoy.filters.http.ext_authz",
    "envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute": "envoy.filters.http.ext_proc",
    "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor": "envoy.filters.http.ext_proc",
    "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation": "envoy.filters.http.header_mutation",
    "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute": "envoy.filters.http.header_mutation",
    "envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata": "envoy.filters.http.json_to_metadata",
    "envoy.extensions.filters.http.ratelimit.v3.RateLimit": "envoy.filters.http.ratelimit",
    "envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute": "envoy.filters.http.ratelimit",
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": (
        "envoy.filters.network.http_connection_manager"
    ),
    "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation": (
        "envoy.http.early_header_mutation.header_mutation"
    ),
    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate": (
        "envoy.retry_host_predicates.previous_hosts"
    ),
    "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig": (
        "envoy.retry_priorities.previous_priorities"
    ),
    "envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction": (
        "envoy.router.cluster_specifier_plugin.matcher"
    ),
    "envoy.extensions.router.cluster_specifiers.matcher.v3.MatcherClusterSpecifier": (
        "envoy.router.cluster_specifier_plugin.matcher"
    ),
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext": "envoy.transport_sockets.tls",
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": None,
    "envoy.type.matcher.v3.HttpRequestHeaderMatchInput": None,
}
"""Messages that are rendered into a `typed_config`, and the extension that reads each; None for what Envoy always has.

A message that is not here is not rendered: the tests hold renderings against this table, and its extensions against the
lists of the releases.
"""

GATED_EXTENSIONS: dict[str, Feature] = {"envoy.router.cluster_specifier_plugin.matcher": Feature.CLUSTER_MATCHER}
"""Extensions that only some releases have; every release has the others."""


def has(version: str, feature: Feature) -> bool:
    """Return whether a release's proxy has a feature."""
    return feature in RELEASES[version].features
