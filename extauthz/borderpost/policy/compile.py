"""A bundle and a catalogue of regions become bit masks, so that a decision is a few dozen integer operations.

Built once for each policy or catalogue. What depends on time or data classes is worked out on first use and kept in
bounded memos: entries are dated, so each regime's timeline is cut at its boundaries, and between two of them its
verdict is constant. `regimes` holds one regime's part of this, `places` the sets of places.
"""

from __future__ import annotations

import graphlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from borderpost.policy import codes
from borderpost.policy.bundle import PolicyBundle, check_regions
from borderpost.policy.catalogue import SUFFIXES, Catalogue, Territory
from borderpost.policy.masks import remember
from borderpost.policy.model import Evidence, Facts, Mode, Source
from borderpost.policy.pack import Counter, DataClass
from borderpost.policy.places import Place, Places, group_cells, mentioned_in
from borderpost.policy.reasons import RegionIndex
from borderpost.policy.regimes import ANY_DATA, NEVER_US, CompiledRegime, Verdict
from borderpost.policy.schema import Processor, RegionSpec, TreatAs
from borderpost_base import limits
from borderpost_base.errors import BorderpostError

Asked = tuple[tuple[tuple[Source, str, bool], ...], tuple[str, ...], str | None, int, int, Mode | None]
"""Where each source says the subject is and whether that is in doubt, classes, what is missing, the regimes that may be
about the party, those that surely are, and the mode: see `asked`."""


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
        "_counted",
        "_legal",
        "_verdicts",
        "bundle",
        "catalogue",
        "class_modes",
        "classes",
        "counters",
        "covering",
        "embargoes",
        "everyone",
        "free",
        "given",
        "index",
        "mentioned",
        "mode",
        "no_regime_refuses",
        "own_bits",
        "places",
        "regimes",
        "specs",
        "territory",
        "thresholds",
        "treat_as",
        "treatment",
        "trust_model",
        "windowed",
    )

    def __init__(self, bundle: PolicyBundle, regions: Mapping[str, RegionSpec]) -> None:
        known = bundle.vocabulary
        evidence = bundle.evidence
        self.index = RegionIndex(tuple(sorted(regions)), tuple(bundle.sinks))
        self.everyone = self.index.everyone | self.index.own
        """Mask of all regions, `here` and the sinks."""
        self.mode = bundle.inline.mode
        self.treatment = evidence.subdivision_unknown
        self.treat_as = evidence.unknown.treat_as if isinstance(evidence.unknown, TreatAs) else ()
        self.trust_model = evidence.trust_model_header
        self.no_regime_refuses = bundle.inline.no_regime == "refuse"
        self.bundle = bundle
        self.specs = regions
        """The catalogue's regions by id."""
        self.mentioned = tuple(_mentioned(bundle, regions))
        """Every code that policy or regions tell apart."""
        self.places = Places(self.mentioned)
        self.own_bits = own_bits = {name: 1 << position for position, name in enumerate(sorted(known.classes))}
        self.classes = _closures(known.classes, own_bits)
        """Mask of each data class with all that it implies."""
        self.free = frozenset(name for name, data_class in known.classes.items() if data_class.rank == 0)
        """Classes that need no law to allow them."""
        self.class_modes = _class_modes(known.classes)
        """Mode of each data class that has one, of its own or by what it implies."""
        self.territory = Territory(self.places, group_cells(known.groups, self.places))
        self.catalogue = Catalogue(self.index, bundle.here, bundle.sinks, regions, self.territory)
        children = bundle.children
        self.regimes = tuple(
            CompiledRegime(1 << position, regime, self.territory, self.catalogue, own_bits, regime.id in children)
            for position, regime in enumerate(bundle.regimes)
        )
        """Regimes sorted by id; the i-th has bit i in every mask of regimes."""
        self.embargoes = sum(regime.bit for regime in self.regimes if regime.embargo)
        self.covering = sum(regime.bit for regime in self.regimes if regime.covers)
        self.windowed = sum(
            regime.bit for regime in self.regimes if (regime.start_us, regime.end_us) != (-NEVER_US, NEVER_US)
        )
        self._conditions = [
            (compiled.bit, applies.tenant, applies.model, applies.purpose)
            for compiled, applies in zip(self.regimes, (regime.applies_when for regime in bundle.regimes), strict=True)
            if any(wanted is not None for wanted in (applies.tenant, applies.model, applies.purpose))
        ]
        self.counters = counters_of(bundle)
        """Every counter by its id."""
        self.thresholds = thresholds_of(bundle)
        """The counts at which something changes, ascending, by counter."""
        self._counted = _counted(bundle)
        self.given: dict[str, list[tuple[int, str]]] = {}
        """The regimes that give a basis, by its name, each with the basis as its reasons have it."""
        for regime in self.regimes:
            for label in sorted(regime.labels):
                self.given.setdefault(label.partition("/")[2], []).append((regime.bit, label))
        self._all_regimes = (1 << len(self.regimes)) - 1
        self._by_data: dict[int, int] = {}
        self._legal: dict[int, tuple[str, ...]] = {}
        self._verdicts: dict[tuple[int, int, int, int], Verdict] = {}
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
            remember(self._by_data, classes, found)
        return found

    def about_party(self, facts: Facts) -> tuple[int, int]:
        """Return the regimes whose conditions on tenant, model and purpose may hold, and those of which they surely do.

        What is not known of a request may be anything: so a regime may apply to it, and is not surely its law.
        """
        tenant, purpose, model = facts.tenant, facts.purpose, facts.model if self.trust_model else None
        possible = sure = self._all_regimes
        for bit, tenants, models, purposes in self._conditions:
            for value, wanted in ((tenant, tenants), (model, models), (purpose, purposes)):
                if wanted is not None and value not in wanted:
                    sure &= ~bit
                    if value is not None:
                        possible &= ~bit
        return possible, sure

    def asked(self, facts: Facts) -> Asked:
        """Return all of the facts that this law can depend on, but for the codes that it is told of (`Law.effective`).

        A place, a tenant or a model that no rule tells from another makes no difference, so a flood of them asks
        nothing new.
        """
        said = tuple([self._said(evidence) for evidence in facts.evidence])
        return said, facts.classes, facts.missing, *self.about_party(facts), facts.mode

    def _said(self, evidence: Evidence) -> tuple[Source, str, bool]:
        place = self.places.find(evidence.code)
        return evidence.source, evidence.code if place is None else place.key, evidence.doubt is not None

    def mode_of(self, facts: Facts) -> Mode:
        """Return the mode of a request: the strictest that tenant, route and data classes set."""
        mode = facts.mode
        if self.class_modes:
            found = [self.class_modes.get(name) for name in facts.classes]
            if any(found):
                for one in found:
                    one = one or self.mode
                    mode = one if mode is None or one.width < mode.width else mode
        return self.mode if mode is None else mode

    def counted(self, bases: str) -> tuple[str, ...]:
        """Return the counters that a request counts on which is routed on these bases (`Law.bases`), sorted."""
        if not self._counted:
            return ()
        labels = (label.removesuffix(SUFFIXES[1]).removesuffix(SUFFIXES[2]) for label in bases.split(","))
        return tuple(sorted({counter for label in labels for counter in self._counted.get(label, ())}))

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
            remember(self._legal, mask, found)
        return found

    def verdict(self, regime: CompiledRegime, now_us: int, classes: int, flags: int) -> tuple[Verdict, int]:
        """Return what a regime says now, and when one of its entries begins or ends next (NEVER_US: none)."""
        boundaries = regime.boundaries
        interval = bisect_right(boundaries, now_us)
        key = (regime.bit, interval, classes & regime.classes, flags & regime.flags)
        found = self._verdicts.get(key)
        if found is None:
            found = regime.verdict(now_us, classes, flags)
            remember(self._verdicts, key, found)
        return found, boundaries[interval]


