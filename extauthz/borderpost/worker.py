"""A worker process: one event loop, one socket, one audit stream. It decides, records and answers; nothing else.

    python -m borderpost.worker --runtime DIR --settings NAME --index N --stream M --steward PID

    SIGTERM, SIGINT   the service ends: answer on for `server.drain_s` while health checks say so, then end
    SIGUSR1           another worker takes this one's place: send Envoy there, answer what still comes, then end

The index is the worker's address, and its name for people; the stream is where it records. It listens once it has a
snapshot and an open audit stream: Envoy asks another worker where nobody listens, but takes a refusal for an answer.
Where that takes longer than a few seconds there may be no better one to ask, so it listens all the same and refuses: a
closed door says why, a missing socket does not. One that takes the place of another (`--takes-over`) never takes the
address before it is ready: until then somebody better answers there.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvloop

from borderpost.answers import AnswerSettings
from borderpost.audit.inputs import InputStore
from borderpost.collecting import collect_seldom
from borderpost.config.sections import LogsSpec, ServerSpec
from borderpost.counters.tally import WorkerTally
from borderpost.decision import View
from borderpost.descriptors import descriptor_set
from borderpost.listening import is_free, listener_of
from borderpost.live import COMPILED_PARTS, Live, activations
from borderpost.observation import Observation
from borderpost.processor import AUTHORIZATION_SERVICE, EXTERNAL_PROCESSOR_SERVICE, Processor
from borderpost.record_keeper import RecordKeeper, counting_commits
from borderpost.renewal import Renewal
from borderpost.snapshots import SharedPage, SnapshotReader, WorkerState
from borderpost.worker_settings import WorkerSettings
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.logs import get_logger
from borderpost_base.metrics import worker_metrics
from borderpost_base.world import World
from borderpost_wire.engine import Engine
from borderpost_wire.engines import make_engine
from borderpost_wire.errors import ListenError
from borderpost_wire.health import HealthService
from borderpost_wire.listeners import tls_context
from borderpost_wire.options import ServerOptions, TcpListen, UnixListen
from borderpost_wire.reflection import ReflectionService

_BEAT_S = 0.05
_CLOSE_WITHIN_S = 5.0
"""How long the last commit and `epoch.close` may take when stopping."""
_OPEN_CALLS_S = 1.0
"""How long calls that are open at the end of the drain may still wait for their answer."""
_LOOK_S = 0.01
"""How often a worker that is not ready looks whether it is."""
_PATIENCE_S = 3.0
"""How long a worker that takes nobody's place leaves its address alone while it gets ready. It mostly takes a fifth of
that: to compile the law, and to recover a stream that ended badly."""
_EXIT_ORPHANED = 3


@dataclass(frozen=True, slots=True)
class Role:
    """Which worker this is."""

    index: int
    """Number of its address, and its name for people."""
    stream: int
    """Number of its audit stream, of its words in the shared page and of its metrics. Only after workers have been
    replaced is it another than the index."""
    steward: int
    """Process id of the steward."""
    takes_over: bool = False
    """A worker of this index serves already, and makes way once this one is ready."""


class Worker:
    """One worker of an instance."""

    def __init__(self, runtime: Path, role: Role, settings: WorkerSettings, world: World) -> None:
        self._role = role
        self._settings = settings
        self._world = world
        self._log = get_logger("worker")
        self._metrics = worker_metrics(role.stream, runtime / "metrics")
        self._page = SharedPage(runtime / "page", create=False)
        inputs = InputStore(settings.audit.directory, world)
        self._keeper = RecordKeeper(
            stream=f"worker-{role.stream}", spec=settings.audit, inputs=inputs, world=world,
            unavailable=self._metrics.audit_unavailable, on_commit=counting_commits(self._metrics),
        )  # fmt: skip
        self._live = Live(
            page=self._page,
            reader=SnapshotReader(runtime),
            inputs=inputs,
            remembered_addresses=settings.remembered_addresses,
            max_age_us=round(settings.snapshot_max_age_s * 1e6),
            adopt=self._adopt,
            now_us=world.now_us,
        )
        self._bodies = None
        if settings.payload is not None:
            from borderpost.body_mode import body_mode_of  # what reads bodies is loaded only where they are read

            self._bodies = body_mode_of(settings.payload, world, self._metrics)
        self._health = HealthService({"": False, EXTERNAL_PROCESSOR_SERVICE: False, AUTHORIZATION_SERVICE: False})
        self._processor = Processor(
            live=self._live, keeper=self._keeper, tally=WorkerTally(runtime, role.stream), world=world,
            metrics=self._metrics, settings=answers_of(settings), bodies=self._bodies,
            observation=Observation(settings.observe, world, self._metrics),
        )  # fmt: skip
        self._renewal: Renewal
        """The certificates' renewal, once there is an engine."""
        self._listening = False
        self._draining = False
        self._replaced = False
        self._orphaned_at_us: int | None = None
        self._stop = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        """Serve until told to stop; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR1, self._make_way)
        listen = listen_of(self._settings.server, self._role.index)
        if self._role.takes_over and isinstance(listen, UnixListen):
            listen = replace(listen, takes_over=True)
        message_bytes_max = self._bodies.message_bytes_max if self._bodies else limits.REQUEST_MESSAGE_BYTES_MAX
        engine = make_engine(
            self._settings.server.engine,
            ServerOptions(listen=(listen,), message_bytes_max=message_bytes_max),
            [self._processor, self._health, ReflectionService(descriptor_set())],
        )
        self._renewal = Renewal(engine, self._page, self._metrics)
        self._keeper.open_soon(in_loop=engine.name == "wire", kernel_sync=True)
        beat = loop.create_task(self._beat())
        try:
            if await self._may_listen(listen, beat):
                self._renewal.begin()
                await engine.start()
                self._listening = True
                self._log.info("listening", engine=engine.name, addresses=list(engine.addresses), pid=os.getpid())
                await self._until_stopped(engine, beat)
                await self._drain(engine)
        finally:
            beat.cancel()
            await engine.stop()
            await self._keeper.stop(within_s=_CLOSE_WITHIN_S)
            self._metrics.flush()
        return self._exit_code

    def _make_way(self) -> None:
        self._replaced = True
        self._stop.set()

    async def _may_listen(self, listen: UnixListen | TcpListen, beat: asyncio.Task[None]) -> bool:
        """Get ready to serve, and wait until the address can be had; False if told to stop before."""
        tls_context(listen)  # what is wrong with certificates must show while another serves
        loop = asyncio.get_running_loop()
        until_s = loop.time() + (math.inf if self._role.takes_over else _PATIENCE_S)
        while not self._stop.is_set():
            if beat.done():
                beat.result()
            ready = self._is_ready(self._live.view)
            if self._role.takes_over:
                ready = ready and (isinstance(listen, UnixListen) or is_free(listen))
            if ready or loop.time() > until_s:
                return True
            await asyncio.sleep(_LOOK_S)
        return False

    async def _until_stopped(self, engine: Engine, beat: asyncio.Task[None]) -> None:
        stop = asyncio.create_task(self._stop.wait())
        ended = asyncio.create_task(engine.wait())
        tasks: set[asyncio.Task[Any]] = {stop, ended, beat}
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks - done - {beat}:
            task.cancel()
        for task in done:
            task.result()  # the engine and the beat end only by failing

    async def _drain(self, engine: Engine) -> None:
        """Answer on for the drain time, or until the last peer has gone where it was sent, then end what is open."""
        self._draining = True
        self._say_health()
        drain_s = self._settings.server.drain_s
        self._log.info("draining", drain_s=drain_s, replaced=self._replaced)
        if self._replaced:
            await engine.retire(drain_s)
        else:
            await asyncio.sleep(drain_s)
        await engine.drain(_OPEN_CALLS_S)

    def _adopt(self, view: View, changed: frozenset[str]) -> None:
        for key, kind, fields in activations(view, changed, self._page.generation):
            self._keeper.announce(key, kind, fields)
        self._processor.adopt(view)
        if not changed.isdisjoint(COMPILED_PARTS):
            _settle()
        self._log.info("snapshot taken", generation=self._page.generation, changed=sorted(changed))

    async def _beat(self) -> None:
        """Tell the steward how we are, look for snapshots even without traffic, notice a steward that is gone."""
        while True:
            mono_us = self._world.clock.mono_us()
            view = self._live.current(mono_us)
            state = self._state(view)
            self._page.beat_worker(
                self._role.stream,
                mono_us=mono_us,
                state=state,
                silent_us=self._keeper.silent_us(),
                generation=self._live.generation,
            )
            self._say_health(state is WorkerState.SERVING)
            if self._listening:
                self._renewal.look()
            self._live.look_ahead()
            if self._bodies is not None:
                self._bodies.look()
            self._keeper.say(self._world.now_us())
            self._metrics.audit_pending.set(self._keeper.pending)
            self._metrics.snapshot_generation.set(self._live.generation)
            self._metrics.snapshot_age_seconds.set(max(0, mono_us - self._page.steward_beat_us) / 1e6)
            self._metrics.clock_ahead_seconds.set(self._world.ahead_of_wall_us() / 1e6)
            self._metrics.shadow_broken.set(self._live.shadow_broken)
            self._metrics.flush()
            self._notice_orphanhood(mono_us)
            await asyncio.sleep(_BEAT_S)

    def _state(self, view: View | None) -> WorkerState:
        if self._draining:
            return WorkerState.DRAINING
        if not self._listening:
            return WorkerState.READY if self._role.takes_over and self._is_ready(view) else WorkerState.STARTING
        if view is None:
            return WorkerState.STARTING
        return WorkerState.SERVING if self._keeper.available else WorkerState.UNRECORDED

    def _is_ready(self, view: View | None) -> bool:
        return view is not None and self._keeper.available

    def _say_health(self, serving: bool = False) -> None:
        for service in ("", EXTERNAL_PROCESSOR_SERVICE, AUTHORIZATION_SERVICE):
            self._health.set_status(service, serving and not self._draining)

    def _notice_orphanhood(self, mono_us: int) -> None:
        """Without a steward nobody will ever publish again: serve on for the snapshot's age, then make room.

        Make room sooner where another steward has begun: its own worker waits for this socket and this log.
        """
        if os.getppid() == self._role.steward:
            return
        if self._orphaned_at_us is None:
            self._orphaned_at_us = mono_us
            self._log.error("the steward is gone; deciding on by the last snapshot", until_s=self._max_age_s)
        elif (
            mono_us - self._orphaned_at_us > self._max_age_s * 1e6 or self._page.steward_beat_us > self._orphaned_at_us
        ):
            self._exit_code = _EXIT_ORPHANED
            self._stop.set()

    @property
    def _max_age_s(self) -> float:
        return self._settings.snapshot_max_age_s


def answers_of(settings: WorkerSettings) -> AnswerSettings:
    """Return what callers are told; who blocks is named by the log's origin unless the operator says otherwise."""
    answers = settings.answers
    blocked_by = answers.blocked_by or f"https://{settings.audit.log}"
    return AnswerSettings(blocked_by, answers.retry_after_s, settings.facts)


