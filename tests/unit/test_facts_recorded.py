"""What a record holds of facts is all of them: they come back exactly, whatever was decided."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from borderpost.answers import Refusal, Route
from borderpost.audit.fields import check_fields
from borderpost.audit.profile import decode, encode
from borderpost.cli.recorded import facts_of
from borderpost.decision_record import fixed_fields
from borderpost.policy.decide import decide
from borderpost.policy.model import Evidence, Facts, Law, Mode, Ruling, Source
from borderpost.shared_fields import SharedFields
from support.policy_builder import Court, regime

COURT = Court(
    regime("eu", ["DE", "CA"], default="allow", basis="own"),
    regime("kp", ["KP"], kind="embargo"),
    regions={"eu-1": "DE", "us-1": "US"},
)
NOW_US = 1_795_000_000_000_000
DIGEST = "sha256:" + "0" * 64
SHARED = SharedFields(
    inputs=dict.fromkeys(("policy", "events", "catalog", "geoip", "anonymisers"), DIGEST) | {"engine": "0"},
    seed="0" * 16,
    here="DE",
)  # fmt: skip

_LABEL = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,20}", fullmatch=True)
_CODE = st.sampled_from(["DE", "CA-QC", "KP", "US", "AE-DIFC"])


@st.composite
def _evidence(draw: st.DrawFn) -> tuple[Evidence, ...]:
    found = []
    for source in Source:
        if draw(st.booleans()):
            code = draw(_CODE)
            doubts = ["anonymiser", "hosting", "confidence", None] if source is Source.GEOIP else [None]
            found.append(Evidence(source, code, "-" not in code, draw(st.sampled_from(doubts))))
    return tuple(found)


FACTS = st.builds(
    Facts,
    evidence=_evidence(),
    classes=st.lists(st.sampled_from(["health", "personal", "public", "secret"]), max_size=3, unique=True).map(
        lambda names: tuple(sorted(names))
    ),
    tenant=st.none() | _LABEL,
    model=st.none() | _LABEL,
    missing=st.none() | st.sampled_from([source.value for source in Source]),
    purpose=st.none() | _LABEL,
    mode=st.none() | st.sampled_from(Mode),
)


def recorded(facts: Facts, law: Law | None) -> dict[str, Any]:
    """Return a decision's own fields as they come out of the log."""
    if law is not None and law.ruling is Ruling.LEGAL:
        answer: Route | Refusal = Route(law.legal[0], "cluster", "-", law.bases[law.legal[0]])
    else:
        answer = Refusal(403, "BP0805", law.reason if law is not None else "claim-malformed:residency")
    fields = fixed_fields(answer, facts, law, None, shared=SHARED, places={"eu-1": "DE", "us-1": "US"})
    whole = {**fields, "via": "ext_proc", "req": {}}
    check_fields("decision", whole)
    read = decode(encode(whole))
    assert isinstance(read, dict)
    return read


@given(FACTS, st.booleans())
@settings(max_examples=300, deadline=None)
def test_facts_come_back_exactly(facts: Facts, asked: bool) -> None:
    law = decide(facts, COURT.policy, COURT.events, NOW_US) if asked else None
    record = recorded(facts, law)
    assert facts_of(record) == facts
    assert record["jur"].get("mode", "legal-first") == (law.mode.value if law is not None else "legal-first")
    assert [piece.get("doubt") for piece in record["jur"]["evidence"]] == [piece.doubt for piece in facts.evidence]
    assert record["jur"]["rule"] == "narrowing-only"


def test_a_demand_that_was_not_the_reason_is_recorded_too() -> None:
    facts = Facts((Evidence(Source.GEOIP, "KP", True),), ("personal",), missing="token")
    law = decide(facts, COURT.policy, COURT.events, NOW_US)
    assert law.reason == "embargo"
    assert recorded(facts, law)["jur"]["missing"] == "token"
