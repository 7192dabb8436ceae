"""What the steward publishes: policy, catalogue, events, signals and GeoIP, as one snapshot whenever one changes.

Everything is read and checked before it is published, and what fails its check changes nothing: the last good
snapshot stays in force, with a log line and a count that say so.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from borderpost.anonymiser_files import WHAT as ANONYMISERS
from borderpost.anonymiser_files import AnonymiserFiles
from borderpost.catalog import Catalog
from borderpost.config.load import Loaded
from borderpost.geoip import EMBEDDED, GeoDatabase
from borderpost.geoip.database import EMBEDDED_PATH
from borderpost.geoip_parts import describe_anonymisers, describe_geoip
from borderpost.law_watch import LawWatch
from borderpost.policy.bundle import PolicyBundle
from borderpost.regions.probe import Prober
from borderpost.regions.probe_once import ProbeResult
from borderpost.regions.signals import Signals, State
from borderpost.rollback import Settled, refuse_older_database, refuse_older_packs
from borderpost.seen import marks_of
from borderpost.snapshots import SnapshotWriter
from borderpost.uptake import Uptake
from borderpost.watch import FileWatch
from borderpost_base.errors import BorderpostError
from borderpost_base.logs import get_logger
from borderpost_base.metrics import Metrics
from borderpost_base.world import World

_PARTS = ("config", "events", "geoip", ANONYMISERS)
"""What is taken whole or not at all, each by itself."""


class Publication:
    """The parts of the snapshot, and the watch over where they come from. Used on the steward's loop."""

    def __init__(
        self, settled: Settled, writer: SnapshotWriter, *, world: World, metrics: Metrics, uptake: Uptake
    ) -> None:
        self._loaded = settled.loaded
        self._packs = dict(settled.packs)
        self._writer = writer
        self._world = world
        self._metrics = metrics
        self._uptake = uptake
        self._log = get_logger("publication")
        self._geo = settled.geo
        self._geo_watch = FileWatch(_geoip_files(self._loaded))
        self._anonymisers = AnonymiserFiles(self._loaded.config.geoip.anonymisers, settled.anonymisers)
        self._unpublished = ""
        self._prober = self._make_prober()
        self._signals = Signals.empty(self._world.randomness.token(8).hex(), world.now_us())
        self._digests: dict[str, str] = {}
        for what in _PARTS:
            self._uptake.begins(what)
        for what, error in (settled.refused or {}).items():
            self._uptake.refused(what, error)
        self.law = LawWatch(
            self._loaded, restored=settled.events, page=writer.page, world=world, metrics=metrics, uptake=uptake,
            on_change=self._try_publish,
        )  # fmt: skip
        """The list of legal events, and where it comes from."""
        self._warn_if_old()

    @property
    def bundle(self) -> PolicyBundle:
        """Return the law in force."""
        return self._loaded.bundle

    @property
    def probed(self) -> bool:
        """Return True once every region with a probe has been probed."""
        return self._prober.first_round_done

    @property
    def complete(self) -> bool:
        """Return True unless there is something new that could not be published yet."""
        return not self._unpublished

    def start(self) -> None:
        """Begin to probe the regions and to follow the stream of legal events."""
        self._prober.start()
        self.law.start()

    async def stop(self) -> None:
        """End both."""
        await self._prober.stop()
        await self.law.stop()

    def publish(self) -> None:
        """Publish everything as it stands now; nothing while it is not known which legal events there are.

        Raises OSError if the runtime directory refuses.
        """
        if not self.law.known:
            return
        catalog = Catalog.of(self._loaded.regions, self._loaded.config.ranking, self._loaded.config.failover)
        parts = {
            "policy": self._loaded.bundle.canonical(),
            "catalog": catalog.canonical(),
            "events": self.law.book.canonical(),
            "signals": self._signals.canonical(),
            "geoip": describe_geoip(self._geo),
        }
        if self._anonymisers.current:
            parts[ANONYMISERS] = describe_anonymisers(self._anonymisers.current)
        if self._loaded.shadow is not None:
            parts["shadow"] = self._loaded.shadow.canonical()
        digests = self._writer.publish(parts, beat_us=self._world.clock.mono_us())
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

        Raises BorderpostError or Problems if it cannot be taken: a pack or a GeoIP database older than one seen, a
        list of events that rewrites the past, a GeoIP database that is none. Nothing has changed then.
        """
        refuse_older_packs(loaded, self._packs)
        self.law.refuse(loaded)
        probes_stay = loaded.config.ranking.probes == self._loaded.config.ranking.probes
        watch = FileWatch(_geoip_files(loaded))
        geo = GeoDatabase.open(loaded.config.geoip.database)
        refuse_older_database(geo, self._geo.build_epoch_s)
        anonymisers = self._anonymisers.replaced(loaded.config.geoip.anonymisers)
        self._loaded, self._geo, self._anonymisers = loaded, geo, anonymisers
        self._packs.update(marks_of(loaded.bundle))
        self._geo_watch = watch
        self.law.replace(loaded)
        self._uptake.taken("config")
        for what in ("config", "geoip", ANONYMISERS):
            self._uptake.taken(what, anew=False)
        if not probes_stay:
            asyncio.get_running_loop().create_task(self._swap_prober())
        self._try_publish()
        self._log.info("configuration taken", policy=loaded.bundle.digest)

    async def look_for_changes(self) -> None:
        """Look whether the events file, the GeoIP database or the anonymisers are others than before; publish if so.

        What could not be published before is tried again.
        """
        if self._unpublished:
            self._try_publish()
        await self.law.look()
        if self._geo_watch.changed():
            self._geo_watch.take(_geoip_files(self._loaded))
            await self._take_geoip()
        if await self._anonymisers.look(self._uptake):
            self._warn_if_old()
            self._try_publish()

    async def _take_geoip(self) -> None:
        try:
            geo = await asyncio.to_thread(GeoDatabase.open, self._loaded.config.geoip.database)
            refuse_older_database(geo, self._geo.build_epoch_s)
        except BorderpostError as error:
            self._uptake.refused("geoip", error)
            return
        self._geo = geo
        self._uptake.taken("geoip")
        self._warn_if_old()
        self._try_publish()
        self._log.info("GeoIP database taken", digest=self._geo.digest)

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
        for file in (self._geo, *self._anonymisers.current.databases):
            old = file.too_old(self._loaded.config.geoip.max_age_days, self._world.now_us())
            if old is not None:
                self._log.warning(old.spec.title, **old.as_dict())

    def set_gauges(self) -> None:
        """Bring the gauges up to date, for a scrape."""
        for region, signal in self._signals.regions.items():
            self._metrics.region_up.set(float(signal.state is not State.DOWN), region)
            if signal.latency_us is not None:
                self._metrics.region_latency_seconds.set(signal.latency_us / 1e6, region)
        self.law.set_gauges()
        self._metrics.geoip_age_days.set(self._geo.age_days(self._world.now_us()))


def _geoip_files(loaded: Loaded) -> list[Path]:
    database = loaded.config.geoip.database
    return [EMBEDDED_PATH if database == EMBEDDED else Path(database)]
