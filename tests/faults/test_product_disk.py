"""The audit disk fails under the whole product: full, read-only, failing syncs. Refused, healed, nothing lost."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from borderpost.audit.segment import segments_of
from borderpost.audit.verify import verify
from support.client import Observed
from support.clients import GERMAN
from support.disks import loop_disk, memory_disk, needs_freeze, needs_root, needs_strace
from support.faults import acknowledged_in_log, gaps, log_lines, refusal_of, small_gate
from support.gateway import Gateway, eventually

pytestmark = pytest.mark.blackbox

HEALED_WITHIN_S = 10.0
"""Bound for a busy machine; `audit.retry_s` is 0.1 in these tests, and it takes about twice that."""


def break_under_load(gate: Gateway, breaks: Callable[[], None], mends: Callable[[], None]) -> tuple[Observed, float]:
    """Break and mend the disk under load; return what clients saw, and seconds from mending to the first answer."""
    healed_s: list[float] = []

    def during() -> None:
        eventually(lambda: sum(gate.served.values()) > 20, "requests are served")
        breaks()
        eventually(lambda: refusal_of(gate)[0] == 503, "requests are refused")
        eventually(gate.unready, "readiness goes away")
        status, code, reason = refusal_of(gate)
        assert (status, code) == (503, "BP0808"), reason
        mends()
        began = time.monotonic()
        eventually(lambda: gate.send(GERMAN).status == 200, "it heals by itself")
        healed_s.append(time.monotonic() - began)
        print(f"healed {healed_s[0]:.2f} s after the disk")
        eventually(gate.service.ready, "it is ready again")

    observed = gate.load([GERMAN], seconds=3.0, concurrency=4, during=during)
    return observed, healed_s[0]


@pytest.mark.root
@needs_root
def test_a_disk_that_fills_up_under_load_refuses_and_heals(tmp_path: Path) -> None:
    with memory_disk(tmp_path / "audit", "24m") as disk, small_gate(tmp_path, audit={"reserve_bytes": 0}) as gate:
        pid = gate.worker_pids()[0]
        observed, healed_s = break_under_load(gate, disk.fill, disk.free)
        assert healed_s < HEALED_WITHIN_S
        assert observed.statuses[200] > 0
        assert observed.statuses[503] > 0
        assert set(observed.statuses) == {200, 503}
        assert gate.send(GERMAN).status == 200
        assert gate.worker_pids()[0] == pid
        acknowledged_in_log(gate, observed)
        down = log_lines(gate, event="audit log takes no records: every request is refused")
        assert len(down) == 1
        error = down[0]["error"]
        assert error["code"] == "BP0405"
        assert "ENOSPC" in error["detail"]
        assert error["place"]["file"].endswith("audit/worker-0")
        assert len(log_lines(gate, event="audit log takes records again")) == 1
        (first, *rest) = gaps(gate)
        assert first["reason"] == "ENOSPC"
        assert first["refused"] > 0
        assert all(gap["lost"] == 0 for gap in rest)
        assert verify(gate.audit).findings == []


@pytest.mark.full
@pytest.mark.root
@needs_root
def test_a_log_that_fills_its_own_disk_refuses(tmp_path: Path) -> None:
    """Not somebody else's data but the log itself meets the end of the disk, in the middle of a batch."""
    small = small_gate(tmp_path, audit={"reserve_bytes": 0})
    with memory_disk(tmp_path / "audit", "24m") as disk, small as gate:
        gate.send(GERMAN)
        disk.leave(200 << 10)
        observed = gate.load([GERMAN], count=400, concurrency=8)
        assert observed.statuses[200] > 20
        assert observed.statuses[503] > 0
        assert set(observed.statuses) == {200, 503}
        assert verify(gate.audit).findings == []
        acknowledged_in_log(gate, observed)
        disk.free()
        eventually(lambda: gate.send(GERMAN).status == 200, "it heals by itself")


@pytest.mark.full
@pytest.mark.root
@needs_root
def test_a_disk_full_at_the_start_refuses_until_there_is_room(tmp_path: Path) -> None:
    with memory_disk(tmp_path / "audit", "24m") as disk, small_gate(tmp_path) as gate:
        gate.send(GERMAN)
        assert gate.service.stop() == 0
        disk.fill()
        gate.launch_service()
        # Not even the inputs of decisions can be kept, so there is no policy to decide by either.
        eventually(lambda: refusal_of(gate)[:2] == (503, "BP0807"), "a worker refuses")
        eventually(gate.unready, "it is not ready")
        (line,) = log_lines(gate, event="audit log cannot be opened: every request is refused")
        assert line["code"] == "BP0402"
        assert "ENOSPC" in line["detail"]
        disk.free()
        eventually(lambda: gate.send(GERMAN).status == 200, "it heals by itself")
        eventually(gate.service.ready, "it is ready")


