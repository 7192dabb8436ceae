"""The demo, run as people run it: every claim comes true, and its JSON says which."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.blackbox

DEMO = [sys.executable, "-m", "borderpost.cli", "demo"]


def test_all_of_it_comes_true() -> None:
    started = time.monotonic()
    done = subprocess.run([*DEMO, "--json"], capture_output=True, text=True, timeout=110, check=False)
    assert time.monotonic() - started < 110
    document = json.loads(done.stdout)
    assert [claim for claim in document["claims"] if not claim["true"]] == [], done.stderr
    assert done.returncode == 0
    assert document["passed"] is True
    acts = {claim["act"] for claim in document["claims"]}
    assert len(acts) == 7
    (table,) = document["tables"].values()
    assert len(table) >= 20
    assert {row["client"] for row in table} >= {"DE", "FR", "AE", "SG", "US", "IN", "BR", "CH", "GB", "IR", "?"}


def test_live_is_left_running_and_ends_on_interrupt() -> None:
    """Also where it was started as a shell starts what runs in the background: with SIGINT ignored."""
    command = ["env", "--ignore-signal=INT", *DEMO, "--live"]
    live = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert live.stdout is not None
        lines = []
        for line in live.stdout:
            lines.append(line.rstrip())
            if line.startswith("Ctrl-C"):
                break
        curl = next(line for line in lines if line.startswith("curl -si"))
        answer = subprocess.run(curl, shell=True, capture_output=True, text=True, timeout=20, check=False)
        assert "x-borderpost-region: eu-central-1" in answer.stdout.lower()
        os.kill(live.pid, signal.SIGINT)
        assert live.wait(20) == 0
    finally:
        if live.poll() is None:
            live.kill()
            live.wait()
        assert live.stdout is not None
        live.stdout.close()
