"""The built-in packs, sentence by sentence: each case is a sentence of law with its source, asked as a question.

All packs are loaded unless a case names some, so that what a law says holds beside all the others. The gateway stands
in the region itself, and nothing is kept elsewhere, so that only the region is judged.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import pytest

from borderpost.config.packs import built_in_packs
from borderpost.policy.fields import parse_instant, to_us
from borderpost.policy.model import Law
from support.law_cases import (
    AMERICAS,
    ASIA,
    AT_HOME,
    BELOW,
    CN_SCC,
    COVERED_PERSON,
    EUROPE,
    TURNS,
    Case,
    Place,
    Turn,
)
from support.policy_builder import Court

NOTHING_KEPT = {"retention": "none", "telemetry": "none"}


@functools.cache
def court(region: Place, packs: tuple[str, ...], *reached: tuple[str, int]) -> Court:
    """Return the law of some packs over one region, with the thresholds that were reached at the start of 2026."""
    events: tuple[Mapping[str, Any], ...] = tuple(
        {
            "id": f"reached-{counter}-{count}",
            "type": "threshold_reached",
            "counter": counter,
            "count": count,
            "effective_from": "2026-01-01T00:00:00Z",
            "recorded_at": "2026-01-01T00:00:00Z",
            "source": "test",
            "reason": "test",
        }
        for counter, count in reached
    )
    return Court(
        regions={"r": {**region.spec(), **NOTHING_KEPT}},
        here=region.spec(),
        packs=tuple(built_in_packs(*packs)),
        no_regime="refuse",
        events=events,
    )


def told(law: Law) -> set[str]:
    """Return the bases that allow the region, else the reason against it."""
    if law.legal:
        return set(law.bases["r"].split(","))
    return {f"no: {law.refused.get('r', law.reason)}"}


def case_id(case: Case) -> str:
    return f"{case.subject}-{case.data}-{case.region.code}-{case.says}".replace(" ", "")


@pytest.mark.parametrize("case", [*EUROPE, *ASIA, *AMERICAS], ids=case_id)
def test_a_sentence_of_law(case: Case) -> None:
    law = court(case.region, case.packs, *case.reached).ask(
        token=case.subject, geoip=case.subject, classes=(case.data,), at=case.at
    )
    assert case.says in told(law), f"{case.source}: {told(law)}"


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: f"{turn.subject}-{turn.region.code}-{turn.at}")
def test_the_law_turns_at_its_microsecond(turn: Turn) -> None:
    at = to_us(parse_instant(turn.at))
    ask = functools.partial(
        court(turn.region, turn.packs).ask, token=turn.subject, geoip=turn.subject, classes=(turn.data,)
    )
    before, after = ask(at=at - 1), ask(at=at)
    assert (bool(before.legal), bool(after.legal)) == ((False, True) if turn.begins else (True, False)), turn.source
    assert before.valid_until_us == at


@pytest.mark.parametrize(("at", "embargoed"), [("2025-07-01T03:59:59.999999Z", True), ("2025-07-01T04:00:00Z", False)])
def test_syria_ended(at: str, embargoed: bool) -> None:
    """Executive Order 14312, 31 CFR 542 removed: ended on 1 July 2025, Washington time; public lists still name it."""
    law = court(Place("DE"), ("world",)).ask(geoip="SY", at=at)
    assert (law.reason == "embargo") is embargoed


ANYWHERE = Place("DE", certified="eu-us-dpf")


@pytest.mark.parametrize("code", ["CU", "IR", "KP", "UA-43", "UA-40", "UA-14", "UA-09"])
def test_an_embargo_holds_by_any_evidence(code: str) -> None:
    """OFAC: Cuba, Iran, North Korea; Executive Orders 13685 and 14065 (regions of Ukraine)."""
    for said in ({"geoip": code}, {"header": code, "geoip": "DE"}, {"token": code, "geoip": "DE"}):
        assert court(ANYWHERE, ("starter",)).ask(**said).reason == "embargo"


def test_ukraine_known_only_as_a_country() -> None:
    """Executive Order 14065 is about regions: what an address that says only `UA` means, the deployment says."""
    laws = {
        treatment: Court(
            regions={"r": {"country": "DE", **NOTHING_KEPT}},
            packs=tuple(built_in_packs("world")),
            no_regime="allow",
            evidence={"subdivision_unknown": treatment},
        ).ask(geoip="UA")
        for treatment in ("country-only", "strictest", "refuse")
    }
    assert [law.reason for law in laws.values()] == ["ok", "embargo", "subdivision-unknown"]
    assert all(law.subdivision_unknown for law in laws.values())


def test_the_framework_invalidated_leaves_the_clauses() -> None:
    """C-311/18 Schrems II, 16 July 2020, took effect at once; T-553/23 Latombe is under appeal."""
    event = {
        "id": "dpf-invalidated",
        "type": "adequacy_revoke",
        "scope": {"regimes": ["eu-gdpr"], "bases": ["art45-dpf"]},
        "effective_from": "2027-02-01T00:00:00Z",
        "recorded_at": "2027-02-01T00:00:00Z",
        "source": "test",
        "reason": "test",
    }
    both = {**Place("US", "scc-2021", "eu-us-dpf", tia=True).spec(), **NOTHING_KEPT}
    law = Court(
        regions={"r": both, "dpf-only": {**Place("US", certified="eu-us-dpf").spec(), **NOTHING_KEPT}},
        packs=tuple(built_in_packs("world")),
        no_regime="refuse",
        events=(event,),
    )
    before = law.ask(token="DE", geoip="DE", at="2027-01-31T23:59:59.999999Z")
    after = law.ask(token="DE", geoip="DE", at="2027-02-01")
    assert before.legal == ("dpf-only", "r")
    assert (after.legal, after.bases["r"]) == (("r",), "eu-gdpr/art46-scc")


def test_an_order_to_suspend_transfers_from_korea() -> None:
    """PIPA Art. 28-9: the Commission may order a cross-border transfer to stop."""
    order = {
        "id": "pipc-order",
        "type": "regulator_order",
        "scope": {"regimes": ["kr-pipa"], "countries": ["US"]},
        "effective_from": "2026-11-01T00:00:00Z",
        "recorded_at": "2026-11-01T00:00:00Z",
        "source": "test",
        "reason": "test",
    }
    regions = {"us": Place("US", "kr-entrusted"), "de": Place("DE")}
    law = Court(
        regions={name: {**place.spec(), **NOTHING_KEPT} for name, place in regions.items()},
        here={"country": "KR"},
        packs=tuple(built_in_packs("world")),
        no_regime="refuse",
        events=(order,),
    )
    assert law.ask(token="KR", geoip="KR", at="2026-10-31").legal == ("de", "us")
    assert law.ask(token="KR", geoip="KR").legal == ("de",)


@pytest.mark.parametrize(
    ("packs", "subject", "region", "data", "counted"),
    [
        ("world", "CN", Place("CN"), "personal", ()),
        ("world", "CN", Place("CN", "cn-standard-contract"), "health", ()),
        ("world", "CN", Place("SG"), "personal", ("cn-pipl-year",)),
        ("world", "CN", Place("HK"), "personal", ("cn-pipl-year",)),
        ("world", "CN", CN_SCC, "payment", ("cn-pipl-year", "cn-sensitive-year")),
        ("us-28cfr202-bulk", "US", AT_HOME, "health", ()),
        ("us-28cfr202-bulk", "US", BELOW, "health", ("us-28cfr202-health",)),
        ("us-28cfr202-bulk", "US", COVERED_PERSON, "phi", ("us-28cfr202-health",)),
    ],
)
def test_what_leaves_is_counted_and_nothing_else(
    packs: str, subject: str, region: Place, data: str, counted: tuple[str, ...]
) -> None:
    """Provisions of 22 March 2024 Art. 5, 7 and 8; 28 CFR 202.205: what is provided abroad, or to a covered person."""
    asked = court(region, (packs,))
    law = asked.ask(token=subject, geoip=subject, classes=(data,))
    assert asked.policy.counted(law.bases["r"]) == counted


@pytest.mark.parametrize("kept", ["SG", "same", "unknown", "global"])
def test_what_is_kept_abroad_has_left(kept: str) -> None:
    """A region at home that keeps prompts abroad, or nobody knows where, provides them abroad."""
    asked = Court(
        regions={"r": {"country": "CN", "retention": kept, "telemetry": "none"}},
        here={"country": "CN"},
        packs=tuple(built_in_packs("cn-pipl")),
        no_regime="refuse",
    )
    law = asked.ask(token="CN", geoip="CN", classes=("personal",))
    if kept in ("unknown", "global"):
        assert law.legal == ()
    else:
        assert asked.policy.counted(law.bases["r"]) == (("cn-pipl-year",) if kept == "SG" else ())
