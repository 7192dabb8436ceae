"""The rules of law one by one, each on the smallest policy that shows it."""

from __future__ import annotations

from typing import Any

import pytest

from borderpost.policy.fields import parse_instant, to_us
from borderpost.policy.model import Ruling
from support.policy_builder import Court, regime

REGIONS = {"eu": "DE", "us": "US", "ca": "CA"}
DE_ONLY = regime("de-law", "DE", data=["personal"], allow=[{"to": "DE", "basis": "home"}])
US_OPEN = regime("us-law", "US", data=["personal"], default="allow", basis="free")
CA_OR_DE = regime("ca-law", "CA", allow=[{"to": ["CA", "DE"], "basis": "home"}])
EMBARGO = regime("embargo", "KP", kind="embargo")


def test_regimes_join_and_destinations_intersect() -> None:
    court = Court(DE_ONLY, US_OPEN, CA_OR_DE, regions=REGIONS)
    assert court.ask(geoip="US").legal == ("ca", "eu", "us")
    assert court.ask(geoip="CA").legal == ("ca", "eu")
    law = court.ask(token="DE", geoip="CA")
    assert law.legal == ("eu",)
    assert law.bases == {"eu": "ca-law/home,de-law/home"}
    assert law.refused == {"ca": "de-law/no-basis", "us": "ca-law/no-basis"}
    assert law.refused.counts() == {"ca-law/no-basis": 1, "de-law/no-basis": 1}  # type: ignore[attr-defined]
    assert (law.effective, law.regimes, law.conflict) == (("CA", "DE"), ("ca-law", "de-law"), "token-vs-geoip")


@pytest.mark.parametrize("source", ["token", "mtls", "header", "geoip"])
def test_an_embargo_from_any_source_refuses(source: str) -> None:
    court = Court(DE_ONLY, EMBARGO, regions=REGIONS)
    said = {"token": "DE", "geoip": "DE", source: "KP"}
    law = court.ask(**said)
    assert (law.ruling, law.reason, law.legal) == (Ruling.FORBIDDEN, "embargo", ())
    assert set(law.refused.values()) == {"embargo/embargo"}


def test_an_embargo_comes_before_missing_evidence_and_unknown_place() -> None:
    court = Court(EMBARGO, regions=REGIONS)
    assert court.ask(header="KP", missing="token", classes=("nonsense",)).reason == "embargo"


def test_no_region_of_an_embargoed_place_serves_anybody() -> None:
    court = Court(EMBARGO, regions={"eu": "DE", "north": "KP", "any": {"country": "DE", "processing_scope": "global"}})
    law = court.ask(geoip="DE", classes=("public",))
    assert law.legal == ("eu",)
    assert law.refused == {"any": "embargo/embargo", "north": "embargo/embargo"}
    assert law.bases == {"eu": "unrestricted"}
    assert law.regimes == ()


def test_a_header_never_makes_a_place_known() -> None:
    court = Court(DE_ONLY, US_OPEN, regions=REGIONS)
    law = court.ask(header="US")
    assert (law.ruling, law.reason, law.refused) == (Ruling.EVIDENCE, "unknown-subject", {})
    assert court.ask().reason == "unknown-subject"
    assert court.ask(token="US", header="DE").legal == ("eu",)
    assert court.ask(mtls="US").legal == ("ca", "eu", "us")


def test_an_unknown_place_may_be_treated_as_several_at_once() -> None:
    court = Court(DE_ONLY, US_OPEN, CA_OR_DE, regions=REGIONS, evidence={"unknown": {"treat_as": ["US", "CA"]}})
    assert court.ask().legal == ("ca", "eu")
    assert court.ask().effective == ("CA", "US")
    assert court.ask(header="DE").legal == ("eu",)
    assert court.ask(geoip="US").legal == ("ca", "eu", "us")


