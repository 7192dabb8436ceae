"""The supervisor: restarts with growing pauses, tells of early deaths, stops in order and in bounded time."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from borderpost import supervisor
from borderpost.snapshots import SharedPage, WorkerState
from borderpost.supervisor import Supervisor
from borderpost_base.errors import BorderpostError
from support.worker_parts import until

DIES = "#!/bin/sh\nexit 7\n"
LIVES = "#!/bin/sh\nexec sleep 60\n"
STUBBORN = f"""#!{sys.executable}
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[sys.argv.index("--runtime") + 1], "deaf").touch()
time.sleep(60)
"""
SERVES = f"""#!{sys.executable}
import os, pathlib, signal, sys, time
from borderpost.snapshots import SharedPage, WorkerState
signal.signal(signal.SIGUSR1, lambda *_: os._exit(0))
told = dict(zip(sys.argv, sys.argv[1:]))
page = SharedPage(pathlib.Path(told["--runtime"], "page"), create=False)
fault = pathlib.Path(told["--runtime"], "fault")
state = WorkerState.SERVING
if "--takes-over" in sys.argv and fault.exists():
    if fault.read_text() == "ends":
        os._exit(7)
    state = WorkerState[fault.read_text()]
while True:
    page.beat_worker(int(told["--stream"]), mono_us=1, state=state, silent_us=0, generation=1)
    time.sleep(0.01)
"""
"""Serves at once; as a successor, what the file `fault` says: ends, or stays in that state."""


class Hold:
    """A supervisor whose worker is a script."""

    def __init__(self, directory: Path, count: int) -> None:
        self.page = SharedPage(directory / "page", create=True)
        self.restarted: list[int] = []
        self.supervisor = Supervisor(
            runtime=directory,
            count=count,
            page=self.page,
            metrics_directory=directory / "metrics",
            on_restart=self.restarted.append,
        )


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_PAUSE_S_FIRST", 0.01)
    monkeypatch.setattr(supervisor, "_PAUSE_S_MAX", 0.1)


@asynccontextmanager
async def supervised(
    directory: Path, monkeypatch: pytest.MonkeyPatch, script: str, count: int = 1
) -> AsyncIterator[Hold]:
    worker = directory / "worker"
    worker.write_text(script)
    worker.chmod(0o755)
    monkeypatch.setattr(supervisor, "sys", SimpleNamespace(executable=str(worker)))
    hold = Hold(directory, count)
    hold.supervisor.start("settings")
    try:
        yield hold
    finally:
        await hold.supervisor.stop(grace_s=0.2)


def ends(told: list[Any]) -> list[Any]:
    return [line for line in told if line["event"] == "worker ended"]


def test_pauses_double_up_to_a_bound_and_the_alarm_is_given_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        with capture_logs() as told:
            async with supervised(tmp_path, monkeypatch, DIES) as hold:
                await until(lambda: len(hold.restarted) >= 6)
        pauses = [line["pause_s"] for line in ends(told)]
        assert pauses[:6] == [0.02, 0.04, 0.08, 0.1, 0.1, 0.1]
        assert {line["status"] for line in ends(told)} == {7}
        alarms = [line for line in told if line.get("code") == "BP0603"]
        assert len(alarms) == 1
        assert told.index(alarms[0]) > told.index(ends(told)[2])

    asyncio.run(main())


def test_a_worker_that_has_lived_is_started_again_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_YOUNG_S", 0.05)

    async def main() -> None:
        with capture_logs() as told:
            async with supervised(tmp_path, monkeypatch, "#!/bin/sh\nsleep 0.2\n") as hold:
                await until(lambda: len(hold.restarted) >= 4)
        assert {line["pause_s"] for line in ends(told)} == {0.01}
        assert not [line for line in told if line.get("code") == "BP0603"]

    asyncio.run(main())


def test_a_dead_worker_says_nothing_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with supervised(tmp_path, monkeypatch, LIVES, count=2) as hold:
            await until(lambda: len(hold.supervisor.pids) == 2)
            first = hold.supervisor.pids[0]
            hold.page.beat_worker(0, mono_us=5, state=WorkerState.SERVING, silent_us=0, generation=1)
            hold.page.beat_worker(1, mono_us=5, state=WorkerState.SERVING, silent_us=0, generation=1)
            os.kill(first, signal.SIGKILL)
            await until(lambda: hold.supervisor.pids.get(0) not in (None, first))
            assert hold.page.worker(0).state is WorkerState.ABSENT
            assert hold.page.worker(1).state is WorkerState.SERVING
            assert hold.restarted == [0]

    asyncio.run(main())


def test_a_worker_that_cannot_be_started_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process, no memory: the machine may have them again in a moment."""

    async def main() -> None:
        with capture_logs() as told:
            async with supervised(tmp_path, monkeypatch, LIVES) as hold:
                await until(lambda: len(hold.supervisor.pids) == 1)
                executable = tmp_path / "worker"
                executable.rename(tmp_path / "elsewhere")
                os.kill(hold.supervisor.pids[0], signal.SIGKILL)
                await until(lambda: any(line["event"] == "worker cannot be started" for line in told))
                (tmp_path / "elsewhere").rename(executable)
                await until(lambda: len(hold.supervisor.pids) == 1)

    asyncio.run(main())


def test_stop_ends_workers_in_order_and_starts_none_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with supervised(tmp_path, monkeypatch, LIVES, count=3) as hold:
            await until(lambda: len(hold.supervisor.pids) == 3)
            loop = asyncio.get_running_loop()
            began = loop.time()
            await hold.supervisor.stop(grace_s=10)
            assert loop.time() - began < 5
            assert hold.supervisor.pids == {}
            assert hold.restarted == []

    asyncio.run(main())


