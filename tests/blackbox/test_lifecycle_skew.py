"""Releases that meet what another one wrote: refused in words, with nothing lost, while what runs serves on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from borderpost.audit import fields
from borderpost.audit.profile import decode, encode
from borderpost.audit.record import digest_of
from borderpost.audit.segment import segments_of
from borderpost.runtime_directory import ReloadOutcome
from support.clients import GERMAN
from support.faults import log_lines, small_gate
from support.gateway import eventually

pytestmark = [pytest.mark.blackbox, pytest.mark.full]
OTHER_RELEASE = """
import pathlib, sys
if "borderpost.worker" in sys.orig_argv and pathlib.Path({flag!r}).exists():
    import borderpost.snapshots
    borderpost.snapshots.LAYOUT += 1
"""
"""What a worker of another release would have been compiled with, while a file says so."""


def test_workers_of_another_release_do_not_start_and_those_before_serve_on(tmp_path: Path) -> None:
    """The installation was changed under a running gateway, and somebody has its workers replaced."""
    flag, own = tmp_path / "changed", tmp_path / "own"
    own.mkdir()
    (tmp_path / "sitecustomize.py").write_text(OTHER_RELEASE.format(flag=str(flag)))
    with small_gate(own, environ={"PYTHONPATH": str(tmp_path)}) as gate:
        before = gate.worker_pids()

        def during() -> None:
            eventually(lambda: sum(gate.served.values()) > 20, "requests are served")
            flag.touch()
            gate.service.process.signal(signal.SIGUSR2)
            eventually(lambda: bool(log_lines(gate, event="reloaded")), "the reload has an outcome")

        observed = gate.load([GERMAN], during=during, pause_s=0.005)
        assert observed.statuses.keys() == {200}, observed.statuses
        assert gate.worker_pids() == before
        assert log_lines(gate, event="worker cannot run", code="BP0614")
        outcome = ReloadOutcome.read(own / gate.config["runtime"]["directory"])
        assert outcome is not None
        assert [problem["code"] for problem in outcome.problems] == ["BP0607"]
        flag.unlink()
        gate.service.process.signal(signal.SIGUSR2)
        eventually(lambda: gate.worker_pids().keys() == {1}, "put back, they are replaced")
        assert gate.send(GERMAN).status == 200


def test_a_log_that_a_newer_release_has_written_is_left_as_it_is(tmp_path: Path) -> None:
    """Gone back too far: nothing is cut off or appended, nobody is routed, and the newer release goes on with it."""
    with small_gate(tmp_path) as gate:
        assert gate.send(GERMAN).status == 200
        assert gate.service.stop() == 0
        segment = segments_of(gate.audit / "worker-0")[-1]
        ours = segment.read_bytes()
        last = ours.rstrip(b"\0").splitlines()[-1]
        record = decode(last)
        newer = {**record, "v": fields.VERSION + 1, "seq": record["seq"] + 1, "prev": digest_of(last)}
        segment.chmod(0o640)
        theirs = ours.rstrip(b"\0") + encode(newer) + b"\n"
        segment.write_bytes(theirs)
        gate.launch_service()
        eventually(lambda: bool(log_lines(gate, code="BP0403")), "it is refused")
        assert any("none of this version's" in str(line) for line in log_lines(gate, code="BP0403"))
        eventually(lambda: gate.send(GERMAN).status == 503, "requests are refused")
        assert gate.unready()
        gate.service.stop()
        assert segment.read_bytes() == theirs
        segment.write_bytes(ours)  # as the newer release would: its record is known to it
        gate.start_service()
        assert gate.send(GERMAN).status == 200
        assert len(gate.decisions()) == 2
