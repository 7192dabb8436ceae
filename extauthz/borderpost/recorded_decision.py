"""What a decision record says, read back into the values that it was made from: its facts and its answer.

The counterpart of `decision_record`. Whoever derives a decision anew asks the law with these facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from borderpost.answers import Answer, Leaf, Refusal, Route
from borderpost.policy.model import Evidence, Facts, Mode, Source
from borderpost_base.names import UNKNOWN


def facts_of(record: Mapping[str, Any]) -> Facts:
    """Return the facts that a decision record holds."""
    evidence = tuple(
        Evidence(Source(piece["src"]), piece["val"], piece.get("subdivision_unknown", False), piece.get("doubt"))
        for piece in record["jur"]["evidence"]
    )
    mode = record["jur"].get("mode_set")
    return Facts(
        evidence=evidence,
        classes=tuple(record["class"]),
        tenant=record.get("tenant"),
        model=record.get("model"),
        missing=record["jur"].get("missing"),
        purpose=record.get("purpose"),
        mode=None if mode is None else Mode(mode),
    )


def answer_of(record: Mapping[str, Any]) -> Answer:
    """Return the answer that a decision record holds."""
    out = record["out"]
    jurisdiction = ",".join(record["jur"]["effective"]) or UNKNOWN
    if out["action"] == "route":
        then = tuple(Leaf(leaf["r"], leaf["basis"]) for leaf in out.get("then", ()))
        return Route(out["r"], out["cluster"], jurisdiction, out["basis"], then)
    return Refusal(out["status"], out["code"], out["reason"], jurisdiction, tuple(record["jur"]["regimes"]))
