"""What a decision leaves in the audit log: the fields of its `decision` record (see `audit.fields`).

Most of a record is the same for every request with the same facts; `fixed_fields` builds that part once a
decision, and `request_field` is what belongs to one request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from borderpost.answers import Answer, Route
from borderpost.audit.fields import check_given
from borderpost.audit.profile import ProfileError, encode
from borderpost.facts import Identity
from borderpost.policy.model import Facts, Law, Mode
from borderpost.regions.rank import Ranking
from borderpost.shadow import Opinion
from borderpost.shared_fields import SharedFields
from borderpost_base import limits

CONFLICT_RULE = "narrowing-only"
"""The one rule by which pieces of evidence are joined."""


def fixed_fields(
    answer: Answer, facts: Facts, law: Law | None, ranking: Ranking | None, opinion: Opinion | None = None, *,
    shared: SharedFields, places: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """Return all fields that do not belong to one request.

    `law` is None where the request was refused before law was asked (malformed, or evidence that does not
    hold); `places` maps a region to its ISO code. Raises ProfileError for a decision that no record can hold.
    """
    own: dict[str, Any] = {
        "jur": _jurisdiction(facts, law),
        "class": list(facts.classes),
        "out": _out(answer, places),
    }
    if facts.model is not None:
        own["model"] = facts.model
    if facts.tenant is not None:
        own["tenant"] = facts.tenant
    if facts.purpose is not None:
        own["purpose"] = facts.purpose
    if law is not None and law.events:
        own["events"] = list(law.events[: limits.RECORDED_EVENTS_MAX])
    if law is not None and law.stale:
        own["stale"] = True
    if opinion is not None and (diverging := shadow_field(opinion)) is not None:
        own["shadow"] = diverging
    # Checked once here, so that records need not be on the hot path: what cannot be recorded is refused.
    check_given("decision", own)
    return {**own, **shared.of(law, ranking)}


def request_field(identity: Identity, body: Mapping[str, Any] | None = None) -> bytes:
    """Return the canonical JSON of a record's `req`: what joins it to other logs, and what is told of its body."""
    request: dict[str, Any] = {}
    if identity.request_id is not None:
        request["id"] = identity.request_id
    if identity.trace_id is not None:
        request["trace"] = identity.trace_id
    if identity.digest is not None:
        request["digest"] = identity.digest
    if body is not None:
        request["body"] = dict(body)
    return encode(request)


def shadow_field(opinion: Opinion) -> dict[str, Any] | None:
    """Return a record's `shadow`: what the shadow says where it differs, None where it does not.

    What is too long for a record is left out of it, not refused: the shadow must not touch the answer.
    """
    if opinion.kind is None:
        return None
    told: dict[str, Any] = {"kind": opinion.kind}
    if isinstance(opinion.answer, Route):
        told |= {"r": opinion.answer.region, "basis": opinion.answer.rule}
    elif opinion.answer is not None:
        told["reason"] = opinion.answer.reason
    try:
        check_given("decision", {"shadow": told})
    except ProfileError:
        return {"kind": opinion.kind}
    return told


def _jurisdiction(facts: Facts, law: Law | None) -> dict[str, Any]:
    evidence = []
    for piece in facts.evidence:
        told: dict[str, Any] = {"src": piece.source.value, "val": piece.code, "trust": piece.trust.value}
        if piece.subdivision_unknown:
            told["subdivision_unknown"] = True
        if piece.doubt is not None:
            told["doubt"] = piece.doubt
        evidence.append(told)
    fields: dict[str, Any] = {
        "effective": list(law.effective) if law else [],
        "regimes": list(law.regimes) if law else [],
        "evidence": evidence,
        "rule": CONFLICT_RULE,
        "subdivision_unknown": law.subdivision_unknown if law else False,
    }
    if facts.missing is not None:
        fields["missing"] = facts.missing
    if law is not None and law.conflict is not None:
        fields["conflict"] = law.conflict
    if law is not None and law.mode is not Mode.LEGAL_FIRST:
        fields["mode"] = law.mode.value
    if facts.mode is not None:
        fields["mode_set"] = facts.mode.value
    return fields


def _out(answer: Answer, places: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(answer, Route):
        told: dict[str, Any] = {
            "action": "route",
            "r": answer.region,
            "cluster": answer.cluster,
            "cc": places[answer.region],
            "basis": answer.rule,
        }
        if answer.then:
            told["then"] = [{"r": leaf.region, "cc": places[leaf.region], "basis": leaf.rule} for leaf in answer.then]
        return told
    return {"action": "refuse", "status": answer.status, "code": answer.code, "reason": answer.reason}
