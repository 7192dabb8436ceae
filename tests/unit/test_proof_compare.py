"""A comparison finds a difference exactly where a second evaluator, asked of every request, finds one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import product
from random import Random

import pytest
from pydantic import ValidationError

from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.compile import compile_policy
from borderpost.policy.decide import decide
from borderpost.policy.fields import EPOCH, parse_instant, to_us
from borderpost.policy.model import Facts
from borderpost.policy.schema import TenantSpec
from borderpost.proof.changes import changes, merged
from borderpost.proof.compare import Comparison, Found
from borderpost.proof.grounds import Side
from borderpost.proof.space import Space
from borderpost.proof.standings import BELIEVED, Asking
from borderpost_base.errors import Problems
from support import policy_cases, space_cases
from support.naive_policy import NaivePolicy
from support.policy_builder import Court, regime
from support.policy_cases import World
from support.space_cases import Request

EVER = to_us(parse_instant("2000-01-01"))
NOW = to_us(parse_instant("2026-11-21"))


def smaller(world: World) -> World:
    """Return a world with one route and one tenant of which anything is said."""
    bundle = world.bundle
    tenants = {name: spec if name == "acme" else TenantSpec() for name, spec in bundle.tenants.items()}
    routes = {"chat": bundle.routes["chat"]}
    return replace(world, bundle=bundle.model_copy(update={"tenants": tenants, "routes": routes}))


PARTS = ["regime", "regime", "inline", "events", "regions", "evidence", "tenants", "routes", "all"]


def varied(random: Random, world: World) -> World:
    """Return a world that differs from another in some parts: regimes, events, regions, evidence, tenants, or all."""
    while True:
        other = smaller(space_cases.world(random))
        part = random.choice(PARTS)
        written, others = (one.bundle.model_dump(by_alias=True) for one in (world, other))
        regions, events = world.regions, world.events
        if part == "all":
            return other
        if part == "regime":
            inline = {**written["inline"]}
            if inline["regimes"] and random.random() < 0.5:
                inline["regimes"] = inline["regimes"][:-1]
            else:
                added = random.choice(others["inline"]["regimes"] or others["packs"][0]["regimes"] or [None])
                inline["regimes"] = [*inline["regimes"], *([{**added, "id": "added"}] if added else [])]
            written["inline"] = inline
        elif part == "inline":
            written["inline"] = {**written["inline"], "mode": others["inline"]["mode"]}
            written["inline"]["no_regime"] = others["inline"]["no_regime"]
        elif part == "events":
            events = other.events
        elif part == "regions":
            regions = {**dict(list(world.regions.items())[:-1]), **dict(list(other.regions.items())[-1:])}
        else:
            written[part] = others[part]
        try:
            bundle = PolicyBundle.model_validate(written)
            compile_policy(bundle, regions)
        except (ValidationError, Problems):
            continue
        return World(bundle, regions, events)


class Pair:
    """Two worlds, compared by the product and asked one by one of the second evaluator."""

    def __init__(self, seed: object, atoms: int = 4000) -> None:
        """Draw worlds that are told apart by at most so many atoms."""
        self.random = Random(f"compare/{seed}")
        self.space = self._drawn()
        while len(self.space) > atoms:
            self.space = self._drawn()
        self.comparison = Comparison(self.space)
        self.found = list(self.comparison.found(self.comparison.places))
        self.changing: dict[tuple[str, bool], list[Found]] = {}
        for one in self.found:
            for region in one.difference.regions if is_about_legality(one) else ():
                self.changing.setdefault((region, one.difference.legal), []).append(one)
        self.naive = tuple(NaivePolicy(world.bundle, world.regions, world.events) for world in self.worlds)

    def _drawn(self) -> Space:
        before = smaller(space_cases.world(self.random))
        self.worlds = (before, varied(self.random, before))
        return Space([space_cases.side(world) for world in self.worlds], from_us=EVER)

    def legal(self, facts: Iterable[Facts | None], at_us: int, *, stale: bool) -> list[set[str]]:
        """Return what either law makes legal, by the second evaluator."""
        at = EPOCH + timedelta(microseconds=at_us)
        asked = zip(self.naive, facts, strict=True)
        return [set() if one is None else set(naive.decide(one, at, stale=stale).legal) for naive, one in asked]

    def shows(self, region: str, asked: Request, at_us: int, *, gained: bool) -> bool:
        """Return True if some difference found is about a region and one of the places that a request names, then."""
        grounds = {self.space.grounds.of(code) for _, code in asked.said} | {None}
        return any(
            one.atom.span.from_us <= at_us < one.atom.span.until_us
            and one.atom.stale == (asked.stale and len(self.space.stale) > 1)
            and {one.atom.where.ground, one.atom.where.beside, one.company} & grounds
            for one in self.changing.get((region, gained), ())
        )


def is_about_legality(found: Found) -> bool:
    return found.difference.kind in ("widened", "narrowed") or found.difference.kind == "region"


def check_requests(pair: Pair, number: int) -> int:
    """Draw requests; each that either law treats otherwise must be among the differences."""
    differing = 0
    for _ in range(number):
        asked, at_us = space_cases.request(pair.random), to_us(policy_cases.instant(pair.random))
        facts = [space_cases.facts_of(reader, asked) for reader in pair.space.readers]
        before, after = pair.legal(facts, at_us, stale=asked.stale)
        for gained, regions in ((True, after - before), (False, before - after)):
            for region in regions:
                differing += 1
                assert pair.shows(region, asked, at_us, gained=gained), (region, gained, asked, at_us)
    return differing


def check_found(pair: Pair, most: int) -> int:
    """Ask the second evaluator the request that shows each difference; it must really differ, as is said."""
    checked = 0
    about = [one for one in pair.found if is_about_legality(one)]
    for one in pair.random.sample(about, min(most, len(about))):
        before, after = pair.legal(pair.comparison.facts(one), one.atom.span.from_us, stale=one.atom.stale)
        for region in one.difference.regions:
            assert (region in after) is one.difference.legal, one
            assert one.difference.kind == "region" or (region in before) is not one.difference.legal, one
        checked += 1
    return checked


@pytest.mark.slow
def test_differences_are_those_of_a_second_evaluator() -> None:
    differing = checked = 0
    for seed in range(5):
        pair = Pair(seed, 1500)
        differing += check_requests(pair, 150)
        checked += check_found(pair, 60)
        everywhere = set(pair.comparison.found(pair.space.where))
        assert everywhere == set(pair.found), "a place that was left out differs"
    assert differing > 5
    assert checked > 20


@pytest.mark.full
@pytest.mark.parametrize("block", range(5))
def test_differences_are_those_of_a_second_evaluator_in_hundreds_of_worlds(block: int) -> None:
    for seed in range(1000 + block * 20, 1000 + block * 20 + 20):
        pair = Pair(seed)
        check_requests(pair, 200)
        check_found(pair, 200)


def whole_product(pair: Pair) -> set[tuple[str, str, bool, int, bool]]:
    """Ask every place, set of classes, tenant, evidence, instant and staleness; return place, region, whether it is
    gained or lost, first instant of the span, and staleness of all that differ."""
    space = pair.space
    sources = {asking.sources for asking, _ in space.asked(space.where[1])}
    names = list(space.classes)
    sets = [tuple(name for bit, name in enumerate(names) if mask >> bit & 1) for mask in range(1 << len(names))]
    found = set()
    for tenant, by, declared in product((None, *policy_cases.TENANTS, "stranger"), sources, sets):
        asking = Asking(tenant=tenant, sources=by, declared=declared)
        for ground, span, stale in product(space.grounds.grounds, space.spans, space.stale):
            asked = Request(asking, tuple((source, ground.code) for source in by), BELIEVED, stale)
            facts = [space_cases.facts_of(reader, asked) for reader in space.readers]
            before, after = pair.legal(facts, span.from_us, stale=stale)
            for region in before ^ after:
                found.add((ground.code, region, region in after, span.from_us, stale))
    return found


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2000, 2004))
def test_the_whole_product_has_these_differences_and_no_others(seed: int) -> None:
    pair = Pair(seed, 1500)
    differing = {
        (one.atom.where.ground.code, region, one.difference.legal, one.atom.span.from_us, one.atom.stale)
        for one in pair.found
        if one.difference.kind in ("widened", "narrowed") and one.atom.where.ground is not None
        and one.atom.where.doubt is BELIEVED and one.atom.where.beside is None
        and one.atom.asking[:1] + one.atom.asking[2:5] == (None,) * 4
        for region in one.difference.regions
    }  # fmt: skip
    whole = whole_product(pair)
    assert differing <= whole
    assert whole <= {
        (one.atom.where.ground.code, region, one.difference.legal, one.atom.span.from_us, one.atom.stale)
        for one in pair.found
        if one.atom.where.ground is not None
        for region in one.difference.regions
    }


def comparison_of(before: Court, after: Court) -> Comparison:
    sides = [Side(court.policy, court.events) for court in (before, after)]
    return Comparison(Space(sides, from_us=NOW))


def told(comparison: Comparison) -> set[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Return kind, regions and places of each change."""
    found = merged([changes(comparison, comparison.found(comparison.places))])
    return {(one.kind, one.regions, tuple(code for code in one.places if len(code) == 2)) for one in found}


