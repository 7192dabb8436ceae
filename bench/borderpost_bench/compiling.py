"""How long a policy of 10,000 entries takes from its file to the first decision it could make, with 300 regions.

Measured inside one process: the YAML is read and checked, the law compiled. A change of policy costs this once in each
process, beside the law in force; no request waits for it.
"""

from __future__ import annotations

import gc
import tempfile
import time
from pathlib import Path

import yaml

from borderpost.config.load import load_config
from borderpost.demo.scenery import write_events
from borderpost.policy.compile import compile_policy
from borderpost_bench.experiment import Experiment, Round
from borderpost_bench.measure import Settings
from borderpost_bench.sizes import Size, sized_configuration
from borderpost_bench.targets import Target

SIZE = Size(300, 10_000)


def measure_compiling(_settings: Settings, _engine: str, *, size: Size = SIZE) -> Round:
    """Read and compile a configuration of that size once."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_events(directory, [])
        path = directory / "borderpost.yaml"
        path.write_text(yaml.safe_dump(sized_configuration(size, admin_port=1), sort_keys=False))
        gc.collect()
        begun_ns = time.process_time_ns()
        loaded = load_config(path, environ={})
        read_ns = time.process_time_ns()
        compile_policy(loaded.bundle, loaded.regions)
        done_ns = time.process_time_ns()
    return Round(
        figures={
            "read_s": round((read_ns - begun_ns) / 1e9, 3),
            "compile_ms": round((done_ns - read_ns) / 1e6, 1),
            "whole_s": round((done_ns - begun_ns) / 1e9, 3),
        }
    )


COMPILE = Experiment(
    name="compile",
    title="a policy of 10,000 entries, from its file to compiled law",
    run=measure_compiling,
    targets=(Target(figure="whole_s", most=2.0, what="10,000 entries read, checked and compiled, s"),),
)
