"""All that a plan names, measured in turn, round after round, so that a change of the machine's pace meets all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from borderpost_bench.experiment import Round
from borderpost_bench.measure import Sample, Settings, measure
from borderpost_bench.plan import Plan


@dataclass(frozen=True, slots=True)
class Taken:
    """What was measured, by the names of the plan, a value a round."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    rounds: dict[str, list[Round]] = field(default_factory=dict)


class Listener(Protocol):
    """Who hears how a run goes on."""

    def begins(self, number: int, name: str) -> None:
        """Hear that something is being measured: the round from 1, its name."""

    def sampled(self, number: int, name: str, sample: Sample) -> None:
        """Hear what a scenario gave."""

    def tried(self, number: int, name: str, found: Round) -> None:
        """Hear what an experiment gave."""


def measure_all(plan: Plan, settings: Settings, listener: Listener) -> Taken:
    """Measure all as many times as settings say. Raises BorderpostError if something cannot be started or driven."""
    taken = Taken({one.name: [] for one in plan.scenarios}, {one.name: [] for one in plan.trials})
    for number in range(1, settings.runs + 1):
        for scenario in plan.scenarios:
            listener.begins(number, scenario.name)
            sample = measure(scenario, settings)
            taken.samples[scenario.name].append(sample)
            listener.sampled(number, scenario.name, sample)
        for trial in plan.trials:
            if trial.experiment.rounds_max is not None and number > trial.experiment.rounds_max:
                continue
            listener.begins(number, trial.name)
            found = trial.experiment.run(settings, trial.engine)
            taken.rounds[trial.name].append(found)
            listener.tried(number, trial.name, found)
    return taken
