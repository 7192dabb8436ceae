"""The catalogue as one value with one digest: the regions that can be routed to, how they are ranked, and which stand
in for which.

Probes are not in it: they say how this gateway finds out what is up, not which region is better, and what they
find out is in the signals.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from borderpost.policy import canonical
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.fields import Identifier
from borderpost.policy.pack import GroupRule
from borderpost.policy.schema import RegionSpec
from borderpost.regions.config import RankingSpec
from borderpost.regions.failover import FailoverGroup
from borderpost.regions.rank import LatencyTable
from borderpost_base.strict import StrictModel


class Catalog(StrictModel):
    """Regions by id, and the ranking section without its probes."""

    regions: dict[Identifier, RegionSpec]
    """The regions by id."""

    ranking: RankingSpec
    """Latency table, preference and tie margin."""

    failover: dict[Identifier, FailoverGroup] | None = None
    """Failover groups by id; None where there are none, so that such a catalogue is in bytes what it was before there
    could be any, and a log or a worker of an earlier version reads it."""

    @classmethod
    def of(
        cls,
        regions: Mapping[str, RegionSpec],
        ranking: RankingSpec,
        failover: Mapping[str, FailoverGroup] = MappingProxyType({}),
    ) -> Catalog:
        """Make the catalogue of a configuration."""
        own = ranking.model_copy(update={"probes": {}})
        return cls(regions=dict(regions), ranking=own, failover=dict(failover) or None)

    def canonical(self) -> bytes:
        """Return the catalogue's one form in bytes."""
        return canonical.canonical_bytes(self)

    @property
    def digest(self) -> str:
        """Return `sha256:<hex>` of the canonical bytes."""
        return canonical.digest_of(self.canonical())

    @classmethod
    def from_canonical(cls, raw: bytes) -> Catalog:
        """Read a catalogue back. Raises BorderpostError BP0215."""
        return canonical.from_canonical(cls, raw)

    @property
    def clusters(self) -> dict[str, str]:
        """Return the Envoy cluster of each region."""
        return {region: spec.cluster or region for region, spec in self.regions.items()}

    @property
    def places(self) -> dict[str, str]:
        """Return the most exact ISO code known of each region's place."""
        return {region: spec.place for region, spec in self.regions.items()}

    def latency_table(self, bundle: PolicyBundle) -> LatencyTable:
        """Return the ranking section compiled for these regions; its areas may be groups of the policy."""
        return LatencyTable.compile(self.ranking, self.regions, group_members(bundle))


def group_members(bundle: PolicyBundle) -> dict[str, frozenset[str]]:
    """Return the place codes that each group of the policy names, nested groups resolved (they have no cycles)."""
    groups = bundle.vocabulary.groups
    members: dict[str, frozenset[str]] = {}

    def resolve(name: str) -> frozenset[str]:
        if name not in members:
            group = groups[name]
            if isinstance(group, GroupRule):
                named = frozenset[str]().union(*(resolve(part) for part in group.all_of))
                members[name] = (named | frozenset(group.plus)) - frozenset(group.minus)
            else:
                members[name] = frozenset(group)
        return members[name]

    for name in groups:
        resolve(name)
    return members