REGIONS = {"eu": "DE", "us": "US"}


def test_the_same_law_has_no_differences_and_no_place_to_look_at() -> None:
    court = Court(regime("r", "DE", allow=[{"to": "DE", "basis": "b"}]), regions=REGIONS)
    comparison = comparison_of(court, court)
    assert comparison.places == ()
    assert list(comparison.found(comparison.space.where)) == []


def test_only_places_that_a_changed_rule_is_about_are_looked_at() -> None:
    rules = [regime(code.lower(), code, allow=[{"to": code, "basis": "home"}]) for code in ("DE", "FR", "US")]
    changed = [*rules[:2], regime("us", "US", allow=[{"to": ["US", "DE"], "basis": "home"}])]
    comparison = comparison_of(Court(*rules, regions=REGIONS), Court(*changed, regions=REGIONS))
    assert {where.ground.codes for where in comparison.places if where.ground} == {("US",)}
    assert told(comparison) == {("widened", ("eu", "us"), ("US",))}, "the gateway in Germany may see it now"


def test_an_address_in_doubt_matters_beside_a_place_that_is_vouched_for() -> None:
    """An embargo that is lifted opens nothing for its place, but for who only seems to be there."""
    law = regime("de", "DE", allow=[{"to": "DE", "basis": "home"}])
    embargo = regime("stop", "KP", kind="embargo")
    before, after = (Court(*rules, regions=REGIONS, no_regime="refuse") for rules in ((law, embargo), (law,)))
    comparison = comparison_of(before, after)
    found = [one for one in comparison.found(comparison.places) if one.difference.kind == "widened"]
    assert found
    assert all(one.company is not None and one.company.code == "DE" for one in found)
    assert {one.difference.regions for one in found} == {("eu",)}
    for one in found:
        facts = comparison.facts(one)
        laws = [before.policy, after.policy], [before.events, after.events]
        legal = [
            decide(fact, policy, events, NOW).legal if fact is not None else ()
            for fact, policy, events in zip(facts, *laws, strict=True)
        ]
        assert legal == [(), ("eu",)]


