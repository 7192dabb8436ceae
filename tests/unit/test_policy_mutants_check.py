"""What is wrong with a policy is told at its own key, and nothing that is right is told (docs/internals/tests.md)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from borderpost.policy.bundle import PolicyBundle, build_bundle
from borderpost.policy.check import (
    check_events,
    check_region_defaults,
    check_regions,
    unknown_group,
    unknown_name,
    vocabulary_of,
)
from borderpost.policy.event_schema import EventsFile
from borderpost.policy.schema import Here, InlineRules, RegionDefaults, RegionSpec
from borderpost_base import limits
from support.legal_events import approvals, event
from support.policy_builder import CLASSES, regime

LAW = regime("law", "DE", data=["personal"], allow=[{"to": "DE", "basis": "home"}])


def wrong(inline: dict[str, Any] | None = None, **sections: Any) -> list[Any]:
    """Return what pydantic tells of a bundle, error by error."""
    rules = {"data_classes": CLASSES, "regimes": [LAW], **(inline or {})}
    try:
        PolicyBundle.model_validate({"here": {"country": "DE"}, "inline": rules, **sections})
    except ValidationError as error:
        return list(error.errors())
    return []


def found(inline: dict[str, Any] | None = None, **sections: Any) -> list[tuple[str, str]]:
    """Return where something is wrong with a bundle, as `a.b.0`, and its code."""
    return [(".".join(map(str, item["loc"])), item["ctx"]["error"].code) for item in wrong(inline, **sections)]


def classes(**more: Any) -> dict[str, Any]:
    return {"data_classes": {**CLASSES, **more}}


def test_a_policy_without_mistakes() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("inline", "sections", "expected"),
    [
        (
            classes(odd={"implies": ["personal", "missing"], "rank": 9}), {},
            ("policy.data_classes.odd.implies.1", "BP0204"),
        ),
        (classes(odd={"implies": ["health"], "rank": 1}), {}, ("policy.data_classes.odd.implies.0", "BP0216")),
        ({}, {"evidence": {"default_classes": ["personal", "missing"]}}, ("evidence.default_classes.1", "BP0204")),
        ({}, {"tenants": {"acme": {"classes": ["missing"]}}}, ("tenants.acme.classes.0", "BP0204")),
        ({}, {"routes": {"chat": {"classes": ["personal", "missing"]}}}, ("routes.chat.classes.1", "BP0204")),
        ({}, {"routes": {"chat": {"tenant": "missing"}}, "tenants": {"acme": {}}}, ("routes.chat.tenant", "BP0214")),
        (
            {"regimes": [LAW, regime("two", "DE", tenant=["acme", "missing"])]},
            {"tenants": {"acme": {}}},
            ("policy.regimes.1.applies_when.tenant.1", "BP0214"),
        ),
        ({"groups": {"OURS": {"all_of": ["THEIRS"]}}}, {}, ("policy.groups.OURS.all_of.0", "BP0203")),
        ({"groups": {"OURS": {"minus": ["DE"]}}}, {}, ("policy.groups.OURS", "BP0212")),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_key(
    inline: dict[str, Any], sections: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert found(inline, **sections) == [expected]


def test_an_error_says_what_kind_of_name_is_not_known() -> None:
    routes = {"chat": {"tenant": "missing", "classes": ["missing"]}}
    assert [item["msg"] for item in wrong(routes=routes)] == ["no data class `missing`", "no tenant `missing`"]
    for_one = regime("two", ["DE", "NOWHERE"], tenant=["missing"])
    told = wrong({"regimes": [LAW, for_one]})
    assert [item["msg"] for item in told] == ["no group `NOWHERE`", "no tenant `missing`"]
    assert {item["type"] for item in told} == {"borderpost"}
    scope = {"regions": ["us"], "regimes": ["missing"]}
    events = EventsFile.model_validate({"events": [event("injunction", scope=scope)], "clock_error_us": 0}).events
    details = [error.detail for _, error in check_events(events, ["eu"], vocabulary_of([]))]
    assert details == ["no region `us`", "no regime `missing`"]


FAST = {"mode": "performance-first"}
FREE = {"evidence": {"default_classes": ["public"]}}
HOME = {"to": "DE", "basis": "home"}
OPEN = regime("open", "DE", default="allow", basis="b")


@pytest.mark.parametrize(
    ("inline", "sections", "expected"),
    [
        (FAST, {}, ["policy.mode"]),
        (FAST, FREE, []),
        (classes(fast={**FAST}), {}, []),
        (classes(fast={**FAST, "implies": ["personal"]}), {}, ["policy.data_classes.fast.mode"]),
        ({}, {"tenants": {"acme": FAST}}, ["tenants.acme.mode"]),
        ({}, {"routes": {"chat": FAST}}, ["routes.chat.mode"]),
        ({}, {"routes": {"chat": {**FAST, "classes": ["health", "public"]}}}, ["routes.chat.mode"]),
        (FAST, {**FREE, "tenants": {"acme": {"classes": ["personal"]}}}, ["policy.mode"]),
        (FAST, {**FREE, "routes": {"r": {"classes": ["personal"], "mode": "hybrid"}}}, []),
        ({**FAST, "regimes": [regime("embargo", "KP", kind="embargo")]}, {}, []),
        ({**FAST, "regimes": [OPEN]}, {}, []),
        ({**FAST, "regimes": [{**OPEN, "deny": [{"to": "US"}]}]}, {}, ["policy.mode"]),
        ({**FAST, "regimes": [regime("any", "DE", allow=[HOME])]}, FREE, ["policy.mode"]),
        ({**FAST, "regimes": [LAW, regime("any", "DE", allow=[HOME])]}, {}, ["policy.mode"]),
    ],
)  # fmt: skip
def test_performance_first_is_refused_where_some_law_may_restrict_the_data(
    inline: dict[str, Any], sections: dict[str, Any], expected: list[str]
) -> None:
    assert found(inline, **sections) == [(place, "BP0221") for place in expected]


def test_law_for_one_tenant_restricts_that_tenant_s_data_and_whose_tenant_is_not_known() -> None:
    rules = {"regimes": [regime("ours", "DE", tenant=["acme"], allow=[{"to": "DE", "basis": "b"}])]}
    tenants: dict[str, Any] = {"acme": {}, "beta": {}}
    for name, expected in (("acme", ["tenants.acme.mode"]), ("beta", [])):
        told = found(rules, tenants={**tenants, name: FAST})
        assert told == [(place, "BP0221") for place in expected]
    for route, expected in (({"tenant": "acme"}, ["routes.r.mode"]), ({"tenant": "beta"}, []), ({}, ["routes.r.mode"])):
        told = found(rules, tenants=tenants, routes={"r": {**FAST, **route}})
        assert told == [(place, "BP0221") for place in expected]


def test_a_class_that_nobody_defines_is_told_as_that_whatever_the_mode() -> None:
    implying = classes(fast={**FAST, "implies": ["missing"]})
    assert found(implying) == [("policy.data_classes.fast.implies.0", "BP0204")]
    named = {"evidence": {"default_classes": ["missing"]}}
    assert found(FAST, **named) == [("evidence.default_classes.0", "BP0204")]


def test_a_zone_that_is_no_group_is_told_at_its_key() -> None:
    known = vocabulary_of([InlineRules.model_validate({"groups": {"OURS": ["DE"]}})])
    keys = ("processing_scope", "retention", "telemetry")
    for key in keys:
        regions = {
            "bad": RegionSpec.model_validate({"country": "DE", key: "zone:NOWHERE"}),
            "good": RegionSpec.model_validate({"country": "DE", **dict.fromkeys(keys, "zone:OURS")}),
        }
        assert [(path, error.code) for path, error in check_regions(regions, known)] == [
            (("regions", "bad", key), "BP0203")
        ]
    for key in keys[1:]:
        defaults = RegionDefaults.model_validate(
            {"retention": "zone:OURS", "telemetry": "zone:OURS", key: "zone:NOWHERE"}
        )
        told = [(path, error.code) for path, error in check_region_defaults(defaults, known)]
        assert told == [(("region_defaults", key), "BP0203")]


def test_names_of_an_event_that_are_not_here_are_told_at_their_keys() -> None:
    known = vocabulary_of(
        [InlineRules.model_validate({"groups": {"OURS": ["DE"]}, "data_classes": CLASSES, "regimes": [LAW]})]
    )
    good = {
        "regions": ["eu"],
        "subjects": ["DE", "OURS"],
        "countries": ["OURS"],
        "data": ["health"],
        "regimes": ["law"],
    }
    bad = {
        name: [*listed, "NOWHERE" if name in ("subjects", "countries") else "nowhere"] for name, listed in good.items()
    }
    granted = event("adequacy_grant", "g", basis="b", scope={"countries": ["DE"], "regimes": ["law"]})
    signed = {**granted, "id": "s", "approvals": approvals("anna", "bert")}
    listed = [event("injunction", "a", scope=good), event("injunction", "b", scope=bad), granted, signed]
    events = EventsFile.model_validate({"events": listed, "clock_error_us": 0}).events
    told = {".".join(map(str, path)): error.code for path, error in check_events(events, ["eu", "us"], known)}
    assert told == {
        "events.1.scope.regions.1": "BP0211", "events.1.scope.subjects.2": "BP0203",
        "events.1.scope.countries.1": "BP0203",
        "events.1.scope.data.1": "BP0204", "events.1.scope.regimes.1": "BP0222", "events.2.type": "BP0224",
    }  # fmt: skip
    only_regions = [path for path, _ in check_events(events[:2], ["eu"], None)]
    assert only_regions == [("events", 1, "scope", "regions", 1)]
    everywhere = EventsFile.model_validate(
        {"events": [event("injunction", scope={"subjects": ["*"]})], "clock_error_us": 0}
    )
    assert list(check_events(everywhere.events, [], known)) == []


def counting(name: str) -> dict[str, Any]:
    counters = [{"id": id_, "bases": ["home"]} for id_ in (f"{name}-own", "shared")]
    return regime(name, "DE", counters=counters, allow=[HOME])


def test_a_counter_is_defined_once() -> None:
    assert found({"regimes": [counting("one")]}) == []
    assert found({"regimes": [counting("one"), counting("two")]}) == [("policy.regimes.1.counters.1.id", "BP0206")]


def pack(number: int, **rules: Any) -> dict[str, Any]:
    metadata = {"id": f"p{number}", "version": "1", "as_of": "2026-11-20", "not_legal_advice": True}
    return {"apiVersion": "residency/v1", "kind": "PolicyPack", "metadata": metadata, **rules}


def test_as_many_packs_as_the_bound_says_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    packs = [pack(number) for number in range(3)]
    monkeypatch.setattr(limits, "POLICY_PACKS_MAX", 2)
    assert found(packs=packs[:2]) == []
    assert found(packs=packs) == [("policy.packs", "BP0217")]
    assert found(packs=[packs[0], packs[0]]) == [("packs.1", "BP0206")]


REFERENCES: list[tuple[str, dict[str, Any]]] = [
    ("applies_when.subject_in.1", {"subject_in": ["DE", "NOWHERE"]}),
    ("applies_when.data.1", {"data": ["personal", "missing"]}),
    ("allow.1.to.0", {"allow": [HOME, {"to": "NOWHERE", "basis": "b"}]}),
    ("allow.0.require.operator_in.1", {"allow": [{**HOME, "require": {"operator_in": ["*", "NOWHERE"]}}]}),
    ("allow.0.except_data.0", {"allow": [{**HOME, "except_data": ["missing"]}]}),
    ("deny.0.to.1", {"deny": [{"to": ["DE", "NOWHERE"]}]}),
    ("deny.1.operator_in.0", {"deny": [{"to": "DE"}, {"to": "DE", "operator_in": ["NOWHERE"]}]}),
    ("deny.0.unless.operator_in.0", {"deny": [{"to": "DE", "unless": {"operator_in": ["NOWHERE"]}}]}),
    ("deny.0.data.1", {"deny": [{"to": "DE", "data": ["personal", "missing"]}]}),
]


@pytest.mark.parametrize(("place", "rule"), REFERENCES)
def test_a_name_in_a_regime_that_nobody_defines_is_told_at_its_key(place: str, rule: dict[str, Any]) -> None:
    told = {"allow": [HOME], **rule}
    wrong = regime("wrong", told.pop("subject_in", "DE"), **told)
    code = "BP0204" if "data" in place else "BP0203"
    assert found({"regimes": [LAW, wrong]}) == [(f"policy.regimes.1.{place}", code)]
    assert found(packs=[pack(0), pack(1, regimes=[wrong], data_classes=CLASSES)]) == [
        (f"packs.1.regimes.0.{place}", code)
    ]


def test_what_an_earlier_pack_defines_otherwise_is_told_at_its_key() -> None:
    first = pack(0, groups={"OURS": ["DE"]}, data_classes=CLASSES, regimes=[LAW])
    again = pack(1, groups={"OURS": ["DE"]}, data_classes=CLASSES)
    assert found({"data_classes": {}, "regimes": []}, packs=[first, again]) == []
    other = pack(1, groups={"OURS": ["FR"]}, data_classes={"personal": {"rank": 2}}, regimes=[LAW])
    assert found({"data_classes": {}, "regimes": []}, packs=[first, other]) == [
        (f"packs.1.{place}", "BP0206") for place in ("groups.OURS", "data_classes.personal", "regimes.0.id")
    ]


def circle(names: list[str]) -> tuple[tuple[Any, ...], list[str]]:
    """Return where a pack's groups that name one another in a circle are told to be wrong, and what is shown."""
    groups = {name: {"all_of": [following]} for name, following in zip(names, [*names[1:], names[0]], strict=True)}
    with pytest.raises(ValidationError) as caught:
        PolicyBundle.model_validate({"here": {"country": "DE"}, "packs": [pack(0, groups=groups)]})
    error = caught.value.errors()[0]
    assert error["ctx"]["error"].code == "BP0205"
    return tuple(error["loc"]), error["ctx"]["error"].detail.split(" → ")


