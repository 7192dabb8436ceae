"""What would help a workload: regions that are illegal for it only for lack of a contract, a certification or the like.

Each requirement that a rule of the policy names is given to every region, as if it had been met, and law asked again:
what becomes legal then was illegal for lack of it alone. Each such region is then really given it, and every loss that
hurts the workload taken away again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

from borderpost.foresight.change import Change
from borderpost.foresight.risk import Exposure, Peril, PerilKind
from borderpost.foresight.scenario import Scenario
from borderpost.policy.pack import Require
from borderpost.policy.schema import RegionSpec
from borderpost_base import limits

_WORDS = {
    "operator_certified": "its operator certified under {}",
    "contract": "the contract {} with its operator",
    "tia": "a transfer impact assessment that is {}",
    "attestation": "the attestation {}",
    "encryption": "encryption {}",
}


@dataclass(frozen=True, slots=True)
class Hedge:
    """A region that would become legal for a workload, and what that would spare it."""

    region: str
    requirement: Require
    opens: int
    """Weight of the requests for which the region would become legal."""
    score: Fraction
    """The workload's score if it were so."""
    spares: tuple[Peril, ...]
    """Losses that now end all of the workload's service, and then would not."""


def needed(requirement: Require) -> str:
    """Return what a region must bring, in words."""
    named = ((word, getattr(requirement, name)) for name, word in _WORDS.items())
    parts = [word.format(value) for word, value in named if value is not None]
    if requirement.operator_in is not None:
        parts.append(f"an operator who can be compelled in {', '.join(requirement.operator_in)} only")
    return " and ".join(parts)


def requirements_of(scenario: Scenario) -> tuple[Require, ...]:
    """Return every requirement of an allow entry, and every exception of a deny entry, that can be met by a contract.

    Who can compel an operator is no matter of contract: what asks for it alone is left out.
    """
    found: dict[str, Require] = {}
    for regime in scenario.bundle.regimes:
        required = [entry.require for entry in regime.allow] + [entry.unless for entry in regime.deny]
        for each in required:
            if each is not None and each.model_copy(update={"operator_in": None}) != _NOTHING:
                found.setdefault(each.model_dump_json(), each)
    return tuple(found[key] for key in sorted(found))


_NOTHING = Require.model_construct()


def given(spec: RegionSpec, requirement: Require) -> RegionSpec:
    """Return a region that brings what is required, as far as a contract can bring it."""
    update: dict[str, object] = {}
    for name, owned in (("contract", "contracts"), ("attestation", "attestations"), ("encryption", "encryption")):
        wanted = getattr(requirement, name)
        if wanted is not None:
            update[owned] = (*getattr(spec, owned), wanted)
    if requirement.tia is not None:
        update["tia"] = requirement.tia
    if requirement.operator_certified is not None:
        held = (*spec.operator.certifications, requirement.operator_certified)
        update["operator"] = spec.operator.model_copy(update={"certifications": held})
    return spec.model_copy(update=update)


def hedges_for(
    exposures: Sequence[Exposure], scenario: Scenario, possible: Sequence[PerilKind]
) -> dict[str, list[Hedge]]:
    """Return for each workload that any loss hurts what would help it, the best first.

    Measures are tried in order of the workloads, up to `limits.RISK_HEDGES_MAX` in all.
    """
    trials = _Trials(scenario)
    requirements = requirements_of(scenario)
    found: dict[str, list[Hedge]] = {exposure.name: [] for exposure in exposures if exposure.lost}
    hurt = [exposure for exposure in exposures if exposure.lost]
    candidates = ((exposure, *each) for exposure in hurt for each in _opening(exposure, scenario, requirements, trials))
    for exposure, requirement, region, opens in islice(candidates, limits.RISK_HEDGES_MAX):
        hedged = trials.hedged(exposure, requirement, region)
        score = hedged.score(possible)
        if score < exposure.score(possible):
            spares = tuple(peril for peril in exposure.ends_with if peril not in hedged.ends_with)
            found[exposure.name].append(Hedge(region, requirement, opens, score, spares))
    for hedges in found.values():
        hedges.sort(key=lambda hedge: (hedge.score, -hedge.opens, hedge.region, needed(hedge.requirement)))
    return found


def _opening(
    exposure: Exposure, scenario: Scenario, requirements: Sequence[Require], trials: _Trials
) -> Iterator[tuple[Require, str, int]]:
    """Yield each requirement and region that would become legal for some request, with how many of them."""
    for requirement in requirements:
        opened: dict[str, int] = {}
        for flow, weight in exposure.kinds:
            law, then = flow.verdict(scenario).law, flow.verdict(trials.everywhere(requirement)).law
            if law is not None and then is not None:
                for region in set(then.legal) - set(law.legal):
                    opened[region] = opened.get(region, 0) + weight
        for region in sorted(opened):
            yield requirement, region, opened[region]


class _Trials:
    """Scenarios that were tried, by what was given to which region and what was taken away."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._everywhere: dict[Require, Scenario] = {}
        self._after: dict[tuple[Require, str, Peril], Scenario] = {}

    def everywhere(self, requirement: Require) -> Scenario:
        """Return the scenario in which every region brings what is required."""
        found = self._everywhere.get(requirement)
        if found is None:
            regions = {name: given(spec, requirement) for name, spec in self._scenario.regions.items()}
            found = self._everywhere[requirement] = self._scenario.given(regions)
        return found

    def hedged(self, exposure: Exposure, requirement: Require, region: str) -> Exposure:
        """Return a workload as every loss that hurts it would leave it if one region brought what is required."""
        hedged = Exposure(
            exposure.name, exposure.criticality, exposure.stated, exposure.sensitivity, served=exposure.served
        )
        for peril in exposure.lost:
            after = self._after_loss(requirement, region, peril)
            lost = sum(weight for flow, weight in exposure.kinds if flow.verdict(after).region is None)
            if lost:
                hedged.lost[peril] = lost
        return hedged

    def _after_loss(self, requirement: Require, region: str, peril: Peril) -> Scenario:
        key = (requirement, region, peril)
        found = self._after.get(key)
        if found is None:
            spec = given(self._scenario.regions[region], requirement)
            found = self._after[key] = Change((peril,)).applied(self._scenario.given({region: spec})).scenario
        return found
