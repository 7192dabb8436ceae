"""One decision as a value: what was known, which laws applied, what became of each region, and why.

The same value is made of a made-up request and of a record in the log, so both are told in the same words, by
`telling` to people and by `as_dict` to programs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from borderpost.answers import Answer, Route
from borderpost.audit.kinds import format_stamp
from borderpost.cli.grounds import event_told, grounds, own_places, pack_of, refusing_source, split, taking_part
from borderpost.lawful_answer import CompiledLaw
from borderpost.policy.events import EventList
from borderpost.policy.model import Facts, Law
from borderpost.regions.rank import Ranking
from borderpost.regions.signals import Signals
from borderpost.shadow import Opinion


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with everything that explains it."""

    at_us: int
    """The instant the law was asked for."""
    facts: Facts
    law: Law | None
    """None where the request was refused before law was asked."""
    ranking: Ranking | None
    answer: Answer
    compiled: CompiledLaw
    events: EventList
    signals: Signals
    inputs: dict[str, str]
    """Digests of what it was made from, by part."""
    opinion: Opinion | None = None
    """What the shadow says to it; None where there is no shadow."""
    decision_id: str | None = None
    """None for a made-up request."""
    notes: tuple[str, ...] = ()
    """What the reader should know of this explanation."""
    observed: Mapping[str, Any] | None = None
    """Where the request of a record went that bound nobody; None for one that was enforced, or made up."""

    def regions(self) -> Iterator[dict[str, Any]]:
        """Yield one row a region, by rank, then legal ones that are down, then those that the law refuses."""
        legal = set(self.law.legal) if self.law else set()
        ranked = [candidate.region for candidate in self.ranking.order] if self.ranking else []
        down = list(self.ranking.down) if self.ranking else []
        latency = {x.region: x.latency_us for x in self.ranking.order} if self.ranking else {}
        rest = sorted(set(self.compiled.catalog.regions) - set(ranked) - set(down))
        for region in [*ranked, *down, *rest]:
            why = self.law.bases.get(region) if self.law and region in legal else None
            refused = self.law.refused.get(region, self.law.reason) if self.law and region not in legal else None
            row = {
                "region": region,
                "place": self.compiled.catalog.regions[region].place,
                "legal": region in legal if self.law else None,
                "why": why or refused or "law was not asked",
                "state": self.signals.of(region).state.value,
                "latency_us": latency.get(region),
                "chosen": isinstance(self.answer, Route) and self.answer.region == region,
            }
            if refused is not None and "/" in refused:
                row["fails"] = split(refused).location
                row["source"] = refusing_source(self.compiled.bundle, self.events, refused, self.at_us)
            yield row

    def regimes(self) -> Iterator[dict[str, str]]:
        """Yield each regime that applied, with its name, its source and the pack that brings it."""
        bundle = self.compiled.bundle
        known = {regime.id: regime for regime in bundle.regimes}
        for regime_id in self.law.regimes if self.law else ():
            regime = known[regime_id]
            yield {
                "id": regime_id, "title": regime.title, "kind": regime.kind, "source": regime.source,
                "pack": pack_of(bundle, regime_id),
            }  # fmt: skip

    def grounds(self) -> list[dict[str, Any]]:
        """Return the entries by which the region chosen is allowed, with source and dates."""
        answer = self.answer
        if self.law is None or not isinstance(answer, Route):
            return []
        return self.grounds_of(answer.region, answer.rule)

    def grounds_of(self, region: str, bases: str) -> list[dict[str, Any]]:
        """Return the entries by which a region is allowed on these bases, with source and dates."""
        return grounds(self.compiled.bundle, self.compiled.policy, region, bases, self.at_us)

    def failover(self) -> Iterator[dict[str, Any]]:
        """Yield each failover group that begins with the region chosen: answered, or why not."""
        if self.law is None or self.ranking is None or not isinstance(self.answer, Route):
            return
        states = dict.fromkeys(self.ranking.down, "down")
        for group in self.compiled.groups.beginning_with(self.answer.region):
            answered = self.answer.cluster == group.cluster
            why_not = None
            if not answered:
                hindering = [
                    f"{region}: {states.get(region) or self.law.refused.get(region, 'no region of this catalogue')}"
                    for region in group.regions
                    if region in states or region not in self.law.legal
                ]
                why_not = "; ".join(hindering) or "another group comes first"
            yield {
                "group": group.id, "cluster": group.cluster, "regions": list(group.regions), "answered": answered,
                "why_not": why_not,
            }  # fmt: skip

    def events_taking_part(self) -> list[dict[str, Any]]:
        """Return the legal events that made a difference to this request."""
        if self.law is None:
            return []
        found = taking_part(self.facts, self.law, self.compiled.policy, self.events, self.at_us)
        return [event_told(event) for event in found]

    def own_places(self) -> list[dict[str, Any]]:
        """Return this gateway's own place and its sinks, and whether the law let them see the request."""
        return list(own_places(self.compiled.bundle, self.law)) if self.law is not None else []

    def facts_as_dict(self) -> dict[str, Any]:
        """Return the facts as JSON-ready data."""
        evidence = [
            {
                "source": piece.source.value, "code": piece.code, "trust": piece.trust.value,
                "subdivision_unknown": piece.subdivision_unknown, "doubt": piece.doubt,
            }
            for piece in self.facts.evidence
        ]  # fmt: skip
        return {
            "evidence": evidence,
            "classes": list(self.facts.classes),
            "tenant": self.facts.tenant,
            "model": self.facts.model,
            "purpose": self.facts.purpose,
            "mode": self.facts.mode.value if self.facts.mode is not None else None,
            "missing": self.facts.missing,
        }

    def shadow_as_dict(self) -> dict[str, Any] | None:
        """Return what the shadow says as JSON-ready data; None where there is none."""
        if self.opinion is None:
            return None
        answer = self.opinion.answer
        return {
            "policy": self.inputs.get("shadow"),
            "differs": self.opinion.kind,
            "answer": answer_as_dict(answer) if answer is not None else None,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the whole explanation as JSON-ready data."""
        law = self.law
        return {
            "decision": self.decision_id,
            "at": format_stamp(self.at_us),
            "facts": self.facts_as_dict(),
            "jurisdictions": list(law.effective) if law else [],
            "mode": law.mode.value if law else None,
            "regimes": list(self.regimes()),
            "ruling": law.ruling.value if law else None,
            "reason": law.reason if law else None,
            "conflict": law.conflict if law else None,
            "subdivision_unknown": law.subdivision_unknown if law else None,
            "stale": law.stale if law else None,
            "valid_until": format_stamp(law.valid_until_us) if law and law.valid_until_us is not None else None,
            "own_places": self.own_places(),
            "events": self.events_taking_part(),
            "regions": list(self.regions()),
            "grounds": self.grounds(),
            "answer": answer_as_dict(self.answer),
            "failover": list(self.failover()),
            "shadow": self.shadow_as_dict(),
            "observed": dict(self.observed) if self.observed is not None else None,
            "inputs": self.inputs,
            "notes": list(self.notes),
        }


def answer_as_dict(answer: Answer) -> dict[str, Any]:
    """Return an answer as JSON-ready data."""
    if isinstance(answer, Route):
        return {
            "action": "route", "region": answer.region, "cluster": answer.cluster, "basis": answer.rule,
            "then": [{"region": leaf.region, "basis": leaf.rule} for leaf in answer.then],
        }  # fmt: skip
    return {"action": "refuse", "status": answer.status, "code": answer.code, "reason": answer.reason}
