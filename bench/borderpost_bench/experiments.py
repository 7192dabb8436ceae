"""All experiments, in the order in which a round runs them. A new one is a module of its own and a line here."""

from __future__ import annotations

from borderpost_bench.experiment import Experiment

EXPERIMENTS: tuple[Experiment, ...] = ()

EXPERIMENT_BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}
