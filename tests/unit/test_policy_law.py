"""What the language says, one sentence a test: locations, sinks, modes, purposes, thresholds, doubt, staleness."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from borderpost.policy.decide import decide
from borderpost.policy.fields import parse_instant, to_us
from borderpost.policy.model import Evidence, Facts, Law, Mode, Ruling, Source
from borderpost.policy.own_processors import check_own_processors
from support.policy_builder import Court, regime

NOW = to_us(parse_instant("2026-11-20"))
EU = regime("eu", ["DE", "FR"], allow=[{"to": ["DE", "FR"], "basis": "home", "revocable": False}])
DPF = regime(
    "eu",
    ["DE", "FR"],
    allow=[
        {"to": ["DE", "FR"], "basis": "home", "revocable": False},
        {"to": "US", "basis": "dpf", "require": {"operator_certified": "dpf"}},
        {"to": "US", "basis": "scc", "require": {"contract": "scc"}, "only_in": "hybrid"},
    ],
)


def ask(court: Court, *, stale: bool = False, classes: tuple[str, ...] = ("personal",), **facts: Any) -> Law:
    """Ask about a German, unless `evidence` says otherwise."""
    evidence = facts.pop("evidence", (Evidence(Source.GEOIP, "DE", True),))
    return decide(Facts(evidence, classes, **facts), court.policy, court.events, NOW, stale=stale)


LOCATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "kept at home": ({"retention": "same", "telemetry": "none"}, "ok"),
    "kept in another allowed place": ({"retention": "FR"}, "ok"),
    "kept abroad": ({"retention": "US"}, "eu/no-basis:retention"),
    "told abroad": ({"telemetry": "US"}, "eu/no-basis:telemetry"),
    "kept nobody knows where": ({"retention": "unknown"}, "eu/no-basis:retention"),
    "told anywhere": ({"telemetry": "global"}, "eu/no-basis:telemetry"),
    "kept by a certified operator abroad": (
        {"retention": {"country": "US", "operator": {"certifications": ["dpf"]}}},
        "ok",
    ),
    "kept abroad by the region's own certified operator": (
        {"retention": "US", "operator": {"certifications": ["dpf"]}},
        "ok",
    ),
    "kept abroad by another, though the region's own is certified": (
        {"retention": {"country": "US", "operator": {"entity": "Other"}}, "operator": {"certifications": ["dpf"]}},
        "eu/no-basis:retention",
    ),
    "kept in a zone": ({"retention": "zone:HOME"}, "ok"),
    "kept in a zone that is too wide": ({"retention": "zone:WIDE"}, "eu/no-basis:retention"),
}


@pytest.mark.parametrize(("more", "expected"), LOCATIONS.values(), ids=LOCATIONS)
def test_each_of_three_locations_must_be_allowed(more: dict[str, Any], expected: str) -> None:
    groups = {"HOME": ["DE", "FR"], "WIDE": ["DE", "FR", "US"]}
    court = Court(DPF, regions={"r": {"country": "DE", **more}, "plain": "FR"}, groups=groups)
    law = ask(court)
    assert law.legal == (("plain", "r") if expected == "ok" else ("plain",))
    assert law.refused.get("r", "ok") == expected


def test_what_a_region_does_not_say_is_unknown_and_unknown_is_refused() -> None:
    court = Court(EU, regions={"says": "DE", "silent": {"country": "DE", "retention": "unknown", "telemetry": "same"}})
    assert ask(court).legal == ("says",)


def test_a_denial_hits_any_location_and_a_free_one_does_not_care() -> None:
    free = regime("free", "DE", default="allow", basis="b", deny=[{"to": "CN", "basis": "not-there"}])
    regions = {
        "here": "DE",
        "told": {"country": "DE", "telemetry": "CN"},
        "any": {"country": "DE", "retention": "unknown"},
    }
    law = ask(Court(free, regions=regions))
    assert law.legal == ("here",)
    assert dict(law.refused) == {"told": "free/not-there:telemetry", "any": "free/not-there:retention"}


def test_bases_name_the_location_that_they_allow() -> None:
    court = Court(DPF, regions={"r": {"country": "DE", "telemetry": "US", "operator": {"certifications": ["dpf"]}}})
    assert ask(court).bases["r"] == "eu/dpf:telemetry,eu/home"


def test_an_embargo_reaches_every_location() -> None:
    embargo = regime("emb", "KP", kind="embargo")
    court = Court(EU, embargo, regions={"a": "DE", "b": {"country": "DE", "retention": "KP"}})
    assert ask(court).legal == ("a",)


SINK = {"country": "US"}


def court_with_sink(sink: dict[str, Any], *regimes: Any, checked: str = "per-request", **more: Any) -> Court:
    from borderpost.policy.bundle import PolicyBundle
    from borderpost.policy.compile import compile_policy
    from borderpost.policy.events import EventList, compile_events

    court = Court(*regimes, regions={"r": "DE"}, **more)
    data = court.bundle.model_dump(mode="json", by_alias=True, exclude_none=True)
    data["sinks"] = {"bucket": sink}
    data["inline"]["processors"] = {"checked": checked, "subjects": ["DE"]}
    court.bundle = PolicyBundle.model_validate(data)
    court.policy = compile_policy(court.bundle, court.policy.specs)
    court.events = compile_events(EventList(), court.policy)
    return court


def test_a_sink_is_a_processor_that_the_law_must_allow() -> None:
    law = ask(court_with_sink(SINK, EU))
    assert (law.ruling, law.reason) == (Ruling.FORBIDDEN, "sink-not-allowed:bucket")
    assert dict(law.refused) == {"r": "eu/sink-not-allowed:bucket"}
    assert ask(court_with_sink({"country": "FR"}, EU)).legal == ("r",)
    assert ask(court_with_sink({"country": "US", "operator": {"certifications": ["dpf"]}}, DPF)).legal == ("r",)


def test_own_processors_may_be_checked_at_load() -> None:
    assert not list(check_own_processors(court_with_sink(SINK, EU).policy, NOW))
    found = list(check_own_processors(court_with_sink(SINK, EU, checked="at-load").policy, NOW))
    assert [(path, error.code) for path, error in found] == [(("sinks", "bucket"), "BP0223")]
    assert not list(check_own_processors(court_with_sink({"country": "DE"}, EU, checked="at-load").policy, NOW))
    elsewhere = regime("us", "US")  # its subjects are not those asked about
    assert not list(
        check_own_processors(court_with_sink({"country": "DE"}, EU, elsewhere, checked="at-load").policy, NOW)
    )


REQUIREMENTS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "attested": ({"attestation": "sev-snp"}, {"attestations": ["sev-snp"]}, True),
    "not attested": ({"attestation": "sev-snp"}, {}, False),
    "encrypted": ({"encryption": "in-use"}, {"encryption": ["in-use", "at-rest"]}, True),
    "not encrypted": ({"encryption": "in-use"}, {"encryption": ["at-rest"]}, False),
    "run from inside": ({"operator_in": ["DE", "FR"]}, {"operator": {"jurisdiction": "FR"}}, True),
    "run from outside": ({"operator_in": ["DE", "FR"]}, {"operator": {"jurisdiction": "US"}}, False),
    "run by nobody knows whom": ({"operator_in": "DE"}, {}, False),
}


@pytest.mark.parametrize(("require", "brings", "legal"), REQUIREMENTS.values(), ids=REQUIREMENTS)
def test_requirements(require: dict[str, Any], brings: dict[str, Any], legal: bool) -> None:
    rule = regime("r", "DE", allow=[{"to": "DE", "basis": "b", "require": require}])
    court = Court(rule, regions={"it": {"country": "DE", **brings}, "other": "US"}, here={"country": "DE", **brings})
    assert ask(court).legal == (("it",) if legal else ())


def test_residency_is_not_sovereignty() -> None:
    """A denial by who can compel the operator reaches a machine at home; an operator unknown may be anyone."""
    rule = regime(
        "cloud", "DE", default="allow", basis="b", deny=[{"to": "*", "operator_in": "US", "basis": "compelled"}]
    )
    regions = {
        "ours": {"country": "DE", "operator": {"jurisdiction": "DE"}},
        "theirs": {"country": "DE", "operator": {"jurisdiction": "US"}},
        "whose": {"country": "DE"},
    }
    court = Court(rule, regions=regions, here={"country": "DE", "operator": {"jurisdiction": "DE"}})
    assert ask(court).legal == ("ours",)


def test_modes_let_in_named_bases_and_never_past_a_regime() -> None:
    regions = {"eu": "DE", "us": {"country": "US", "contracts": ["scc"]}, "bare": "US"}
    court = Court(DPF, regions=regions)
    assert ask(court).legal == ("eu",)
    hybrid = ask(court, mode=Mode.HYBRID)
    assert (hybrid.legal, hybrid.mode, hybrid.bases["us"]) == (("eu", "us"), Mode.HYBRID, "eu/scc")
    assert ask(court, mode=Mode.PERFORMANCE_FIRST).legal == ("eu", "us")


def test_performance_first_needs_no_law_where_none_is_known() -> None:
    court = Court(regime("eu", "DE", data=["health"]), regions={"a": "DE", "b": "CN"}, no_regime="refuse")
    assert ask(court).reason == "no-regime"
    assert ask(court, mode=Mode.HYBRID).reason == "no-regime"
    fast = ask(court, mode=Mode.PERFORMANCE_FIRST)
    assert (fast.legal, fast.bases["b"]) == (("a", "b"), "policy/no-regime")


def test_the_strictest_mode_of_tenant_route_and_classes_holds() -> None:
    classes = {
        "public": {"rank": 0, "mode": "performance-first"},
        "personal": {"mode": "hybrid"},
        "health": {"implies": ["personal"], "rank": 3},
        "secret": {"implies": ["personal"], "mode": "legal-first"},
        "plain": {},
    }
    policy = Court(regions={"a": "DE"}, classes=classes).policy

    def mode(*names: str, given: Mode | None = None) -> Mode:
        return policy.mode_of(Facts((), names, mode=given))

    assert mode() is Mode.LEGAL_FIRST
    assert mode(given=Mode.HYBRID) is Mode.HYBRID
    assert mode("public") is Mode.PERFORMANCE_FIRST
    assert mode("public", given=Mode.HYBRID) is Mode.HYBRID
    assert mode("personal", "public") is Mode.HYBRID
    assert mode("health") is Mode.HYBRID, "of what it implies"
    assert mode("secret") is Mode.LEGAL_FIRST
    assert mode("plain") is Mode.LEGAL_FIRST
    assert mode("plain", "public") is Mode.LEGAL_FIRST, "one without a mode counts as the default"
    assert mode("plain", given=Mode.HYBRID) is Mode.HYBRID, "but says nothing where no class sets one"


@pytest.mark.parametrize(
    ("classes", "tenants", "code"),
    [
        ({"personal": {"mode": "performance-first"}}, {}, "BP0221"),
        ({"personal": {}, "public": {"rank": 0, "mode": "performance-first"}}, {}, None),
        ({"personal": {}}, {"acme": {"mode": "performance-first"}}, "BP0221"),
        ({"personal": {}, "telemetry": {}}, {"acme": {"mode": "performance-first", "classes": ["telemetry"]}}, None),
        ({"personal": {}, "health": {"implies": ["personal"]}},
         {"acme": {"mode": "performance-first", "classes": ["health"]}}, "BP0221"),
    ],
)  # fmt: skip
def test_performance_first_is_refused_at_load_where_a_regime_restricts(
    classes: dict[str, Any], tenants: dict[str, Any], code: str | None
) -> None:
    from borderpost.policy.bundle import PolicyBundle

    rules = {"regimes": [regime("eu", "DE", data=["personal"])], "data_classes": classes}
    described = {"here": {"country": "DE"}, "inline": rules, "tenants": tenants}
    if code is None:
        PolicyBundle.model_validate(described)
    else:
        with pytest.raises(ValidationError, match="restricts"):
            PolicyBundle.model_validate(described)


def test_purposes() -> None:
    rule = regime("research", "DE", purpose=["research"])
    court = Court(rule, regions={"a": "DE"}, no_regime="allow")
    assert ask(court, purpose="support").legal == ("a",)
    assert ask(court, purpose="research").legal == ()
    assert ask(court).legal == (), "a purpose that is not known may be any"


def test_a_regime_that_only_may_apply_is_no_law_to_rely_on() -> None:
    """Else leaving out the model or the purpose would open what was closed."""
    opening = regime("opening", "DE", default="allow", basis="b", purpose=["research"])
    court = Court(opening, regions={"a": "DE"}, no_regime="refuse")
    assert ask(court, purpose="research").legal == ("a",)
    assert ask(court, purpose="support").reason == "no-regime"
    assert ask(court).reason == "no-regime"


def doubtful(code: str) -> Evidence:
    return Evidence(Source.GEOIP, code, True, "anonymiser")


def test_evidence_in_doubt_places_nobody_and_calls_for_embargoes_alone() -> None:
    us = regime("us", "US", allow=[{"to": "US", "basis": "home"}])
    embargo = regime("emb", "KP", kind="embargo")
    court = Court(EU, us, embargo, regions={"eu": "DE", "us": "US"}, no_regime="refuse")
    assert ask(court, evidence=(doubtful("DE"),)).reason == "unknown-subject"
    token = Evidence(Source.TOKEN, "DE", True)
    law = ask(court, evidence=(token, doubtful("US")))
    assert (law.legal, law.effective, law.regimes, law.conflict) == (("eu",), ("DE",), ("eu",), None)
    assert ask(court, evidence=(token, doubtful("KP"))).reason == "embargo"
    assert ask(court, evidence=(doubtful("KP"),)).reason == "embargo"


def test_a_stale_list_of_events_leaves_only_what_no_event_could_take_away() -> None:
    regions = {"eu": "DE", "us": {"country": "US", "operator": {"certifications": ["dpf"]}}}
    court = Court(DPF, regions=regions)
    assert ask(court).legal == ("eu", "us")
    law = ask(court, stale=True)
    assert (law.legal, law.stale) == (("eu",), True)


def test_thresholds_and_what_counts_on_them() -> None:
    rule = regime(
        "cn",
        "CN",
        counters=[{"id": "people", "zone": "+08:00", "bases": ["few", "many"]}],
        allow=[
            {"to": "CN", "basis": "home"},
            {"to": "SG", "basis": "few", "below": {"counter": "people", "count": 100}},
            {"to": "SG", "basis": "many", "require": {"contract": "cn"}, "below": {"counter": "people", "count": 1000}},
        ],
        deny=[{"to": "SG", "basis": "too-many", "data": ["health"], "above": {"counter": "people", "count": 10}}],
    )
    regions = {"cn": "CN", "sg": "SG", "both": {"country": "SG", "contracts": ["cn"]}}

    def at(count: int | None, *classes: str) -> Law:
        reached = {
            "id": "t", "type": "threshold_reached", "counter": "people", "count": count, "source": "s", "reason": "r",
            "effective_from": "2026-11-01", "recorded_at": "2026-11-01", "effective_until": "2027-01-01",
        }  # fmt: skip
        court = Court(rule, regions=regions, here={"country": "CN"}, events=(reached,) if count else ())
        return ask(court, evidence=(Evidence(Source.GEOIP, "CN", True),), classes=classes or ("personal",))

    assert at(None).legal == ("both", "cn", "sg")
    assert at(None).bases["both"] == "cn/few,cn/many"
    assert at(99).legal == ("both", "cn", "sg"), "of a threshold that no entry has"
    assert at(100).legal == ("both", "cn")
    assert at(1000).legal == ("cn",)
    assert at(None, "health").legal == ("both", "cn", "sg")
    assert at(10, "health").legal == ("cn",)
    policy = Court(rule, regions=regions).policy
    assert policy.thresholds == {"people": (10, 100, 1000)}
    assert (policy.counted("cn/few,cn/many"), policy.counted("cn/home")) == (("people",), ())
    assert policy.counted("cn/few:retention") == ("people",)
    assert policy.counters["people"].zone == "+08:00"


def test_a_child_pack_is_no_law_to_rely_on() -> None:
    from borderpost.policy.bundle import PolicyBundle
    from borderpost.policy.compile import compile_policy
    from borderpost.policy.events import EventList, compile_events
    from borderpost.policy.pack import PolicyPack

    def legal(**metadata: str) -> tuple[str, ...]:
        packs = [
            {"id": "parent", "classes": {"personal": {}}, "regimes": []},
            {"id": "child", "classes": {}, "regimes": [regime("opening", "DE", default="allow", basis="b")]},
        ]
        read = [
            PolicyPack.model_validate(
                {
                    "apiVersion": "residency/v1",
                    "kind": "PolicyPack",
                    "metadata": {"id": p["id"], "version": "1", "as_of": "2026-11-20", "not_legal_advice": True}
                    | (metadata if p["id"] == "child" else {}),
                    "data_classes": p["classes"],
                    "regimes": p["regimes"],
                }
            )
            for p in packs
        ]
        bundle = PolicyBundle.model_validate({"here": {"country": "DE"}, "packs": read})
        court = Court(regions={"a": "DE"})
        policy = compile_policy(bundle, court.policy.specs)
        facts = Facts((Evidence(Source.GEOIP, "DE", True),), ("personal",))
        return decide(facts, policy, compile_events(EventList(), policy), NOW).legal

    assert legal() == ("a",)
    assert legal(parent="parent") == ()