def compile_policy(bundle: PolicyBundle, regions: Mapping[str, RegionSpec]) -> CompiledPolicy:
    """Compile a bundle over a catalogue. Raises Problems for unknown zones, BorderpostError BP0217 beyond a bound."""
    if len(regions) > limits.REGIONS_MAX:
        raise BorderpostError("BP0217", f"{len(regions)} regions; the most is {limits.REGIONS_MAX}")
    check_regions(bundle, regions)
    return CompiledPolicy(bundle, regions)


def _mentioned(bundle: PolicyBundle, regions: Mapping[str, RegionSpec]) -> Iterator[str]:
    """Yield every code that policy or regions tell apart."""
    processors: list[Processor] = [bundle.here, *bundle.sinks.values()]
    for region in regions.values():
        elsewhere = (where for where in (region.retention, region.telemetry) if isinstance(where, Processor))
        processors += (region, *elsewhere)
    for processor in processors:
        yield processor.place
        if processor.operator.jurisdiction is not None:
            yield processor.operator.jurisdiction
    yield from bundle.evidence.unknown.treat_as if isinstance(bundle.evidence.unknown, TreatAs) else ()
    yield from mentioned_in(bundle.vocabulary.groups.values())
    for regime in bundle.regimes:
        named = [regime.applies_when.subject_in, *(e.to for e in regime.allow), *(e.to for e in regime.deny)]
        named += [deny.operator_in or () for deny in regime.deny]
        required = [allow.require for allow in regime.allow] + [deny.unless for deny in regime.deny]
        named += [require.operator_in or () for require in required if require is not None]
        yield from (ref for refs in named for ref in refs if codes.is_code(ref))


