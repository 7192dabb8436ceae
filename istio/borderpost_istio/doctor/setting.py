"""What is known of a deployment besides the objects that are examined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from borderpost.config.istio import cluster_name
from borderpost.config.model import Config


@dataclass(frozen=True, slots=True)
class Setting:
    """What the configuration says, where there is one; objects speak for what it leaves out."""

    clusters: Mapping[str, str] = field(default_factory=dict)
    """Region by the name of its Envoy cluster, such as `outbound|443||eu.example.com`."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Regions, in order, by the name of their failover group's cluster."""
    hosts: tuple[str, ...] = ()
    """Hosts whose requests Borderpost decides."""
    trusted_hops: int | None = None
    """Proxies of your own in front of the gateway; None: nobody said."""
    gateway_namespace: str | None = None
    """Namespace of the gateway's pods; None: nobody said."""
    workload: Mapping[str, str] = field(default_factory=dict)
    """Labels of the gateway's pods; empty: nobody said."""
    evidence: str | None = None
    """Absolute path of the record in the container; None: nobody said."""
    namespace: str = "default"
    """The namespace of objects that name none."""
    root_namespace: str = "istio-system"
    """The mesh's root namespace, whose EnvoyFilters hold everywhere."""


def setting_of(config: Config) -> Setting:
    """Return what a configuration says."""
    istio, directory = config.istio, config.audit.directory
    return Setting(
        clusters={cluster_name(istio, region, spec): region for region, spec in config.regions.items()},
        groups={group.cluster or name: group.regions for name, group in config.failover.items()},
        hosts=istio.hosts if istio is not None else (),
        trusted_hops=istio.trusted_proxies if istio is not None else None,
        gateway_namespace=istio.namespace if istio is not None else None,
        workload=istio.workload if istio is not None else {},
        evidence=str(directory) if directory.is_absolute() else None,
    )
