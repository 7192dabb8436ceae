"""Rules of a compiled policy that only one step in the code separates from another rule (docs/internals/tests.md)."""

from __future__ import annotations

from typing import Any

import pytest

from borderpost.policy.decide import asked
from borderpost.policy.model import Evidence, Facts, Source
from borderpost.rego.names import Names
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Problems
from support.policy_builder import Court, regime

REGIONS: dict[str, Any] = {"ca": "CA", "eu": "DE", "us": "US"}
HOME = {"to": "DE", "basis": "home"}


def test_of_a_country_known_without_its_part_every_law_of_the_rest_applies() -> None:
    groups = {"REST": {"plus": ["UA"], "minus": ["UA-43"]}}
    rest = [regime(name, "REST", allow=[{"to": "DE", "basis": "b"}]) for name in ("a-rest", "b-rest")]
    part = regime("c-part", "UA-43", allow=[{"to": "CA", "basis": "b"}])
    law = Court(*rest, part, regions=REGIONS, groups=groups).ask(geoip="UA")
    assert (law.regimes, law.legal, law.subdivision_unknown) == (("a-rest", "b-rest"), ("eu",), True)


def test_of_several_laws_that_only_may_apply_none_can_be_relied_on() -> None:
    opening = [regime(name, "DE", default="allow", basis="b", purpose=["research"]) for name in ("a", "b", "c")]
    court = Court(*opening, regions=REGIONS, no_regime="refuse")
    assert court.ask(geoip="DE", purpose="research").legal == ("ca", "eu", "us")
    assert court.ask(geoip="DE").reason == "no-regime"


def test_what_is_asked_tells_apart_every_place_and_doubt_that_law_does() -> None:
    court = Court(regime("de", "DE", allow=[HOME]), regime("fr", "FR", allow=[HOME]), regions=REGIONS)

    def ask(source: Source, code: str, doubt: str | None = None) -> object:
        facts = Facts((Evidence(source, code, doubt=doubt),), ("personal",))
        return asked(facts, court.policy, court.events)

    told = [
        ask(Source.GEOIP, "DE"), ask(Source.GEOIP, "FR"), ask(Source.GEOIP, "DE", "anonymiser"),
        ask(Source.HEADER, "DE"), ask(Source.GEOIP, "ZZ"),
    ]  # fmt: skip
    assert len(set(told)) == len(told)
    assert ask(Source.GEOIP, "DE-BE") == ask(Source.GEOIP, "DE-HE"), "no rule tells them apart"


def test_a_use_counts_for_every_counter_of_its_bases_wherever_it_is_told_of() -> None:
    counters = [{"id": f"c{number}", "bases": ["few"]} for number in (5, 3, 1, 6, 4, 2)]
    court = Court(regime("law", "DE", counters=counters, allow=[{"to": "US", "basis": "few"}, HOME]), regions=REGIONS)
    every = ("c1", "c2", "c3", "c4", "c5", "c6")
    for bases in ("law/few", "law/few:retention", "law/few:telemetry", "law/home,law/few:telemetry"):
        assert court.policy.counted(bases) == every
    assert court.policy.counted("law/home") == ()


def test_a_policy_names_its_regions_in_order() -> None:
    assert Court(regions={"us": "US", "ca": "CA"}).policy.region_ids == ("ca", "us")


def test_an_operator_of_a_country_is_not_surely_in_a_part_that_only_a_requirement_names() -> None:
    only = {"to": "*", "basis": "b", "require": {"operator_in": ["US-CA"]}}
    law = regime("law", "DE", allow=[only, HOME])
    regions = {
        "eu": "DE",
        "us": {"country": "US", "operator": {"jurisdiction": "US"}},
    }
    assert Court(law, regions=regions).ask(geoip="DE").legal == ("eu",)
    regions["ca"] = {"country": "US", "operator": {"jurisdiction": "US-CA"}}
    assert Court(law, regions=regions).ask(geoip="DE").legal == ("ca", "eu")


def test_what_was_worked_out_once_is_kept() -> None:
    policy = Court(regime("law", "DE", allow=[HOME]), regions=REGIONS).policy
    (law,) = policy.regimes
    assert policy.legal(0b101) == ("ca", "us")
    assert policy.legal(0b101) is policy.legal(0b101)
    first, until_us = policy.verdict(law, 0, 1, 0)
    assert policy.verdict(law, 1, 1, 0) == (first, until_us)
    assert policy.verdict(law, 1, 1, 0)[0] is first


def test_as_many_regions_as_the_bound_says_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REGIONS_MAX", len(REGIONS))
    assert Court(regions=REGIONS).policy.region_ids == ("ca", "eu", "us")
    with pytest.raises(BorderpostError, match="BP0217"):
        Court(regions={**REGIONS, "fr": "FR"})


def test_a_region_s_own_place_has_the_region_s_name_and_what_it_keeps_elsewhere_a_longer_one() -> None:
    elsewhere = {"country": "DE", "retention": {"country": "US"}, "telemetry": "none"}
    court = Court(regions={"eu": elsewhere, "us": "US"})
    assert Names(court.events).locations(court.events.catalogue.everyone) == [
        "@here",
        "eu",
        "eu:retention",
        "us",
        "us:retention",
        "us:telemetry",
    ]


def test_regions_of_an_unknown_zone_make_no_policy() -> None:
    with pytest.raises(Problems, match="NOWHERE"):
        Court(regions={"eu": {"country": "DE", "processing_scope": "zone:NOWHERE"}})
