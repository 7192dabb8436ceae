"""How a limiter tells the steward how it is, and what the steward makes of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from borderpost.health import Check, Outcome
from borderpost.limiter.stewarded import CHECKS, PAGE, SERVING, Stewarded, told_checks
from borderpost.snapshots import SharedPage, WorkerState

SERVES = Check.that(SERVING, True, "serving")
OLD = Check("limits/current", Outcome.WARNING, "the last good one is in force")


class Stage:
    """A limiter, and the page that its steward sees."""

    def __init__(self, runtime: Path, steward: int) -> None:
        self.runtime = runtime
        self.page = SharedPage(runtime / PAGE, create=True)
        self.limiter = Stewarded(runtime, stream=1, steward=steward, takes_over=False)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, os.getppid())


def test_state_and_beat_are_in_the_page_under_its_number(stage: Stage) -> None:
    stage.limiter.beat(77, WorkerState.SERVING, [SERVES])
    signs = stage.page.worker(1)
    assert (signs.state, signs.beat_us, signs.pid) == (WorkerState.SERVING, 77, os.getpid())
    assert stage.page.worker(0).state is WorkerState.ABSENT


def test_what_somebody_should_look_at_is_in_a_file_and_the_rest_in_the_page(stage: Stage) -> None:
    assert told_checks(stage.runtime) == []
    stage.limiter.beat(1, WorkerState.SERVING, [SERVES, OLD])
    assert told_checks(stage.runtime) == [Check("limiter/limits/current", OLD.outcome, OLD.detail)]
    stage.limiter.beat(2, WorkerState.SERVING, [SERVES])
    assert told_checks(stage.runtime) == []


def test_only_who_serves_tells_its_checks(stage: Stage) -> None:
    """A successor that gets ready must not speak for the limiter that answers."""
    stage.limiter.beat(1, WorkerState.READY, [OLD])
    assert not (stage.runtime / CHECKS).exists()


def test_a_full_disk_ends_nothing_and_is_told_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: Path, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with capture_logs() as told:
        for beat in range(3):
            stage.limiter.beat(beat, WorkerState.SERVING, [OLD])
    assert [line["log_level"] for line in told] == ["error"]
    assert stage.page.worker(1).beat_us == 2


@pytest.mark.parametrize("text", [b"", b"{", b"\xff"])
def test_words_that_cannot_be_read_are_none(stage: Stage, text: bytes) -> None:
    (stage.runtime / CHECKS).write_bytes(text)
    assert told_checks(stage.runtime) == []


def test_an_orphan_goes_once_another_steward_has_begun(tmp_path: Path) -> None:
    stage = Stage(tmp_path, steward=1 if os.getppid() != 1 else 2)
    stage.page.beat_steward(5)
    stage.limiter.beat(10, WorkerState.SERVING, [])
    assert not stage.limiter.is_succeeded()
    stage.page.beat_steward(11)
    assert stage.limiter.is_succeeded()


def test_with_its_steward_there_it_stays(stage: Stage) -> None:
    stage.limiter.beat(10, WorkerState.SERVING, [])
    stage.page.beat_steward(11)
    assert not stage.limiter.is_succeeded()
