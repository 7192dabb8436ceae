"""Keeps N worker processes alive, and stops them in order.

One task a worker: start, wait for its end, start again after a pause that doubles while it keeps dying young
and resets once it has lived. A worker that hangs is not killed here: its requests end by Envoy's
`message_timeout`, readiness goes away, and its process may still hold records that only it can finish.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from borderpost.snapshots import SharedPage
from borderpost_base.errors import ERRORS
from borderpost_base.logs import get_logger

_PAUSE_S_FIRST = 0.2
_PAUSE_S_MAX = 10.0
_YOUNG_S = 5.0
"""A worker that ends within this time of its start died young."""
_YOUNG_DEATHS_ALARM = 3
_KILLED_WITHIN_S = 2.0
"""How long a killed worker is waited for. One inside a system call on a hung disk cannot end before the disk answers,
and the steward must not hang with it."""


class Supervisor:
    """The steward's hold on its workers."""

    def __init__(
        self, *, runtime: Path, count: int, page: SharedPage, metrics_directory: Path, on_restart: Callable[[int], None]
    ) -> None:
        self._runtime = runtime
        self._count = count
        self._page = page
        self._metrics_directory = metrics_directory
        self._on_restart = on_restart
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._log = get_logger("supervisor")

    @property
    def pids(self) -> Mapping[int, int]:
        """Return {worker index: process id} of the workers alive."""
        return {index: process.pid for index, process in self._processes.items() if process.returncode is None}

    def start(self) -> None:
        """Start every worker and keep each alive until `stop`."""
        self._tasks = [asyncio.create_task(self._keep(index)) for index in range(self._count)]

    async def _keep(self, index: int) -> None:
        pause_s = _PAUSE_S_FIRST
        young_deaths = 0
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            born_s = loop.time()
            process = await self._spawn(index)
            status = await process.wait() if process is not None else None
            self._page.forget_worker(index)
            if self._stopping.is_set():
                return
            lived_s = loop.time() - born_s
            young_deaths = young_deaths + 1 if lived_s < _YOUNG_S else 0
            pause_s = min(_PAUSE_S_MAX, pause_s * 2) if young_deaths else _PAUSE_S_FIRST
            self._on_restart(index)
            self._log.error("worker ended", worker=index, status=status, lived_s=round(lived_s, 3), pause_s=pause_s)
            if young_deaths == _YOUNG_DEATHS_ALARM:
                spec = ERRORS["BP0603"]
                self._log.error(spec.title, code=spec.code, worker=index, mend=spec.mend)
            await asyncio.sleep(pause_s)

    async def _spawn(self, index: int) -> asyncio.subprocess.Process | None:
        """Start a worker; None where the machine refuses (no process, no memory), which may pass."""
        environment = dict(os.environ, PROMETHEUS_MULTIPROC_DIR=str(self._metrics_directory))
        command = (
            sys.executable, "-m", "borderpost.worker", "--runtime", str(self._runtime), "--index", str(index),
            "--steward", str(os.getpid()),
        )  # fmt: skip
        try:
            process = await asyncio.create_subprocess_exec(
                *command, env=environment, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            self._log.error("worker cannot be started", worker=index, detail=str(error))
            return None
        self._processes[index] = process
        self._log.info("worker started", worker=index, pid=process.pid)
        return process

    async def stop(self, *, grace_s: float) -> None:
        """Ask every worker to drain; kill what has not ended after `grace_s`."""
        self._stopping.set()
        alive = [process for process in self._processes.values() if process.returncode is None]
        for process in alive:
            _signal(process, signal.SIGTERM)
        waits = [asyncio.create_task(process.wait()) for process in alive]
        if waits:
            _, late = await asyncio.wait(waits, timeout=grace_s)
            if late:
                self._log.error("workers did not drain in time and are killed", count=len(late), grace_s=grace_s)
                for process in alive:
                    _signal(process, signal.SIGKILL)
                _, stuck = await asyncio.wait(late, timeout=_KILLED_WITHIN_S)
                if stuck:
                    self._log.error("workers wait for a disk that does not answer; they end with it", count=len(stuck))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        try:
            process.send_signal(number)
        except ProcessLookupError:
            return
