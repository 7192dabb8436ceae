"""One decision told to a person: what was known, which laws applied, what became of each region, and why.

The same value is made of a made-up request and of a record in the log, so both are told in the same words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from borderpost.answers import Answer, Route
from borderpost.audit.kinds import format_stamp
from borderpost.catalog import Catalog
from borderpost.cli.output import Output
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.model import Facts, Law
from borderpost.regions.rank import Ranking
from borderpost.regions.signals import Signals
from borderpost_base.errors import ERRORS

_YES_NO = {True: "yes", False: "no", None: "-"}


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
    bundle: PolicyBundle
    catalog: Catalog
    signals: Signals
    inputs: dict[str, str]
    """Digests of what it was made from, by part."""
    decision_id: str | None = None
    """None for a made-up request."""
    notes: tuple[str, ...] = ()
    """What the reader should know of this explanation."""

    def regions(self) -> Iterator[dict[str, Any]]:
        """Yield one row a region, by rank, then legal ones that are down, then those that the law refuses."""
        legal = set(self.law.legal) if self.law else set()
        ranked = [candidate.region for candidate in self.ranking.order] if self.ranking else []
        down = list(self.ranking.down) if self.ranking else []
        latency = {x.region: x.latency_us for x in self.ranking.order} if self.ranking else {}
        rest = sorted(set(self.catalog.regions) - set(ranked) - set(down))
        for region in [*ranked, *down, *rest]:
            why = self.law.bases.get(region) if self.law and region in legal else None
            refused = self.law.refused.get(region, self.law.reason) if self.law and region not in legal else None
            yield {
                "region": region,
                "place": self.catalog.regions[region].place,
                "legal": region in legal if self.law else None,
                "why": why or refused or "law was not asked",
                "state": self.signals.of(region).state.value,
                "latency_us": latency.get(region),
                "chosen": isinstance(self.answer, Route) and self.answer.region == region,
            }

    def regimes(self) -> Iterator[dict[str, str]]:
        """Yield each regime that applied, with its name and source."""
        known = {regime.id: regime for regime in self.bundle.regimes}
        for regime_id in self.law.regimes if self.law else ():
            regime = known[regime_id]
            yield {"id": regime_id, "title": regime.title, "kind": regime.kind, "source": regime.source}

    def answer_as_dict(self) -> dict[str, Any]:
        """Return the answer as JSON-ready data."""
        if isinstance(self.answer, Route):
            return {
                "action": "route", "region": self.answer.region, "cluster": self.answer.cluster,
                "basis": self.answer.rule,
            }  # fmt: skip
        refusal = self.answer
        return {"action": "refuse", "status": refusal.status, "code": refusal.code, "reason": refusal.reason}

    def facts_as_dict(self) -> dict[str, Any]:
        """Return the facts as JSON-ready data."""
        evidence = [
            {
                "source": piece.source.value, "code": piece.code, "trust": piece.trust.value,
                "subdivision_unknown": piece.subdivision_unknown,
            }
            for piece in self.facts.evidence
        ]  # fmt: skip
        return {
            "evidence": evidence,
            "classes": list(self.facts.classes),
            "tenant": self.facts.tenant,
            "model": self.facts.model,
            "missing": self.facts.missing,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the whole explanation as JSON-ready data."""
        law = self.law
        return {
            "decision": self.decision_id,
            "at": format_stamp(self.at_us),
            "facts": self.facts_as_dict(),
            "jurisdictions": list(law.effective) if law else [],
            "regimes": list(self.regimes()),
            "ruling": law.ruling.value if law else None,
            "reason": law.reason if law else None,
            "conflict": law.conflict if law else None,
            "subdivision_unknown": law.subdivision_unknown if law else None,
            "valid_until": format_stamp(law.valid_until_us) if law and law.valid_until_us is not None else None,
            "regions": list(self.regions()),
            "answer": self.answer_as_dict(),
            "inputs": self.inputs,
            "notes": list(self.notes),
        }


def tell(explanation: Explanation, output: Output) -> None:
    """Print the explanation for people."""
    told = explanation
    if told.decision_id is not None:
        output.data(f"decision  {told.decision_id}")
    output.data(f"at        {format_stamp(told.at_us)}")
    output.data("")
    _tell_facts(told, output)
    _tell_law(told, output)
    rows = [
        (
            "→" if row["chosen"] else "", row["region"], row["place"], _YES_NO[row["legal"]], row["state"],
            "-" if row["latency_us"] is None else f"{row['latency_us'] / 1000:.1f} ms", row["why"],
        )
        for row in told.regions()
    ]  # fmt: skip
    output.table(("", "region", "place", "legal", "state", "latency", "basis, or why not"), rows)
    output.data("")
    _tell_answer(told, output)
    for note in told.notes:
        output.data(f"note: {note}")


def _tell_facts(told: Explanation, output: Output) -> None:
    if not told.facts.evidence:
        output.data("evidence  none: the subject's place is unknown")
    for number, piece in enumerate(told.facts.evidence):
        label = "evidence" if number == 0 else ""
        part = ", subdivision unknown" if piece.subdivision_unknown else ""
        output.data(f"{label:<8}  {piece.code} by {piece.source.value} ({piece.trust.value}{part})")
    output.data(f"classes   {', '.join(told.facts.classes) or '-'}")
    output.data(f"tenant    {told.facts.tenant or '-'}")
    output.data(f"model     {told.facts.model or '-'}")
    if told.facts.missing is not None:
        output.data(f"missing   {told.facts.missing}, which tenant or route requires")
    output.data("")


def _tell_law(told: Explanation, output: Output) -> None:
    law = told.law
    if law is None:
        output.data("law       was not asked: the request was refused before\n")
        return
    output.data(f"places    {', '.join(law.effective) or '-'}")
    for number, regime in enumerate(told.regimes()):
        label = "regimes" if number == 0 else ""
        output.data(f"{label:<8}  {regime['id']}: {regime['title']} ({regime['source']})")
    if law.conflict is not None:
        output.data(f"conflict  {law.conflict}: sources disagree, and each of them narrows")
    if law.subdivision_unknown:
        output.data("doubt     a law is about a part of a place of which only the whole is known")
    if law.valid_until_us is not None:
        output.data(f"holds     until {format_stamp(law.valid_until_us)}")
    output.data("")


def _tell_answer(told: Explanation, output: Output) -> None:
    if isinstance(told.answer, Route):
        verdict = output.paint("routed", "green", stream=output.stdout)
        output.data(f"{verdict} to {told.answer.region} (cluster {told.answer.cluster}) by {told.answer.rule}")
        return
    refusal = told.answer
    verdict = output.paint("refused", "red", stream=output.stdout)
    output.data(f"{verdict} with {refusal.status} {refusal.code}: {refusal.reason}")
    output.data(f"  {ERRORS[refusal.code].cause}")
