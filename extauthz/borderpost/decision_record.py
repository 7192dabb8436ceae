"""What a decision leaves in the audit log: the fields of its `decision` record (see `audit.fields`).

Most of a record is the same for every request with the same facts; `fixed_fields` builds that part once a
decision, and `request_field` is what belongs to one request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from borderpost.answers import Answer, Route
from borderpost.audit.fields import check_fields
from borderpost.audit.profile import encode
from borderpost.audit.record import refusal_counts, table_digest
from borderpost.facts import Identity
from borderpost.policy.model import Facts, Law
from borderpost.regions.rank import Ranking
from borderpost_base import limits

CONFLICT_RULE = "narrowing-only"
"""The one rule by which pieces of evidence are joined."""
DOWN = "down"
"""Why a legal region is no candidate: its probe says that it cannot serve."""


def fixed_fields(
    answer: Answer, facts: Facts, law: Law | None, ranking: Ranking | None, *, inputs: Mapping[str, str], seed: str,
    here: str, places: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """Return all fields that do not belong to one request.

    `law` is None where the request was refused before law was asked (malformed, or evidence that does not
    hold); `places` maps a region to its ISO code. Raises ProfileError for a decision that no record can hold.
    """
    fields: dict[str, Any] = {
        "jur": _jurisdiction(facts, law),
        "class": list(facts.classes),
        "inputs": dict(inputs),
        "seed": seed,
        "here": here,
        "cand": _candidates(ranking),
        "out": _out(answer, places),
        "mode": "enforce",
    }
    if facts.model is not None:
        fields["model"] = facts.model
    if facts.tenant is not None:
        fields["tenant"] = facts.tenant
    if law is not None:
        refused = dict(law.refused)
        if ranking is not None:
            refused |= dict.fromkeys(ranking.down, DOWN)
        if refused:
            fields["refused"] = refusal_counts(refused.values())
        fields["table"] = table_digest(candidate_table(law, ranking))
    # Checked once here, so that records need not be on the hot path: what cannot be recorded is refused.
    check_fields("decision", {**fields, "req": {}, "via": "ext_proc"})
    return fields


def request_field(identity: Identity) -> bytes:
    """Return the canonical JSON of a record's `req`: what joins it to other logs."""
    request = {}
    if identity.request_id is not None:
        request["id"] = identity.request_id
    if identity.trace_id is not None:
        request["trace"] = identity.trace_id
    return encode(request)


def candidate_table(law: Law, ranking: Ranking | None) -> list[dict[str, Any]]:
    """Return one row a region, in order of region id: legal or why not, up or down, latency if ranked."""
    rows: dict[str, dict[str, Any]] = {
        region: {"r": region, "ok": False, "why": why} for region, why in law.refused.items()
    }
    for region in law.legal:
        rows[region] = {"r": region, "ok": True}
    if ranking is not None:
        for region in ranking.down:
            rows[region] = {"r": region, "ok": False, "why": DOWN}
        for candidate in ranking.order:
            if candidate.latency_us is not None:
                rows[candidate.region]["lat_us"] = candidate.latency_us
    return [rows[region] for region in sorted(rows)]


def _jurisdiction(facts: Facts, law: Law | None) -> dict[str, Any]:
    evidence = []
    for piece in facts.evidence:
        told: dict[str, Any] = {"src": piece.source.value, "val": piece.code, "trust": piece.trust.value}
        if piece.subdivision_unknown:
            told["subdivision_unknown"] = True
        evidence.append(told)
    fields: dict[str, Any] = {
        "effective": list(law.effective) if law else [],
        "regimes": list(law.regimes) if law else [],
        "evidence": evidence,
        "rule": CONFLICT_RULE,
        "subdivision_unknown": law.subdivision_unknown if law else False,
    }
    if law is not None and law.conflict is not None:
        fields["conflict"] = law.conflict
    return fields


def _candidates(ranking: Ranking | None) -> list[dict[str, Any]]:
    """Return the region chosen and at most eight runners-up, in order of rank, then legal regions that are down."""
    if ranking is None:
        return []
    rows: list[dict[str, Any]] = []
    for candidate in ranking.order:
        row: dict[str, Any] = {"r": candidate.region, "ok": True}
        if candidate.latency_us is not None:
            row["lat_us"] = candidate.latency_us
        rows.append(row)
    rows += [{"r": region, "ok": False, "why": DOWN} for region in ranking.down]
    return rows[: 1 + limits.RUNNERS_UP_MAX]


def _out(answer: Answer, places: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(answer, Route):
        return {
            "action": "route",
            "r": answer.region,
            "cluster": answer.cluster,
            "cc": places[answer.region],
            "basis": answer.rule,
        }
    return {"action": "refuse", "status": answer.status, "code": answer.code, "reason": answer.reason}
