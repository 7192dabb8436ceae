"""What sections hold that say nothing, how far figures go, what each event names (docs/internals/tests.md)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from borderpost.policy.event_schema import Approval, EventsFile, LegalEvent
from borderpost.policy.fields import Text
from borderpost.policy.model import Evidence, Law, Source, Trust
from borderpost.policy.pack import Counter, Threshold
from borderpost.policy.schema import (
    EvidenceSpec,
    GeoipSource,
    PolicySection,
    RegionDefaults,
    RegionSpec,
    TenantSpec,
    TreatAs,
    Unknown,
)
from support.legal_events import approvals, event

ABSENT: list[tuple[type[BaseModel], dict[str, Any], dict[str, Any]]] = [
    (
        EvidenceSpec, {}, {
            "token": {
                "namespace": "envoy.filters.http.jwt_authn", "payload_key": "payload", "residency_claim": "residency",
                "tenant_claim": "tenant", "issuers": (),
            },
            "mtls": None,
            "header": {"name": "x-data-residency"},
            "geoip": {"min_confidence": 80, "anonymiser": "unknown", "hosting": "unknown"},
            "headers": {
                "data_class": "x-data-class", "tenant": "x-tenant", "model": "x-model", "purpose": "x-purpose",
            },
            "subdivision_unknown": "country-only",
            "unknown": "refuse",
            "default_classes": ("personal",),
            "trust_model_header": False,
            "trust_purpose_header": False,
        },
    ),
    (RegionDefaults, {}, {"retention": "unknown", "telemetry": "unknown"}),
    (RegionSpec, {"country": "DE"}, {"processing_scope": "single", "retention": "unknown", "telemetry": "unknown"}),
    (TenantSpec, {}, {"trust_declared_class": False}),
    (
        PolicySection, {}, {
            "processors": {"checked": "per-request", "subjects": ("*",)}, "no_regime": "refuse", "packs": ("starter",),
            "review_grace_days": 90, "mode": "legal-first",
        },
    ),
    (LegalEvent, event("injunction", scope={"regions": ["us"]}), {"mode": "enforce"}),
    (
        EventsFile, {}, {
            "apiVersion": "residency/v1", "kind": "LegalEvents", "clock_error_us": 0, "head": None, "length": 0,
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("model", "given", "expected"), ABSENT)
def test_what_holds_where_nothing_is_said(
    model: type[BaseModel], given: dict[str, Any], expected: dict[str, Any]
) -> None:
    read = model.model_validate(given).model_dump()
    assert {key: read[key] for key in expected} == expected


def is_accepted(kind: Any, given: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(given)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "key", "least", "most"),
    [
        (GeoipSource, "min_confidence", 0, 100),
        (PolicySection, "review_grace_days", 0, 3660),
        (EventsFile, "clock_error_us", 0, 60_000_000),
        (EventsFile, "length", 0, None),
    ],
)
def test_how_far_a_figure_goes(kind: Any, key: str, least: int, most: int | None) -> None:
    assert is_accepted(kind, {key: least}) and not is_accepted(kind, {key: least - 1})
    if most is not None:
        assert is_accepted(kind, {key: most}) and not is_accepted(kind, {key: most + 1})


def test_how_long_a_text_is() -> None:
    assert [is_accepted(Text, "a" * length) for length in (0, 1, 2000, 2001)] == [False, True, True, False]


def test_how_far_evidence_is_trusted_is_told_in_these_words() -> None:
    assert [trust.value for trust in Trust] == ["verified", "asserted", "inferred"]


def test_evidence_is_whole_and_law_is_fresh_unless_something_else_is_said() -> None:
    assert not Evidence(Source.HEADER, "DE").subdivision_unknown
    stale = {field.name: field.default for field in dataclasses.fields(Law)}["stale"]
    assert stale is False


def test_a_threshold_is_within_what_is_counted() -> None:
    given = (0, 1, 10**12, 10**12 + 1)
    accepted = [is_accepted(Threshold, {"counter": "c", "count": count}) for count in given]
    assert accepted == [False, True, True, False]


def test_a_counter_counts_some_basis() -> None:
    counter = {"id": "c", "bases": ["b"]}
    assert is_accepted(Counter, counter) and not is_accepted(Counter, {**counter, "bases": []})


def test_a_threshold_is_one_at_least() -> None:
    reached = [is_accepted(LegalEvent, event("threshold_reached", counter="c", count=count)) for count in (0, 1)]
    assert reached == [False, True]


def test_an_unknown_place_is_refused_or_treated_as_some_place() -> None:
    good: list[Any] = ["refuse", {"treat_as": ["DE"]}, TreatAs(treat_as=("DE",))]
    bad: list[Any] = ["allow", {"treat_as": []}, ["DE"], None]
    assert [is_accepted(Unknown, given) for given in good + bad] == [True] * 3 + [False] * 4


@pytest.mark.parametrize("key", ["retention", "telemetry"])
def test_what_is_elsewhere_is_a_word_or_a_place(key: str) -> None:
    good: list[Any] = ["unknown", "none", "same", "global", "zone:EEA", {"country": "DE"}]
    bad: list[Any] = ["sometimes", "zone:", {"land": "DE"}, 1, None]
    assert [given for given in good + bad if is_accepted(RegionSpec, {"country": "DE", key: given})] == good
    assert is_accepted(RegionSpec, {"country": "DE", "processing_scope": "zone:EEA"})


def test_digests_and_signatures_have_their_form() -> None:
    (approval,) = approvals("anna")
    assert is_accepted(Approval, approval) and is_accepted(EventsFile, {"head": "0a" * 32})
    assert not is_accepted(EventsFile, {"head": "0a" * 31})
    assert not is_accepted(Approval, {**approval, "key": approval["key"][:-1]})
    assert not is_accepted(Approval, {**approval, "signature": approval["signature"][1:]})


SCOPE: dict[str, list[str]] = {
    "subjects": ["DE"], "data": ["health"], "tenants": ["acme"], "models": ["m"], "countries": ["US"],
    "regions": ["us"], "operators": ["O"], "regimes": ["r"], "bases": ["b"],
}  # fmt: skip
NAMED = [
    ("region_suspend", {}, {"regions"}, {"regions"}),
    ("region_restore", {}, {"regions"}, {"regions"}),
    ("sanctions_add", {}, {"subjects"}, {"subjects"}),
    ("sanctions_lift", {}, {"subjects"}, {"subjects", "regimes"}),
    ("adequacy_revoke", {}, {"bases"}, {"regimes", "bases", "countries", "regions", "operators"}),
    ("adequacy_grant", {"basis": "b"}, {"regimes", "countries"}, {"regimes", "countries"}),
    ("lift", {"ends": "a"}, set(), set()),
    ("threshold_reached", {"counter": "c", "count": 1}, set(), set()),
    ("injunction", {}, set(), set(SCOPE)),
    ("regulator_order", {}, set(), set(SCOPE)),
]


@pytest.mark.parametrize(("type_", "more", "needed", "allowed"), NAMED)
def test_what_an_event_of_each_type_names(
    type_: str, more: dict[str, Any], needed: set[str], allowed: set[str]
) -> None:
    signed = approvals("anna", "bert")

    def told(names: set[str]) -> set[str]:
        scope = {name: SCOPE[name] for name in names}
        try:
            LegalEvent.model_validate(event(type_, scope=scope, approvals=signed, **more))
        except ValidationError as error:
            return {".".join(map(str, item["loc"])) for item in error.errors()}
        return set()

    assert told(allowed) == set()
    assert told(set(SCOPE)) == {f"scope.{name}" for name in set(SCOPE) - allowed}
    for name in needed:
        assert told(allowed - {name}) == {f"scope.{name}"}
    if needed:
        assert told(needed) == set()


@pytest.mark.parametrize(("type_", "more", "needed", "allowed"), NAMED)
def test_which_events_widen(type_: str, more: dict[str, Any], needed: set[str], allowed: set[str]) -> None:
    scope = {name: SCOPE[name] for name in allowed}
    read = LegalEvent.model_validate(event(type_, scope=scope, **more))
    assert read.widens == (type_ in {"region_restore", "sanctions_lift", "adequacy_grant", "lift"})
