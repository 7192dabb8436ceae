"""The bench of limiters, run once and briefly: every refusal is accounted for, whichever limiter counts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.blackbox, pytest.mark.full, pytest.mark.timeout(900)]


@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")
@pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk")
def test_every_limiter_refuses_exactly_what_is_beyond_its_limits(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    command = [sys.executable, "-m", "borderpost_bench", "--runs", "1", "--seconds", "1", "--connections", "8"]
    command += ["--scenario", "ratelimit-direct", "--scenario", "ratelimit-envoy", "--engine", "wire"]
    command += ["--result", str(result), "--directory", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=840, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(result.read_text())
    assert document["skipped"] == {}
    direct, envoy = document["experiments"]
    assert (direct["faults"], envoy["faults"]) == ([], [])
    for name in ("rival", "memory", "redis"):
        assert direct["summary"][f"{name}_requests_s"]["median"] > 0
        assert envoy["summary"][f"{name}_cpu_us"]["median"] > 0
    assert {one["of"] for one in document["targets"]} == {"ratelimit-direct@wire", "ratelimit-envoy@wire"}
    assert all(one["met"] is not None for one in document["targets"])
