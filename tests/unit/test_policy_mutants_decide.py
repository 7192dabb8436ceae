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


def test_a_refusal_before_the_law_is_read_tells_mode_and_staleness_all_the_same() -> None:
    court = Court(DE_ONLY, regions=REGIONS)
    for said, reason in (
        ({"geoip": "ZZ"}, "unknown-code"),
        ({"geoip": "DE", "missing": "token"}, "evidence-required:token"),
    ):
        law = court.ask(mode=Mode.HYBRID, stale=True, **said)
        assert (law.reason, law.mode, law.stale) == (reason, Mode.HYBRID, True)
        assert (law.subdivision_unknown, law.valid_until_us) == (False, None)


def test_only_events_are_named_among_the_events_of_an_embargo() -> None:
    court = Court(regime("embargo", "IR", kind="embargo"), regions=REGIONS, events=(sanctioned("IR", "BY"),))
    assert court.ask(geoip="IR", at=START - 1).events == ()
    assert court.ask(geoip="IR", at=START).events == ("listed",)


def test_an_event_that_closes_this_gateway_s_own_place_is_named() -> None:
    law = regime("law", "DE", allow=[{"to": "DE", "basis": "home"}, {"to": "US", "basis": "dpf"}])
    revoked = event("adequacy_revoke", "gone", scope={"bases": ["dpf"]})
    court = Court(law, regions=REGIONS, here={"country": "US"}, events=(revoked,))
    assert court.ask(geoip="DE", at=START - 1).legal == ("eu", "us")
    after = court.ask(geoip="DE", at=START)
    assert (after.reason, after.events) == ("here-not-allowed", ("gone",))


def test_a_treatment_of_the_unknown_is_none_of_the_known() -> None:
    court = Court(DE_ONLY, regions=REGIONS, evidence={"unknown": {"treat_as": ["DE"]}})
    assert court.ask(geoip="US").effective == ("US",)


def test_doubt_about_a_part_is_told_whichever_source_leaves_it() -> None:
    part = regime("part", "UA-43", allow=[{"to": "DE", "basis": "home"}])
    for said in ({"token": "UA", "geoip": "DE"}, {"token": "DE", "geoip": "UA"}):
        assert Court(part, regions=REGIONS).ask(**said).subdivision_unknown is True
        assert Court(regions=REGIONS, events=(sanctioned("UA-43"),)).ask(at=START, **said).subdivision_unknown is True
    assert Court(part, regions=REGIONS).ask(token="DE", geoip="FR").subdivision_unknown is False


def test_a_suspected_place_leaves_doubt_about_embargoes_alone() -> None:
    part = regime("part", "UA-43", allow=[{"to": "DE", "basis": "home"}])
    embargo = regime("embargo", "UA-43", kind="embargo")
    for law, doubted in ((part, False), (embargo, True)):
        told = Court(law, regions=REGIONS).ask(token="DE", geoip="UA", doubt="anonymiser")
        assert told.subdivision_unknown is doubted
        believed = Court(law, regions=REGIONS).ask(token="UA", geoip="FR", doubt="anonymiser")
        assert believed.subdivision_unknown is True


def test_a_header_beside_an_address_in_doubt_places_nobody() -> None:
    law = Court(DE_ONLY, regions=REGIONS).ask(header="DE", geoip="DE", doubt="anonymiser")
    assert law.reason == "unknown-subject"


def test_where_an_embargo_surely_holds_no_lifting_elsewhere_leaves_doubt() -> None:
    court = Court(regime("embargo", "UA", kind="embargo"), regions=REGIONS, events=(lifted("UA-43"),))
    law = court.ask(geoip="UA-09", at=START)
    assert (law.reason, law.subdivision_unknown) == ("embargo", False)


def test_of_several_regimes_that_refuse_this_gateway_s_own_place_the_first_by_id_is_the_reason() -> None:
    laws = [regime(name, "DE", allow=[{"to": "DE", "basis": "b"}]) for name in ("b-law", "a-law")]
    law = Court(*laws, regions=REGIONS, here={"country": "US"}).ask(geoip="DE")
    assert (law.reason, law.refused["eu"]) == ("here-not-allowed", "a-law/here-not-allowed")


def test_what_a_header_asks_for_is_judged_by_the_law_of_its_place() -> None:
    embargo = regime("embargo", "KP", kind="embargo")
    us_only = regime("us-only", "US", data=["personal"], allow=[{"to": "US", "basis": "home"}])
    court = Court(DE_ONLY, embargo, us_only, regions=REGIONS)
    assert court.ask(header="KP", geoip="DE").conflict == "header-vs-geoip", "an embargo gives nobody more"
    assert court.ask(header="US", geoip="DE").conflict == "header-vs-geoip", "it refuses this gateway's own place"
    assert court.ask(header="KE", geoip="DE").conflict == "header-widen", "no law, and none is needed"
