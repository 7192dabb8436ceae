"""The bench, run once and briefly: what it measures is not looked at, what it checks must hold."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from borderpost_bench.pins import pins

pytestmark = pytest.mark.blackbox


def bench(tmp_path: Path, *scenarios: str, more: tuple[str, ...] = ()) -> dict[str, Any]:
    result, table = tmp_path / "result.json", tmp_path / "table.md"
    command = [sys.executable, "-m", "borderpost_bench", "--runs", "1", "--seconds", "1", "--connections", "8"]
    command += ["--result", str(result), "--markdown", str(table), "--directory", str(tmp_path)]
    command += [word for name in scenarios for word in ("--scenario", name)]
    command += more
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert table.read_text() == done.stdout
    assert not list(tmp_path.glob("borderpost-bench-*")), "what a run makes ends with it"
    document: dict[str, Any] = json.loads(result.read_text())
    return document


@pytest.mark.full
@pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk")
def test_every_answer_through_envoy_is_legal_and_on_record(tmp_path: Path) -> None:
    document = bench(tmp_path, "refusals", "plain")
    plain, product = document["scenarios"]
    assert document["passed"] is True
    assert plain["checks"] is None
    assert plain["samples"][0]["answered"] > 0
    checks = product["checks"]
    assert (checks["illegal"], checks["unlogged"], checks["over_refused"]) == (0, 0, 0)
    (sample,) = product["samples"]
    assert sample["failed"] == 0
    assert 0 < sample["refused"] < sample["answered"]
    assert checks["decisions"] >= sample["answered"]
    assert set(sample["check"]["refused"]) == {"embargo", "here-not-allowed", "unknown-subject"}
    assert set(sample["check"]["routed"]) == {
        "ap-southeast-1", "eu-central-1", "eu-west-1", "me-central-1", "us-east-1",
    }  # fmt: skip
    assert sample["check"]["bytes_per_decision"] > 500
    assert product["summary"]["server_cpu_us"]["median"] > 0


@pytest.mark.skipif(shutil.which("h2load") is None, reason="needs h2load")
def test_one_worker_driven_directly_records_every_answer(tmp_path: Path) -> None:
    (product,) = bench(tmp_path, "direct")["scenarios"]
    assert product["checks"]["passed"] is True
    assert list(product["samples"][0]["check"]["routed"]) == ["eu-central-1"]
    assert product["checks"]["decisions"] >= product["samples"][0]["answered"] > 0
    assert len(product["samples"][0]["server_cores"]) == (1 if pins().server else len(os.sched_getaffinity(0)))


@pytest.mark.full
def test_every_answer_of_an_open_loop_is_what_the_law_says_and_on_record(tmp_path: Path) -> None:
    asked = ("--rate", "300", "--arrivals", "poisson", "--seed", "4")
    (product,) = bench(tmp_path, "open", more=asked)["scenarios"]
    made, (sample,) = product["judgement"], product["samples"]
    assert (made["illegal"], made["unlogged"], made["over_refused"], made["unanswered"]) == (0, 0, 0, 0)
    assert made["wrong"] == []
    refused = sum(made["refused_as_law_says"].values())
    assert made["routed"] > 100
    assert refused > 0
    assert made["answers"] == made["routed"] + refused + made["refused_by_envoy"]
    assert made["answers"] > sample["answered"], "the warm-up is judged too"
    assert sample["late_p99_ms"] >= sample["late_p50_ms"] > 0
    assert sample["p50_ms"] <= sample["p90_ms"] <= sample["p99_ms"] <= sample["p999_ms"]


@pytest.mark.full
def test_a_run_with_parts_of_the_product_switched_is_checked_just_the_same(tmp_path: Path) -> None:
    switched = "law=off,probes=off,latencies=off,events=on,access_log=on"
    document = bench(tmp_path, "open", more=("--rate", "100", "--features", switched))
    assert document["passed"] is True
    (product,) = document["scenarios"]
    assert set(product["judgement"]["refused_as_law_says"]) <= {"unknown-subject"}
    assert document["settings"]["features"] == {
        "law": False, "probes": False, "latencies": False, "packs": False, "shadow": False, "events": True,
        "access_log": True,
    }  # fmt: skip
