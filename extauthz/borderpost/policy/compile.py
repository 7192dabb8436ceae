"""A bundle and a catalogue of regions become bit masks, so that a decision is a few dozen integer operations.

Built once for each policy or catalogue. What depends on time or data classes is worked out on first use and kept in
bounded memos: entries are dated, so each regime's timeline is cut at its boundaries, and between two of them its
verdict is constant. `regimes` holds one regime's part of this, `places` the sets of places.
"""

from __future__ import annotations

import graphlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeVar

from borderpost.policy import codes
from borderpost.policy.bundle import PolicyBundle, check_regions
from borderpost.policy.model import Facts, Source
from borderpost.policy.pack import DataClass
from borderpost.policy.places import Place, Places, group_cells, mentioned_in
from borderpost.policy.reasons import RegionIndex
from borderpost.policy.regimes import ANY_DATA, NEVER_US, Catalogue, CompiledRegime, Territory, Verdict
from borderpost.policy.schema import RegionSpec, TreatAs
from borderpost_base import limits
from borderpost_base.errors import BorderpostError

Key = TypeVar("Key")
Value = TypeVar("Value")
Asked = tuple[tuple[tuple[Source, str], ...], tuple[str, ...], str | None, int]
"""Where each source says the subject is, classes, what is missing, and the regimes that the tenant and the model leave:
see `asked`."""


class Applicability(NamedTuple):
    """Which regimes are about a subject at a place, as masks of regimes."""

    sure: int
    partly: int
    """Regimes about a part of the place, so that it is unknown whether they apply."""
    plain: int
    """Those of `partly` that would apply if the subject were in none of the parts named."""


class CompiledPolicy:
    """The law of one bundle over one catalogue, asked by `decide`. Its memos never change an answer."""

    __slots__ = (
        "_all_regimes",
        "_applicable",
        "_by_data",
        "_conditions",
        "_legal",
        "_verdicts",
        "classes",
        "covering",
        "embargoes",
        "everyone",
        "free",
        "index",
        "no_regime_refuses",
        "places",
        "regimes",
        "treat_as",
        "treatment",
        "trust_model",
        "windowed",
    )

    def __init__(self, bundle: PolicyBundle, regions: Mapping[str, RegionSpec]) -> None:
        known = bundle.vocabulary
        evidence = bundle.evidence
        self.index = RegionIndex(tuple(sorted(regions)))
        self.everyone = self.index.everyone | self.index.here
        """Mask of all regions and `here`."""
        self.treatment = evidence.subdivision_unknown
        self.treat_as = evidence.unknown.treat_as if isinstance(evidence.unknown, TreatAs) else ()
        self.trust_model = evidence.trust_model_header
        self.no_regime_refuses = bundle.inline.no_regime == "refuse"
        self.places = Places(_mentioned(bundle, regions))
        own_bits = {name: 1 << position for position, name in enumerate(sorted(known.classes))}
        self.classes = _closures(known.classes, own_bits)
        """Mask of each data class with all that it implies."""
        self.free = frozenset(name for name, data_class in known.classes.items() if data_class.rank == 0)
        """Classes that need no law to allow them."""
        territory = Territory(self.places, group_cells(known.groups, self.places))
        catalogue = Catalogue(self.index, bundle.here, regions, territory)
        self.regimes = tuple(
            CompiledRegime(1 << position, regime, territory, catalogue, own_bits)
            for position, regime in enumerate(bundle.regimes)
        )
        """Regimes sorted by id; the i-th has bit i in every mask of regimes."""
        self.embargoes = sum(regime.bit for regime in self.regimes if regime.embargo)
        self.covering = sum(regime.bit for regime in self.regimes if regime.covers)
        self.windowed = sum(
            regime.bit for regime in self.regimes if (regime.start_us, regime.end_us) != (-NEVER_US, NEVER_US)
        )
        self._conditions = [
            (compiled.bit, regime.applies_when.tenant, regime.applies_when.model)
            for compiled, regime in zip(self.regimes, bundle.regimes, strict=True)
            if regime.applies_when.tenant is not None or regime.applies_when.model is not None
        ]
        self._all_regimes = (1 << len(self.regimes)) - 1
        self._by_data: dict[int, int] = {}
        self._legal: dict[int, tuple[str, ...]] = {}
        self._verdicts: dict[tuple[int, int, int], Verdict] = {}
        self._applicable: dict[str, Applicability] = {}
        for country in codes.COUNTRIES:
            self.applicable(self.places[country])

    @property
    def region_ids(self) -> tuple[str, ...]:
        """Return the catalogue's region ids, sorted."""
        return self.index.ids

    def applicable(self, place: Place) -> Applicability:
        """Return which regimes are about a place."""
        found = self._applicable.get(place.key)
        if found is None:
            sure = partly = plain = 0
            for regime in self.regimes:
                if not place.cells & ~regime.subjects:
                    sure |= regime.bit
                elif place.cells & regime.subjects:
                    partly |= regime.bit
                    plain |= regime.bit if place.plain & regime.subjects else 0
            # As many keys as the policy tells places apart: bounded without counting.
            found = self._applicable[place.key] = Applicability(sure, partly, plain)
        return found

    def about_data(self, classes: int) -> int:
        """Return the regimes that are about any of these classes, a mask with implied ones."""
        found = self._by_data.get(classes)
        if found is None:
            found = sum(r.bit for r in self.regimes if r.data == ANY_DATA or r.data & classes)
            _remember(self._by_data, classes, found)
        return found

    def about_party(self, facts: Facts) -> int:
        """Return the regimes whose tenant and model conditions hold; None, the unknown, meets every condition."""
        tenant, model = facts.tenant, facts.model if self.trust_model else None
        mask = self._all_regimes
        for bit, tenants, models in self._conditions:
            if (tenants is not None and tenant is not None and tenant not in tenants) or (
                models is not None and model is not None and model not in models
            ):
                mask &= ~bit
        return mask

    def asked(self, facts: Facts) -> Asked:
        """Return all of the facts that this law can depend on, but for the codes that it is told of (`Law.effective`).

        A place, a tenant or a model that no rule tells from another makes no difference, so a flood of them asks
        nothing new.
        """
        find = self.places.find
        said = tuple([
            (evidence.source, evidence.code if place is None else place.key)
            for evidence, place in [(evidence, find(evidence.code)) for evidence in facts.evidence]
        ])  # fmt: skip
        return said, facts.classes, facts.missing, self.about_party(facts)

    def named(self, mask: int) -> Iterator[CompiledRegime]:
        """Yield the regimes of a mask, in order of id."""
        while mask:
            low = mask & -mask
            yield self.regimes[low.bit_length() - 1]
            mask ^= low

    def legal(self, mask: int) -> tuple[str, ...]:
        """Return the ids of a mask of regions, sorted; the same tuple each time, since few sets are ever legal."""
        found = self._legal.get(mask)
        if found is None:
            found = self.index.named(mask)
            _remember(self._legal, mask, found)
        return found

    def verdict(self, regime: CompiledRegime, now_us: int, classes: int) -> tuple[Verdict, int]:
        """Return what a regime says now, and when one of its entries begins or ends next (NEVER_US: none)."""
        boundaries = regime.boundaries
        interval = bisect_right(boundaries, now_us)
        key = (regime.bit, interval, classes & regime.classes)
        found = self._verdicts.get(key)
        if found is None:
            found = regime.verdict(now_us, classes, self.everyone)
            _remember(self._verdicts, key, found)
        return found, boundaries[interval]


