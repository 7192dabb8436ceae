"""Rules of legal events that only one step in the code separates from another rule (docs/internals/tests.md)."""

from __future__ import annotations

from typing import Any

import pytest

from borderpost.policy.decide import asked
from borderpost.policy.event_schema import EventsFile
from borderpost.policy.events import EventList
from borderpost.policy.model import Evidence, Facts, Mode, Source
from borderpost.policy.regimes import NEVER_US
from borderpost_base import limits
from support.legal_events import START, approvals, event
from support.policy_builder import Court, regime

REGIONS: dict[str, Any] = {"ca": "CA", "eu": "DE", "us": "US"}
HOME = {"to": "DE", "basis": "home"}


def order(id_: str, region: str, **scope: Any) -> dict[str, Any]:
    return event("injunction", id_, scope={"regions": [region], **scope})


def test_what_one_order_is_about_limits_no_other() -> None:
    always, health = order("a", "us"), order("b", "ca", data=["health"])
    french, law = order("c", "eu", subjects=["FR"]), order("d", "ca", regimes=["law"])
    rule = regime("law", "IN", default="allow", basis="open")
    for events in ((always, health, french, law), (law, french, health, always)):
        court = Court(rule, regions=REGIONS, events=events)
        assert court.ask(geoip="DE", at=START).legal == ("ca", "eu")
        assert court.ask(geoip="DE", at=START, classes=("health",)).legal == ("eu",)
        assert court.ask(geoip="FR", at=START).legal == ("ca",)
        assert court.ask(geoip="IN", at=START).legal == ("eu",)
        assert court.ask(geoip="FR", at=START, classes=("health",)).legal == ()


def test_what_was_worked_out_of_events_once_is_kept() -> None:
    court = Court(regions=REGIONS, events=(order("a", "us"), order("b", "ca")))
    effects, _ = court.events.at(START)
    assert effects.orders(0b11) == (0b101, ((0b100, "event/a"), (0b001, "event/b")))
    assert effects.orders(0b11)[1] is effects.orders(0b11)[1]
    assert effects.took_part(0b11, 0) == ("a", "b")
    assert effects.took_part(0b11, 0) is effects.took_part(0b11, 0)


def test_of_several_sanctions_the_first_by_name_is_the_reason() -> None:
    events = [event("sanctions_add", id_, scope={"subjects": [place]}) for id_, place in (("z", "IR"), ("a", "SY"))]
    court = Court(regions=REGIONS, events=tuple(events))
    for said in ({"token": "IR", "geoip": "SY"}, {"token": "SY", "geoip": "IR"}):
        law = court.ask(at=START, **said)
        assert (law.reason, law.events, law.refused["eu"]) == ("embargo", ("a", "z"), "event/a")
    assert court.ask(at=START, geoip="IR").events == ("z",)


def test_what_is_remembered_of_a_law_that_events_change_is_told_apart_by_all_that_matters() -> None:
    entries = [
        {**HOME, "revocable": False},
        {"to": "US", "basis": "dpf", "except_data": ["health"], "revocable": False},
        {"to": "CA", "basis": "far", "only_in": "hybrid", "revocable": False},
    ]
    new = {"basis": "new", "approvals": approvals("anna", "bert"), "scope": {"countries": ["FR"], "regimes": ["law"]}}
    court = Court(
        regime("law", "DE", allow=entries), regions={**REGIONS, "fr": "FR"}, events=(event("adequacy_grant", **new),)
    )
    expected: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({}, ("eu", "fr", "us")),
        ({"classes": ("health",)}, ("eu", "fr")),
        ({"mode": Mode.HYBRID}, ("ca", "eu", "fr", "us")),
        ({"stale": True}, ("eu", "us")),
        ({"stale": True, "mode": Mode.HYBRID}, ("ca", "eu", "us")),
    ]
    for questions in (expected, expected[::-1], expected):
        for how, legal in questions:
            assert court.ask(geoip="DE", at=START, **how).legal == legal
    effects, _ = court.events.at(START)
    (law,) = court.policy.regimes
    assert effects.verdict(law, START, 0, 0, 0, 1) is effects.verdict(law, START, 0, 0, 0, 1)


