"""Processes die under the whole product: kill -9 under load, workers that cannot live, a second instance, SIGTERM."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from borderpost.audit.reader import read_stream
from borderpost.audit.verify import verify
from support.client import Observed
from support.clients import GERMAN
from support.disks import memory_disk, needs_root
from support.faults import acknowledged_in_log, log_lines, refusal_of, small_gate
from support.gateway import Gateway, alive, decision_id, eventually

pytestmark = pytest.mark.blackbox


def kill_worker(gate: Gateway, index: int = 0) -> int:
    """Kill a worker; return its process id."""
    pid = gate.worker_pids()[index]
    os.kill(pid, signal.SIGKILL)
    return pid


def kill_rounds(gate: Gateway, rounds: int) -> Observed:
    """Kill a living worker again and again under load, each time one that has served since the last."""
    rng = random.Random(30)

    def kill_all() -> None:
        for _ in range(rounds):
            served = sum(gate.served.values())
            eventually(lambda served=served: sum(gate.served.values()) > served + 5, "requests are served")  # type: ignore[misc]
            time.sleep(rng.uniform(0.0, 0.15))
            kill_worker(gate, rng.choice(sorted(gate.worker_pids())))
            eventually(lambda: bool(gate.worker_pids()), "a worker lives")

    observed = Observed()
    with ThreadPoolExecutor(1) as killer:
        killing = killer.submit(kill_all)
        while not killing.done():
            some = gate.load([GERMAN], count=60, concurrency=4)
            observed.statuses += some.statuses
            observed.regions += some.regions
            observed.decisions += some.decisions
        killing.result()
    eventually(gate.service.ready, "all workers are back")
    return observed


def nothing_lost(gate: Gateway, observed: Observed, *, killed: int) -> None:
    acknowledged_in_log(gate, observed)
    assert observed.statuses[200] > 0
    assert set(observed.statuses) <= {200, 503}
    ids = Counter(decision for decision, _, _ in observed.decisions)
    assert max(ids.values()) == 1
    report = verify(gate.audit)
    assert report.findings == []
    # One that was killed before its epoch had begun has left nothing.
    assert killed / 2 < sum(stream.unclean_epochs for stream in report.streams) <= killed


def test_a_worker_killed_under_load_loses_nothing_answered(tmp_path: Path) -> None:
    with small_gate(tmp_path, workers=2) as gate:
        observed = kill_rounds(gate, 4)
        assert gate.service.stop() == 0
        nothing_lost(gate, observed, killed=4)


@pytest.mark.full
def test_a_worker_killed_under_load_thirty_times_loses_nothing_answered(tmp_path: Path) -> None:
    """Each worker dies young, so the pauses before its restarts grow; enough others go on."""
    with small_gate(tmp_path, workers=8) as gate:
        observed = kill_rounds(gate, 30)
        assert gate.service.stop() == 0
        nothing_lost(gate, observed, killed=30)


def test_the_whole_service_killed_under_load_comes_back_and_loses_nothing_answered(tmp_path: Path) -> None:
    with small_gate(tmp_path, workers=2) as gate:
        observed = Observed()
        for _ in range(3):
            some = gate.load(
                [GERMAN], seconds=1.0, concurrency=4, during=lambda: (time.sleep(0.7), gate.kill_service())[1]
            )
            observed.statuses += some.statuses
            observed.decisions += some.decisions
            assert gate.send(GERMAN).status == 503
            gate.start_service()
            assert gate.send(GERMAN).status == 200
        assert gate.service.stop() == 0
        acknowledged_in_log(gate, observed)
        assert set(observed.statuses) <= {200, 503}
        report = verify(gate.audit)
        assert report.findings == []
        assert all(stream.unclean_epochs <= 3 for stream in report.streams)


@pytest.mark.full
def test_a_killed_steward_leaves_workers_deciding_and_a_new_one_takes_over(tmp_path: Path) -> None:
    with small_gate(tmp_path, runtime={"snapshot_max_age_s": 3.0}) as gate:
        (worker,) = gate.worker_pids().values()
        gate.service.process.signal(signal.SIGKILL)
        gate.service.process.kill()
        assert alive(worker)
        assert gate.send(GERMAN).status == 200
        eventually(lambda: bool(log_lines(gate, event="the steward is gone; deciding on by the last snapshot")), "said")
        eventually(lambda: refusal_of(gate)[0] == 503, "past the snapshot's age it refuses")
        eventually(lambda: not alive(worker), "it makes room")
        gate.start_service()
        assert gate.send(GERMAN).status == 200
        assert gate.service.stop() == 0
        report = verify(gate.audit)
        assert (report.findings, report.streams[0].unclean_epochs) == ([], 0)


def test_a_worker_of_a_killed_steward_makes_room_for_that_of_the_next(tmp_path: Path) -> None:
    with small_gate(tmp_path) as gate:
        (orphan,) = gate.worker_pids().values()
        gate.service.process.signal(signal.SIGKILL)
        gate.service.process.kill()
        eventually(lambda: bool(log_lines(gate, event="the steward is gone; deciding on by the last snapshot")), "said")
        gate.start_service()
        eventually(lambda: not alive(orphan), "it makes room", within_s=15)
        eventually(lambda: gate.worker_pids().get(0) not in (None, orphan), "a worker of the new steward")
        eventually(gate.service.ready, "it is ready")
        assert gate.send(GERMAN).status == 200
        assert gate.service.stop() == 0
        assert verify(gate.audit).streams[0].unclean_epochs == 0


@pytest.mark.full
def test_a_steward_killed_while_its_worker_starts_leaves_no_worker_behind(tmp_path: Path) -> None:
    """The worker finds its parent gone before it has ever looked; it must not hold the log for ever."""
    with small_gate(tmp_path, runtime={"snapshot_max_age_s": 1.0}) as gate:
        killed = kill_worker(gate)
        eventually(lambda: len(log_lines(gate, event="worker started")) == 2, "its successor is started")
        successor = log_lines(gate, event="worker started")[1]["pid"]
        gate.service.process.signal(signal.SIGKILL)
        gate.service.process.kill()
        try:
            assert successor != killed
            eventually(lambda: not alive(successor), "it ends by itself", within_s=15)
        finally:
            if alive(successor):
                os.kill(successor, signal.SIGKILL)
        gate.start_service()
        assert gate.send(GERMAN).status == 200


@pytest.mark.root
@needs_root
def test_a_worker_that_dies_young_again_and_again_is_paused_and_told(tmp_path: Path) -> None:
    with small_gate(tmp_path) as gate:
        sockets = gate.directory / gate.config["server"]["directory"]
        assert gate.send(GERMAN).status == 200
        with memory_disk(tmp_path / "cover", "1m") as cover:
            cover.remount("ro")
            subprocess.run(["mount", "--bind", str(cover.path), str(sockets)], check=True, timeout=30)
            try:
                kill_worker(gate)
                eventually(lambda: bool(log_lines(gate, code="BP0603")), "BP0603 is told")
                assert refusal_of(gate)[0] == 503
                assert not gate.service.ready()
                told = log_lines(gate, event="worker cannot run")
                assert {line["code"] for line in told} == {"BP0502"}
                pauses = [line["pause_s"] for line in log_lines(gate, event="worker ended")]
                assert pauses[1:3] == [pauses[0] * 2, pauses[0] * 4]
                assert all(line["status"] == 2 for line in log_lines(gate, event="worker ended")[1:])
            finally:
                subprocess.run(["umount", "--lazy", str(sockets)], check=True, timeout=30)
        eventually(gate.service.ready, "it serves again when the directory does")
        assert gate.send(GERMAN).status == 200
        assert len(log_lines(gate, code="BP0603")) == 1
        assert gate.metric("borderpost_worker_restarts_total", worker="0") >= 3


def test_a_second_instance_on_one_runtime_directory_cannot_run(tmp_path: Path) -> None:
    with small_gate(tmp_path) as gate:
        second = subprocess.run(
            [sys.executable, "-m", "borderpost.cli", "serve", "--config", str(gate.config_file)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert second.returncode == 2
        assert "BP0601" in second.stderr
        assert second.stdout == ""
        assert gate.send(GERMAN).status == 200
        assert gate.service.ready()


HOLD = """
import sys
from pathlib import Path
from borderpost.audit.lock import StreamLock
from borderpost_base.world import SystemDisk
lock = StreamLock.take(Path(sys.argv[1]), SystemDisk())
print("held", flush=True)
sys.stdin.read()
"""


def test_a_log_locked_by_another_process_refuses_names_the_holder_and_heals(tmp_path: Path) -> None:
    with small_gate(tmp_path) as gate:
        assert gate.send(GERMAN).status == 200
        assert gate.service.stop() == 0
        words = [sys.executable, "-c", HOLD, str(gate.audit / "worker-0")]
        holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            gate.launch_service()
            eventually(lambda: refusal_of(gate) == (503, "BP0808", "not-open"), "requests are refused for the log")
            assert not gate.service.ready()
            cannot = "audit log cannot be opened: every request is refused"
            eventually(lambda: bool(log_lines(gate, event=cannot)), "the log says why")
            (line,) = log_lines(gate, event=cannot)
            assert line["code"] == "BP0401"
            assert f"process {holder.pid} writes this stream" in line["detail"]
            assert line["place"]["file"] == str(gate.audit / "worker-0")
        finally:
            holder.communicate(timeout=10)
        eventually(lambda: gate.send(GERMAN).status == 200, "it heals when the lock is free")
        eventually(gate.service.ready, "it is ready")


def test_sigterm_answers_everything_that_is_open_and_closes_the_log(tmp_path: Path) -> None:
    with small_gate(tmp_path, workers=2, server={"drain_s": 0.5}) as gate:
        codes: list[int] = []

        def during() -> None:
            eventually(lambda: sum(gate.served.values()) > 50, "requests are served")
            codes.append(gate.service.stop())

        observed = gate.load([GERMAN], seconds=3.0, concurrency=8, during=during)
        assert codes == [0]
        assert set(observed.statuses) == {200, 503}
        # Whatever was decided was answered, and the other way round.
        answered = {decision for decision, _, _ in observed.decisions}
        assert answered == {decision_id(record) for record in gate.decisions()}
        assert len(answered) == observed.statuses[200]
        for stream in ("worker-0", "worker-1"):
            assert list(read_stream(gate.audit / stream))[-1].record["type"] == "epoch.close"
        assert not log_lines(gate, level="error")
        assert refusal_of(gate)[0] == 503
