"""The limiter: one event loop, one door, one store of counters. It answers rate-limit questions; it knows no law.

    SIGTERM, SIGINT   it ends: health checks say so, it answers on for `server.drain_s`, then ends
    SIGHUP            read the limits files again, as is done where they have changed (`limiter.watch`)
    SIGUSR1           another limiter takes this one's place: send Envoy there, answer what still comes, then end

Under a steward it says in the shared page how it is, and its metrics are the steward's to tell. Where the steward is
gone it answers on: its limits need nobody. It makes room as soon as another steward has begun.
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from borderpost.audit.config import AuditSpec
from borderpost.config.limiter import LimiterConfig
from borderpost.health import Check, Outcome
from borderpost.limiter.descriptors import descriptor_set
from borderpost.limiter.limits_watch import LimitsWatch
from borderpost.limiter.stewarded import SERVING, Stewarded
from borderpost.limiter.stores import stores_of
from borderpost.limiter.tally import Tally
from borderpost.listening import is_free, listener_of
from borderpost.snapshots import WorkerState
from borderpost.uptake import Uptake, UptakeMetrics
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.logs import get_logger
from borderpost_base.metrics import Metrics, text_of
from borderpost_base.world import World
from borderpost_ratelimit.files.book import Book
from borderpost_ratelimit.service import RATE_LIMIT_SERVICE, RateLimitService
from borderpost_ratelimit.statistics import Statistics
from borderpost_wire.engine import Engine
from borderpost_wire.engines import engine_of, make_engine
from borderpost_wire.errors import ListenError
from borderpost_wire.health import HealthService
from borderpost_wire.listeners import tls_context
from borderpost_wire.options import ServerOptions, UnixListen
from borderpost_wire.reflection import ReflectionService
from borderpost_wire.service import Service

if TYPE_CHECKING:
    from borderpost.certificates import CertificateWatch
    from borderpost.limiter.refusal_log import RecordedRefusals
    from borderpost.limiter.web import LimiterWeb

_BEAT_S: Final = 0.05
_COPY_S: Final = 0.5
"""How often a limiter under a steward brings what it has counted to where the steward reads it."""
_LOOK_S: Final = 0.01
"""How often a limiter that waits for its address looks whether it is free."""
_OPEN_CALLS_S: Final = 1.0
"""How long calls that are open at the end of the drain may still wait for their answer."""
_CLOSE_WITHIN_S: Final = 5.0
"""How long the last records of refusals may take."""
_THEIR_NAME: Final = "ratelimit"
"""The name by which envoyproxy/ratelimit's health is asked for."""
HEALTH_NAMES: Final = ("", RATE_LIMIT_SERVICE, _THEIR_NAME)


