"""All experiments, in the order in which a round runs them. A new one is a module of its own and a line here."""

from __future__ import annotations

from borderpost_bench.experiment import Experiment
from borderpost_bench.half_peak import HALF_PEAK, HALF_PEAK_DIRECT
from borderpost_bench.offered_load import OFFERED_LOAD

EXPERIMENTS: tuple[Experiment, ...] = (
    HALF_PEAK,
    HALF_PEAK_DIRECT,
    OFFERED_LOAD,
)

EXPERIMENT_BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}
