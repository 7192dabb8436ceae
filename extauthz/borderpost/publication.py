"""What the steward publishes: policy, catalogue, events, signals and GeoIP, as one snapshot whenever one changes.

Everything is read and checked before it is published, and what fails its check changes nothing: the last good
snapshot stays in force, with a log line and a count that say so.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson

from borderpost.catalog import Catalog
from borderpost.config import Loaded
from borderpost.config.load import load_events
from borderpost.geoip import GeoDatabase
from borderpost.policy.events import EventList, compile_events
from borderpost.regions.probe import Prober
from borderpost.regions.probe_once import ProbeResult
from borderpost.regions.signals import Signals, State
from borderpost.snapshots import ALWAYS_FRESH_US, SnapshotWriter
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.logs import get_logger
from borderpost_base.metrics import Metrics
from borderpost_base.world import World

FileMark = tuple[int, int, int] | None
"""Inode, size and modification time (ns) of a file, by which a change is noticed; None if it is not there."""


class Publication:
    """The parts of the snapshot, and the watch over where they come from. Used on the steward's loop."""

    def __init__(self, loaded: Loaded, writer: SnapshotWriter, *, world: World, metrics: Metrics) -> None:
        self._loaded = loaded
        self._events = loaded.events
        self._writer = writer
        writer.page.keep_events_fresh(ALWAYS_FRESH_US)
        self._world = world
        self._metrics = metrics
        self._log = get_logger("publication")
        self._geo = GeoDatabase.open(loaded.config.geoip.database)
        self._geo_mark = _mark(self._geo.path)
        self._events_mark: FileMark = None  # looked at anew: it may have changed since it was loaded
        self._unpublished = ""
        self._prober = self._make_prober()
        self._signals = Signals.empty(self._world.randomness.token(8).hex(), world.now_us())
        self._digests: dict[str, str] = {}
        self._warn_if_old()

    @property
    def probed(self) -> bool:
        """Return True once every region with a probe has been probed."""
        return self._prober.first_round_done

    @property
    def complete(self) -> bool:
        """Return True unless there is something new that could not be published yet."""
        return not self._unpublished

    def start_probes(self) -> None:
        """Begin to probe the regions."""
        self._prober.start()

    async def stop_probes(self) -> None:
        """End the probes."""
        await self._prober.stop()

    def publish(self) -> None:
        """Publish everything as it stands now. Raises OSError if the runtime directory refuses."""
        catalog = Catalog.of(self._loaded.regions, self._loaded.config.ranking)
        geoip = {"path": str(self._geo.path), "digest": self._geo.digest}
        digests = self._writer.publish(
            {
                "policy": self._loaded.bundle.canonical(),
                "catalog": catalog.canonical(),
                "events": self._events.canonical(),
                "signals": self._signals.canonical(),
                "geoip": orjson.dumps(geoip, option=orjson.OPT_SORT_KEYS),
            },
            beat_us=self._world.clock.mono_us(),
        )
        changed = sorted(part for part, digest in digests.items() if self._digests.get(part) != digest)
        self._digests = digests
        self._metrics.policy_info.set_only(1, digests["policy"])
        self._log.debug("published", changed=changed)

    def _try_publish(self) -> None:
        """Publish, or say why not and leave it to the next look: what was taken is not forgotten."""
        try:
            self.publish()
        except OSError as error:
            if str(error) != self._unpublished:
                self._unpublished = str(error)
                told = BorderpostError("BP0604", self._unpublished)
                self._log.error("news cannot be published: tried again until they are", **told.as_dict())
            return
        if self._unpublished:
            self._unpublished = ""
            self._log.warning("news are published again")

    def replace(self, loaded: Loaded) -> None:
        """Take another configuration: its law, regions, ranking, events and GeoIP database.

        Raises BorderpostError if it cannot be taken: a list of events that rewrites the past, a GeoIP database that
        is none. Nothing has changed then.
        """
        self._refuse_shorter(loaded.events)
        probes_stay = loaded.config.ranking.probes == self._loaded.config.ranking.probes
        geo = GeoDatabase.open(loaded.config.geoip.database)
        self._loaded, self._events, self._geo = loaded, loaded.events, geo
        self._geo_mark, self._events_mark = _mark(geo.path), None
        if not probes_stay:
            asyncio.get_running_loop().create_task(self._swap_prober())
        self._try_publish()
        self._log.info("configuration taken", policy=loaded.bundle.digest)

    async def look_for_changes(self) -> None:
        """Look whether the events file or the GeoIP database is another than before, and publish if so.

        What could not be published before is tried again.
        """
        if self._unpublished:
            self._try_publish()
        file = self._loaded.config.events.file
        if (mark := _mark(file)) != self._events_mark and file is not None:
            self._events_mark = mark
            await self._take_events(file)
        if (mark := _mark(self._geo.path)) != self._geo_mark:
            self._geo_mark = mark
            await self._take_geoip()

    async def _take_events(self, file: Path) -> None:
        try:
            events = await asyncio.to_thread(load_events, file, self._loaded.regions)
            self._refuse_shorter(events)
        except (BorderpostError, Problems) as error:
            self._told_refused("events", error)
            return
        if events.digest == self._events.digest:
            return
        self._events = events
        self._metrics.reload_total.inc("events", "taken")
        self._try_publish()
        self._log.info("events taken", count=len(events.events), digest=events.digest)

    def _refuse_shorter(self, events: EventList) -> None:
        """The list is append-only: a file that leaves out or changes what was published is not taken."""
        kept = {event.id: event for event in events.events}
        for event in self._events.events:
            if kept.get(event.id) != event:
                raise BorderpostError("BP0606", f"event `{event.id}` is gone or changed")

    async def _take_geoip(self) -> None:
        try:
            self._geo = await asyncio.to_thread(GeoDatabase.open, self._loaded.config.geoip.database)
        except BorderpostError as error:
            self._told_refused("geoip", error)
            return
        self._metrics.reload_total.inc("geoip", "taken")
        self._warn_if_old()
        self._try_publish()
        self._log.info("GeoIP database taken", digest=self._geo.digest)

    def _told_refused(self, what: str, error: BorderpostError | Problems) -> None:
        self._metrics.reload_total.inc(what, "refused")
        for problem in error.errors if isinstance(error, Problems) else (error,):
            self._log.error(f"{what} not taken: the last good one stays", **problem.as_dict())

    def _make_prober(self) -> Prober:
        return Prober(
            self._loaded.config.ranking.probes, self._world, on_change=self._take_signals, on_probe=self._count_probe
        )

    async def _swap_prober(self) -> None:
        await self._prober.stop()
        self._prober = self._make_prober()
        self._prober.start()

    def _take_signals(self, signals: Signals) -> None:
        self._signals = signals
        self._try_publish()

    def _count_probe(self, region: str, result: ProbeResult) -> None:
        self._metrics.probe_total.inc(region, result.outcome)

    def _warn_if_old(self) -> None:
        old = self._geo.too_old(self._loaded.config.geoip.max_age_days, self._world.now_us())
        if old is not None:
            self._log.warning(old.spec.title, **old.as_dict())

    def set_gauges(self) -> None:
        """Bring the gauges up to date, for a scrape."""
        for region, signal in self._signals.regions.items():
            self._metrics.region_up.set(float(signal.state is not State.DOWN), region)
            if signal.latency_us is not None:
                self._metrics.region_latency_seconds.set(signal.latency_us / 1e6, region)
        in_force, _ = compile_events(self._events, self._loaded.regions).suspended(self._world.now_us())
        self._metrics.events_in_force.set(len(in_force))
        self._metrics.geoip_age_days.set(self._geo.age_days(self._world.now_us()))


def _mark(path: Path | None) -> FileMark:
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