def test_a_verified_claim_removes_nothing() -> None:
    court = Court(DE_ONLY, US_OPEN, regions=REGIONS)
    assert court.ask(token="US", geoip="DE").legal == ("eu",)


def test_a_header_that_asks_for_more_is_named() -> None:
    court = Court(DE_ONLY, US_OPEN, regions=REGIONS)
    law = court.ask(header="US", geoip="DE")
    assert (law.legal, law.conflict) == (("eu",), "header-widen")
    assert court.ask(header="DE", geoip="US").conflict == "header-vs-geoip"
    assert court.ask(header="DE", geoip="DE").conflict is None
    assert court.ask(token="DE", header="US", geoip="FR").conflict == "token-vs-geoip"


def test_required_evidence() -> None:
    law = Court(DE_ONLY, regions=REGIONS).ask(geoip="DE", missing="token")
    assert (law.ruling, law.reason) == (Ruling.EVIDENCE, "evidence-required:token")


def test_an_unknown_class_or_code_cannot_be_judged() -> None:
    court = Court(DE_ONLY, regions=REGIONS)
    assert court.ask(geoip="DE", classes=("personal", "secret")).reason == "unknown-class"
    assert court.ask(geoip="ZZ").reason == "unknown-code"
    assert court.ask(geoip="de").ruling is Ruling.EVIDENCE


def test_implied_classes_count() -> None:
    court = Court(DE_ONLY, regions=REGIONS)
    assert court.ask(geoip="DE", classes=("health",)).legal == ("eu",)
    assert court.ask(geoip="DE", classes=("public",)).legal == ("ca", "eu", "us")
    assert court.ask(geoip="DE", classes=()).bases["us"] == "unrestricted"


def test_here_is_a_processor_like_any_other() -> None:
    court = Court(DE_ONLY, US_OPEN, regions=REGIONS, here={"country": "US"})
    law = court.ask(geoip="DE")
    assert (law.ruling, law.reason, law.legal) == (Ruling.FORBIDDEN, "here-not-allowed", ())
    assert law.refused == {"ca": "de-law/no-basis", "eu": "de-law/here-not-allowed", "us": "de-law/no-basis"}
    assert court.ask(geoip="US").ruling is Ruling.LEGAL
    with_contract = regime("law", "DE", allow=[{"to": "*", "basis": "scc", "require": {"contract": "scc"}}])
    here = {"country": "US", "contracts": ["scc"]}
    regions = {"us": {"country": "US", "contracts": ["scc"]}, "ca": "CA"}
    assert Court(with_contract, regions=regions, here=here).ask(geoip="DE").legal == ("us",)


def test_where_no_law_is_known() -> None:
    refusing = Court(DE_ONLY, regions=REGIONS, no_regime="refuse")
    law = refusing.ask(geoip="KE")
    assert (law.ruling, law.reason) == (Ruling.FORBIDDEN, "no-regime")
    assert set(law.refused.values()) == {"policy/no-regime"}
    assert refusing.ask(geoip="KE", classes=("public",)).legal == ("ca", "eu", "us")
    assert refusing.ask(geoip="KE", header="DE").reason == "no-regime"  # an assertion opens nothing
    assert refusing.ask(geoip="DE", header="KE").reason == "no-regime"
    allowing = Court(DE_ONLY, regions=REGIONS, no_regime="allow")
    assert allowing.ask(geoip="KE").bases["us"] == "policy/no-regime"
    assert allowing.ask(geoip="KE", header="DE").bases == {"eu": "de-law/home,policy/no-regime"}


def test_each_class_needs_its_own_law() -> None:
    personal_only = regime("law", "KE", data=["health"], allow=[{"to": "DE", "basis": "b"}])
    court = Court(personal_only, regions=REGIONS, no_regime="refuse")
    assert court.ask(geoip="KE", classes=("health",)).legal == ("eu",)
    assert court.ask(geoip="KE", classes=("personal",)).reason == "no-regime"
    assert court.ask(geoip="KE", classes=("health", "personal")).reason == "no-regime"