def test_a_list_tells_what_is_in_force_at_an_instant() -> None:
    suspended = event("region_suspend", "a", scope={"regions": ["us"]}, until=START + 10)
    ordered = order("b", "ca")
    lift = event("lift", "c", ends="b", approvals=approvals("anna", "bert"), effective=START + 5)
    drill = event("region_suspend", "d", scope={"regions": ["eu"]}, mode="drill")
    listed = EventList(EventsFile.model_validate({"events": [drill, ordered, suspended, lift], "clock_error_us": 0}))
    assert listed.in_force(START - 1) == ()
    assert listed.in_force(START) == ("a", "b", "d")
    assert listed.in_force(START + 4) == ("a", "b", "d")
    assert listed.in_force(START + 5) == ("a", "c", "d")
    assert listed.in_force(START + 10) == ("c", "d")
    careful = EventList(EventsFile.model_validate({"events": [suspended], "clock_error_us": 2}))
    assert [careful.in_force(START + at) for at in (-3, -2, 11, 12)] == [(), ("a",), ("a",), ()]


def test_which_events_took_effect_or_ended_since_an_instant() -> None:
    first = event("region_suspend", "first", scope={"regions": ["us"]}, until=START + 10)
    second = event("region_suspend", "second", scope={"regions": ["us"]}, effective=START + 5)
    third = event("region_suspend", "third", scope={"regions": ["us"]}, effective=START + 25)
    changed = Court(regions=REGIONS, events=(first, second, third)).events.changed_between
    assert changed(START - 2, START - 1) == []
    assert changed(START - 1, START) == ["first"]
    assert changed(START, START + 4) == []
    assert changed(START - 1, START + 5) == ["first", "second"]
    assert changed(START + 4, START + 5) == ["second"]
    assert changed(START + 5, START + 10) == ["first"]
    assert changed(START + 9, START + 10) == ["first"]
    assert changed(START + 10, START + 20) == []
    assert changed(START + 10, START + 25) == ["third"]
    assert changed(START + 5, START + 25) == ["first", "third"]
    assert changed(START - 1, START + 20) == ["first", "second"]


def test_an_event_that_became_known_as_it_ended_changes_nothing() -> None:
    late = event("region_suspend", scope={"regions": ["us"]}, effective=START - 10, until=START, recorded=START)
    court = Court(regions=REGIONS, events=(late,))
    assert court.ask(geoip="DE", at=START - 20).valid_until_us is None
    assert court.events.boundaries == (NEVER_US,)
    brief = event("region_restore", approvals=approvals("anna", "bert"), scope={"regions": ["us"]}, until=START + 4)
    assert Court(regions=REGIONS, events=(brief,), clock_error_us=1).events.boundaries == (
        START + 1,
        START + 3,
        NEVER_US,
    )
    assert Court(regions=REGIONS, events=(brief,), clock_error_us=2).events.boundaries == (NEVER_US,)


def test_a_full_memo_of_intervals_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REMEMBERED_INTERVALS_MAX", 2)
    events = [event("region_suspend", f"e{n}", scope={"regions": ["us"]}, effective=START + n) for n in range(3)]
    compiled = Court(regions=REGIONS, events=tuple(events)).events
    first, _ = compiled.at(START)
    second, _ = compiled.at(START + 1)
    assert compiled.at(START)[0] is first
    assert compiled.at(START + 1)[0] is second
    compiled.at(START + 2)
    assert compiled.at(START)[0] is not first


def test_what_events_ask_tells_apart_places_that_they_name_and_no_others() -> None:
    court = Court(regions=REGIONS, events=(order("a", "us", subjects=["FR-IDF"]),))

    def ask(code: str) -> object:
        return asked(Facts((Evidence(Source.GEOIP, code),), ("personal",)), court.policy, court.events)

    told = [ask(code) for code in ("FR", "FR-IDF", "FR-BRE", "ZZ", "zz")]
    assert len(set(told)) == len(told)
    assert ask("FR-BRE") == ask("FR-PAC")


