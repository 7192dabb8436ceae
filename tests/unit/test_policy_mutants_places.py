"""Rules of places and processors that only one step in the code separates from another (docs/internals/tests.md)."""

from __future__ import annotations

import pytest

from borderpost.policy import codes, masks
from borderpost.policy.places import Places
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
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
        "skip": {"country": "US", "retention": "DE", "telemetry": "US"},
    }
    bases = Court(law, regions=regions).ask(geoip="DE").bases
    assert bases["both"] == "law/dpf:retention,law/home"
    assert bases["last"] == "law/dpf:telemetry,law/home"
    assert bases["own"] == "law/dpf"
    assert bases["skip"] == "law/dpf,law/home:retention"


def test_regions_that_all_say_nothing_of_what_they_keep_are_refused_all_the_same() -> None:
    regions = {name: {"country": "DE", "retention": "unknown", "telemetry": "unknown"} for name in ("a", "b")}
    law = Court(regime("law", "DE", allow=[HOME]), regions=regions).ask(geoip="DE")
    assert (law.legal, set(law.refused.values())) == ((), {"law/no-basis:retention"})


def test_what_is_kept_in_a_part_of_a_country_is_kept_by_the_region_s_own_operator() -> None:
    law = regime("law", "DE", allow=[{"to": "DE", "basis": "b", "require": {"contract": "scc"}}])
    here = {"country": "DE", "contracts": ["scc"]}
    for kept in ("DE", "DE-BE", {"country": "DE", "subdivision": "DE-BE"}):
        region = {"country": "DE", "contracts": ["scc"], "retention": kept}
        assert Court(law, regions={"eu": region}, here=here).ask(geoip="DE").legal == ("eu",)


def test_everywhere_is_every_country_and_nothing_else() -> None:
    places = Places(["UA-43", "AE-DIFC", "AE-DU"])
    cells = [places[country].cells for country in codes.COUNTRIES]
    assert masks.union(cells) == sum(cells) == places.everywhere


@pytest.mark.parametrize(("mentioned", "more"), [([], 0), (["ZW-HA", "ZW-MA", "ZW-HARARE"], 5), (["AE-DIFC"], 1)])
def test_as_many_places_as_the_bound_says_and_no_more(
    mentioned: list[str], more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(codes.COUNTRIES) + more
    monkeypatch.setattr(limits, "POLICY_PLACES_MAX", count)
    assert Places(mentioned).everywhere.bit_count() == count
    monkeypatch.setattr(limits, "POLICY_PLACES_MAX", count - 1)
    with pytest.raises(BorderpostError, match="BP0217"):
        Places(mentioned)


def test_of_a_part_known_without_the_zone_inside_it_the_law_of_its_rest_applies() -> None:
    groups = {
        "DUBAI_BUT_DIFC": {"plus": ["AE-DU"], "minus": ["AE-DIFC"]},
        "DIFC_BUT_DUBAI": {"plus": ["AE-DIFC"], "minus": ["AE-DU"]},
    }
    rest = regime("rest", "DUBAI_BUT_DIFC", allow=[{"to": "AE", "basis": "home"}])
    court = Court(rest, regions={"ae": "AE", "eu": "DE"}, groups=groups, here={"country": "AE"})
    law = court.ask(geoip="AE-DU")
    assert (law.regimes, law.legal, law.subdivision_unknown) == (("rest",), ("ae",), True)
    assert court.ask(geoip="AE-AZ").regimes == ()
    zone = regime("zone", "DIFC_BUT_DUBAI", allow=[{"to": "AE", "basis": "home"}])
    court = Court(zone, regions={"ae": "AE", "eu": "DE"}, groups=groups, here={"country": "AE"})
    assert court.ask(geoip="AE-DIFC").regimes == ("zone",)
    assert court.ask(geoip="AE-DU").regimes == ()


def test_a_part_that_nobody_named_is_the_rest_of_its_kind() -> None:
    places = Places(["AE-DU", "AE-DIFC"])
    whole, rest, zones = places["AE"], places["AE-AZ"], places["AE-ADGM"]
    assert rest.cells == whole.cells & ~places["AE-DU"].cells
    assert zones.cells == whole.cells & ~places["AE-DIFC"].cells
    assert (rest.key, zones.key) == (places["AE-SH"].key, places["AE-JAFZA"].key)
    assert len({whole.key, rest.key, zones.key}) == 3
    brittany = Places(["FR-BRE"])
    assert brittany["FR-IDF"].cells == brittany["FR"].cells & ~brittany["FR-BRE"].cells
    assert [places.is_cut(code) for code in ("AE", "AE-DU", "AE-DIFC", "AE-AZ", "ZZ")] == [True] * 3 + [False] * 2
    with pytest.raises(KeyError, match="ZZ"):
        places["ZZ"]


def test_a_part_that_only_a_group_names_is_not_its_whole_country() -> None:
    embargo = regime("embargo", "OCCUPIED", kind="embargo")
    court = Court(embargo, regions={"eu": "DE"}, groups={"OCCUPIED": {"plus": ["UA-43"]}})
    assert court.ask(geoip="UA-43").reason == "embargo"
    assert court.ask(geoip="UA-09").legal == ("eu",)
    assert court.ask(geoip="UA").legal == ("eu",)