def test_requirements_are_met_by_what_a_region_brings() -> None:
    full = {"operator_certified": "dpf", "contract": "scc", "tia": "approved"}
    law = regime("law", "DE", allow=[{"to": "US", "basis": "all", "require": full}, {"to": "DE", "basis": "home"}])
    brings = {"country": "US", "operator": {"certifications": ["dpf"]}, "contracts": ["scc"], "tia": "approved"}
    regions: dict[str, Any] = {"all": brings, "eu": "DE"}
    regions |= {f"no-{key}": {k: v for k, v in brings.items() if k != key} for key in ("operator", "contracts", "tia")}
    assert Court(law, regions=regions).ask(geoip="DE").legal == ("all", "eu")


def test_entries_that_do_not_count_for_some_data() -> None:
    law = regime(
        "law", "DE", allow=[{"to": "*", "basis": "any", "except_data": ["health"]}, {"to": "DE", "basis": "h"}]
    )
    court = Court(law, regions=REGIONS)
    assert court.ask(geoip="DE").legal == ("ca", "eu", "us")
    assert court.ask(geoip="DE", classes=("health",)).legal == ("eu",)


def test_denials_override_and_may_be_lifted_or_limited() -> None:
    deny = [
        {"to": "US", "basis": "listed", "unless": {"contract": "scc"}},
        {"to": "CA", "data": ["health"]},
    ]
    law = regime("law", "DE", default="allow", basis="free", deny=deny, allow=[{"to": "US", "basis": "named"}])
    court = Court(law, regions={**REGIONS, "us-scc": {"country": "US", "contracts": ["scc"]}})
    answer = court.ask(geoip="DE")
    assert answer.legal == ("ca", "eu", "us-scc")
    assert answer.refused == {"us": "law/listed"}
    assert answer.bases["us-scc"] == "law/free,law/named"
    assert court.ask(geoip="DE", classes=("health",)).refused == {"us": "law/listed", "ca": "law/denied"}


@pytest.mark.parametrize(
    ("scope", "allowed_to", "legal"),
    [
        ("single", ["DE"], True),
        ("zone:EU2", ["DE"], False),
        ("zone:EU2", ["DE", "FR"], True),
        ("zone:FRANCE", ["FR"], False),  # the machine itself stands in DE
        ("global", ["DE"], False),
        ("global", ["*"], False),
    ],
)
def test_processing_scope_in_a_regime_that_denies_by_default(scope: str, allowed_to: list[str], legal: bool) -> None:
    law = regime("law", "DE", allow=[{"to": [*allowed_to, "US"], "basis": "b"}])
    groups = {"EU2": ["DE", "FR"], "FRANCE": ["FR"]}
    regions = {"r": {"country": "DE", "processing_scope": scope}, "us": "US"}
    court = Court(law, regions=regions, groups=groups, here={"country": "US"})
    assert ("r" in court.ask(geoip="DE").legal) is legal


@pytest.mark.parametrize(("scope", "legal"), [("single", True), ("zone:EU2", False), ("global", False)])
def test_processing_scope_and_a_denial(scope: str, legal: bool) -> None:
    law = regime("law", "DE", default="allow", deny=[{"to": "FR"}])
    regions = {"r": {"country": "DE", "processing_scope": scope}}
    court = Court(law, regions=regions, groups={"EU2": ["DE", "FR"]})
    assert ("r" in court.ask(geoip="DE").legal) is legal


def test_a_region_of_unknown_subdivision_is_read_against_itself() -> None:
    regions = {
        "country": "CA",
        "quebec": {"country": "CA", "subdivision": "CA-QC"},
        "ontario": {"country": "CA", "subdivision": "CA-ON"},
    }
    inside = regime("law", "CA-QC", allow=[{"to": ["CA-QC", "DE"], "basis": "b"}])
    assert Court(inside, regions=regions).ask(geoip="CA-QC").legal == ("quebec",)
    outside = regime("law", "CA-QC", default="allow", deny=[{"to": "CA-QC"}])
    assert Court(outside, regions=regions).ask(geoip="CA-QC").legal == ("ontario",)


