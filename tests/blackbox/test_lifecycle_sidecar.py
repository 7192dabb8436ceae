"""Borderpost upgraded while a real Envoy asks it: two side by side, one replaced while the other answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from borderpost.audit.verify import verify
from borderpost_envoy import Via
from support.client import Observed
from support.clients import AMERICAN, EMIRATI, GERMAN, IRANIAN
from support.faults import log_lines, small_gate
from support.gateway import eventually
from support.second_gateway import SecondGateway, second_gateway

pytestmark = [pytest.mark.blackbox, pytest.mark.full]
CLIENTS = [GERMAN, AMERICAN, EMIRATI, IRANIAN]


def all_answered(observed: Observed) -> None:
    """Every request got what the law gives it: no failure, and no refusal but the law's own."""
    assert observed.statuses.keys() == {200, 451}, observed.statuses
    assert observed.statuses[200] >= 100


@pytest.mark.parametrize("via", list(Via))
def test_each_is_replaced_while_the_other_answers(tmp_path: Path, via: Via) -> None:
    with second_gateway(tmp_path / "second") as second:
        second.start()
        options = ["--beside", str(second.config_file)]
        with small_gate(tmp_path, via=via, options=options, server={"drain_s": 1.0}) as gate:

            def during() -> None:
                eventually(lambda: second.asked > 20, "the second is asked too")
                assert gate.service.stop() == 0
                gate.start_service()
                assert second.stop() == 0
                served = sum(gate.served.values())
                eventually(lambda: sum(gate.served.values()) > served + 20, "the first answers alone")
                second.start()
                eventually(lambda: second.asked > 20, "and the second again")

            observed = gate.load(CLIENTS, during=during, pause_s=0.005)
            all_answered(observed)
            both = [*gate.decisions(), *second.decisions()]
            assert len(both) >= len(observed.decisions)
            told = {decision for decision, _, _ in observed.decisions}
            assert told <= {f"{record['epoch']}{record['seq']:012x}" for record in both}
            assert sum(stream.unclean_epochs for stream in verify(gate.audit).streams) == 0


def test_one_that_is_killed_is_passed_over(tmp_path: Path) -> None:
    """Nobody drained it: requests that it had may fail, and none after them does."""
    with second_gateway(tmp_path / "second") as second:
        second.start()
        with small_gate(tmp_path, options=["--beside", str(second.config_file)]) as gate:
            gate.load([GERMAN], count=20)
            gate.kill_service()
            gate.load([GERMAN], count=5)  # Envoy learns of it
            observed = gate.load(CLIENTS, count=100)
            assert observed.statuses.keys() == {200, 451}, observed.statuses
            gate.start_service()


def test_a_second_one_in_the_same_place_changes_nothing(tmp_path: Path) -> None:
    """Neither the runtime directory nor the socket nor the log can be had twice; the one that runs is not disturbed."""
    with small_gate(tmp_path) as gate:
        other = SecondGateway(
            tmp_path / "other",
            runtime={"directory": str(tmp_path / "state-of-other"), "snapshot_max_age_s": 1.0},  # its worker ends soon
            server={"directory": str(gate.directory / "server")},
        )
        with pytest.raises(Exception, match="BP0911"):
            other.start(within_s=3.0)
        assert gate.send(GERMAN).status == 200, gate.send(GERMAN).reply
        observed = gate.load([GERMAN], count=50)
        assert observed.statuses.keys() == {200}
        assert not log_lines(gate, level="error")
