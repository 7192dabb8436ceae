"""The steward: one process a pod that does everything which must not stand on a request's path.

It reads the configuration, publishes snapshots for the workers, keeps the workers alive, probes the regions,
follows the list of legal events, watches the GeoIP database, and serves the admin endpoints. It never sees a request.

    SIGTERM, SIGINT   drain: readiness goes, workers answer what they have, close their epochs, end
    SIGHUP            read the configuration again, as is done where its file or a pack's has changed
                      (`runtime.watch_config`); the last good one stays in force if it has a mistake. Workers follow
                      the law and the regions by a snapshot; if they have to be started anew for another part of it
                      (`server`, `audit`, certificates…), they are, one after another, each before the last one goes
    SIGUSR2           start every worker anew, in the same way, whatever has changed

A steward that dies leaves the workers deciding by the last snapshot until `runtime.snapshot_max_age_s`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop

from borderpost.admin.app import AdminServer, make_app
from borderpost.admin.feeds import feeds_route
from borderpost.admin.token import AdminDoor
from borderpost.certificates import CertificateWatch
from borderpost.config.load import Loaded, load_config
from borderpost.config.model import Config
from borderpost.config.observe import observe_warning
from borderpost.counters.counting import Counting
from borderpost.feeds import Feeds
from borderpost.health import Check, Outcome
from borderpost.limiter_hold import LimiterHold
from borderpost.publication import Publication
from borderpost.reviews import Reviews
from borderpost.rollback import Settled, settle
from borderpost.runtime_directory import ReloadOutcome, RuntimeDirectory
from borderpost.settings_files import clear_settings
from borderpost.snapshots import SharedPage, SnapshotWriter, WorkerState
from borderpost.supervisor import Seat, Supervisor
from borderpost.uptake import Uptake, UptakeMetrics
from borderpost.watch import FileWatch
from borderpost.worker_settings import KIND, refuse_unreloadable, settings_of
from borderpost_base import metrics as base_metrics
from borderpost_base.errors import BorderpostError, Place, Problems
from borderpost_base.limits import WORKERS_MAX
from borderpost_base.logs import get_logger
from borderpost_base.world import World

_BEAT_S = 0.1
_KILL_AFTER_DRAIN_S = 10.0
"""How long after `server.drain_s` a worker may take to close its epoch before it is killed."""


def serve(config_path: Path, overrides: Mapping[str, str], *, accept_older: bool = False) -> int:
    """Run until told to stop; return the exit code. Raises BorderpostError or Problems if it cannot start.

    `accept_older` begins with what is configured even where the audit log has seen newer.
    """
    source = Source(config_path, overrides)
    loaded = source.load()
    loaded.config.logs.apply("steward")
    world = World()
    if loaded.config.limiter is not None:
        from borderpost.limiter.limits_watch import limits_of  # loaded only where there is a limiter

        limits_of(loaded.config.limiter)  # what is wrong with limits files shows before anything runs
    with RuntimeDirectory(loaded.config.runtime.directory) as runtime:
        settled = settle(loaded, world, accept_older=accept_older)
        return uvloop.run(Steward(settled, runtime, source, world).run())


class Source:
    """Where the configuration comes from, and a watch over it: its file, and those of its packs."""

    def __init__(self, path: Path, overrides: Mapping[str, str]) -> None:
        self.watch = FileWatch()
        self._path = path
        self._overrides = overrides

    def load(self) -> Loaded:
        """Read it; what changes from now on is a change. Raises BorderpostError or Problems."""
        self.watch.take([self._path])
        return load_config(self._path, self._overrides, before_packs=self.watch.add)


class Steward:
    """The steward of one instance."""

    def __init__(self, settled: Settled, runtime: Path, source: Source, world: World) -> None:
        self._config = settled.loaded.config
        self._runtime = runtime
        self._source = source
        self._world = world
        self._log = get_logger("steward")
        self._metrics = base_metrics.steward_metrics()
        self._metrics_directory = runtime / "metrics"
        self._page = SharedPage(runtime / "page", create=True)
        self._uptake = Uptake(UptakeMetrics.of_steward(self._metrics), world)
        self._reviews = Reviews(self._metrics)
        self._publication = Publication(
            settled, SnapshotWriter(runtime, self._page), world=world, metrics=self._metrics, uptake=self._uptake
        )
        self._counting = Counting(
            self._config.counters, runtime, bundle=lambda: self._publication.bundle, add=self._publication.law.add_own,
            world=world, metrics=self._metrics,
        )  # fmt: skip
        self._feeds = Feeds(
            self._config.events, law=self._publication.law, is_published=lambda: self._publication.complete,
            world=world, metrics=self._metrics,
        )  # fmt: skip
        self._supervisor = Supervisor(
            runtime=runtime,
            count=self._config.server.workers,
            page=self._page,
            metrics_directory=self._metrics_directory,
            on_restart=lambda index: self._metrics.worker_restarts_total.inc(str(index)),
        )
        self._limiter = LimiterHold(runtime, self._metrics, world)
        self._settings = ""
        """Name of the settings that workers are to run by."""
        self._reloading = asyncio.Lock()
        self._reloads: set[asyncio.Task[None]] = set()
        self._reloads_done = 0
        self._certificates = CertificateWatch(
            self._config.server, announce=self._page.announce_certificates,
            replace_workers=lambda: self._reload_soon(True), world=world,
            expiry=self._metrics.certificate_expiry_timestamp_seconds, uptake=self._uptake,
        )  # fmt: skip
        self._admin = AdminServer(
            make_app(
                checks=self.checks,
                metrics=self.exposition,
                routes=[feeds_route(self._feeds.deliver)],
                open_to=AdminDoor(self._config.admin).open_to,
            ),
            host=self._config.admin.host,
            port=self._config.admin.port,
        )
        self._stop = asyncio.Event()
        self._draining = False

    async def run(self) -> int:
        """Start everything, wait for a signal or a failure, stop everything."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon, False)
        loop.add_signal_handler(signal.SIGUSR2, self._reload_soon, True)
        base_metrics.clear_directory(self._metrics_directory)
        for stream in range(WORKERS_MAX + 1):
            self._page.forget_worker(stream)
        clear_settings(self._runtime, KIND)
        self._settings = settings_of(self._config).write(self._runtime)
        admin = asyncio.create_task(self._serve_admin())
        tasks = (self._beat(), self._watch(), self._counting.run())
        background = [asyncio.create_task(task) for task in tasks]
        try:
            self._publication.publish()
            self._publication.start()
            self._feeds.start()
            self._supervisor.start(self._settings)
            self._limiter.start(self._config)
            self._log.info("started", pid=os.getpid(), workers=self._config.server.workers)
            self._tell_observed()
            await self._until_stopped(admin, background)
        finally:
            await self._wind_down(admin, background)
        return 0

    async def _until_stopped(self, admin: asyncio.Task[None], background: list[asyncio.Task[None]]) -> None:
        stop = asyncio.create_task(self._stop.wait())
        try:
            done, _ = await asyncio.wait({stop, admin, *background}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a background task ends only by failing: say how
        finally:
            stop.cancel()

    async def _wind_down(self, admin: asyncio.Task[None], background: list[asyncio.Task[None]]) -> None:
        self._draining = True
        self._log.info("draining", drain_s=self._config.server.drain_s)
        for reload in self._reloads:
            reload.cancel()
        await asyncio.gather(*self._reloads, return_exceptions=True)
        grace_s = self._config.server.drain_s + _KILL_AFTER_DRAIN_S
        await asyncio.gather(self._supervisor.stop(grace_s=grace_s), self._limiter.stop())
        await self._feeds.stop()
        await self._publication.stop()
        self._admin.should_exit = True
        for task in background:
            task.cancel()
        await asyncio.gather(admin, *background, return_exceptions=True)
        self._page.close()
        self._limiter.close()
        self._log.info("stopped")

    async def _serve_admin(self) -> None:
        try:
            await self._admin.serve()
        except (OSError, SystemExit) as error:  # uvicorn exits where it cannot bind
            place = Place(key="admin.port")
            detail = f"{self._config.admin.host}:{self._config.admin.port} cannot be bound"
            raise BorderpostError("BP0605", detail, place=place) from error

    async def _beat(self) -> None:
        while True:
            self._limiter.beat(self._world.clock.mono_us())
            if self._publication.complete:  # else workers must come to doubt what they decide by
                self._page.beat_steward(self._world.clock.mono_us())
            await asyncio.sleep(_BEAT_S)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._config.runtime.watch_s)
            await self._publication.look_for_changes()
            self._feeds.look()
            self._certificates.look()
            self._certificates.tell()
            self._reviews.look(
                self._publication.bundle,
                grace_days=self._config.policy.review_grace_days,
                now_us=self._world.now_us(),
            )
            if self._config.runtime.watch_config and not self._reloading.locked() and self._source.watch.changed():
                self._log.info("configuration changed on the disk")
                self._reload_soon(False)

    def _tell_observed(self) -> None:
        """Say which routes are observed, if any: nobody shall think that law is kept on them."""
        self._metrics.observed_routes.set(len(self._config.observe.routes))
        warning = self._observe_warning()
        if warning is not None:
            self._log.warning("routes are observed, not enforced", **warning.as_dict())

    def _observe_warning(self) -> BorderpostError | None:
        return observe_warning(self._config.observe, bodies_read=self._config.payload.read)

    def _reload_soon(self, anew: bool) -> None:
        reload = asyncio.create_task(self._start_anew() if anew else self._reload())
        self._reloads.add(reload)
        reload.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        async with self._reloading:
            try:
                loaded = await asyncio.to_thread(self._source.load)
                refuse_unreloadable(self._config, loaded.config)
                self._limiter.refuse(loaded.config)
                settings = settings_of(loaded.config).write(self._runtime)
                self._publication.replace(loaded)
            except (BorderpostError, Problems, OSError) as error:
                self._note_outcome("refused", "kept", self._uptake.refused("config", as_told(error)))
                return
            self._config = loaded.config
            self._counting.take(loaded.config.counters)
            self._feeds.replace(loaded.config.events)
            loaded.config.logs.apply("steward")
            self._tell_observed()
            self._certificates.replace(loaded.config.server)
            broken = self._certificates.take()
            told = await self._follow_limiter(loaded.config)
            if all(seat.settings == settings for seat in self._supervisor.seats):
                self._note_outcome("taken", "kept", told if broken is None else (*told, broken))
            else:
                await self._replace_workers("taken", settings, told)

    async def _follow_limiter(self, config: Config) -> Sequence[BorderpostError]:
        """Have the limiter run as the configuration says; return why it does not."""
        try:
            if await self._limiter.replace(config):
                self._log.info("the limiter follows the configuration")
        except (BorderpostError, OSError) as error:
            return self._uptake.refused("limiter", as_told(error))
        self._uptake.taken("limiter", anew=False)
        return ()

    async def _start_anew(self) -> None:
        async with self._reloading:
            await self._replace_workers("kept", settings_of(self._config).write(self._runtime))

    async def _replace_workers(self, configuration: str, settings: str, told: Sequence[BorderpostError] = ()) -> None:
        self._log.info("workers are replaced", settings=settings)
        try:
            grace_s = self._config.server.drain_s + _KILL_AFTER_DRAIN_S
            await self._supervisor.replace_all(settings, grace_s=grace_s)
            clear_settings(self._runtime, KIND, but=settings)
        except (BorderpostError, OSError) as error:
            problems = self._uptake.refused("workers", as_told(error))
            self._note_outcome(configuration, "not replaced", (*told, *problems))
            return
        self._uptake.taken("workers")
        self._note_outcome(configuration, "replaced", told)

    def _note_outcome(self, configuration: str, workers: str, problems: Sequence[BorderpostError]) -> None:
        """Leave word for whoever asked (`borderpost reload`)."""
        self._reloads_done += 1
        self._log.info("reloaded", configuration=configuration, workers=workers)
        told = tuple(problem.as_dict() for problem in problems)
        try:
            ReloadOutcome(self._reloads_done, configuration, workers, told).write(self._runtime)
        except OSError as error:
            self._log.error("the outcome of a reload cannot be left", detail=str(error))

    def checks(self) -> list[Check]:
        """Return the conditions of readiness, each with what was seen."""
        checks = [
            Check.that("steward/serving", not self._draining, "draining" if self._draining else "serving"),
            Check.that("regions/probed", self._publication.probed, "first round of probes done"
                       if self._publication.probed else "first round of probes under way"),
        ]  # fmt: skip
        checks += [self._worker_check(seat) for seat in self._supervisor.seats]
        observed = self._observe_warning()
        if observed is not None:
            checks.append(Check("routes/enforced", Outcome.WARNING, observed.detail))
        parts = (self._publication.law, self._feeds, self._certificates, self._uptake, self._reviews)
        return [*checks, *self._limiter.checks(), *(check for part in parts for check in part.checks())]

    def _worker_check(self, seat: Seat) -> Check:
        signs = self._page.worker(seat.stream)
        silent_s = (self._world.clock.mono_us() - signs.beat_us) / 1e6
        disk_s = signs.silent_us / 1e6
        name = f"worker-{seat.index}"
        if signs.state is not WorkerState.SERVING:
            return Check.that(name, False, signs.state.name.lower())
        # A commit in the worker's own loop hangs that with the disk, so both are allowed the same time.
        if silent_s > self._config.runtime.hung_disk_s:
            return Check.that(name, False, f"no sign of life for {silent_s:.1f} s")
        if disk_s > self._config.runtime.hung_disk_s:
            return Check.that(name, False, f"the audit log's disk has not answered for {disk_s:.1f} s")
        return Check.that(name, True, "serving")

    async def exposition(self) -> bytes:
        """Return the text of `/metrics`."""
        for seat in self._supervisor.seats:
            self._metrics.worker_up.set(float(self._worker_check(seat).holds), str(seat.index))
        self._publication.set_gauges()
        self._limiter.set_gauges()
        self._certificates.tell()
        self._metrics.flush()
        return await asyncio.to_thread(base_metrics.text_of, self._metrics, self._metrics_directory)


def as_told(error: BorderpostError | Problems | OSError) -> BorderpostError | Problems:
    """Return the error with a code; what the runtime directory's disk says has one of its own."""
    return BorderpostError("BP0604", str(error)) if isinstance(error, OSError) else error
