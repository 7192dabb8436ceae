"""Rules of a compiled policy that only one step in the code separates from another rule (docs/internals/tests.md)."""

from __future__ import annotations

from typing import Any

from borderpost.policy.decide import asked
from borderpost.policy.model import Evidence, Facts, Source
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
