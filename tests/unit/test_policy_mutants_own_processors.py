"""What is found at load of this gateway's own processors, rule by rule (docs/internals/tests.md)."""

from __future__ import annotations

from typing import Any

from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.compile import compile_policy
from borderpost.policy.fields import parse_instant, to_us
from borderpost.policy.own_processors import check_own_processors
from borderpost.policy.schema import RegionSpec
from support.policy_builder import CLASSES, at_home, regime

HOME = {"to": "DE", "basis": "home"}
LAW = regime("law", "DE", data=["personal"], allow=[HOME])


def found(*regimes: Any, here: str = "DE", at: str = "2026-11-20", subjects: Any = "DE", **inline: Any) -> list[str]:
    """Return what is found, as `place: detail`; sinks are in France and in the United States."""
    processors = {"checked": "at-load", "subjects": subjects}
    described = {
        "here": {"country": here},
        "sinks": {"fr": {"country": "FR"}, "us": {"country": "US"}},
        "inline": {"data_classes": CLASSES, "regimes": list(regimes), "processors": processors, **inline},
    }
    regions = {"eu": RegionSpec.model_validate(at_home("DE"))}
    policy = compile_policy(PolicyBundle.model_validate(described), regions)
    told = check_own_processors(policy, to_us(parse_instant(at)))
    return [
        f"{'.'.join(map(str, path))}: {error.detail.split('`')[1]} {error.detail.split('`')[3]}" for path, error in told
    ]


def test_each_own_processor_that_a_regime_refuses_is_found_once_with_the_first_class() -> None:
    assert found(LAW) == ["sinks.fr: law health", "sinks.us: law health"]
    assert found(LAW, here="US") == ["here: law health", "sinks.fr: law health", "sinks.us: law health"]
    lenient = {"to": "US", "basis": "b", "except_data": ["health"]}
    assert found(regime("law", "DE", allow=[HOME, {"to": "FR", "basis": "b"}, lenient])) == ["sinks.us: law health"]


def test_data_that_needs_no_law_and_data_that_no_regime_is_about_are_left_out() -> None:
    assert found(regime("law", "DE", data=["public"], allow=[HOME])) == []
    assert found(regime("law", "DE", data=["health"], allow=[HOME])) == ["sinks.fr: law health", "sinks.us: law health"]
    plain = {"data_classes": {"public": {"rank": 0}, "personal": {}, "alone": {}}}
    assert found(LAW, **plain) == ["sinks.fr: law personal", "sinks.us: law personal"]


def test_a_regime_counts_while_it_is_in_force_and_for_its_subjects() -> None:
    dated = {**LAW, "from": "2026-01-01", "until": "2027-01-01"}
    refused = ["sinks.fr: law health", "sinks.us: law health"]
    for at, expected in (("2025-12-31", []), ("2026-01-01", refused), ("2026-12-31", refused), ("2027-01-01", [])):
        assert found(dated, at=at) == expected
    assert found(LAW, subjects="FR") == []
    elsewhere = regime("elsewhere", "KE", data=["personal"], allow=[])
    assert found(elsewhere, LAW, subjects=["FR", "DE"]) == refused


def test_an_embargo_refuses_own_processors_in_its_places_alone() -> None:
    assert found(regime("embargo", "US", kind="embargo"), subjects="US") == ["sinks.us: embargo health"]
    assert found(regime("embargo", "KP", kind="embargo"), subjects="KP") == []


def test_what_counts_in_hybrid_mode_counts_where_that_is_the_mode() -> None:
    hybrid = {"to": ["FR", "US"], "basis": "b", "only_in": "hybrid"}
    law = regime("law", "DE", data=["personal"], allow=[HOME, hybrid])
    assert found(law) == ["sinks.fr: law health", "sinks.us: law health"]
    assert found(law, mode="hybrid") == []


def test_entries_count_at_the_instant_asked_about() -> None:
    until = {"to": ["FR", "US"], "basis": "b", "until": "2026-12-01"}
    law = regime("law", "DE", data=["personal"], allow=[HOME, until])
    assert found(law) == []
    assert found(law, at="2026-12-01") == ["sinks.fr: law health", "sinks.us: law health"]
