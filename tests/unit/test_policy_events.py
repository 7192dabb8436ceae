"""Legal events over a policy: what each type does, whom it concerns, when it holds."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from borderpost.policy.decide import decide
from borderpost.policy.event_schema import EventsFile
from borderpost.policy.events import EventList, compile_events
from borderpost.policy.model import Evidence, Facts, Law, Source
from support.legal_events import START, approvals, event
from support.policy_builder import Court, regime

RULES = (
    regime(
        "eu",
        ["DE", "FR"],
        data=["personal"],
        allow=[
            {"to": ["DE", "FR"], "basis": "home"},
            {"to": "US", "basis": "dpf"},
            {"to": ["US", "GB"], "basis": "scc", "require": {"contract": "scc"}},
        ],
    ),
    regime("in", "IN", default="allow", basis="open"),
    regime("syria", "SY", kind="embargo"),
    regime("crimea", ["UA-43", "UA-40"], kind="embargo"),
)
REGIONS: dict[str, Any] = {
    "de": {"country": "DE", "operator": {"entity": "Ours"}},
    "fr": {"country": "FR", "operator": {"entity": "Theirs"}},
    "us": {"country": "US", "operator": {"entity": "Theirs"}},
    "us-scc": {"country": "US", "contracts": ["scc"], "operator": {"entity": "Ours"}},
    "gb": {"country": "GB", "operator": {"entity": "Ours"}},
}


class Case:
    """A policy with events, asked in short form."""

    def __init__(self, *events: dict[str, Any], epsilon_us: int = 0, drills: bool = False, **court: Any) -> None:
        self.policy = Court(*RULES, regions=REGIONS, tenants=("acme", "beta"), **court).policy
        file = EventsFile.model_validate({"events": list(events), "clock_error_us": epsilon_us})
        self.events = compile_events(EventList(file), self.policy, drills=drills)

    def law(self, place: str = "DE", at: int = START, classes: tuple[str, ...] = ("personal",), **facts: Any) -> Law:
        known = Facts((Evidence(Source.GEOIP, place, "-" not in place),), classes, **facts)
        return decide(known, self.policy, self.events, at)

    def legal(self, *args: Any, **more: Any) -> str:
        return " ".join(self.law(*args, **more).legal)


def test_without_events() -> None:
    assert Case().legal() == "de fr us us-scc"
    assert Case().legal("IN") == "de fr gb us us-scc"


SCOPES: dict[str, tuple[dict[str, Any], str]] = {
    "a region": ({"regions": ["us"]}, "de fr us-scc"),
    "a country": ({"countries": ["US"]}, "de fr"),
    "an operator": ({"operators": ["Theirs"]}, "de us-scc"),
    "an operator in a country": ({"operators": ["Theirs"], "countries": "US"}, "de fr us-scc"),
    "subjects": ({"subjects": ["FR"], "countries": ["US"]}, "de fr us us-scc"),
    "these subjects": ({"subjects": ["DE"], "countries": ["US"]}, "de fr"),
    "a data class of others": ({"data": ["health"], "countries": ["US"]}, "de fr us us-scc"),
    "a data class": ({"data": ["personal"], "countries": ["US"]}, "de fr"),
    "a tenant that is not known": ({"tenants": ["acme"], "countries": ["US"]}, "de fr"),
    "a regime": ({"regimes": ["eu"], "regions": ["de"]}, "fr us us-scc"),
    "a regime that does not apply": ({"regimes": ["in"], "regions": ["de"]}, "de fr us us-scc"),
    "a basis": ({"bases": ["dpf"]}, "de fr us-scc"),
    "a basis of a regime": ({"bases": ["dpf"], "regimes": ["eu"]}, "de fr us-scc"),
    "a basis of another regime": ({"bases": ["dpf"], "regimes": ["in"]}, "de fr us us-scc"),
    "a basis at an operator": ({"bases": ["dpf"], "operators": ["Ours"]}, "de fr us us-scc"),
    "all subjects": ({"subjects": ["*"]}, ""),
    "a region that is not here": ({"regions": ["elsewhere"]}, "de fr us us-scc"),
    "a group that is not here": ({"countries": ["NOWHERE"]}, ""),
    "a regime that is not here": ({"regimes": ["nothing"]}, "de fr us us-scc"),
}


@pytest.mark.parametrize(("scope", "legal"), SCOPES.values(), ids=SCOPES)
@pytest.mark.parametrize("type_", ["injunction", "regulator_order"])
def test_scopes(type_: str, scope: dict[str, Any], legal: str) -> None:
    case = Case(event(type_, scope=scope))
    assert case.legal(at=START - 1) == "de fr us us-scc"
    assert case.legal() == legal
    if legal and "us" not in legal.split() and "bases" not in scope:
        assert case.law().refused["us"] == "event/e"


def test_who_an_event_concerns_by_tenant_and_model() -> None:
    case = Case(event("injunction", scope={"tenants": ["acme"], "countries": ["US"]}))
    assert case.legal(tenant="acme") == "de fr"
    assert case.legal(tenant="beta") == "de fr us us-scc"
    trusting = Case(event("injunction", scope={"models": ["m1"], "countries": ["US"]}),
                    evidence={"trust_model_header": True})  # fmt: skip
    assert trusting.legal(model="m1") == "de fr"
    assert trusting.legal(model="m2") == "de fr us us-scc"
    assert trusting.legal() == "de fr", "a model that is not known may be this one"
    doubting = Case(event("injunction", scope={"models": ["m1"], "countries": ["US"]}))
    assert doubting.legal(model="m2") == "de fr", "what any client can write is not known"


def test_adequacy_revoked_leaves_other_bases() -> None:
    case = Case(event("adequacy_revoke", scope={"regimes": ["eu"], "bases": ["dpf"]}))
    before, after = case.law(at=START - 1), case.law()
    assert before.bases["us-scc"] == "eu/dpf,eu/scc"
    assert (after.bases["us-scc"], after.refused["us"]) == ("eu/scc", "eu/no-basis")
    assert before.valid_until_us == START


def test_the_basis_of_a_regime_that_allows_by_default_can_be_revoked() -> None:
    case = Case(event("adequacy_revoke", scope={"regimes": ["in"], "bases": ["open"], "countries": ["US"]}))
    assert case.legal("IN") == "de fr gb"


def test_a_basis_revoked_where_a_region_works_is_not_told_of_what_it_does_not_retain() -> None:
    revoked = event("adequacy_revoke", scope={"bases": ["open"], "countries": ["FR"]})
    law = Court(
        regime("in", "IN", default="allow", basis="open", allow=[{"to": "FR", "basis": "own"}]),
        regions={"a": {"country": "FR", "retention": "none"}, "b": {"country": "DE", "telemetry": "US"}},
        events=(revoked,),
    ).ask(geoip="IN", at=START)
    assert law.bases == {"a": "in/own", "b": "in/open"}


def test_adequacy_granted_waits_for_two() -> None:
    grant = event("adequacy_grant", scope={"regimes": ["eu"], "countries": ["GB"]}, basis="art45")
    assert Case(grant).legal() == "de fr us us-scc", "nobody signed"
    assert Case({**grant, "approvals": approvals("one")}).legal() == "de fr us us-scc"
    assert Case({**grant, "approvals": approvals("one", "one")}).legal() == "de fr us us-scc"
    same_key = approvals("one", "two")
    same_key[1]["key"] = same_key[0]["key"]
    assert Case({**grant, "approvals": same_key}).legal() == "de fr us us-scc", "two names, one key"
    both = Case({**grant, "approvals": [*approvals("one"), *approvals("two", at=START + 5)]})
    assert both.legal(at=START + 4) == "de fr us us-scc", "from the second signature on"
    assert both.legal(at=START + 5) == "de fr gb us us-scc"
    assert both.law(at=START + 5).bases["gb"] == "eu/art45"


def test_a_denial_overrides_a_grant() -> None:
    grant = event("adequacy_grant", scope={"regimes": ["eu"], "countries": ["GB"]}, basis="art45",
                  approvals=approvals("one", "two"))  # fmt: skip
    assert Case(grant, event("injunction", "x", scope={"countries": ["GB"]})).legal() == "de fr us us-scc"


def test_sanctions_embargo_whoever_says_that_the_subject_is_there() -> None:
    case = Case(event("sanctions_add", scope={"subjects": ["IN"]}))
    law = case.law("IN")
    assert (law.reason, law.refused["de"]) == ("embargo", "event/e")
    assert case.legal() == "de fr us us-scc"
    asserted = Facts((Evidence(Source.HEADER, "IN"), Evidence(Source.GEOIP, "DE", True)), ("personal",))
    assert decide(asserted, case.policy, case.events, START).reason == "embargo"
    doubtful = Facts((Evidence(Source.TOKEN, "DE", True), Evidence(Source.GEOIP, "IN", True, "hosting")), ("personal",))
    assert decide(doubtful, case.policy, case.events, START).reason == "embargo"
    assert Case(event("sanctions_add", scope={"subjects": ["US"]})).legal() == "de fr", "regions there serve nobody"


def test_sanctions_lifted() -> None:
    def lift(**scope: Any) -> dict[str, Any]:
        return event("sanctions_lift", "lift", scope=scope, approvals=approvals("one", "two"))

    assert Case().law("SY").reason == "embargo"
    assert Case(lift(subjects=["SY"])).legal("SY") == "de fr gb us us-scc"
    assert Case(lift(subjects=["SY"], regimes=["crimea"])).law("SY").reason == "embargo"
    one = lift(subjects=["SY"])
    assert Case({**one, "approvals": approvals("one")}).law("SY").reason == "embargo"
    part = Case(lift(subjects=["UA-43"]))
    assert part.law("UA-43").reason == "ok"
    assert part.law("UA-40").reason == "embargo"
    earlier = event("sanctions_add", "add", scope={"subjects": ["IN"]})
    assert Case(earlier, lift(subjects=["IN"])).legal("IN") == "de fr gb us us-scc"
    assert Case(lift(subjects=["IN"]), earlier).law("IN").reason == "embargo", "only what stands before it"


def test_a_place_that_only_an_event_tells_apart() -> None:
    case = Case(event("sanctions_add", scope={"subjects": ["IN-KA"]}), evidence={"subdivision_unknown": "country-only"})
    assert case.law("IN-KA").reason == "embargo"
    assert case.law("IN-MH").reason == "ok"
    assert case.law("IN").reason == "ok"
    assert case.law("IN").subdivision_unknown
    strict = Case(event("sanctions_add", scope={"subjects": ["IN-KA"]}), evidence={"subdivision_unknown": "strictest"})
    assert strict.law("IN").reason == "embargo"
    known = (
        Facts((Evidence(Source.GEOIP, "IN-KA"),), ("personal",)),
        Facts((Evidence(Source.GEOIP, "IN-MH"),), ("personal",)),
    )
    assert case.policy.asked(known[0]) == case.policy.asked(known[1])
    assert case.events.asked(known[0]) != case.events.asked(known[1])


def test_suspension_and_its_ends() -> None:
    suspended = event("region_suspend", "s", scope={"regions": ["us", "de"]})
    signed = approvals("one", "two")
    assert Case(suspended).legal() == "fr us-scc"
    restored = event("region_restore", "r", scope={"regions": ["us"]}, approvals=signed)
    assert Case(suspended, restored).legal() == "fr us us-scc"
    assert Case(restored, suspended).legal() == "fr us-scc"
    lifted = event("lift", "l", ends="s", approvals=signed)
    assert Case(suspended, lifted).legal() == "de fr us us-scc"
    assert Case(suspended, {**lifted, "approvals": approvals("one")}).legal() == "fr us-scc"
    assert Case(suspended, lifted).events.in_force(START) == ("l",)


def test_an_order_is_lifted_whole() -> None:
    order = event("regulator_order", "o", scope={"data": ["personal"]})
    assert Case(order).legal() == ""
    assert Case(order, event("lift", "l", ends="o", approvals=approvals("a", "b"))).legal() == "de fr us us-scc"


def test_epsilon_narrows_early_and_widens_late() -> None:
    narrow = Case(event("region_suspend", scope={"regions": ["us"]}, until=START + 100), epsilon_us=10)
    inside = [at for at in range(START - 20, START + 130) if "us" not in narrow.legal(at=at).split()]
    assert (inside[0], inside[-1]) == (START - 10, START + 109)
    grant = event("adequacy_grant", scope={"regimes": ["eu"], "countries": ["GB"]}, basis="b", until=START + 100,
                  approvals=approvals("one", "two"))  # fmt: skip
    wide = Case(grant, epsilon_us=10)
    inside = [at for at in range(START - 20, START + 130) if "gb" in wide.legal(at=at).split()]
    assert (inside[0], inside[-1]) == (START + 10, START + 89)


def test_what_was_recorded_late_holds_from_then_on() -> None:
    late = Case(event("region_suspend", scope={"regions": ["us"]}, effective=START - 1000, recorded=START))
    assert late.legal(at=START - 1) == "de fr us us-scc"
    assert late.legal() == "de fr us-scc"
    over = Case(event("region_suspend", scope={"regions": ["us"]}, effective=START - 1000, until=START, recorded=START))
    assert over.legal() == "de fr us us-scc"
    assert late.events.changed_between(START - 1, START) == ["e"]
    assert late.events.changed_between(START, START + 1) == []


def test_what_comes_next_can_be_worked_out_before_its_instant() -> None:
    case = Case(event("region_suspend", scope={"regions": ["us"]}, until=START + 100))
    assert not case.events.is_prepared(START - 1)
    case.events.prepare(START - 1)
    assert case.events.is_prepared(START - 1)
    assert not case.events.is_prepared(START), "what comes after that has not been asked for"
    case.events.prepare(START)
    case.events.prepare(START + 100)
    assert all(map(case.events.is_prepared, (START - 1, START, START + 100)))
    assert Case().events.is_prepared(START) is False
    (empty := Case()).events.prepare(START)
    assert empty.events.is_prepared(START), "nothing comes next"


def test_a_drill_counts_in_shadow_only() -> None:
    drill = event("adequacy_revoke", scope={"bases": ["dpf"]}, mode="drill")
    assert Case(drill).legal() == "de fr us us-scc"
    assert Case(drill, drills=True).legal() == "de fr us-scc"


def test_the_law_names_the_events_that_took_part() -> None:
    case = Case(
        event("adequacy_revoke", "revoked", scope={"bases": ["dpf"]}),
        event("injunction", "fr-only", scope={"subjects": ["FR"], "countries": ["US"]}),
        event("injunction", "nowhere", scope={"regions": ["elsewhere"]}),
        event("region_suspend", "suspended", scope={"regions": ["gb"]}),
        event("sanctions_add", "sanctions", scope={"subjects": ["BR"]}),
    )
    assert case.law(at=START - 1).events == ()
    assert case.law().events == ("revoked", "suspended")
    assert case.law("FR").events == ("fr-only", "revoked", "suspended")
    assert case.law("IN").events == ("suspended",)
    assert case.law("BR").events == ("sanctions",)


MISTAKES: dict[str, dict[str, Any]] = {
    "no scope": event("injunction", scope={}),
    "a suspension without regions": event("region_suspend", scope={"countries": ["US"]}),
    "a suspension of bases": event("region_suspend", scope={"regions": ["us"], "bases": ["dpf"]}),
    "a grant without basis": event("adequacy_grant", scope={"regimes": ["eu"], "countries": ["GB"]}),
    "a grant without regime": event("adequacy_grant", scope={"countries": ["GB"]}, basis="b"),
    "a lift of nothing": event("lift"),
    "a lift of what is not there": event("lift", ends="nothing"),
    "a lift with a scope": event("lift", ends="x", scope={"regions": ["us"]}),
    "a threshold without count": event("threshold_reached", counter="c"),
    "a count on an order": event("regulator_order", scope={"regions": ["us"]}, count=3),
    "a window that ends first": event("region_suspend", scope={"regions": ["us"]}, until=START - 1),
    "an unknown type": event("wish", scope={"regions": ["us"]}),
}


@pytest.mark.parametrize("described", MISTAKES.values(), ids=MISTAKES)
def test_incoherent_events(described: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EventsFile.model_validate({"events": [described]})