def _closures(classes: Mapping[str, DataClass], own_bits: Mapping[str, int]) -> dict[str, int]:
    """Return each class's mask with all that it implies."""
    masks: dict[str, int] = {}
    for name in graphlib.TopologicalSorter({name: c.implies for name, c in classes.items()}).static_order():
        masks[name] = own_bits[name]
        for implied in classes[name].implies:
            masks[name] |= masks[implied]
    return masks


def _class_modes(classes: Mapping[str, DataClass]) -> dict[str, Mode]:
    """Return the strictest mode that each class or any that it implies sets."""
    modes: dict[str, Mode] = {}
    for name in graphlib.TopologicalSorter({name: c.implies for name, c in classes.items()}).static_order():
        found = [mode for mode in (classes[name].mode, *map(modes.get, classes[name].implies)) if mode is not None]
        if found:
            modes[name] = min(found, key=lambda mode: mode.width)
    return modes


def counters_of(bundle: PolicyBundle) -> dict[str, Counter]:
    """Return every counter by its id."""
    return {counter.id: counter for regime in bundle.regimes for counter in regime.counters}


def thresholds_of(bundle: PolicyBundle) -> dict[str, tuple[int, ...]]:
    """Return the counts at which an entry ends or begins, ascending, by counter."""
    found: dict[str, set[int]] = {}
    for regime in bundle.regimes:
        for threshold in (*(allow.below for allow in regime.allow), *(deny.above for deny in regime.deny)):
            if threshold is not None:
                found.setdefault(threshold.counter, set()).add(threshold.count)
    return {counter: tuple(sorted(counts)) for counter, counts in found.items()}


def _counted(bundle: PolicyBundle) -> dict[str, tuple[str, ...]]:
    """Return the counters of each basis, by `regime/basis`."""
    found: dict[str, list[str]] = {}
    for regime in bundle.regimes:
        for counter in regime.counters:
            for basis in counter.bases:
                found.setdefault(f"{regime.id}/{basis}", []).append(counter.id)
    return {label: tuple(counters) for label, counters in found.items()}