@pytest.mark.parametrize(
    ("treatment", "ukraine", "kyiv", "crimea"),
    [
        ("country-only", "ok", "ok", "embargo"),
        ("strictest", "embargo", "ok", "embargo"),
        ("refuse", "subdivision-unknown", "ok", "embargo"),
    ],
)
def test_treatments_of_an_unknown_subdivision(treatment: str, ukraine: str, kyiv: str, crimea: str) -> None:
    embargo = regime("embargo", ["UA-43", "UA-40"], kind="embargo")
    court = Court(embargo, regions=REGIONS, evidence={"subdivision_unknown": treatment})
    assert [court.ask(geoip=code).reason for code in ("UA", "UA-30", "UA-43")] == [ukraine, kyiv, crimea]
    assert [court.ask(geoip=code).subdivision_unknown for code in ("UA", "UA-30", "UA-43")] == [True, False, False]
    assert court.ask(geoip="DE").subdivision_unknown is False


def test_minus_turns_surely_into_possibly() -> None:
    onshore = {"ONSHORE": {"plus": ["AE"], "minus": ["AE-DIFC"]}}
    law = regime("law", "ONSHORE", allow=[{"to": ["AE", "DE"], "basis": "home"}])
    regions = {"us": "US", "ae": "AE"}
    court = Court(law, regions=regions, groups=onshore)
    assert court.ask(geoip="AE-DIFC").legal == ("ae", "us")  # not its law
    assert court.ask(geoip="AE").legal == ("ae",)
    assert court.ask(geoip="AE").subdivision_unknown
    assert court.ask(geoip="AE-DU").subdivision_unknown  # the DIFC lies in Dubai
    assert court.ask(geoip="AE-DU").legal == ("ae",)
    # The other way round: a region in AE may be in the DIFC, so it is not surely onshore.
    strict = regime("law", "US", allow=[{"to": ["ONSHORE", "DE"], "basis": "home"}])
    assert Court(strict, regions=regions, groups=onshore).ask(geoip="US").legal == ()


def test_a_code_with_its_own_country_is_read_as_that_country() -> None:
    """Evidence may call New Caledonia FR-NC; it is not France in law."""
    law = regime("law", "FR", allow=[{"to": "DE", "basis": "home"}])
    court = Court(law, regions=REGIONS)
    assert court.ask(geoip="FR").legal == ("eu",)
    assert court.ask(geoip="FR-NC").legal == court.ask(geoip="NC").legal == ("ca", "eu", "us")


def test_conditions_narrow_only_when_known_by_trusted_means() -> None:
    law = regime("law", "DE", tenant=["acme"], model=["llama"], allow=[{"to": "DE", "basis": "home"}])
    doubting = Court(law, regions=REGIONS, tenants=("acme", "umbrella"))
    assert doubting.ask(geoip="DE").legal == ("eu",)
    assert doubting.ask(geoip="DE", tenant="acme").legal == ("eu",)
    assert doubting.ask(geoip="DE", tenant="umbrella").legal == ("ca", "eu", "us")
    assert doubting.ask(geoip="DE", model="other").legal == ("eu",)  # any client can write the header
    trusting = Court(law, regions=REGIONS, tenants=("acme",), evidence={"trust_model_header": True})
    assert trusting.ask(geoip="DE", model="other").legal == ("ca", "eu", "us")
    assert trusting.ask(geoip="DE", model="llama").legal == ("eu",)
    assert trusting.ask(geoip="DE").legal == ("eu",)


AT = to_us(parse_instant("2027-02-01"))