@pytest.mark.full
@pytest.mark.root
@needs_root
def test_a_disk_read_only_at_the_start_refuses_until_it_is_writable(tmp_path: Path) -> None:
    with memory_disk(tmp_path / "audit", "24m") as disk, small_gate(tmp_path) as gate:
        gate.send(GERMAN)
        assert gate.service.stop() == 0
        disk.remount("ro")
        gate.launch_service()
        eventually(lambda: bool(log_lines(gate, code="BP0402")), "the log says why")
        assert refusal_of(gate)[0] == 503
        assert not gate.service.ready()
        assert "EROFS" in log_lines(gate, code="BP0402")[0]["detail"]
        disk.remount("rw")
        eventually(lambda: gate.send(GERMAN).status == 200, "it heals by itself")
        eventually(gate.service.ready, "it is ready")
        assert len(log_lines(gate, code="BP0402")) == 1


@pytest.mark.full
@pytest.mark.root
@needs_freeze
def test_files_that_turn_immutable_refuse_and_heal(tmp_path: Path) -> None:
    """A file system with files open for writing cannot be remounted read-only, but its files can be locked."""
    with loop_disk(tmp_path / "audit"), small_gate(tmp_path) as gate:
        gate.send(GERMAN)

        def chattr(how: str) -> None:
            subprocess.run(["chattr", how, *map(str, segments_of(gate.audit / "worker-0"))], check=True, timeout=30)

        observed, healed_s = break_under_load(gate, lambda: chattr("+i"), lambda: chattr("-i"))
        assert healed_s < HEALED_WITHIN_S
        assert observed.statuses[200] > 0
        assert observed.statuses[503] > 0
        assert set(observed.statuses) == {200, 503}
        acknowledged_in_log(gate, observed)
        assert gaps(gate)[0]["reason"] == "EPERM"


@pytest.mark.full
@pytest.mark.root
@needs_freeze
def test_a_file_system_that_turns_read_only_upon_an_error_refuses_and_loses_nothing(tmp_path: Path) -> None:
    """As root file systems do (`errors=remount-ro`). It must be mounted anew, and so the service be started anew."""
    with loop_disk(tmp_path / "audit") as disk, small_gate(tmp_path) as gate:

        def during() -> None:
            eventually(lambda: sum(gate.served.values()) > 20, "requests are served")
            disk.fail()
            eventually(lambda: refusal_of(gate)[:2] == (503, "BP0808"), "requests are refused")
            eventually(gate.unready, "readiness goes away")

        observed = gate.load([GERMAN], seconds=2.0, concurrency=4, during=during)
        assert set(observed.statuses) == {200, 503}
        assert log_lines(gate, event="audit log takes no records: every request is refused")
        gate.service.stop()
        disk.mount_anew()
        gate.start_service()
        assert gate.send(GERMAN).status == 200
        acknowledged_in_log(gate, observed)


@needs_strace
def test_a_sync_that_fails_refuses_its_batch_and_heals(tmp_path: Path) -> None:
    with small_gate(tmp_path) as gate:
        gate.send(GERMAN)
        inject = "inject=fdatasync:error=EIO:when=20..24"
        pid = gate.worker_pids()[0]
        trace = tmp_path / "strace"
        strace = subprocess.Popen(
            [
                "strace", "-f", "-qq", "-o", str(trace), "-e", "trace=fdatasync,io_submit",
                # Of syncs that the kernel makes by itself no system call tells, so it is made to take none.
                "-e", "inject=io_submit:error=EAGAIN", "-e", inject, "-p", str(pid),
            ]
        )  # fmt: skip
        try:
            observed = gate.load([GERMAN], seconds=3.0, concurrency=4)
            eventually(lambda: gate.send(GERMAN).status == 200, "it heals by itself")
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait(10)
        assert "(INJECTED)" in trace.read_text()
        assert observed.statuses[503] > 0
        assert observed.statuses[200] > 0
        assert set(observed.statuses) == {200, 503}
        assert gate.worker_pids()[0] == pid
        acknowledged_in_log(gate, observed)
        down = log_lines(gate, event="audit log takes no records: every request is refused")
        assert "EIO" in down[0]["error"]["detail"]
        assert gaps(gate)[0]["reason"] == "EIO"
