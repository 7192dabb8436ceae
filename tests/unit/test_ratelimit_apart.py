"""What belongs to limits is loaded by limiters, what belongs to law by workers, and neither by the other."""

from __future__ import annotations

import subprocess
import sys

import pytest

LAW = {"borderpost.policy", "borderpost.regions", "borderpost.geoip", "borderpost.facts", "borderpost.config.model"}
SELDOM = {"redis", "cryptography", "starlette", "uvicorn", "borderpost.audit.writer"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("borderpost.worker", {"borderpost_ratelimit", "borderpost.limiter"}),
        ("borderpost.limiter.running, borderpost.config.limiter_file", LAW | SELDOM),
    ],
)
def test_a_process_loads_only_what_it_needs(module: str, unwanted: set[str]) -> None:
    program = f"import sys, {module}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not {name for name in unwanted if any(each == name or each.startswith(f"{name}.") for each in loaded)}
