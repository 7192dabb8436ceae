"""Which regions are lost with a region, an operator, a country or the operators of a jurisdiction.

What a region does not say may be anything, as it may for legal events: where it is not known who runs a region, it
goes with each operator; where it is not known where it retains, it goes with each country. Such regions are named
apart (`unsure`), and may be left in.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from borderpost.foresight.scenario import Scenario
from borderpost.policy import check, codes
from borderpost.policy.catalogue import Catalogue, Territory
from borderpost.policy.pack import Require
from borderpost.policy.places import Places, group_cells
from borderpost.policy.schema import Processor, RegionSpec
from borderpost_base.errors import BorderpostError, Place

LossKind = Literal["region", "operator", "country", "jurisdiction"]
"""What can be lost. `jurisdiction` is that of operators: where they can be compelled."""

KINDS: Final[tuple[LossKind, ...]] = ("region", "operator", "country", "jurisdiction")


class Loss(NamedTuple):
    """One thing that is no longer there."""

    kind: LossKind
    name: str
    """A region's id, an operator's legal person, a place's code or a group of the policy."""

    def __str__(self) -> str:
        named = {"region": "region ", "operator": "", "country": "", "jurisdiction": "the operators under "}
        return f"{named[self.kind]}{self.name}"


class Lost(NamedTuple):
    """The regions that go with a loss."""

    sure: frozenset[str]
    """Those that say so."""
    unsure: frozenset[str]
    """Those that may be meant, because they do not say enough."""
    own: tuple[str, ...] = ()
    """`here` and the sinks that are meant too: they serve nothing, and what they do would have to be done elsewhere."""

    def regions(self, *, only_sure: bool) -> frozenset[str]:
        """Return the regions to take away."""
        return self.sure if only_sure else self.sure | self.unsure


def lost_with(loss: Loss, scenario: Scenario) -> Lost:
    """Return the regions that go with a loss.

    Raises BorderpostError BP0211 for a region that is not configured, BP1250 for an operator that runs none, or what is
    neither a place's code nor a group of the policy.
    """
    if loss.kind == "region":
        return _region(loss.name, scenario)
    if loss.kind == "operator":
        return _operator(loss.name, scenario)
    catalogue, cells = _ground(loss, scenario)
    policy = scenario.compiled.policy
    if loss.kind == "country":
        sure = catalogue.anywhere(catalogue.inside_cells(cells))
        perhaps = catalogue.processors_hit(cells)
    else:
        sure = catalogue.anywhere(catalogue.bringing(Require(operator_in=(loss.name,))))
        perhaps = catalogue.anywhere(catalogue.perhaps_operated_in((loss.name,)))
    found = frozenset(policy.index.named(sure))
    own = {"here": policy.index.here, **policy.index.sinks}
    meant = tuple(name for name, bit in own.items() if sure & bit)
    return Lost(found, frozenset(policy.index.named(perhaps)) - found, meant)


def _region(name: str, scenario: Scenario) -> Lost:
    if name not in scenario.regions:
        error = check.unknown_region(name, scenario.regions)
        raise BorderpostError(error.code, error.detail, place=Place("--without"), mend=error.mend)
    return Lost(frozenset({name}), frozenset())


def _operator(name: str, scenario: Scenario) -> Lost:
    named = {region: set(entities_of(spec)) for region, spec in scenario.regions.items()}
    sure = frozenset(region for region, entities in named.items() if name in entities)
    if not sure:
        known = sorted(set().union(*named.values()))
        near = difflib.get_close_matches(name, known, n=1)
        mend = f"did you mean `{near[0]}`?" if near else f"named in the catalogue: {', '.join(known) or 'none'}"
        raise BorderpostError("BP1250", f"no region says that `{name}` runs it", place=Place("--without"), mend=mend)
    silent = {region for region, spec in scenario.regions.items() if spec.operator.entity is None}
    own = {"here": scenario.bundle.here, **scenario.bundle.sinks}
    meant = tuple(key for key, processor in own.items() if processor.operator.entity == name)
    return Lost(sure, frozenset(silent) - sure, meant)


def entities_of(spec: RegionSpec) -> Iterator[str]:
    """Yield the legal persons named for a region: its operator, and those that retain or hear of it elsewhere."""
    for processor in (spec, spec.retention, spec.telemetry):
        if isinstance(processor, Processor) and processor.operator.entity is not None:
            yield processor.operator.entity


def places_of(spec: RegionSpec) -> Iterator[str]:
    """Yield the countries named for a region: its own, and those where it retains or tells."""
    for processor in (spec, spec.retention, spec.telemetry):
        if isinstance(processor, Processor):
            yield processor.country


def jurisdictions_of(spec: RegionSpec) -> Iterator[str]:
    """Yield the codes named for a region's operators: its own, and those of where it retains or tells."""
    for processor in (spec, spec.retention, spec.telemetry):
        if isinstance(processor, Processor) and processor.operator.jurisdiction is not None:
            yield processor.operator.jurisdiction


def _ground(loss: Loss, scenario: Scenario) -> tuple[Catalogue, int]:
    """Return the processors over places cut so fine that the loss's own is one of them, and its cells."""
    policy, bundle = scenario.compiled.policy, scenario.bundle
    groups = bundle.vocabulary.groups
    if loss.name in groups:
        return policy.catalogue, policy.territory.cells((loss.name,))
    try:
        codes.split_code(loss.name)
    except BorderpostError as error:
        near = difflib.get_close_matches(loss.name, groups, n=1)
        mend = f"did you mean the group `{near[0]}`?" if near else error.mend
        detail = f"`{loss.name}` is neither a place's code nor a group of the policy"
        raise BorderpostError("BP1250", detail, place=Place("--without"), mend=mend) from error
    if policy.places.is_cut(loss.name):
        return policy.catalogue, policy.territory.cells((loss.name,))
    places = Places([*policy.mentioned, loss.name])
    territory = Territory(places, group_cells(groups, places))
    return Catalogue(policy.index, bundle.here, bundle.sinks, policy.specs, territory), places[loss.name].cells


def every_loss(scenario: Scenario) -> Iterator[Loss]:
    """Yield each single loss that the catalogue makes possible: each region, and each operator, country and
    jurisdiction that a region names."""
    specs = scenario.regions.values()
    named: dict[LossKind, Iterable[str]] = {
        "region": scenario.regions,
        "operator": {name for spec in specs for name in entities_of(spec)},
        "country": {code for spec in specs for code in places_of(spec)},
        "jurisdiction": {code for spec in specs for code in jurisdictions_of(spec)},
    }
    for kind in KINDS:
        for name in sorted(named[kind]):
            yield Loss(kind, name)
