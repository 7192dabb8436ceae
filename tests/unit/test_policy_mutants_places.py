"""Rules of places and processors that only one step in the code separates from another (docs/internals/tests.md)."""

from __future__ import annotations

from support.legal_events import START, event
from support.policy_builder import Court, regime

HOME = {"to": "DE", "basis": "home"}


def test_a_zone_of_which_no_place_is_left_may_be_anywhere() -> None:
    groups = {"NOTHING": {"plus": ["FR"], "minus": ["FR"]}, "SOMETHING": ["DE"]}
    regions = {name.lower(): {"country": "DE", "retention": f"zone:{name}"} for name in groups}
    court = Court(regime("law", "DE", allow=[HOME]), regions=regions, groups=groups)
    law = court.ask(geoip="DE")
    assert (law.legal, law.refused) == (("something",), {"nothing": "law/no-basis:retention"})


def test_an_order_against_an_operator_reaches_nobody_whom_another_runs() -> None:
    regions = {
        "de": {"country": "DE", "operator": {"entity": "Ours"}},
        "us": {"country": "US", "operator": {"entity": "Theirs"}},
    }
    here = {"country": "DE", "operator": {"entity": "Ours"}}
    for operators, legal in ((["Theirs"], ("de",)), (["Nobody"], ("de", "us")), (["Nobody", "Theirs"], ("de",))):
        order = event("injunction", scope={"operators": operators})
        assert Court(regions=regions, here=here, events=(order,)).ask(geoip="DE", at=START).legal == legal
    unknown = {**regions, "fr": "FR"}
    order = event("injunction", scope={"operators": ["Nobody"]})
    assert Court(regions=unknown, here=here, events=(order,)).ask(geoip="DE", at=START).legal == ("de", "us")


def test_a_basis_taken_away_at_a_region_is_gone_for_what_it_retains_elsewhere_too() -> None:
    law = regime("law", "DE", allow=[HOME, {"to": "US", "basis": "dpf"}])
    regions = {"mixed": {"country": "DE", "retention": "US"}, "other": {"country": "DE", "telemetry": "US"}}
    revoked = event("adequacy_revoke", scope={"bases": ["dpf"], "regions": ["mixed"]})
    court = Court(law, regions=regions, events=(revoked,))
    assert court.ask(geoip="DE", at=START - 1).legal == ("mixed", "other")
    after = court.ask(geoip="DE", at=START)
    assert (after.legal, after.refused) == (("other",), {"mixed": "law/no-basis:retention"})


def test_a_basis_is_told_once_a_region_by_the_first_location_that_needs_it() -> None:
    law = regime("law", "DE", allow=[HOME, {"to": "US", "basis": "dpf"}])
    regions = {
        "both": {"country": "DE", "retention": "US", "telemetry": "US"},
        "last": {"country": "DE", "telemetry": "US"},
        "own": {"country": "US", "retention": "US"},
    }
    bases = Court(law, regions=regions).ask(geoip="DE").bases
    assert bases["both"] == "law/dpf:retention,law/home"
    assert bases["last"] == "law/dpf:telemetry,law/home"
    assert bases["own"] == "law/dpf"
