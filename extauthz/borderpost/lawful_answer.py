"""From law to answer: policy and catalogue compiled for each other, and what they say a request is to be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from borderpost.answers import Answer, Leaf, Refusal, Route
from borderpost.catalog import Catalog
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.compile import CompiledPolicy, compile_policy
from borderpost.policy.model import Facts, Law, Ruling
from borderpost.regions.failover import FailoverGroups
from borderpost.regions.rank import LatencyTable, Ranking, areas_of, rank
from borderpost.regions.signals import Signals
from borderpost_base.names import UNKNOWN

_CODE_OF_REASON = {
    "embargo": "BP0802",
    "here-not-allowed": "BP0803",
    "sink-not-allowed": "BP0803",
    "evidence-required": "BP0804",
    "unknown-code": "BP0805",
    "unknown-subject": "BP0805",
    "subdivision-unknown": "BP0805",
    "unknown-class": "BP0811",
}
"""Error code of a law's reason (the part before a colon); any other refusal by law is BP0801."""

_STATUS_OF_RULING = {Ruling.FORBIDDEN: 451, Ruling.EVIDENCE: 403}


@dataclass(frozen=True, slots=True)
class CompiledLaw:
    """Policy and catalogue, compiled for each other: what takes time to build and seldom changes."""

    bundle: PolicyBundle
    catalog: Catalog
    policy: CompiledPolicy
    table: LatencyTable
    clusters: Mapping[str, str]
    """Region id to Envoy cluster name."""
    places: Mapping[str, str]
    """Region id to ISO code."""
    groups: FailoverGroups

    @classmethod
    def of(cls, bundle: PolicyBundle, catalog: Catalog) -> CompiledLaw:
        """Compile. Raises Problems or BorderpostError where the two do not fit each other."""
        policy = compile_policy(bundle, catalog.regions)
        groups = FailoverGroups(catalog.failover or {})
        return cls(bundle, catalog, policy, catalog.latency_table(bundle), catalog.clusters, catalog.places, groups)

    def answer(self, facts: Facts, law: Law, signals: Signals) -> tuple[Answer, Ranking | None]:
        """Return what the law and these signals come to; no ranking where there was nothing to rank."""
        jurisdiction = ",".join(law.effective) or UNKNOWN
        if law.ruling is not Ruling.LEGAL:
            code = _CODE_OF_REASON.get(law.reason.partition(":")[0], "BP0801")
            return Refusal(_STATUS_OF_RULING[law.ruling], code, law.reason, jurisdiction, law.regimes), None
        ranking = rank(law.legal, areas_of(facts.evidence), self.table, signals)
        if ranking.chosen is None:
            return Refusal(503, "BP0806", "no-legal-region-up", jurisdiction, law.regimes), ranking
        region = ranking.chosen
        group = self.groups.choose(ranking, law.legal)
        if group is None:
            return Route(region, self.clusters[region], jurisdiction, law.bases[region]), ranking
        # A region outside the law is in no ranking of it, and has no basis: a group that reaches one is not chosen.
        then = tuple(Leaf(leaf, law.bases[leaf]) for leaf in group.regions[1:])
        return Route(region, group.cluster, jurisdiction, law.bases[region], then), ranking
