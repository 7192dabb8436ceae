"""The audit disk hangs under the whole product: bounded refusals, readiness gone, healed by the disk's first answer."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from support.client import Observed
from support.clients import GERMAN
from support.disks import MountedDisk, loop_disk, needs_freeze
from support.faults import acknowledged_in_log, log_lines, refusal_of, small_gate
from support.gateway import Gateway, eventually

pytestmark = [pytest.mark.blackbox, pytest.mark.root, needs_freeze]

MESSAGE_TIMEOUT_MS = 400
HUNG_DISK_S = 1.0
BUSY_S = 2.0
"""What a busy machine may add to a bound."""


def frozen_for(gate: Gateway, disk: MountedDisk, seconds: float) -> tuple[Observed, dict[str, float]]:
    """Freeze the disk under load for a while; return what clients saw, and when things changed."""
    times: dict[str, float] = {}

    def during() -> None:
        eventually(lambda: sum(gate.served.values()) > 20, "requests are served")
        disk.freeze()
        frozen_s = time.monotonic()
        try:
            eventually(lambda: not gate.service.ready(), "readiness goes away")
            times["unready_s"] = time.monotonic() - frozen_s
            _, why = gate.service.admin("/readyz")
            # Where the commit was made in the worker's own loop, that hangs with the disk.
            assert "disk has not answered" in why or "no sign of life" in why
            time.sleep(max(0.0, frozen_s + seconds - time.monotonic()))
        finally:
            disk.thaw()
        thawed_s = time.monotonic()
        eventually(lambda: gate.send(GERMAN).status == 200, "it serves again")
        times["healed_s"] = time.monotonic() - thawed_s
        eventually(gate.service.ready, "it is ready again")
        times["ready_s"] = time.monotonic() - thawed_s

    observed = gate.load([GERMAN], seconds=seconds + 1.5, concurrency=4, during=during)
    return observed, times


def test_a_frozen_disk_ends_every_request_in_time_and_heals_when_it_thaws(tmp_path: Path) -> None:
    with (
        loop_disk(tmp_path / "audit") as disk,
        small_gate(tmp_path, runtime={"hung_disk_s": HUNG_DISK_S}, message_timeout_ms=MESSAGE_TIMEOUT_MS) as gate,
    ):
        (pid,) = gate.worker_pids().values()
        longest: list[float] = []
        frozen = threading.Event()

        def ask_one_by_one() -> None:
            while not frozen.wait(0.05):
                began = time.monotonic()
                gate.send(GERMAN)
                longest.append(time.monotonic() - began)

        asking = threading.Thread(target=ask_one_by_one)
        asking.start()
        try:
            observed, times = frozen_for(gate, disk, 3.0)
        finally:
            frozen.set()
            asking.join()
        print(f"longest answer {max(longest):.2f} s", times)
        assert max(longest) < MESSAGE_TIMEOUT_MS / 1e3 + BUSY_S
        assert times["unready_s"] < HUNG_DISK_S + 1 + BUSY_S
        assert times["healed_s"] < BUSY_S
        assert observed.statuses[200] > 0
        assert observed.statuses[504] > 0
        assert set(observed.statuses) <= {200, 503, 504}
        assert gate.worker_pids() == {0: pid}
        assert not log_lines(gate, level="error")
        acknowledged_in_log(gate, observed)


@pytest.mark.full
def test_a_service_told_to_stop_while_its_disk_hangs_ends_all_the_same(tmp_path: Path) -> None:
    with (
        loop_disk(tmp_path / "audit") as disk,
        small_gate(tmp_path, runtime={"hung_disk_s": HUNG_DISK_S}, message_timeout_ms=MESSAGE_TIMEOUT_MS) as gate,
    ):
        answered = [gate.send(GERMAN) for _ in range(5)]
        disk.freeze()
        try:
            assert gate.send(GERMAN).status == 504
            began = time.monotonic()
            gate.service.stop(grace_s=40)
            took_s = time.monotonic() - began
        finally:
            disk.thaw()
        print(f"stopped in {took_s:.2f} s")
        assert took_s < 30
        assert log_lines(gate, event="workers wait for a disk that does not answer; they end with it")
        gate.kill_service()
        gate.start_service()
        assert gate.send(GERMAN).status == 200
        for asked in answered:
            assert gate.record(asked)["out"]["r"] == asked.region


@pytest.mark.full
def test_a_disk_that_hangs_at_the_start_refuses_until_it_answers(tmp_path: Path) -> None:
    with loop_disk(tmp_path / "audit") as disk, small_gate(tmp_path, message_timeout_ms=MESSAGE_TIMEOUT_MS) as gate:
        assert gate.send(GERMAN).status == 200
        assert gate.service.stop() == 0
        disk.freeze()
        try:
            gate.launch_service()
            eventually(lambda: bool(log_lines(gate, event="listening")[1:]), "the worker listens")
            assert refusal_of(gate) == (503, "BP0807", "no-current-policy")
            assert not gate.service.ready()
        finally:
            disk.thaw()
        eventually(lambda: gate.send(GERMAN).status == 200, "it serves")
        eventually(gate.service.ready, "it is ready")


@pytest.mark.full
def test_a_runtime_directory_on_a_frozen_disk_takes_readiness_away_and_heals(tmp_path: Path) -> None:
    """The steward hangs with it, and the workers as soon as they give a sign of life; a probe gets no answer."""
    with loop_disk(tmp_path / "state") as disk, small_gate(tmp_path, message_timeout_ms=MESSAGE_TIMEOUT_MS) as gate:
        assert gate.send(GERMAN).status == 200
        (pid,) = gate.worker_pids().values()
        disk.freeze()
        try:
            # Probes bring news all the time, and to publish them needs the disk.
            eventually(lambda: not gate.service.ready(), "readiness goes away")
            asked = [gate.send(GERMAN) for _ in range(5)]
            assert {each.status for each in asked} <= {200, 503, 504}
        finally:
            disk.thaw()
        eventually(lambda: gate.send(GERMAN).status == 200, "it serves again")
        eventually(gate.service.ready, "it is ready again")
        assert gate.worker_pids() == {0: pid}
        for each in asked:
            if each.status == 200:
                assert gate.record(each)["out"]["r"] == each.region
