"""The rivals and the driver, run once and briefly: figures are not looked at, what is checked must hold."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from borderpost_bench.rivals import OPA_SOURCE, SOURCE

pytestmark = [
    pytest.mark.full,
    pytest.mark.blackbox,
    pytest.mark.skipif(shutil.which("go") is None, reason="needs go"),
]


def bench(tmp_path: Path, *scenarios: str) -> dict[str, dict[str, Any]]:
    """Measure some scenarios once; return them by name. Building the rivals may take minutes the first time."""
    result = tmp_path / "result.json"
    command = [sys.executable, "-m", "borderpost_bench", "--runs", "1", "--seconds", "1", "--connections", "8"]
    command += ["--result", str(result), "--directory", str(tmp_path), "--engine", "grpcio"]
    command += [word for name in scenarios for word in ("--scenario", name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(result.read_text())
    assert document["skipped"] == {}
    return {one["name"]: one for one in (*document["scenarios"], *document["experiments"])}


def test_rivals_and_ours_answer_every_question_of_the_driver(tmp_path: Path) -> None:
    told = bench(tmp_path, "go-stub-streams", "go-honest-streams", "borderpost-streams")
    for one in told.values():
        (sample,) = one["samples"]
        assert sample["answered"] > 0
        assert (sample["failed"], sample["refused"]) == (0, 0)
        assert sample["p50_ms"] <= sample["p90_ms"] <= sample["p99_ms"] <= sample["p999_ms"]
    ours = told["borderpost-streams@grpcio"]
    assert next(iter(ours)) == "cpu_ratio_to_go_stub"
    for decided in (ours, told["go-honest-streams"]):
        checks, (sample,) = decided["checks"], decided["samples"]
        assert (checks["illegal"], checks["unlogged"], checks["over_refused"]) == (0, 0, 0)
        assert checks["decisions"] >= sample["answered"]
        assert len(sample["check"]["routed"]) > 1, "clients of several countries go to several regions"


def test_the_go_servers_serve_a_real_envoy(tmp_path: Path) -> None:
    told = bench(tmp_path, "go-stub", "go-honest")
    assert all(one["samples"][0]["answered"] > 0 for one in told.values())
    assert all(one["samples"][0]["refused"] == 0 for one in told.values())
    assert told["go-honest"]["checks"]["passed"] is True


def test_opa_envoy_decides_as_ours_does_directly_and_behind_a_real_envoy(tmp_path: Path) -> None:
    told = bench(tmp_path, "opa-streams", "ext_authz-streams", "opa")
    for one in told.values():
        checks, (sample,) = one["checks"], one["samples"]
        assert (sample["failed"], sample["refused"]) == (0, 0)
        assert checks["decisions"] >= sample["answered"] > 0
        assert checks["passed"] is True
    assert told["ext_authz-streams@grpcio"]["cpu_ratio_to_opa"]["median"] > 0


@pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk")
def test_latency_at_half_of_peak_and_under_rising_load_is_measured_and_checked(tmp_path: Path) -> None:
    told = bench(tmp_path, "half-peak", "half-peak-direct", "offered-load")
    for one in told.values():
        assert one["faults"] == []
    for name in ("half-peak@grpcio", "half-peak-direct@grpcio"):
        summary, (made,) = told[name]["summary"], told[name]["rounds"]
        assert summary["sync_p50_ms"]["median"] > 0
        assert ("p50_excess_ms" in summary) is (made["details"]["invalid"] is None)
        assert all(sample["failed"] == 0 for sample in made["details"]["samples"].values())
    loads = told["offered-load@grpcio"]["curves"]["throughput_s"]["points"]
    assert len(loads) == 6
    judgement = told["offered-load@grpcio"]["rounds"][0]["details"]["judgement"]
    assert judgement["routed"] > 0
    assert (judgement["illegal"], judgement["unlogged"], judgement["unanswered"]) == (0, 0, 0)


@pytest.mark.skipif(shutil.which("h2load") is None, reason="needs h2load")
def test_h2load_drives_the_stub_too(tmp_path: Path) -> None:
    (sample,) = bench(tmp_path, "go-stub-direct")["go-stub-direct"]["samples"]
    assert sample["answered"] > 0
    assert sample["failed"] == 0


@pytest.mark.parametrize("source", [SOURCE, OPA_SOURCE], ids=lambda source: source.name)
@pytest.mark.parametrize("words", [("vet", "./..."), ("test", "./...")], ids=lambda words: words[0])
def test_the_go_sources_are_vetted_and_tested(words: tuple[str, ...], source: Path) -> None:
    environ = {**os.environ, "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"}
    done = subprocess.run(["go", *words], cwd=source, env=environ, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("gofmt") is None, reason="needs gofmt")
def test_the_go_sources_are_formatted() -> None:
    done = subprocess.run(["gofmt", "-l", SOURCE, OPA_SOURCE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