def test_an_order_for_tenants_and_one_for_models_each_concern_whom_they_name() -> None:
    events = (order("a", "us", tenants=["acme"]), order("b", "ca", models=["m"]))
    trusting = {"trust_model_header": True}
    court = Court(regions=REGIONS, tenants=("acme", "beta"), evidence=trusting, events=events)
    expected = {
        ("acme", "m"): ("eu",),
        ("acme", "n"): ("ca", "eu"),
        ("beta", "m"): ("eu", "us"),
        ("beta", "n"): ("ca", "eu", "us"),
    }
    for (tenant, model), legal in expected.items():
        assert court.ask(geoip="DE", at=START, tenant=tenant, model=model).legal == legal
    assert court.ask(geoip="DE", at=START, tenant="beta").legal == ("eu", "us"), "a model that is not known may be any"


def test_of_several_orders_the_first_by_name_is_the_reason() -> None:
    law = Court(regions=REGIONS, events=(order("z", "us"), order("a", "us"))).ask(geoip="DE", at=START)
    assert (law.refused["us"], law.events) == ("event/a", ("a", "z"))


def test_what_widens_by_a_group_that_policy_does_not_know_widens_nothing() -> None:
    two = approvals("anna", "bert")
    granted = event(
        "adequacy_grant", "g", basis="new", approvals=two, scope={"countries": ["NOWHERE"], "regimes": ["law"]}
    )
    lifted = event("sanctions_lift", "l", approvals=two, scope={"subjects": ["NOWHERE"]})
    rules = (regime("law", "DE", allow=[HOME]), regime("embargo", "KP", kind="embargo"))
    court = Court(*rules, regions=REGIONS, events=(granted, lifted))
    assert court.ask(geoip="DE", at=START).legal == ("eu",)
    assert court.ask(geoip="KP", at=START).reason == "embargo"


def test_lifting_takes_out_the_places_that_it_names_and_no_other() -> None:
    """Andorra is the first of all places, so a mistake by one bit would be about it."""
    embargo = regime("embargo", ["AD", "UA", "KP"], kind="embargo")
    lifts = [
        event("sanctions_lift", id_, approvals=approvals("anna", "bert"), scope={"subjects": [place]})
        for id_, place in (("l1", "UA"), ("l2", "KP"))
    ]
    court = Court(embargo, regions={**REGIONS, "ad": "AD"}, events=tuple(lifts))
    assert court.ask(geoip="AD", at=START).reason == "embargo"
    assert court.ask(geoip="UA", at=START).legal == court.ask(geoip="KP", at=START).legal == ("ca", "eu", "us")
    sanctioned = event("sanctions_add", "s", scope={"subjects": ["AD"]})
    law = Court(regions=REGIONS, events=(sanctioned,)).ask(geoip="AD", at=START)
    assert (law.reason, law.events) == ("embargo", ("s",))


def test_every_lifting_of_sanctions_counts() -> None:
    two = approvals("anna", "bert")
    add = event("sanctions_add", "a", scope={"subjects": ["IR", "SY", "AD"]})
    lifts = [
        event("sanctions_lift", f"lift-{place.lower()}", approvals=two, scope={"subjects": [place]})
        for place in ("IR", "SY")
    ]
    other = event("sanctions_lift", "other", approvals=two, scope={"subjects": ["KP"], "regimes": ["embargo"]})
    court = Court(regime("embargo", "KP", kind="embargo"), regions=REGIONS, events=(add, *lifts, other))
    asked = {place: court.ask(geoip=place, at=START).reason for place in ("IR", "SY", "AD", "KP")}
    assert asked == {"IR": "ok", "SY": "ok", "AD": "embargo", "KP": "ok"}


def test_a_region_in_a_place_of_which_an_embargo_is_lifted_serves_again() -> None:
    lift = event("sanctions_lift", approvals=approvals("anna", "bert"), scope={"subjects": ["UA"]})
    embargo = regime("embargo", ["UA", "KP"], kind="embargo")
    court = Court(embargo, regions={"eu": "DE", "ua": "UA", "kp": "KP"}, events=(lift,))
    assert court.ask(geoip="DE", at=START - 1).legal == ("eu",)
    assert court.ask(geoip="DE", at=START).legal == ("eu", "ua")


