"""One question and its answer as the exported module reads and gives them: plain JSON."""

from __future__ import annotations

from typing import Any

from borderpost.policy.model import Facts, Law


def question_of(facts: Facts, now_us: int, *, stale: bool = False) -> dict[str, Any]:
    """Return the input that asks about these facts at an instant, microseconds since 1970."""
    asked: dict[str, Any] = {
        "evidence": [
            {"source": str(one.source), "code": one.code, **({} if one.doubt is None else {"doubt": one.doubt})}
            for one in facts.evidence
        ],
        "classes": list(facts.classes),
    }
    for key in ("tenant", "model", "missing", "purpose", "mode"):
        value = getattr(facts, key)
        if value is not None:
            asked[key] = str(value)
    return {"facts": asked, "now_us": now_us, "stale": stale}


def answer_of(law: Law) -> dict[str, Any]:
    """Return what `decision` must be where this is the law."""
    return {
        "ruling": str(law.ruling),
        "reason": law.reason,
        "problems": [],
        "legal": list(law.legal),
        "bases": dict(law.bases),
        "refused": dict(law.refused),
        "regimes": list(law.regimes),
        "effective": list(law.effective),
        "events": list(law.events),
        "conflict": law.conflict,
        "subdivision_unknown": law.subdivision_unknown,
        "mode": str(law.mode),
        "stale": law.stale,
    }
