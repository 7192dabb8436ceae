"""How much one single loss would take from each workload, and what would help.

Each loss (a region, an operator, a country, the operators of a jurisdiction, a revocable basis, the news of legal
events) is really taken away, and every kind of request decided again. Of each kind of loss the worst one counts:

    fragility = mean, over the kinds of loss that the catalogue makes possible, of the worst share that one loss takes
    score     = criticality (1 to 5) x (1 + sensitivity (0 to 9)) x fragility (0 to 1)            from 0 to 50

Sensitivity is the highest rank among the workload's data classes and those that they imply.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, Literal, NamedTuple

from borderpost.foresight.change import Basis, Change, Staleness, bases_of
from borderpost.foresight.losses import Loss, entities_of, every_loss, jurisdictions_of
from borderpost.foresight.scenario import Scenario
from borderpost.foresight.traffic import CRITICALITY_DEFAULT, Workload
from borderpost.foresight.whatif import Flow
from borderpost.policy.decide import asked
from borderpost.policy.events import compile_events
from borderpost_base import limits
from borderpost_base.errors import BorderpostError

Peril = Loss | Basis | Staleness
"""One single loss."""

PerilKind = Literal["region", "operator", "country", "jurisdiction", "basis", "events"]

PERIL_KINDS: Final[tuple[PerilKind, ...]] = ("region", "operator", "country", "jurisdiction", "basis", "events")


def kind_of(peril: Peril) -> PerilKind:
    """Return the kind of a loss."""
    if isinstance(peril, Loss):
        return peril.kind
    return "basis" if isinstance(peril, Basis) else "events"


class Kind(NamedTuple):
    """Requests of a workload that law cannot tell apart; the first of them stands for all."""

    flow: Flow
    weight: int


class Choice(NamedTuple):
    """The fewest that any request of a workload has to choose among."""

    regions: int
    operators: int | None
    """None where some legal region does not say who runs it."""
    jurisdictions: int | None
    """Places where operators can be compelled; None where some legal region does not say."""
    countries: int


@dataclass(slots=True)
class Exposure:
    """One workload, and what single losses would take from it."""

    name: str
    criticality: int
    stated: bool
    """False where the criticality is the default."""
    sensitivity: int = 0
    classes: set[str] = field(default_factory=set)
    total: int = 0
    served: int = 0
    kinds: list[Kind] = field(default_factory=list)
    routed: dict[str, int] = field(default_factory=dict)
    """Weight served now, by region."""
    lost: dict[Peril, int] = field(default_factory=dict)
    """What each loss takes, of those that take anything."""
    choice: Choice | None = None
    """None where nothing is served."""

    def share(self, peril: Peril) -> Fraction:
        """Return what a loss takes, as a share of what is served."""
        return Fraction(self.lost.get(peril, 0), self.served) if self.served else Fraction(0)

    def worst(self, kind: PerilKind) -> tuple[Fraction, tuple[Peril, ...]]:
        """Return the most that one loss of a kind takes, and the losses that do."""
        shares = {peril: self.share(peril) for peril in self.lost if kind_of(peril) == kind}
        most = max(shares.values(), default=Fraction(0))
        return most, tuple(peril for peril, share in shares.items() if share == most)

    def fragility(self, possible: Iterable[PerilKind]) -> Fraction:
        """Return the mean over the kinds of loss that are possible of the worst share, 0 to 1."""
        shares = [self.worst(kind)[0] for kind in possible]
        return sum(shares, Fraction(0)) / len(shares) if shares else Fraction(0)

    def score(self, possible: Iterable[PerilKind]) -> Fraction:
        """Return the score, 0 to 50: what to hedge first has the highest."""
        return self.criticality * (1 + self.sensitivity) * self.fragility(possible)

    @property
    def ends_with(self) -> tuple[Peril, ...]:
        """Return the losses that end all of its service: its single points of failure."""
        return tuple(peril for peril, weight in self.lost.items() if self.served and weight == self.served)


class Exposures:
    """Workloads gathered from flows, then exposed to every single loss."""

    def __init__(self, scenario: Scenario, workloads: Mapping[str, Workload]) -> None:
        self.scenario = scenario
        self._workloads = workloads
        self._events = compile_events(scenario.events, scenario.compiled.policy)
        self._gathered: dict[tuple[object, ...], tuple[Flow, int]] = {}
        self.perils: tuple[Peril, ...] = perils_of(scenario)
        self.possible: tuple[PerilKind, ...] = tuple(
            kind for kind in PERIL_KINDS if any(kind_of(peril) == kind for peril in self.perils)
        )
        """Kinds of loss that the catalogue and the law make possible."""

    def add(self, flow: Flow) -> None:
        """Count requests. Raises BorderpostError BP1255 where too much is told apart."""
        question = flow.rejected or asked(flow.facts, self.scenario.compiled.policy, self._events)
        key = (self.name_of(flow), question, flow.stale)
        known = self._gathered.get(key)
        if known is None and len(self._gathered) >= limits.RISK_KINDS_MAX:
            raise BorderpostError("BP1255", f"more than {limits.RISK_KINDS_MAX:,} kinds of requests")
        self._gathered[key] = (flow, flow.weight) if known is None else (known[0], known[1] + flow.weight)

    @staticmethod
    def name_of(flow: Flow) -> str:
        """Return the workload of a request: the one that it names, else its tenant and its data."""
        if flow.workload is not None:
            return flow.workload
        return f"{flow.facts.tenant or 'no tenant'} / {', '.join(flow.facts.classes) or 'no class'}"

    def exposed(self) -> list[Exposure]:
        """Return every workload with what each loss takes from it, the highest score first, then by name."""
        found: dict[str, Exposure] = {}
        for flow, weight in self._gathered.values():
            name = self.name_of(flow)
            if name not in found:
                stated = self._workloads.get(name)
                criticality = stated.criticality if stated is not None else CRITICALITY_DEFAULT
                is_stated = stated is not None and "criticality" in stated.model_fields_set
                found[name] = Exposure(name, criticality, is_stated)
            self._gather(found[name], flow, weight)
        for peril in self.perils:
            self._expose(found.values(), peril)
        return sorted(found.values(), key=lambda each: (-each.score(self.possible), each.name))

    def _gather(self, exposure: Exposure, flow: Flow, weight: int) -> None:
        exposure.total += weight
        exposure.classes.update(flow.facts.classes)
        exposure.sensitivity = max(exposure.sensitivity, *self._ranks(flow.facts.classes), 0)
        verdict = flow.verdict(self.scenario)
        if verdict.region is None or verdict.law is None:
            return
        exposure.kinds.append(Kind(flow, weight))
        exposure.served += weight
        exposure.routed[verdict.region] = exposure.routed.get(verdict.region, 0) + weight
        choice = self._choice(verdict.law.legal)
        exposure.choice = choice if exposure.choice is None else _fewest(exposure.choice, choice)

    def _ranks(self, classes: Iterable[str]) -> Iterator[int]:
        """Yield the rank of each class and of those that it implies."""
        known = self.scenario.bundle.vocabulary.classes
        for name in classes:
            if name in known:
                yield known[name].rank
                yield from self._ranks(known[name].implies)

    def _choice(self, legal: tuple[str, ...]) -> Choice:
        specs = [self.scenario.regions[region] for region in legal]
        operators = {entity for spec in specs for entity in entities_of(spec)}
        compelled = {code for spec in specs for code in jurisdictions_of(spec)}
        return Choice(
            len(legal),
            None if any(spec.operator.entity is None for spec in specs) else len(operators),
            None if any(spec.operator.jurisdiction is None for spec in specs) else len(compelled),
            len({spec.country for spec in specs}),
        )

    def _expose(self, exposures: Iterable[Exposure], peril: Peril) -> None:
        """Take one thing away, and decide again whatever may depend on it."""
        after = Change((peril,)).applied(self.scenario).scenario
        for exposure in exposures:
            lost = 0
            for flow, weight in exposure.kinds:
                if self._may_matter(flow, peril) and flow.verdict(after).region is None:
                    lost += weight
            if lost:
                exposure.lost[peril] = lost

    def _may_matter(self, flow: Flow, peril: Peril) -> bool:
        """Say whether a loss may change an answer: a basis of a law that does not apply is no loss."""
        law = flow.verdict(self.scenario).law
        return law is None or not isinstance(peril, Basis) or peril.regime in law.regimes


def _fewest(one: Choice, other: Choice) -> Choice:
    def least(first: int | None, second: int | None) -> int | None:
        return None if first is None or second is None else min(first, second)

    return Choice(
        min(one.regions, other.regions), least(one.operators, other.operators),
        least(one.jurisdictions, other.jurisdictions), min(one.countries, other.countries),
    )  # fmt: skip


def perils_of(scenario: Scenario) -> tuple[Peril, ...]:
    """Return every single loss that a scenario makes possible, in the order of `PERIL_KINDS`."""
    bases: tuple[Peril, ...] = bases_of(scenario, revocable=True)
    stale: tuple[Peril, ...] = () if scenario.stale else (Staleness(),)
    return (*every_loss(scenario), *bases, *stale)
