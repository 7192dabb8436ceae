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

EXTENSIONS: frozenset[str] = frozenset(
    {
        "envoy.access_loggers.file",
        "envoy.clusters.aggregate",
        "envoy.filters.http.buffer",
        "envoy.filters.http.ext_authz",
        "envoy.filters.http.ext_proc",
        "envoy.filters.http.header_mutation",
        "envoy.filters.http.ratelimit",
        "envoy.filters.network.http_connection_manager",
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.retry_host_predicates.previous_hosts",
        "envoy.retry_priorities.previous_priorities",
        "envoy.transport_sockets.tls",
    }
)
"""Extensions that every release above has and that are rendered without asking."""

GATED_EXTENSIONS: dict[str, Feature] = {"envoy.router.cluster_specifier_plugin.matcher": Feature.CLUSTER_MATCHER}
"""Extensions that only some have."""


def has(version: str, feature: Feature) -> bool:
    """Return whether a release's proxy has a feature."""
    return feature in RELEASES[version].features
