"""Keeps processes of one kind alive (workers, the limiter), replaces them one after another, stops them in order.

One task a seat: start a worker, wait for its end, start again after a pause that doubles while it keeps dying young
and resets once it has lived. A worker that hangs is not killed here: its requests end by Envoy's
`message_timeout`, readiness goes away, and its process may still hold records that only it can finish.

Replacing (`replace_all`) has each worker's successor serve before it goes, so the two run side by side for a moment.
They cannot share an audit stream, whose lock is one process's, and to hand it over would leave a time in which
nobody can record. So there is one stream more than there are workers: the successor opens the spare one, and what
its predecessor leaves is the spare one of the next. Each stream is written by one process at a time, ends with
`epoch.close` and goes on with `epoch.open`, as at any restart: nothing is lost and no chain forks.

    successor   opens the spare stream, reads the snapshot        predecessor   serves
                ready: takes the address over (renames its socket over the other; a network address it binds
                as soon as the predecessor has closed it)
                serves whoever connects now                                     on SIGUSR1: sends Envoy away (GOAWAY),
                                                                                answers on until Envoy has gone,
                                                                                closes its epoch, ends

A successor that does not get ready is ended, and its predecessor never knows. The limiter, of which there is one, is
held in the same way.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from borderpost.snapshots import SharedPage, WorkerState
from borderpost_base.errors import ERRORS, BorderpostError
from borderpost_base.logs import get_logger
from borderpost_base.metrics import forget_worker, limiter_identity

_PAUSE_S_FIRST = 0.2
_PAUSE_S_MAX = 10.0
_YOUNG_S = 5.0
"""A worker that ends within this time of its start died young."""
_YOUNG_DEATHS_ALARM = 3
_KILLED_WITHIN_S = 2.0
"""How long a killed worker is waited for. One inside a system call on a hung disk cannot end before the disk answers,
and the steward must not hang with it."""
_READY_WITHIN_S = 30.0
"""How long a successor may take to get ready: a second, or longer to recover a stream that ended badly."""
_SERVES_WITHIN_S = 10.0
"""How long a successor may take to get an address that its predecessor was told to close."""
_LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of process that is supervised."""

    name: str
    """For people."""
    module: str
    """What is run: it takes `--runtime`, `--settings`, `--index`, `--stream`, `--steward` and `--takes-over`."""
    metrics_identity: Callable[[int], int | str]
    """From a stream's number to the name by which its process keeps its metrics."""


WORKERS = Kind("worker", "borderpost.worker", lambda stream: stream)
LIMITER = Kind("limiter", "borderpost.limiter", limiter_identity)


class Seat:
    """The place of one worker: its address, and who has it now."""

    __slots__ = ("index", "process", "settings", "stream")

    def __init__(self, index: int) -> None:
        self.index = index
        """Number of the address, and the worker's name for people."""
        self.stream = index
        """Number of the stream, page words and metrics of the worker that has the seat."""
        self.settings = ""
        """Name of the settings that this worker runs by."""
        self.process: asyncio.subprocess.Process | None = None
        """The worker; None while there is none."""