def test_stop_kills_what_does_not_drain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        with capture_logs() as told:
            async with supervised(tmp_path, monkeypatch, STUBBORN) as hold:
                await until((tmp_path / "deaf").exists)
                await hold.supervisor.stop(grace_s=0.2)
                assert hold.supervisor.pids == {}
        assert any("did not drain in time" in line["event"] for line in told)

    asyncio.run(main())


def test_stop_during_a_pause_does_not_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_PAUSE_S_FIRST", 30.0)
    monkeypatch.setattr(supervisor, "_PAUSE_S_MAX", 30.0)

    async def main() -> None:
        async with supervised(tmp_path, monkeypatch, DIES) as hold:
            await until(lambda: hold.restarted == [0])
            loop = asyncio.get_running_loop()
            began = loop.time()
            await hold.supervisor.stop(grace_s=10)
            assert loop.time() - began < 5

    asyncio.run(main())


def test_a_worker_is_told_who_its_steward_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = '#!/bin/sh\necho "$@" > "$(dirname "$0")/told"\nexec sleep 60\n'

    async def main() -> None:
        async with supervised(tmp_path, monkeypatch, script):
            await until(lambda: (tmp_path / "told").exists() and bool((tmp_path / "told").read_text()))
        words = (tmp_path / "told").read_text().split()
        assert words[words.index("--steward") + 1] == str(os.getpid())
        assert words[words.index("--index") + 1] == "0"

    asyncio.run(main())


def streams(hold: Hold) -> list[int]:
    return [seat.stream for seat in hold.supervisor.seats]


def serving(hold: Hold) -> bool:
    return all(hold.page.worker(seat.stream).state is WorkerState.SERVING for seat in hold.supervisor.seats)


def test_replaced_workers_take_turns_on_the_spare_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        with capture_logs() as told:
            async with supervised(tmp_path, monkeypatch, SERVES, count=2) as hold:
                await until(lambda: serving(hold))
                before = dict(hold.supervisor.pids)
                await hold.supervisor.replace_all("other", grace_s=5)
                after = dict(hold.supervisor.pids)
                assert streams(hold) == [2, 0]
                assert [seat.settings for seat in hold.supervisor.seats] == ["other", "other"]
                assert after.keys() == before.keys()
                assert not set(after.values()) & set(before.values())
                assert hold.page.worker(1).state is WorkerState.ABSENT
                await hold.supervisor.replace_all("third", grace_s=5)
                assert streams(hold) == [1, 2]
                assert hold.restarted == []
                # One that dies later comes back on the stream that it had, by the settings that it had.
                os.kill(hold.supervisor.pids[0], signal.SIGKILL)
                await until(lambda: hold.restarted == [0] and serving(hold))
                assert streams(hold) == [1, 2]
        started = [(line["worker"], line["stream"]) for line in told if line["event"] == "worker started"]
        assert started == [(0, 0), (1, 1), (0, 2), (1, 0), (0, 1), (1, 2), (0, 1)]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fault", "why"),
    [("ends", "worker 0: it ended with status 7"), ("STARTING", "worker 0: it was starting for 1 s")],
)
def test_a_successor_that_does_not_get_ready_leaves_its_predecessor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, why: str
) -> None:
    monkeypatch.setattr(supervisor, "_READY_WITHIN_S", 1.0)

    async def main() -> None:
        async with supervised(tmp_path, monkeypatch, SERVES, count=2) as hold:
            await until(lambda: serving(hold))
            before = dict(hold.supervisor.pids)
            (tmp_path / "fault").write_text(fault)
            with pytest.raises(BorderpostError) as caught:
                await hold.supervisor.replace_all("other", grace_s=5)
            assert (caught.value.code, caught.value.detail) == ("BP0607", why)
            assert hold.supervisor.pids == before
            assert streams(hold) == [0, 1]
            assert [seat.settings for seat in hold.supervisor.seats] == ["settings", "settings"]
            assert hold.page.worker(2).state is WorkerState.ABSENT
            (tmp_path / "fault").unlink()
            await hold.supervisor.replace_all("other", grace_s=5)
            assert streams(hold) == [2, 0]

    asyncio.run(main())


def test_a_predecessor_that_does_not_let_go_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its successor can serve, and waits for an address that is not given up."""
    monkeypatch.setattr(supervisor, "_SERVES_WITHIN_S", 0.3)

    async def main() -> None:
        deaf = SERVES.replace("lambda *_: os._exit(0)", "signal.SIG_IGN")
        async with supervised(tmp_path, monkeypatch, deaf) as hold:
            await until(lambda: serving(hold))
            (predecessor,) = hold.supervisor.pids.values()
            (tmp_path / "fault").write_text("READY")
            await hold.supervisor.replace_all("other", grace_s=5)
            assert hold.supervisor.pids[0] != predecessor
            with pytest.raises(ProcessLookupError):
                os.kill(predecessor, 0)
            assert hold.restarted == []

    asyncio.run(main())


def test_stop_during_a_replacement_leaves_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        with capture_logs() as told:
            async with supervised(tmp_path, monkeypatch, SERVES) as hold:
                await until(lambda: serving(hold))
                (tmp_path / "fault").write_text("STARTING")
                replacing = asyncio.create_task(hold.supervisor.replace_all("other", grace_s=5))
                await until(lambda: hold.page.worker(1).state is WorkerState.STARTING)
                replacing.cancel()
                await asyncio.gather(replacing, return_exceptions=True)
                await hold.supervisor.stop(grace_s=10)
        for line in told:
            if line["event"] == "worker started":
                with pytest.raises(ProcessLookupError):
                    os.kill(line["pid"], 0)

    asyncio.run(main())