def compile_policy(bundle: PolicyBundle, regions: Mapping[str, RegionSpec]) -> CompiledPolicy:
    """Compile a bundle over a catalogue. Raises Problems for unknown zones, BorderpostError BP0217 beyond a bound."""
    if len(regions) > limits.REGIONS_MAX:
        raise BorderpostError("BP0217", f"{len(regions)} regions; the most is {limits.REGIONS_MAX}")
    check_regions(bundle, regions)
    return CompiledPolicy(bundle, regions)


def _mentioned(bundle: PolicyBundle, regions: Mapping[str, RegionSpec]) -> Iterator[str]:
    """Yield every code that policy or regions tell apart."""
    yield bundle.here.place
    yield from bundle.evidence.unknown.treat_as if isinstance(bundle.evidence.unknown, TreatAs) else ()
    for region in regions.values():
        yield region.place
    yield from mentioned_in(bundle.vocabulary.groups.values())
    for regime in bundle.regimes:
        named = [regime.applies_when.subject_in, *(e.to for e in regime.allow), *(e.to for e in regime.deny)]
        yield from (ref for refs in named for ref in refs if codes.is_code(ref))


def _closures(classes: Mapping[str, DataClass], own_bits: Mapping[str, int]) -> dict[str, int]:
    """Return each class's mask with all that it implies."""
    masks: dict[str, int] = {}
    for name in graphlib.TopologicalSorter({name: c.implies for name, c in classes.items()}).static_order():
        masks[name] = own_bits[name]
        for implied in classes[name].implies:
            masks[name] |= masks[implied]
    return masks


def _remember(memo: dict[Key, Value], key: Key, value: Value) -> None:
    """Keep a value; a full memo is emptied, which costs time and never an answer."""
    if len(memo) >= limits.REMEMBERED_VERDICTS_MAX:
        memo.clear()
    memo[key] = value