class Supervisor:
    """The steward's hold on its processes of one kind."""

    def __init__(
        self, *, runtime: Path, count: int, page: SharedPage, metrics_directory: Path,
        on_restart: Callable[[int], None], kind: Kind = WORKERS,
    ) -> None:  # fmt: skip
        self._kind = kind
        self.seats = tuple(Seat(index) for index in range(count))
        """One a worker, by index."""
        self._runtime = runtime
        self._spare = count
        """Number of the stream that nobody writes."""
        self._page = page
        self._metrics_directory = metrics_directory
        self._on_restart = on_restart
        self._alive: set[asyncio.subprocess.Process] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._log = get_logger("supervisor")

    @property
    def pids(self) -> Mapping[int, int]:
        """Return {worker index: process id} of the workers alive."""
        living = ((seat.index, seat.process) for seat in self.seats)
        return {index: each.pid for index, each in living if each is not None and each.returncode is None}

    def start(self, settings: str) -> None:
        """Start every worker by these settings (their name) and keep each alive until `stop`."""
        for seat in self.seats:
            seat.settings = settings
        self._tasks = [asyncio.create_task(self._keep(seat)) for seat in self.seats]

    async def _keep(self, seat: Seat) -> None:
        pause_s = _PAUSE_S_FIRST
        young_deaths = 0
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            born_s = loop.time()
            if seat.process is None:
                _give(seat, await self._spawn(seat, seat.stream, seat.settings))
            process = seat.process
            status = await process.wait() if process is not None else None
            if seat.process is not process:
                continue  # it was replaced
            seat.process = None
            self._forget(seat.stream)
            if self._stopping.is_set():
                return
            lived_s = loop.time() - born_s
            young_deaths = young_deaths + 1 if lived_s < _YOUNG_S else 0
            pause_s = min(_PAUSE_S_MAX, pause_s * 2) if young_deaths else _PAUSE_S_FIRST
            self._on_restart(seat.index)
            told = {**self._named(seat), "status": status, "lived_s": round(lived_s, 3), "pause_s": pause_s}
            self._log.error(f"{self._kind.name} ended", **told)
            if young_deaths == _YOUNG_DEATHS_ALARM:
                spec = ERRORS["BP0603"]
                self._log.error(spec.title, code=spec.code, mend=spec.mend, **self._named(seat))
            await asyncio.sleep(pause_s)

    async def _spawn(
        self, seat: Seat, stream: int, settings: str, *, takes_over: bool = False
    ) -> asyncio.subprocess.Process | None:
        """Start a worker; None where the machine refuses (no process, no memory), which may pass."""
        environment = dict(os.environ, PROMETHEUS_MULTIPROC_DIR=str(self._metrics_directory))
        command = [
            *(sys.executable, "-m", self._kind.module, "--runtime", str(self._runtime), "--settings", settings),
            *("--index", str(seat.index), "--stream", str(stream), "--steward", str(os.getpid())),
            *(["--takes-over"] if takes_over else []),
        ]
        try:
            process = await asyncio.create_subprocess_exec(
                *command, env=environment, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            self._log.error(f"{self._kind.name} cannot be started", detail=str(error), **self._named(seat))
            return None
        self._alive = {each for each in self._alive if each.returncode is None} | {process}
        self._log.info(f"{self._kind.name} started", pid=process.pid, stream=stream, **self._named(seat))
        return process

    async def replace_all(self, settings: str, *, grace_s: float) -> None:
        """Replace every worker by one with these settings, one after another; each serves before the other goes.

        `grace_s` is what a predecessor gets to end in. Raises BorderpostError BP0607 where a successor does not get
        ready: its predecessor serves on, and so do those whose turn had not come.
        """
        for seat in self.seats:
            await self._replace(seat, settings, grace_s)

    async def _replace(self, seat: Seat, settings: str, grace_s: float) -> None:
        stream = self._spare
        self._forget(stream)
        successor = await self._spawn(seat, stream, settings, takes_over=True)
        if successor is None:
            raise BorderpostError("BP0607", f"{self._kind.name} {seat.index}: no process can be started")
        try:
            reached = await self._reaches(successor, stream, {WorkerState.READY, WorkerState.SERVING}, _READY_WITHIN_S)
        except asyncio.CancelledError:
            _signal(successor, signal.SIGTERM)
            raise
        if not reached:
            state = self._page.worker(stream).state.name.lower()
            ended = successor.returncode
            why = f"it was {state} for {_READY_WITHIN_S:g} s" if ended is None else f"it ended with status {ended}"
            _signal(successor, signal.SIGTERM)
            await self._end(successor, stream, grace_s)
            raise BorderpostError("BP0607", f"{self._kind.name} {seat.index}: {why}")
        predecessor, left = seat.process, seat.stream
        seat.process, seat.stream, seat.settings, self._spare = successor, stream, settings, left
        if predecessor is not None:
            _signal(predecessor, signal.SIGUSR1)
            serves = await self._reaches(successor, stream, {WorkerState.SERVING}, _SERVES_WITHIN_S)
            if not serves and successor.returncode is None:
                _signal(predecessor, signal.SIGKILL)  # it does not let go of its address
            await self._end(predecessor, left, grace_s)
        self._log.info(f"{self._kind.name} replaced", pid=successor.pid, stream=stream, **self._named(seat))

    async def _reaches(
        self, process: asyncio.subprocess.Process, stream: int, states: set[WorkerState], within_s: float
    ) -> bool:
        """Wait until a worker says of itself one of these; False if it ends or time runs out."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + within_s
        while process.returncode is None and loop.time() < until_s:
            signs = self._page.worker(stream)
            if signs.pid == process.pid and signs.state in states:
                return True
            await asyncio.sleep(_LOOK_S)
        return False

    async def _end(self, process: asyncio.subprocess.Process, stream: int, grace_s: float) -> None:
        """Wait for the end of a worker that has no seat (any more), and see to it that it comes."""
        for number, patience_s in ((None, grace_s), (signal.SIGTERM, grace_s), (signal.SIGKILL, _KILLED_WITHIN_S)):
            if number is not None:
                _signal(process, number)
            ended, _ = await asyncio.wait({asyncio.ensure_future(process.wait())}, timeout=patience_s)
            if ended:
                self._forget(stream)
                return
        self._log.error(
            f"a replaced {self._kind.name} cannot be ended; it keeps its stream until it does", pid=process.pid
        )

    def _named(self, seat: Seat) -> dict[str, int]:
        return {self._kind.name: seat.index}

    def _forget(self, stream: int) -> None:
        """Clear what a worker that has ended said of itself; what it counted stays."""
        self._page.forget_worker(stream)
        forget_worker(self._kind.metrics_identity(stream), self._metrics_directory)

    async def stop(self, *, grace_s: float) -> None:
        """Ask every worker to drain; kill what has not ended after `grace_s`."""
        self._stopping.set()
        alive = [process for process in self._alive if process.returncode is None]
        for process in alive:
            _signal(process, signal.SIGTERM)
        waits = [asyncio.create_task(process.wait()) for process in alive]
        if waits:
            _, late = await asyncio.wait(waits, timeout=grace_s)
            if late:
                self._log.error(
                    f"{self._kind.name}s did not drain in time and are killed", count=len(late), grace_s=grace_s
                )
                for process in alive:
                    _signal(process, signal.SIGKILL)
                _, stuck = await asyncio.wait(late, timeout=_KILLED_WITHIN_S)
                if stuck:
                    self._log.error(
                        f"{self._kind.name}s wait for a disk that does not answer; they end with it", count=len(stuck)
                    )
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _give(seat: Seat, process: asyncio.subprocess.Process | None) -> None:
    """Give a free seat to the worker that was started for it, unless a successor took it in the meantime."""
    if seat.process is None:
        seat.process = process
    elif process is not None:
        _signal(process, signal.SIGTERM)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        try:
            process.send_signal(number)
        except ProcessLookupError:
            return