@pytest.mark.parametrize("length", [2, 3, 19, 20, 40])
def test_a_circle_is_told_at_one_of_its_own_names_and_not_at_full_length(length: int) -> None:
    names = [f"G{number:02}" for number in range(length)]
    place, shown = circle(names)
    assert place[:3] == ("packs", 0, "groups")
    assert place[3] in shown
    assert shown[-1] == shown[0]
    if length < 20:
        assert sorted(set(shown)) == names and len(shown) == length + 1
    else:
        assert shown[-2] == "…" and len(shown) == 22


@pytest.mark.parametrize("more", [{}, {"MORE": {"plus": ["DE"]}}])
def test_a_circle_over_two_packs_is_told_at_the_group_of_the_later_one(more: dict[str, Any]) -> None:
    earlier = {"EARLIER": {"all_of": ["LATER", *more]}}
    later = {**more, "LATER": {"all_of": ["EARLIER"]}}
    told = found(packs=[pack(0, groups=earlier), pack(1, groups=later)])
    assert ("packs.1.groups.LATER", "BP0205") in told


def test_a_circle_is_told_at_the_name_with_which_it_begins() -> None:
    groups = {name: {"all_of": [following]} for name, following in ("AB", "BC", "CA")}
    told = wrong(packs=[pack(0, groups=groups)])
    assert told and all(item["msg"].startswith(f"{item['loc'][-1]} → ") for item in told)


