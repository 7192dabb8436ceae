"""What a run measures: the scenarios and experiments that were asked for, less what cannot be measured here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

from borderpost.config.sections import ServerSpec
from borderpost_bench.experiment import Experiment
from borderpost_bench.experiments import EXPERIMENT_BY_NAME, EXPERIMENTS
from borderpost_bench.latency import new_histogram
from borderpost_bench.load import need
from borderpost_bench.measure import Settings
from borderpost_bench.rivals import opa_program, programs
from borderpost_bench.scenarios import BESIDE, BY_NAME, SCENARIOS, Driver, Scenario, Server, on_engine
from borderpost_bench.unavailable import Unavailable
from borderpost_wire.engines import make_engine
from borderpost_wire.errors import EngineUnavailable
from borderpost_wire.options import ServerOptions, TcpListen

NAMES = (*BY_NAME, *EXPERIMENT_BY_NAME)
"""All that can be asked for."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One experiment on one engine."""

    experiment: Experiment
    engine: str
    named: bool
    """Whether the engine was asked for, and so is part of the name."""

    @property
    def name(self) -> str:
        """`NAME` or `NAME@ENGINE`."""
        return f"{self.experiment.name}@{self.engine}" if self.named else self.experiment.name

    @property
    def title(self) -> str:
        """Return the experiment's, with the engine if that was asked for."""
        return f"{self.experiment.title}, engine {self.engine}" if self.named else self.experiment.title


@dataclass(frozen=True, slots=True)
class Plan:
    """What each round measures, in this order."""

    scenarios: tuple[Scenario, ...]
    trials: tuple[Trial, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all, in order."""
        return (*(one.name for one in self.scenarios), *(one.name for one in self.trials))

    def measurements(self, rounds: int) -> int:
        """Return how many measurements so many rounds make."""
        trials = sum(min(rounds, one.experiment.rounds_max or rounds) for one in self.trials)
        return rounds * len(self.scenarios) + trials


def choose(names: Collection[str], engines: Sequence[str]) -> Plan:
    """Return the scenarios and experiments of these names, or what is measured by default if there are none.

    What runs on an engine of ours is there once for each engine if any is named.
    """
    scenarios: list[Scenario] = []
    for scenario in SCENARIOS:
        if scenario.name in names or (not names and scenario.by_default):
            ours = scenario.server.ours and engines
            scenarios += [on_engine(scenario, engine) for engine in engines] if ours else [scenario]
            if scenario.name in BESIDE and not names and not engines:
                scenarios.append(on_engine(scenario, "grpcio"))
    trials = [
        Trial(experiment, engine, bool(engines))
        for experiment in EXPERIMENTS
        if experiment.name in names or (not names and experiment.by_default)
        for engine in engines or ("auto",)
    ]
    return Plan(tuple(scenarios), tuple(trials))


def unasked() -> list[str]:
    """Return the names of what has targets and is only measured when it is named."""
    named = [one.name for one in SCENARIOS if one.targets and not one.by_default]
    return [*named, *(one.name for one in EXPERIMENTS if one.targets and not one.by_default)]


def find_trial(name: str) -> Trial:
    """Return the trial of a name, `NAME` or `NAME@ENGINE`. Raises KeyError."""
    base, at, engine = name.partition("@")
    return Trial(EXPERIMENT_BY_NAME[base], engine if at else "auto", bool(at))


def possible(plan: Plan, settings: Settings, told: Callable[[str, str], None]) -> tuple[Plan, dict[str, str]]:
    """Return what of a plan can be measured here, and why each of the others cannot; rivals are built meanwhile.

    `told` hears of each that is left out: its name, the reason. Raises BorderpostError if a load generator is missing.
    """
    skipped: dict[str, str] = {}

    def can(name: str, need_all: Callable[[], None]) -> bool:
        try:
            need_all()
        except (EngineUnavailable, Unavailable) as error:
            skipped[name] = str(error)
            told(name, str(error))
            return False
        return True

    kept = Plan(
        tuple(one for one in plan.scenarios if can(one.name, partial(_need_scenario, one))),
        tuple(one for one in plan.trials if can(one.name, partial(_need_trial, one, settings))),
    )
    for tool in sorted({one.driver for one in kept.scenarios} & {Driver.WRK, Driver.H2LOAD}):
        need(tool)
    if any(one.driver is Driver.OPEN for one in kept.scenarios):
        new_histogram()
    return kept, skipped


def need_engine(name: str, *, product: bool) -> None:
    """Raise EngineUnavailable if this build, or (for the product) its configuration, lacks an engine."""
    if product and name not in get_args(ServerSpec.model_fields["engine"].annotation):
        raise EngineUnavailable(f"the configuration has no `server.engine: {name}` yet")
    make_engine(name, ServerOptions(listen=(TcpListen("127.0.0.1", 0),)), [])


def _need_scenario(scenario: Scenario) -> None:
    if scenario.server.ours:
        need_engine(scenario.engine, product=scenario.server is Server.PRODUCT)
    if scenario.needs_go:
        programs()
    if scenario.server is Server.OPA:
        opa_program()


def _need_trial(trial: Trial, settings: Settings) -> None:
    need_engine(trial.engine, product=True)
    trial.experiment.need(settings, trial.engine)
