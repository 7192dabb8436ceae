"""The demo in a mesh, run as people run it; and what is said where istiod can be neither found nor built."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.istio_lab import lab_tools

pytestmark = [pytest.mark.blackbox, pytest.mark.full]

DEMO = [sys.executable, "-m", "borderpost.cli", "demo", "--istio", "--json"]


def test_all_of_it_comes_true() -> None:
    lab_tools()
    done = subprocess.run(DEMO, capture_output=True, text=True, timeout=110, check=False)
    document = json.loads(done.stdout)
    assert [claim for claim in document["claims"] if not claim["true"]] == [], done.stderr
    assert done.returncode == 0
    assert document["passed"] is True
    assert list(dict.fromkeys(claim["act"] for claim in document["claims"])) == [
        "Istio's control plane delivers what we render",
        "Who may go where, and who goes where",
        "Spoofs",
        "Another team interferes",
        "Borderpost is stopped",
        "The record",
    ]


def test_without_go_and_without_a_cache_it_says_what_to_do(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(DEMO, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 2
    (error,) = json.loads(done.stdout)["errors"]
    assert error["code"] == "BP1450"
    assert "make istio-tools" in error["mend"]