def test_what_narrows_by_a_group_or_class_that_policy_does_not_know() -> None:
    """By a group: it may be anybody's. By a data class: a request of that class is refused anyway."""
    sanctioned = event("sanctions_add", scope={"subjects": ["NOWHERE"]})
    assert Court(regions=REGIONS, events=(sanctioned,)).ask(geoip="DE", at=START).reason == "embargo"
    assert Court(regions=REGIONS, events=(order("a", "us", subjects=["NOWHERE"]),)).ask(geoip="DE", at=START).legal == (
        "ca",
        "eu",
    )
    court = Court(regions=REGIONS, events=(order("a", "us", data=["nonsense"]),))
    assert court.ask(geoip="DE", at=START).legal == ("ca", "eu", "us")
    assert court.ask(geoip="DE", at=START, classes=("nonsense",)).reason == "unknown-class"


def test_of_several_sanctions_that_bar_a_region_the_first_by_name_is_the_reason() -> None:
    listed = [event("sanctions_add", id_, scope={"subjects": ["US"]}) for id_ in ("a", "z")]
    for events in (listed, listed[::-1]):
        law = Court(regions=REGIONS, events=tuple(events)).ask(geoip="DE", at=START)
        assert (law.legal, law.refused) == (("ca", "eu"), {"us": "event/a"})


def test_a_basis_that_an_event_gave_another_takes_away() -> None:
    scope = {"countries": ["US"], "regimes": ["law"]}
    granted = event("adequacy_grant", "g", basis="new/2026", approvals=approvals("anna", "bert"), scope=scope)
    court = Court(regime("law", "DE", allow=[HOME]), regions=REGIONS, events=(granted,))
    assert court.ask(geoip="DE", at=START).legal == ("eu", "us")
    for bases, legal in ((["new/2026"], ("eu",)), (["old"], ("eu", "us")), (["2026"], ("eu", "us"))):
        revoked = event("adequacy_revoke", "r", scope={"bases": bases})
        court = Court(regime("law", "DE", allow=[HOME]), regions=REGIONS, events=(granted, revoked))
        assert court.ask(geoip="DE", at=START).legal == legal


def test_a_restoration_of_a_region_that_is_not_here_restores_no_other() -> None:
    suspended = event("region_suspend", "s", scope={"regions": ["ca"]})
    two = approvals("anna", "bert")
    elsewhere = event("region_restore", "r", approvals=two, scope={"regions": ["elsewhere"]})
    assert Court(regions=REGIONS, events=(suspended, elsewhere)).ask(geoip="DE", at=START).legal == ("eu", "us")
    here = event("region_restore", "r", approvals=two, scope={"regions": ["elsewhere", "ca"]})
    assert Court(regions=REGIONS, events=(suspended, here)).ask(geoip="DE", at=START).legal == ("ca", "eu", "us")


def test_parts_of_a_scope_that_name_regions_hold_together() -> None:
    regions = {
        "de": {"country": "DE", "operator": {"entity": "Ours"}},
        "us": {"country": "US", "operator": {"entity": "Ours"}},
        "us-2": {"country": "US", "operator": {"entity": "Theirs"}},
    }
    here = {"country": "DE", "operator": {"entity": "Ours"}}
    law = regime("law", "DE", allow=[{"to": "*", "basis": "dpf"}])
    scopes: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({"regions": ["us"], "countries": ["US"]}, ("de", "us-2")),
        ({"regions": ["us", "de"], "countries": ["US"]}, ("de", "us-2")),
        ({"operators": ["Theirs"], "countries": ["US"]}, ("de", "us")),
        ({"operators": ["Theirs"], "regions": ["us-2", "us"]}, ("de", "us")),
        ({"operators": ["Theirs"], "regions": ["us-2"], "countries": ["DE"]}, ("de", "us", "us-2")),
    ]
    for scope, legal in scopes:
        for more in ({}, {"bases": ["dpf"]}):
            ordered = event("injunction", scope={**scope, **more})
            court = Court(law, regions=regions, here=here, events=(ordered,))
            assert court.ask(geoip="DE", at=START).legal == legal, scope


