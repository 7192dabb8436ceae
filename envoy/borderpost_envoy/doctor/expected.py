"""What the product's own configuration says about Envoy's: which clusters are regions, where Borderpost listens.

Without a configuration everything here is empty, and the rules go by what carries our filter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from borderpost.config.istio import cluster_name
from borderpost.config.model import Config


@dataclass(frozen=True, slots=True)
class Expected:
    """Facts of one configuration of Borderpost."""

    regions: Mapping[str, str] = field(default_factory=dict)
    """Envoy's cluster of each region, to the region's id."""
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Clusters that stand for several regions by the configuration's word, each with the clusters of its members."""
    servers: frozenset[str] = frozenset()
    """Where workers listen: paths of Unix sockets, or `host:port`; empty where that is not known."""
    routes: frozenset[str] = frozenset()
    """Names of the routes that the policy knows; empty where it tells none apart."""

    observed: frozenset[str] = frozenset()
    """Names of routes that are only observed, by the configuration's word."""

    @property
    def known(self) -> bool:
        """Return True where a configuration was given."""
        return bool(self.regions)


UNKNOWN = Expected()
"""For an Envoy of which nothing is known but itself."""


def expected_of(config: Config) -> Expected:
    """Return what a configuration says."""
    clusters = {region: cluster_name(config.istio, region, spec) for region, spec in config.regions.items()}
    server = config.server
    servers: frozenset[str] = frozenset()
    if server.listen == "unix":
        servers = frozenset(str(server.socket_of(index)) for index in range(server.workers))
    return Expected(
        regions={cluster: region for region, cluster in clusters.items()},
        groups={
            group.cluster or name: frozenset(clusters[region] for region in group.regions)
            for name, group in config.failover.items()
        },
        servers=servers,
        routes=frozenset(config.routes),
        observed=frozenset(config.observe.routes),
    )