def listen_of(server: ServerSpec, index: int) -> UnixListen | TcpListen:
    """Return the listener of one worker. Raises BorderpostError BP0501 for a user or group that is not there."""
    port = server.port + index if server.port else 0
    return listener_of(server, socket=server.socket_of(index), port=port, section="server")


def main() -> int:
    """Run one worker; the steward gives the arguments."""
    parser = argparse.ArgumentParser(prog="python -m borderpost.worker", description=__doc__)
    parser.add_argument("--runtime", type=Path, required=True)
    parser.add_argument("--settings", required=True, help="name of the settings' file in the runtime directory")
    parser.add_argument("--index", type=int, required=True)
    parser.add_argument("--stream", type=int, required=True)
    # Told, not asked for by getppid(): the steward may be gone before this process gets to ask.
    parser.add_argument("--steward", type=int, required=True, help="process id of the steward")
    parser.add_argument("--takes-over", action="store_true", help="a worker of this index serves already")
    given = parser.parse_args()
    role = Role(given.index, given.stream, given.steward, given.takes_over)
    collect_seldom()
    try:
        LogsSpec().apply(f"worker-{given.index}")
        settings = WorkerSettings.read(given.runtime / given.settings)
        settings.logs.apply(f"worker-{given.index}")
        return uvloop.run(_run(given.runtime, role, settings))
    except ListenError as error:
        told = BorderpostError("BP0502", error.reason, place=Place(error.address))
    except BorderpostError as error:
        told = error
    get_logger("worker").error("worker cannot run", **told.as_dict())
    return 2


def _settle() -> None:
    """Put what has just been compiled out of the garbage collector's sight, and the law before it back in.

    Looking through 10,000 entries takes the collector 80 ms, each time; the law lives until the next one and holds no
    cycles, so there is nothing to find. It is looked through once, when it comes into use.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


async def _run(runtime: Path, role: Role, settings: WorkerSettings) -> int:
    return await Worker(runtime, role, settings, World()).run()


if __name__ == "__main__":
    raise SystemExit(main())
