"""`risk` against brute force: each loss taken away by hand, each request decided one by one."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction

import pytest

from borderpost.foresight.change import Basis, Change, Staleness
from borderpost.foresight.hedges import given, hedges_for, needed, requirements_of
from borderpost.foresight.losses import Loss
from borderpost.foresight.risk import PERIL_KINDS, Exposure, Exposures, kind_of
from borderpost.foresight.scenario import Scenario
from borderpost.foresight.traffic import Workload
from borderpost.foresight.whatif import Flow
from borderpost.policy.model import Evidence, Facts, Source
from borderpost.policy.pack import Require
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from support.foreseen_traffic import random_facts, random_scenario, scenario_of
from support.policy_builder import Court, regime

ACME = {"entity": "Acme", "jurisdiction": "US"}
LOIRE = {"entity": "Loire", "jurisdiction": "FR"}
REGIONS = {
    "de-1": {"country": "DE", "operator": ACME},
    "fr-1": {"country": "FR", "operator": LOIRE},
    "us-1": {"country": "US", "operator": ACME},
}
EU = regime(
    "eu", ["DE", "FR"], data=["personal"],
    allow=[
        {"to": "DE", "basis": "home", "revocable": False},
        {"to": "FR", "basis": "agreed"},
        {"to": "US", "basis": "clauses", "require": {"contract": "scc", "tia": "approved"}},
    ],
)  # fmt: skip


def scenario() -> Scenario:
    return scenario_of(Court(EU, regions=REGIONS, no_regime="refuse"), REGIONS, _Up(1))


class _Up(random.Random):
    """Dice that leave every region up."""

    def choice(self, seq):  # type: ignore[no-untyped-def]
        return seq[0]


def person(code: str, *classes: str) -> Facts:
    return Facts((Evidence(Source.TOKEN, code),), classes)


def flow(facts: Facts, weight: int = 1, workload: str | None = None) -> Flow:
    return Flow(facts, False, weight, workload)


def exposed(made: Scenario, *flows: Flow, **workloads: Workload) -> dict[str, Exposure]:
    exposures = Exposures(made, workloads)
    for each in flows:
        exposures.add(each)
    return {each.name: each for each in exposures.exposed()}


@pytest.mark.parametrize("seed", range(5))
def test_every_loss_takes_what_deciding_each_request_without_it_says(seed: int) -> None:
    made = random_scenario(seed)
    dice = random.Random(seed)
    flows = [Flow(random_facts(dice), dice.random() < 0.2, dice.randint(1, 5), dice.choice("ab")) for _ in range(30)]
    exposures = Exposures(made, {})
    for each in flows:
        exposures.add(each)
    found = {each.name: each for each in exposures.exposed()}
    for name in "ab":
        own = [each for each in flows if each.workload == name]
        served = [each for each in own if made.verdict(each.facts, stale=each.stale).region is not None]
        assert found[name].total == sum(each.weight for each in own)
        assert found[name].served == sum(each.weight for each in served)
        for peril in exposures.perils:
            after = Change((peril,)).applied(replace(made)).scenario
            lost = sum(each.weight for each in served if after.verdict(each.facts, stale=each.stale).region is None)
            assert found[name].lost.get(peril, 0) == lost, peril


def test_the_score_is_what_its_formula_says() -> None:
    care = Workload(criticality=5)
    found = exposed(
        scenario(), flow(person("DE", "health"), 3, "care"), flow(person("DE", "public"), 1, "care"), care=care
    )
    exposure = found["care"]
    assert (exposure.criticality, exposure.sensitivity, exposure.served) == (5, 3, 4)
    # Legal for health: de-1 and fr-1. No single region, country, basis or stale list ends it; each operator leaves one.
    assert exposure.fragility(PERIL_KINDS) == 0
    only_german = replace(scenario(), stale=True)
    exposure = exposed(only_german, flow(person("DE", "health"), 3, "care"), care=care)["care"]
    possible = PERIL_KINDS[:5]
    # Stale, only `home` counts: de-1, Acme, Germany, US law each end it; no revocable basis is left to lose.
    assert [exposure.worst(kind)[0] for kind in possible] == [1, 1, 1, 1, 0]
    assert exposure.score(possible) == 5 * (1 + 3) * Fraction(4, 5)
    ends = {(kind_of(peril), peril.name if isinstance(peril, Loss) else "") for peril in exposure.ends_with}
    assert ends == {("region", "de-1"), ("operator", "Acme"), ("country", "DE"), ("jurisdiction", "US")}
    assert exposure.choice is not None
    assert tuple(exposure.choice) == (1, 1, 1, 1)


def test_the_ranking_is_by_score_then_name_whatever_the_order() -> None:
    flows = [flow(person("DE", "health"), 1, name) for name in ("b", "a", "c")]
    stale = replace(scenario(), stale=True)
    workloads = {"c": Workload(criticality=5)}
    for order in (flows, flows[::-1]):
        assert list(exposed(stale, *order, **workloads)) == ["c", "a", "b"]


def test_what_nobody_says_is_not_known() -> None:
    regions = {**REGIONS, "fr-1": {"country": "FR"}}
    made = scenario_of(Court(EU, regions=regions), regions, _Up(1))
    exposure = exposed(made, flow(person("DE", "personal"), 1, "w"))["w"]
    assert exposure.choice is not None
    assert exposure.choice == (2, None, None, 2)
    assert Loss("operator", "Acme") in exposure.ends_with, "whoever runs fr-1 may be Acme"
    assert not exposure.stated


def test_requests_without_a_workload_belong_together_by_tenant_and_data() -> None:
    facts = replace(person("DE", "personal"), tenant="clinic")
    found = exposed(scenario(), flow(facts), flow(person("FR", "personal")), flow(person("US")))
    assert set(found) == {"clinic / personal", "no tenant / personal", "no tenant / no class"}


def test_a_basis_that_carries_the_gateway_itself_is_a_loss() -> None:
    court = Court(EU, regions=REGIONS, here={"country": "FR"}, no_regime="refuse")
    made = scenario_of(court, REGIONS, _Up(1))
    exposure = exposed(made, flow(person("DE", "personal"), 1, "w"))["w"]
    assert Basis("eu", "agreed") in exposure.ends_with
    assert Staleness() in exposure.ends_with


def test_what_would_help_is_what_is_illegal_only_for_lack_of_it() -> None:
    made = replace(scenario().without({"fr-1"}))
    exposures = Exposures(made, {})
    exposures.add(flow(person("DE", "health"), 1, "care"))
    found = exposures.exposed()
    (hedge,) = hedges_for(found, made, exposures.possible)["care"]
    assert (hedge.region, hedge.opens) == ("us-1", 1)
    assert (
        needed(hedge.requirement)
        == "the contract scc with its operator and a transfer impact assessment that is approved"
    )
    assert hedge.score < found[0].score(exposures.possible)
    assert set(hedge.spares) == {Loss("region", "de-1"), Loss("country", "DE")}, "both are run by Acme, under US law"
    brought = made.given({"us-1": given(made.regions["us-1"], hedge.requirement)})
    law = brought.verdict(person("DE", "health")).law
    assert law is not None
    assert law.legal == ("de-1", "us-1")


def test_what_would_help_is_worth_what_the_deployment_with_it_would_score() -> None:
    assert sum(map(hedges_held_to_their_scores, range(4))) >= 3


def hedges_held_to_their_scores(seed: int) -> int:
    """Compare the score of each hedge of a random deployment with one worked out by hand; return how many there are."""
    made = random_scenario(seed)
    dice = random.Random(seed)
    flows = [flow(random_facts(dice), dice.randint(1, 5), "w") for _ in range(25)]
    exposures = Exposures(made, {})
    for each in flows:
        exposures.add(each)
    found = exposures.exposed()
    hedges = hedges_for(found, made, exposures.possible).get("w", [])
    for hedge in hedges:
        hedged = made.given({hedge.region: given(made.regions[hedge.region], hedge.requirement)})
        served = [each for each in flows if made.verdict(each.facts).region is not None]
        worst: dict[str, int] = dict.fromkeys(exposures.possible, 0)
        for peril in exposures.perils:
            after = Change((peril,)).applied(hedged).scenario
            lost = sum(each.weight for each in served if after.verdict(each.facts).region is None)
            worst[kind_of(peril)] = max(worst[kind_of(peril)], lost)
        total = sum(each.weight for each in served)
        fragility = sum(Fraction(lost, total) for lost in worst.values()) / len(worst)
        assert hedge.score == found[0].criticality * (1 + found[0].sensitivity) * fragility
        assert hedge.score < found[0].score(exposures.possible)
    return len(hedges)


def test_who_can_compel_an_operator_is_no_matter_of_contract() -> None:
    rule = regime("own", "*", default="allow", deny=[{"to": "*", "unless": {"operator_in": "FR"}, "basis": "fr-only"}])
    both = regime(
        "two", "*", default="allow",
        deny=[{"to": "*", "unless": {"operator_in": "FR", "encryption": "in-use"}, "basis": "x"}],
    )  # fmt: skip
    made = scenario_of(Court(rule, both, regions=REGIONS), REGIONS, _Up(1))
    assert requirements_of(made) == (Require(operator_in=("FR",), encryption="in-use"),)


@pytest.mark.parametrize(
    ("requirement", "brings"),
    [
        ({"contract": "scc"}, lambda spec: "scc" in spec.contracts),
        ({"tia": "approved"}, lambda spec: spec.tia == "approved"),
        ({"operator_certified": "dpf"}, lambda spec: "dpf" in spec.operator.certifications),
        ({"attestation": "sev"}, lambda spec: "sev" in spec.attestations),
        ({"encryption": "in-use"}, lambda spec: "in-use" in spec.encryption),
    ],
)
def test_each_requirement_can_be_given(requirement: dict[str, str], brings: object) -> None:
    spec = given(scenario().regions["us-1"], Require.model_validate(requirement))
    assert callable(brings)
    assert brings(spec)
    assert spec.operator.entity == "Acme"


def test_too_many_kinds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RISK_KINDS_MAX", 2)
    exposures = Exposures(scenario(), {})
    for name in ("a", "b", "a"):
        exposures.add(flow(person("DE", "personal"), 1, name))
    with pytest.raises(BorderpostError) as refused:
        exposures.add(flow(person("DE", "personal"), 1, "c"))
    assert refused.value.code == "BP1255"
