"""All experiments, in the order in which a round runs them. A new one is a module of its own and a line here."""

from __future__ import annotations

from borderpost_bench.bodies import BODIES
from borderpost_bench.cold import COLD
from borderpost_bench.compiling import COMPILE
from borderpost_bench.enforcement import ENFORCEMENT
from borderpost_bench.experiment import Experiment
from borderpost_bench.flood import FLOOD
from borderpost_bench.half_peak import HALF_PEAK, HALF_PEAK_DIRECT
from borderpost_bench.idle import IDLE
from borderpost_bench.limiting import RATELIMIT_DIRECT, RATELIMIT_ENVOY
from borderpost_bench.offered_load import OFFERED_LOAD
from borderpost_bench.reading import READING
from borderpost_bench.scaling import SCALING
from borderpost_bench.soak import SOAK
from borderpost_bench.steps import STEPS

EXPERIMENTS: tuple[Experiment, ...] = (
    HALF_PEAK,
    HALF_PEAK_DIRECT,
    OFFERED_LOAD,
    SCALING,
    STEPS,
    BODIES,
    READING,
    COLD,
    COMPILE,
    ENFORCEMENT,
    FLOOD,
    IDLE,
    SOAK,
    RATELIMIT_DIRECT,
    RATELIMIT_ENVOY,
)

EXPERIMENT_BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}