def test_a_region_that_moves_is_told_though_its_name_stays_legal() -> None:
    law = regime("de", "DE", allow=[{"to": ["DE", "FR"], "basis": "home"}])
    comparison = comparison_of(Court(law, regions={"eu": "DE"}), Court(law, regions={"eu": "FR"}))
    kinds = {(kind, regions) for kind, regions, _ in told(comparison)}
    assert ("region", ("eu",)) in kinds


def test_regions_that_come_and_go_are_told() -> None:
    law = regime("de", "DE", allow=[{"to": ["DE", "FR"], "basis": "home"}])
    both, one = {"eu": "DE", "fr": "FR"}, {"eu": "DE"}
    added = told(comparison_of(Court(law, regions=one), Court(law, regions=both)))
    removed = told(comparison_of(Court(law, regions=both), Court(law, regions=one)))
    assert {kind for kind, _, _ in added} == {"widened"}
    assert {kind for kind, _, _ in removed} == {"narrowed"}


def test_an_id_stands_for_all_that_a_change_says() -> None:
    def ids(*places: str, until: str = "2028-01-01") -> set[str]:
        entries = [{"to": "US", "basis": "new", "until": until}]
        rules = [regime("de", [*places], allow=[{"to": "DE", "basis": "home"}, *more]) for more in ([], entries)]
        comparison = comparison_of(*(Court(rule, regions=REGIONS) for rule in rules))
        return {one.id for one in merged([changes(comparison, comparison.found(comparison.places))])}

    assert ids("DE") == ids("DE")
    assert len({*ids("DE"), *ids("DE", "FR"), *ids("DE", until="2029-01-01")}) == 3


def test_parts_found_apart_are_one_change() -> None:
    rules = [regime("de", ["DE", "FR"], allow=[{"to": to, "basis": "home"}]) for to in ("DE", ["DE", "US"])]
    other = regime("fr", "FR", allow=[{"to": "*", "basis": "any"}])
    comparison = comparison_of(*(Court(rule, other, regions=REGIONS) for rule in rules))
    whole = merged([changes(comparison, comparison.found(comparison.places))])
    parts = merged([changes(comparison, comparison.found((where,))) for where in comparison.places])
    assert [(one.id, one.atoms) for one in whole] == [(one.id, one.atoms) for one in parts]
    assert len(whole) == 2, "in France by two laws"
