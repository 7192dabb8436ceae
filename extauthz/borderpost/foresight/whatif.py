"""Traffic held against two scenarios: every kind of request is decided in both by the engine, and compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from borderpost.catalog import group_members
from borderpost.facts import Rejected
from borderpost.foresight.comparison import Comparison, Who
from borderpost.foresight.log import LogTraffic
from borderpost.foresight.scenario import Scenario, Verdict
from borderpost.foresight.traffic import ReadTraffic
from borderpost.policy.model import Facts
from borderpost.proof.hearing import Hearing
from borderpost.regions.config import RankingSpec
from borderpost.regions.rank import LatencyTable, areas_of
from borderpost_base.errors import BorderpostError, Place


class Flow(NamedTuple):
    """Requests that are alike."""

    facts: Facts
    stale: bool
    weight: int
    workload: str | None = None
    rejected: str | None = None
    """Why they are refused before law is asked; None where it is."""

    def verdict(self, scenario: Scenario) -> Verdict:
        """Return what a scenario makes of them."""
        if self.rejected is not None:
            return Verdict(None, self.rejected)
        return scenario.verdict(self.facts, stale=self.stale)


def flows_of(read: ReadTraffic, scenario: Scenario, *, must_be_read: bool = True) -> Iterator[Flow]:
    """Yield the requests of a file as a scenario's evidence, tenants and routes make facts of them.

    Raises BorderpostError BP1252 for a line that says what the configuration does not read; without `must_be_read`
    such a line counts as if it did not say it.
    """
    hearing = Hearing(scenario.compiled.policy, scenario.events, now_us=scenario.at_us)
    for request, place in zip(read.traffic.requests, read.places, strict=True):
        try:
            extracted = hearing.extract(request)
        except BorderpostError as error:
            if error.code != "BP1210":
                raise
            if must_be_read:
                raise BorderpostError("BP1252", error.detail, place=place) from error
            evidence = scenario.bundle.evidence
            unread = {"token": evidence.token, "certificate": evidence.mtls, "header": evidence.header}
            dropped = {key: None for key, section in unread.items() if section is None}
            extracted = hearing.extract(request.model_copy(update=dropped))
        rejected = extracted.reason if isinstance(extracted, Rejected) else None
        yield Flow(extracted.facts, request.stale, request.weight, request.workload, rejected)


class Latencies:
    """What a region costs a client, by figures that a person gave beside those that rank."""

    def __init__(self, given_ms: Mapping[str, Mapping[str, float]], scenario: Scenario) -> None:
        """Prepare. Raises BorderpostError BP0703 or BP0704 for a region or an area that is not known."""
        self._table: LatencyTable | None = None
        if given_ms:
            spec = RankingSpec(latency_ms={area: dict(row) for area, row in given_ms.items()})
            for error in spec.mistakes(scenario.regions, scenario.bundle.vocabulary.groups):
                where = Place(key=(error.place.key or "").removeprefix("ranking."))
                raise BorderpostError(error.code, error.detail, place=where, mend=error.mend)
            self._table = LatencyTable.compile(spec, scenario.regions, group_members(scenario.bundle))

    def of(self, facts: Facts, before: Verdict, after: Verdict) -> tuple[int | None, int | None]:
        """Return the latencies of the regions before and after, microseconds, from one source for both.

        Figures that a person gave come first; None where neither knows both.
        """
        if self._table is not None and before.region is not None and after.region is not None:
            areas = areas_of(facts.evidence)
            given = self._table.latency_us(before.region, areas), self._table.latency_us(after.region, areas)
            if None not in given:
                return given
        ranked = before.latency_us, after.latency_us
        return ranked if None not in ranked else (None, None)


def compare_file(read: ReadTraffic, before: Scenario, after: Scenario, latencies: Latencies) -> Comparison:
    """Compare what becomes of a file's requests. Raises BorderpostError BP1252 for a line that cannot be asked."""
    comparison = Comparison()
    flows = list(flows_of(read, before))
    others = flows if after.bundle is before.bundle else list(flows_of(read, after, must_be_read=False))
    for flow, other in zip(flows, others, strict=True):
        weigh(comparison, flow, other, before, after, latencies)
    return comparison


def compare_log(log: LogTraffic, before: Scenario, after: Scenario, latencies: Latencies) -> Comparison:
    """Compare what becomes of a log's decisions: both are made of the recorded facts, at the scenarios' instant."""
    comparison = Comparison()
    for batch in log.batches():
        for kind, count in batch.items():
            flow = Flow(kind.facts, kind.stale, count)
            weigh(comparison, flow, flow, before, after, latencies)
    return comparison


def weigh(
    comparison: Comparison, flow: Flow, other: Flow, before: Scenario, after: Scenario, latencies: Latencies
) -> None:
    """Decide requests in both scenarios and count them; `other` is what the one after makes of the same requests."""
    was, becomes = flow.verdict(before), other.verdict(after)
    figures = latencies.of(flow.facts, was, becomes)
    margin_us = after.compiled.table.tie_margin_us
    comparison.add(Who.of(flow.facts, flow.workload), flow.weight, was, becomes, figures, margin_us=margin_us)
