"""Rules of decision that only one step in the code separates from another rule (docs/internals/tests.md)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from borderpost.policy.decide import decide
from borderpost.policy.fields import parse_instant, to_us
from borderpost.policy.model import Evidence, Facts, Law, Mode, Ruling, Source
from support.legal_events import START, approvals, event
from support.policy_builder import Court, regime

REGIONS: dict[str, Any] = {"eu": "DE", "us": "US", "ca": "CA"}
DE_ONLY = regime("de-law", "DE", data=["personal"], allow=[{"to": "DE", "basis": "home"}])
US_OPEN = regime("us-law", "US", data=["personal"], default="allow", basis="free")
SOON, LATER, LAST = (to_us(parse_instant(day)) for day in ("2026-12-01", "2027-01-01", "2027-02-01"))


def with_evidence(court: Court, *evidence: Evidence, **facts: Any) -> Law:
    return decide(Facts(evidence, ("personal",), **facts), court.policy, court.events, START)


def test_a_refusal_for_want_of_a_subdivision_counts_until_the_first_change_of_law_or_events() -> None:
    part = regime("part", "UA-43", allow=[{"to": "DE", "basis": "home"}])
    dated = regime("dated", "UA", **{"from": "2027-01-01"}, default="allow")
    for first, second in ((SOON, LATER), (LATER, LATER), (LAST, LATER)):
        suspended = event("region_suspend", effective=first, recorded=START, scope={"regions": ["us"]})
        refusing = {"subdivision_unknown": "refuse"}
        law = Court(part, dated, regions=REGIONS, evidence=refusing, events=(suspended,)).ask(geoip="UA")
        assert (law.reason, law.valid_until_us) == ("subdivision-unknown", min(first, second))


def test_a_place_that_only_a_treatment_names_does_not_count_where_a_code_is_unknown() -> None:
    court = Court(DE_ONLY, regions=REGIONS, evidence={"unknown": {"treat_as": ["DE", "US"]}})
    law = court.ask(header="ZZ")
    assert (law.reason, law.effective) == ("unknown-code", ("ZZ",))
    assert court.ask(header="FR").effective == ("DE", "FR", "US")


def test_an_unknown_class_is_none_of_the_known_ones() -> None:
    sensitive = regime("embargo", "KP", kind="embargo", data=["health"])
    court = Court(sensitive, DE_ONLY, regions=REGIONS)
    assert court.ask(geoip="KP", classes=("health",)).reason == "embargo"
    assert court.ask(geoip="KP", classes=("nonsense",)).reason == "unknown-class"


def test_every_suspicion_of_an_embargoed_place_counts() -> None:
    court = Court(regime("embargo", "KP", kind="embargo"), DE_ONLY, regions=REGIONS)
    doubted = [Evidence(Source.GEOIP, code, doubt="anonymiser") for code in ("KP", "FR")]
    for evidence in (doubted, doubted[::-1]):
        assert with_evidence(court, Evidence(Source.TOKEN, "DE"), *evidence).reason == "embargo"


def test_law_of_another_place_or_other_data_does_not_shorten_what_holds() -> None:
    elsewhere = regime("elsewhere", "FR", allow=[{"to": "FR", "basis": "home"}], **{"from": "2026-12-01"})
    other_data = regime("other-data", "DE", data=["health"], default="allow", **{"from": "2027-01-01"})
    court = Court(DE_ONLY, elsewhere, other_data, regions=REGIONS)
    assert court.ask(geoip="DE").valid_until_us is None
    assert court.ask(geoip="FR").valid_until_us == SOON
    assert court.ask(geoip="DE", classes=("health",)).valid_until_us == LATER


def lifted(*places: str) -> dict[str, Any]:
    return event("sanctions_lift", approvals=approvals("anna", "bert"), scope={"subjects": list(places)})


def test_an_embargo_of_which_a_part_is_lifted_leaves_the_whole_place_in_doubt() -> None:
    whole = regime("embargo", "UA", kind="embargo")
    reasons = {"refuse": "subdivision-unknown", "strictest": "embargo", "country-only": "embargo"}
    for treatment, reason in reasons.items():
        court = Court(whole, regions=REGIONS, evidence={"subdivision_unknown": treatment}, events=(lifted("UA-43"),))
        law = court.ask(geoip="UA", at=START)
        assert (law.subdivision_unknown, law.reason) == (True, reason)
        assert court.ask(geoip="UA-43", at=START).subdivision_unknown is False
        assert court.ask(geoip="UA-09", at=START).reason == "embargo"


def test_an_embargo_on_a_part_that_is_lifted_leaves_no_doubt() -> None:
    part = regime("embargo", "UA-43", kind="embargo")
    refusing = {"subdivision_unknown": "refuse"}
    assert Court(part, regions=REGIONS, evidence=refusing).ask(geoip="UA").reason == "subdivision-unknown"
    law = Court(part, regions=REGIONS, evidence=refusing, events=(lifted("UA-43"),)).ask(geoip="UA", at=START)
    assert (law.ruling, law.subdivision_unknown) == (Ruling.LEGAL, False)


def test_an_embargo_is_told_though_a_class_is_unknown_and_sources_disagree() -> None:
    court = Court(regime("embargo", "KP", kind="embargo"), DE_ONLY, US_OPEN, regions=REGIONS, no_regime="refuse")
    law = court.ask(token="KP", header="US", classes=("nonsense",))
    assert (law.reason, law.conflict) == ("embargo", "header-widen")


def test_an_order_about_subjects_concerns_nobody_whose_place_is_only_suspected() -> None:
    order = event("injunction", scope={"subjects": ["FR"], "countries": ["DE"]})
    court = Court(DE_ONLY, regions=REGIONS, events=(order,))
    believed = [Evidence(Source.TOKEN, "DE"), Evidence(Source.GEOIP, "FR")]
    assert with_evidence(court, *believed).legal == ()
    assert with_evidence(court, believed[0], dataclasses.replace(believed[1], doubt="anonymiser")).legal == ("eu",)


def sanctioned(*places: str) -> dict[str, Any]:
    return event("sanctions_add", "listed", scope={"subjects": list(places)})


def test_the_first_that_refuses_this_gateway_s_own_place_gives_the_reason() -> None:
    court = Court(DE_ONLY, regions=REGIONS, here={"country": "US"}, events=(sanctioned("US"),))
    law = court.ask(geoip="DE", at=START)
    assert (law.reason, law.refused["eu"]) == ("here-not-allowed", "de-law/here-not-allowed")
    law = court.ask(geoip="CA", at=START)
    assert (law.reason, law.refused["eu"]) == ("here-not-allowed", "event/listed/here-not-allowed")


def test_a_sanction_on_the_place_of_a_sink_names_the_sink() -> None:
    sinks = {"metrics": {"country": "DE"}, "bucket": {"country": "BY"}}
    court = Court(DE_ONLY, regions=REGIONS, sinks=sinks, events=(sanctioned("BY"),))
    assert court.ask(geoip="CA", at=START).reason == "sink-not-allowed:bucket"


def test_a_header_that_names_a_sanctioned_place_asks_for_nothing_more() -> None:
    court = Court(DE_ONLY, regions=REGIONS, events=(sanctioned("IR"),))
    law = court.ask(header="IR", geoip="DE", at=START)
    assert (law.reason, law.conflict) == ("embargo", "header-vs-geoip")


@pytest.mark.parametrize(
    ("mode", "conflict"), [(Mode.PERFORMANCE_FIRST, "header-widen"), (Mode.LEGAL_FIRST, "header-vs-geoip")]
)
def test_a_header_that_names_a_place_without_law_asks_for_more_only_where_none_is_needed(
    mode: Mode, conflict: str
) -> None:
    court = Court(DE_ONLY, regions=REGIONS, no_regime="refuse")
    assert court.ask(header="KE", geoip="DE", mode=mode).conflict == conflict


def test_a_refusal_counts_no_longer_than_the_disagreement_that_it_names() -> None:
    until = {"to": ["DE", "US"], "basis": "home", "until": "2026-12-01"}
    wide = regime("wide", "FR", allow=[until])
    embargo = regime("embargo", "KP", kind="embargo")
    suspended = event("region_suspend", effective=LATER, recorded=START, scope={"regions": ["us"]})
    court = Court(wide, embargo, regions=REGIONS, events=(suspended,))
    law = court.ask(header="FR", geoip="KP", at=START)
    assert (law.reason, law.conflict, law.valid_until_us) == ("embargo", "header-widen", SOON)
    assert court.ask(geoip="KP", at=START).valid_until_us == LATER


def test_all_three_conditions_of_a_regime_must_hold() -> None:
    closed = regime(
        "closed", "DE", tenant=["acme"], model=["m"], purpose=["training"], allow=[{"to": "DE", "basis": "b"}]
    )
    court = Court(closed, regions=REGIONS, tenants=("acme",), evidence={"trust_model_header": True})
    facts = {"tenant": "acme", "model": "m", "purpose": "training"}
    assert court.ask(geoip="DE", **facts).legal == ("eu",)
    for name in facts:
        assert court.ask(geoip="DE", **{**facts, name: "other"}).legal == ("ca", "eu", "us")