@pytest.mark.parametrize(("at", "before"), [(AT - 1, True), (AT, False), (AT + 1, False)])
def test_instants_of_entries_and_regimes(at: int, before: bool) -> None:
    """`until` is exclusive and `from` inclusive, to the microsecond."""
    until = regime("law", "DE", allow=[{"to": "US", "basis": "b", "until": "2027-02-01"}, {"to": "DE", "basis": "h"}])
    law = Court(until, regions=REGIONS).ask(geoip="DE", at=at)
    assert ("us" in law.legal) is before
    assert law.valid_until_us == (AT if before else None)
    since = regime("law", "DE", allow=[{"to": "US", "basis": "b", "from": "2027-02-01"}, {"to": "DE", "basis": "h"}])
    assert ("us" not in Court(since, regions=REGIONS).ask(geoip="DE", at=at).legal) is before
    denied = regime("law", "DE", default="allow", deny=[{"to": "US", "from": "2027-02-01"}])
    assert ("us" in Court(denied, regions=REGIONS).ask(geoip="DE", at=at).legal) is before
    coming = {**DE_ONLY, "from": "2027-02-01"}
    law = Court(coming, regions=REGIONS).ask(geoip="DE", at=at)
    assert ("us" in law.legal) is before
    assert law.valid_until_us == (AT if before else None)
    embargo = {**EMBARGO, "until": "2027-02-01"}
    law = Court(embargo, regions=REGIONS).ask(geoip="KP", at=at)
    assert (law.reason == "embargo") is before
    assert law.valid_until_us == (AT if before else None)


def event(**more: Any) -> dict[str, Any]:
    return {
        "id": "flood",
        "type": "region_suspend",
        "scope": {"regions": ["eu"]},
        "effective_from": "2027-02-01",
        "recorded_at": "2027-01-01",
        "source": "test",
        "reason": "test",
        **more,
    }


@pytest.mark.parametrize(("at", "before"), [(AT - 1, True), (AT, False), (AT + 1, False)])
def test_instants_of_events(at: int, before: bool) -> None:
    begins = Court(CA_OR_DE, regions=REGIONS, events=(event(),)).ask(geoip="CA", at=at)
    assert ("eu" in begins.legal) is before
    assert begins.refused.get("eu") == (None if before else "event/flood")
    assert begins.valid_until_us == (AT if before else None)
    ends = event(effective_from="2027-01-15", effective_until="2027-02-01")
    assert ("eu" not in Court(CA_OR_DE, regions=REGIONS, events=(ends,)).ask(geoip="CA", at=at).legal) is before
    learnt = event(effective_from="2026-01-01", recorded_at="2027-02-01")
    assert ("eu" in Court(CA_OR_DE, regions=REGIONS, events=(learnt,)).ask(geoip="CA", at=at).legal) is before


def test_an_event_learnt_after_its_end_was_never_in_force() -> None:
    late = event(effective_from="2027-01-01", effective_until="2027-02-01", recorded_at="2027-03-01")
    court = Court(CA_OR_DE, regions=REGIONS, events=(late,))
    for at in ("2027-01-15", "2027-03-01", "2027-04-01"):
        law = court.ask(geoip="CA", at=at)
        assert (law.legal, law.valid_until_us) == (("ca", "eu"), None)


def test_the_last_legal_region_suspended() -> None:
    law = Court(DE_ONLY, regions=REGIONS, events=(event(),)).ask(geoip="DE", at=AT)
    assert (law.ruling, law.reason) == (Ruling.FORBIDDEN, "no-legal-region")
    assert law.refused == {"eu": "event/flood", "ca": "de-law/no-basis", "us": "de-law/no-basis"}


def test_a_law_of_no_regions() -> None:
    law = Court(DE_ONLY, regions={}).ask(geoip="DE")
    assert (law.reason, law.legal, law.refused) == ("no-legal-region", (), {})
    with pytest.raises(KeyError):
        law.refused["eu"]