def test_a_circle_that_inline_classes_make_is_told_there() -> None:
    circular = {"a": {"implies": ["b"]}, "b": {"implies": ["c"]}, "c": {"implies": ["a"]}}
    assert {code for place, code in found(classes(**circular)) if place.startswith("policy.data_classes.")} == {
        "BP0205"
    }


def test_the_known_name_most_like_an_unknown_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [f"name-{number:02}" for number in reversed(range(20))]

    def meant(name: str) -> str | None:
        return unknown_name("BP0211", "region", name, known).mend

    for _ in range(2):
        assert meant("name-07x") == "did you mean `name-07`?"
        assert meant("mame-00") == "did you mean `name-00`?"
        assert meant("name-19x") == "did you mean `name-19`?"
        assert meant("other") == "Configure the region, or correct its spelling."
        monkeypatch.setattr(limits, "NAMES_COMPARED_MAX", 4)
    assert meant("aname-19") in {"did you mean `name-00`?", "did you mean `name-01`?"}, "of very many its neighbours"
    monkeypatch.setattr(limits, "NAMES_COMPARED_MAX", 20)
    assert meant("aname-19") == "did you mean `name-19`?"


def test_of_very_many_names_half_the_bound_is_compared_on_each_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NAMES_COMPARED_MAX", 6)
    known = [f"name-{letter}" for letter in "abcdefghijklmnopqrst"]
    for letter in "abc":
        assert unknown_name("BP0211", "region", f"a-name-{letter}", known).mend == f"did you mean `name-{letter}`?"
        assert unknown_name("BP0211", "region", f"zname-{letter}", known).mend != f"did you mean `name-{letter}`?"
    for letter in "def":
        assert unknown_name("BP0211", "region", f"a-name-{letter}", known).mend != f"did you mean `name-{letter}`?"


def test_what_looks_like_a_code_and_is_none_is_told_as_one_unless_a_group_is_like_it() -> None:
    known = vocabulary_of([InlineRules.model_validate({"groups": {"EU_1": ["DE"]}})])
    assert unknown_group("EU_2", known).mend == "did you mean `EU_1`?"
    assert (unknown_group("ZZ", known).code, unknown_group("WHATEVER", known).code) == ("BP0201", "BP0203")


def test_rules_of_one_s_own_are_part_of_the_policy() -> None:
    own = InlineRules.model_validate({"data_classes": CLASSES, "regimes": [LAW]})
    assert [law.id for law in build_bundle(here=Here(country="DE"), policy=own).regimes] == ["law"]


def test_a_section_that_has_not_its_shape_is_refused_as_pydantic_says() -> None:
    nowhere: Any = {"land": "DE"}
    with pytest.raises(ValidationError) as caught:
        build_bundle(here=nowhere)
    assert {item["loc"] for item in caught.value.errors()} == {("here", "country"), ("here", "land")}