class Limiter:
    """One limiter. Raises Problems where its limits files cannot be taken at the start."""

    def __init__(
        self, config: LimiterConfig, world: World, metrics: Metrics, *, stewarded: Stewarded | None = None
    ) -> None:
        """Make it on a running loop. What is refused is recorded where the configuration has a section `audit`."""
        self._config = config.limiter
        self._world = world
        self._metrics = metrics
        self._stewarded = stewarded
        self._log = get_logger("limiter")
        self._anew = asyncio.Event()
        """Set where the engine is to be made anew."""
        door = self._config.server
        self._listen = listener_of(door, socket=door.socket, port=door.port, section="limiter.server")
        if stewarded is not None and stewarded.takes_over and isinstance(self._listen, UnixListen):
            self._listen = replace(self._listen, takes_over=True)
        self._options = ServerOptions(listen=(self._listen,))
        self._refusals = self._record(config.audit, in_batches=engine_of(door.engine, self._options) == "wire")
        self._uptake = Uptake(UptakeMetrics.of_limiter(metrics), world)
        self._limits = LimitsWatch(self._config, take=self._adopt, keep=self._keep, uptake=self._uptake)
        self._book: Book = self._limits.begin()
        metrics.limiter_domains.set(len(self._book.domains))
        self._stores = stores_of(self._config, world)
        self._statistics = Statistics(
            near_limit_ratio=self._config.near_limit_ratio, value_names_max=self._config.value_names_max
        )
        self._service = RateLimitService(
            rules=self._book, store=self._stores.store, world=world, statistics=self._statistics,
            settings=self._config.service_settings(), refusals=self._refusals,
        )  # fmt: skip
        self._health = HealthService(dict.fromkeys(HEALTH_NAMES, False))
        self._engines: list[Engine] = []
        """All that there have been, the one in use last."""
        self._engine = self._make_engine()
        self._tally = Tally(metrics, self._statistics, self._stores, self._engines)
        self._certificates = self._watch_certificates()
        self._web = self._make_web()
        self._tasks: set[asyncio.Task[None]] = set()
        self._state = WorkerState.STARTING
        self._replaced = False
        self._stop = asyncio.Event()

    def _record(self, audit: AuditSpec | None, *, in_batches: bool) -> RecordedRefusals | None:
        if audit is None:
            return None
        from borderpost.limiter.refusal_log import RecordedRefusals  # loaded only where there is a record

        stream = self._stewarded.stream if self._stewarded is not None else 0
        return RecordedRefusals(audit, self._world, self._metrics, stream=stream, in_batches=in_batches)

    def _watch_certificates(self) -> CertificateWatch | None:
        if self._config.server.tls is None:
            return None
        from borderpost.certificates import CertificateWatch  # loaded only where there are any

        return CertificateWatch(
            self._config.server, announce=self._renew_soon, replace_workers=self._anew.set,
            world=self._world, expiry=self._metrics.limiter_certificate_expiry_timestamp_seconds,
            uptake=self._uptake, section="limiter.server.tls",
        )  # fmt: skip

    def _make_web(self) -> LimiterWeb | None:
        if self._config.admin is None:
            return None
        from borderpost.limiter.looked_at import looked_at  # loaded only where there are endpoints
        from borderpost.limiter.web import LimiterWeb

        return LimiterWeb(
            self._config.admin, self._service, checks=self.checks, book=lambda: self._book, metrics=self._exposition,
            look=lambda request: looked_at(self._book, self._stores.store, self._world, request),
        )  # fmt: skip

    async def run(self) -> int:
        """Serve until told to stop; return the exit code. Raises BorderpostError where an address cannot be had."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        loop.add_signal_handler(signal.SIGUSR1, self._make_way)
        await self._stores.store.start()
        if self._refusals is not None:
            self._refusals.in_force(self._book)
            self._refusals.open_soon()
        background = [loop.create_task(self._watch())]
        if self._stewarded is not None:
            background += [loop.create_task(each) for each in (self._beat(self._stewarded), self._tell())]
        if self._web is not None:
            waits = self._stewarded is not None and self._stewarded.takes_over
            background.append(loop.create_task(self._web.run(waits=waits)))
        try:
            if await self._may_listen():
                await self._begin()
                await self._until_stopped(background)
                await self._drain()
        finally:
            await self._wind_down(background)
        return 0

    def _keep(self, book: Book) -> None:
        if self._refusals is not None:
            self._refusals.store(book)

    def _adopt(self, book: Book) -> None:
        self._book = book
        self._metrics.limiter_domains.set(len(book.domains))
        self._service.adopt(book)
        if self._refusals is not None:
            self._refusals.in_force(book)

    def _make_way(self) -> None:
        self._replaced = True
        self._stop.set()

    def _reload_soon(self) -> None:
        self._soon(self._limits.take())

    def _renew_soon(self) -> None:
        self._soon(self._renew())

    def _soon(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _renew(self) -> None:
        try:
            await self._engine.renew()
        except ListenError as error:
            told = BorderpostError("BP0504", error.reason, place=Place(error.address))
            self._log.error("certificates not renewed: the ones before stay", **told.as_dict())
        else:
            self._log.info("certificates renewed")

    async def _may_listen(self) -> bool:
        """Wait until the address can be had; False if told to stop before."""
        tls_context(self._listen)  # what is wrong with certificates must show while another serves
        if self._stewarded is None or not self._stewarded.takes_over:
            return True
        self._say(WorkerState.READY)
        while not self._stop.is_set():
            if isinstance(self._listen, UnixListen) or is_free(self._listen):
                return True
            await asyncio.sleep(_LOOK_S)
        return False

    def _make_engine(self) -> Engine:
        services: list[Service] = [self._service, self._health, ReflectionService(descriptor_set())]
        self._engines.append(make_engine(self._config.server.engine, self._options, services))
        return self._engines[-1]

    async def _begin(self) -> None:
        await self._engine.start()
        self._say(WorkerState.SERVING)
        self._log.info("listening", engine=self._engine.name, addresses=list(self._engine.addresses), pid=os.getpid())

    async def _until_stopped(self, background: list[asyncio.Task[None]]) -> None:
        while True:
            events = [asyncio.create_task(event.wait()) for event in (self._stop, self._anew)]
            ended = asyncio.create_task(self._engine.wait())
            tasks: set[asyncio.Task[Any]] = {*events, ended, *background}
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in (*events, ended):
                task.cancel()
            for task in done:
                task.result()  # the engine and what runs beside it end only by failing
            if self._stop.is_set() or not self._anew.is_set():
                return
            self._anew.clear()
            await self._begin_anew()

    async def _begin_anew(self) -> None:
        """Cut off callers that an authority vouched for which is no longer trusted: grpcio keeps their connections."""
        self._log.info("the engine is started anew: another authority vouches for callers")
        await asyncio.gather(*self._tasks)
        await self._engine.drain(_OPEN_CALLS_S)
        await self._engine.stop()
        self._engine = self._make_engine()
        await self._begin()

    async def _drain(self) -> None:
        """Answer on for the drain time, or until the last peer has gone where it was sent, then end what is open."""
        self._say(WorkerState.DRAINING)
        drain_s = self._config.server.drain_s
        self._log.info("draining", drain_s=drain_s, replaced=self._replaced)
        if self._replaced:
            if self._web is not None:
                self._web.stop()  # its address is the successor's
            await self._engine.retire(drain_s)
        else:
            await asyncio.sleep(drain_s)
        await self._engine.drain(_OPEN_CALLS_S)

    async def _wind_down(self, background: list[asyncio.Task[None]]) -> None:
        await self._engine.stop()
        if self._web is not None:
            self._web.stop()
            await asyncio.wait(background[-1:], timeout=_CLOSE_WITHIN_S)
        for task in (*background, *self._tasks):
            task.cancel()
        await asyncio.gather(*background, *self._tasks, return_exceptions=True)
        if self._refusals is not None:
            await self._refusals.stop(within_s=_CLOSE_WITHIN_S)
        await self._stores.store.close()
        await self._tally.copy()
        self._log.info("stopped")

    async def _exposition(self) -> bytes:
        await self._tally.copy()
        if self._certificates is not None:
            self._certificates.tell()
        self._metrics.flush()
        return await asyncio.to_thread(text_of, self._metrics)

    async def _beat(self, stewarded: Stewarded) -> None:
        """Say how we are; notice a steward that is gone."""
        while True:
            stewarded.beat(self._world.clock.mono_us(), self._state, self.checks())
            if stewarded.is_succeeded():
                self._stop.set()
            await asyncio.sleep(_BEAT_S)

    async def _tell(self) -> None:
        """Keep the metrics where the steward reads them up to date."""
        while True:
            await asyncio.sleep(_COPY_S)
            await self._tally.copy()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._config.watch_s)
            if self._config.watch:
                await self._limits.look()
            if self._certificates is not None:
                self._certificates.look()
                self._certificates.tell()

    def _say(self, state: WorkerState) -> None:
        self._state = state
        for name in HEALTH_NAMES:
            self._health.set_status(name, state is WorkerState.SERVING)

    def checks(self) -> list[Check]:
        """Return the conditions of readiness, each with what was seen."""
        serving = self._state is WorkerState.SERVING
        checks = [Check.that(SERVING, serving, self._state.name.lower())]
        if self._refusals is not None and not self._refusals.available:
            checks.append(Check("limiter/record", Outcome.WARNING, "refusals cannot be recorded"))
        if self._certificates is not None:
            checks += self._certificates.checks()
        return [*checks, *self._stores.checks(), *self._uptake.checks()]