def test_a_basis_taken_away_in_a_country_is_gone_for_the_location_that_is_there() -> None:
    law = regime("law", "DE", allow=[{**HOME, "basis": "dpf"}, {"to": "US", "basis": "dpf"}])
    regions = {"mixed": {"country": "DE", "retention": "US"}, "eu": "DE"}
    expected: list[tuple[list[str], dict[str, str]]] = [
        (["US"], {"mixed": "law/no-basis:retention"}),
        (["FR"], {}),
    ]
    for countries, refused in expected:
        revoked = event("injunction", scope={"bases": ["dpf"], "countries": countries})
        assert Court(law, regions=regions, events=(revoked,)).ask(geoip="DE", at=START).refused == refused
    here = {"country": "DE"}
    revoked = event("injunction", scope={"bases": ["far"], "countries": ["NOWHERE"]})
    far = regime("law", "DE", allow=[HOME, {"to": "US", "basis": "far"}])
    law_after = Court(far, regions=REGIONS, here=here, events=(revoked,)).ask(geoip="DE", at=START)
    assert law_after.legal == ("eu",), "of a group that policy does not know, anywhere may be meant"


def test_an_order_about_subjects_concerns_no_subject_elsewhere() -> None:
    """Andorra is the first of all places, so a mistake by one bit would be about it."""
    court = Court(regions=REGIONS, events=(order("a", "us", subjects=["FR"]),))
    assert court.ask(geoip="AD", at=START).legal == ("ca", "eu", "us")


def test_a_grant_may_be_for_every_country() -> None:
    scope = {"countries": ["*"], "regimes": ["law"]}
    granted = event("adequacy_grant", basis="new", approvals=approvals("anna", "bert"), scope=scope)
    court = Court(regime("law", "DE", allow=[HOME]), regions=REGIONS, events=(granted,))
    assert court.ask(geoip="DE", at=START).legal == ("ca", "eu", "us")


def test_orders_for_several_tenants_each_concern_whom_they_name() -> None:
    events = (
        order("a", "us", tenants=["acme", "beta"]),
        order("b", "ca", tenants=["beta"]),
        order("c", "eu", tenants=["c"]),
    )
    court = Court(regions=REGIONS, tenants=("acme", "beta", "c", "d"), events=events)
    expected = {"acme": ("ca", "eu"), "beta": ("eu",), "c": ("ca", "us"), "d": ("ca", "eu", "us")}
    assert {tenant: court.ask(geoip="DE", at=START, tenant=tenant).legal for tenant in expected} == expected
    assert court.ask(geoip="DE", at=START).legal == ()


def test_what_became_known_as_it_ended_holds_for_no_error_of_a_clock_either() -> None:
    late = event("region_suspend", scope={"regions": ["us"]}, effective=START - 10, until=START, recorded=START)
    listed = EventList(EventsFile.model_validate({"events": [late], "clock_error_us": 5}))
    assert [listed.in_force(START + at) for at in (-5, -1, 0, 4)] == [()] * 4


def test_one_signer_with_two_keys_is_one_signer_and_so_are_two_with_one_key() -> None:
    (anna,), (bert,) = approvals("anna"), approvals("bert")
    scope = {"countries": ["US"], "regimes": ["law"]}
    for signed, legal in (
        ([anna, {**bert, "by": "anna"}], ("eu",)),
        ([anna, {**anna, "by": "bert"}], ("eu",)),
        ([anna, {**bert, "by": "anna"}, bert], ("eu", "us")),
        ([anna, bert], ("eu", "us")),
    ):
        granted = event("adequacy_grant", basis="new", approvals=signed, scope=scope)
        court = Court(regime("law", "DE", allow=[HOME]), regions=REGIONS, events=(granted,))
        assert court.ask(geoip="DE", at=START).legal == legal


def test_an_order_about_a_part_leaves_doubt_about_whom_it_concerns_only_where_the_place_is_believed() -> None:
    court = Court(regions=REGIONS, events=(order("a", "us", subjects=["UA-43"]),))
    assert court.ask(geoip="UA", at=START).subdivision_unknown is True
    assert court.ask(geoip="UA-43", at=START).subdivision_unknown is False
    assert court.ask(token="DE", geoip="UA", doubt="anonymiser", at=START).subdivision_unknown is False
    sanctions = event("sanctions_add", scope={"subjects": ["UA-43"]})
    court = Court(regions=REGIONS, events=(sanctions,))
    assert court.ask(token="DE", geoip="UA", doubt="anonymiser", at=START).subdivision_unknown is True
