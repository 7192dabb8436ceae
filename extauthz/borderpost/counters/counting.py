"""The steward's side of counting: adds up what workers count, keeps it, and says when a threshold is reached.

    workers ──▶ <runtime>/tally ──look──▶ Book ──save──▶ counts.json
                                          │  ▲
                    fleet's Redis hash ◀──┘  └── what the others have counted
                                          └──▶ event `threshold_reached` for every worker, by the list of events

An event takes effect `_NOTICE_US` after the look that made it, so that every worker has it by then and no record of
a later instant uses the basis. What is routed from the crossing to that instant is the overshoot: a look, a notice and,
in a fleet, one exchange. `headroom_percent` is there to cover it.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from borderpost.config.counters import CountersRedisSpec, CountersSection
from borderpost.counters.book import Book
from borderpost.counters.fleet import Fleet
from borderpost.counters.tally import read_tallies
from borderpost.counters.windows import Window, window_at
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.compile import counters_of, thresholds_of
from borderpost.policy.event_schema import LegalEvent
from borderpost.policy.fields import EPOCH, format_instant
from borderpost.policy.pack import Counter
from borderpost_base.errors import BorderpostError
from borderpost_base.logs import get_logger
from borderpost_base.metrics import Metrics
from borderpost_base.world import World

LOOK_S = 0.1
"""How often the workers' counts are added up."""
_NOTICE_US = 500_000
"""From the look that finds a threshold reached to the instant from which it holds. Workers take a published event
within some tens of milliseconds."""
_AHEAD_US = 3_600_000_000
"""How long before the end of a window the next one is looked at: where it begins beyond a threshold too, its event is
there before it begins, and no gap opens between the two."""


class CountedLaw:
    """What of a policy counting needs."""

    def __init__(self, bundle: PolicyBundle) -> None:
        self.bundle = bundle
        self.counters: Mapping[str, Counter] = counters_of(bundle)
        """Every counter by its id."""
        self.thresholds: Mapping[str, tuple[int, ...]] = thresholds_of(bundle)
        """The counts at which an entry ends or begins, ascending, by counter."""


AddOwn = Callable[[LegalEvent], bool]
"""Puts an event of this gateway's own on the list and publishes it; False where one of its id is there already. Raises
BorderpostError or OSError."""


class Counting:
    """The count of one instance. Used on the steward's loop."""

    def __init__(
        self, spec: CountersSection, runtime: Path, *, bundle: Callable[[], PolicyBundle], add: AddOwn,
        world: World, metrics: Metrics,
    ) -> None:  # fmt: skip
        """Read what was kept. Raises BorderpostError: BP1101 if that is damaged, BP1104 if another gateway keeps it.

        `bundle` gives the law in force, which a reload may change.
        """
        self._spec = spec
        self._runtime = runtime
        self._bundle = bundle
        self._counted = CountedLaw(bundle())
        self._add = add
        self._made: set[str] = set()
        self._world = world
        self._metrics = metrics
        self._log = get_logger("counters")
        self._told: dict[str, str] = {}
        self._fleet_heard_us = world.clock.mono_us()
        self.book = Book.open(spec.directory, world)
        if not self._is_idle():
            self.book.hold()
        if self.book.is_new and self._counted.counters:
            self._log.warning("no count was kept: it begins at 0", directory=str(spec.directory))

    def take(self, spec: CountersSection) -> None:
        """Take another section; where counts are kept and shared is for a restart."""
        self._spec = spec

    async def run(self) -> None:
        """Look, save and exchange until cancelled; then look and save once more."""
        tasks = [asyncio.create_task(self._keep_looking()), asyncio.create_task(self._keep_saving())]
        if self._spec.redis is not None:
            tasks.append(asyncio.create_task(self._keep_exchanging(self._spec.redis)))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.look()
            await self._save()
            self.book.release()

    def look(self) -> None:
        """Take what workers have counted, and make the events that are due."""
        if self._is_idle():
            return
        try:
            self.book.hold()  # where a reload brought the first counter; else it is held
            tallies, problems = read_tallies(self._runtime)
            self.book.take(tallies)
            for problem in problems:
                self._tell(f"tally {problem.place}", problem)
            now_us = self._world.now_us()
            self._measure(now_us)
            for event in self._due(now_us):
                added = self._add(event)
                self._made.add(event.id)
                if not added:
                    continue  # a steward before this one made it
                self._log.warning(
                    "threshold reached", counter=event.counter, threshold=event.count, id=event.id,
                    effective_from=format_instant(event.effective_from),
                )  # fmt: skip
        except (BorderpostError, OSError) as error:
            self._tell("look", error)
        else:
            self._told.pop("look", None)

    async def _keep_looking(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    async def _keep_saving(self) -> None:
        while True:
            await asyncio.sleep(self._spec.save_s)
            await self._save()

    async def _save(self) -> None:
        if self._is_idle():
            return
        self.book.forget_old_months()
        data = self.book.unsaved()
        if data is None:
            return
        try:
            await asyncio.to_thread(self.book.save, data)
        except OSError as error:
            self._metrics.counter_save_failures_total.inc()
            self._tell("save", BorderpostError("BP1101", f"cannot be written: {error.strerror}"))
        else:
            self._told.pop("save", None)

    async def _keep_exchanging(self, spec: CountersRedisSpec) -> None:
        fleet = Fleet(spec, self.book.replica)
        try:
            while True:
                try:
                    now_us = self._world.now_us()
                    self.book.others = await fleet.exchange(self.book.counts, self.book.others, now_us)
                except BorderpostError as error:
                    self._tell("fleet", error)
                else:
                    self._fleet_heard_us = self._world.clock.mono_us()
                    self._told.pop("fleet", None)
                self._metrics.counter_fleet_age_seconds.set((self._world.clock.mono_us() - self._fleet_heard_us) / 1e6)
                await asyncio.sleep(spec.interval_s)
        finally:
            await fleet.close()

    def _measure(self, now_us: int) -> None:
        law = self._law()
        for counter_id, counter in law.counters.items():
            total = self.book.total(counter_id, window_at(counter, now_us).months)
            self._metrics.counter_requests.set(total, counter_id)
            ahead = [count for count in law.thresholds.get(counter_id, ()) if count > total]
            self._metrics.counter_share.set(total / ahead[0] if ahead else 1.0, counter_id)

    def _due(self, now_us: int) -> Iterator[LegalEvent]:
        """Yield the events that counts call for and that are not on the list."""
        law = self._law()
        for counter_id, thresholds in law.thresholds.items():
            counter = law.counters[counter_id]
            for window, from_us in windows_ahead(counter, now_us):
                total = self.book.total(counter_id, window.months)
                for threshold in thresholds:
                    if total < reached_at(threshold, self._spec.headroom_percent):
                        break
                    if event_id(counter_id, threshold, window) not in self._made:
                        yield _reached(counter, threshold, total, window, from_us, now_us)

    def _is_idle(self) -> bool:
        """Return True while nothing counts and nothing ever has."""
        return not self._law().counters and not self.book.counts

    def _law(self) -> CountedLaw:
        bundle = self._bundle()
        if bundle is not self._counted.bundle:
            self._counted = CountedLaw(bundle)
        return self._counted

    def _tell(self, what: str, error: BorderpostError | OSError) -> None:
        """Log what is wrong, once until it is mended or something else is."""
        if isinstance(error, OSError):
            error = BorderpostError("BP1101", f"{error.strerror}")
        if self._told.get(what) != str(error):
            self._told[what] = str(error)
            self._log.error("counting is impaired", **error.as_dict())


def windows_ahead(counter: Counter, now_us: int) -> Iterator[tuple[Window, int]]:
    """Yield the windows whose events are to be there, and the instant from which an event made now may hold."""
    window = window_at(counter, now_us)
    if now_us + _NOTICE_US < window.end_us:
        yield window, now_us + _NOTICE_US
    if now_us + _AHEAD_US >= window.end_us:
        yield window_at(counter, window.end_us), max(window.end_us, now_us)


def reached_at(threshold: int, headroom_percent: float) -> int:
    """Return the count at which a threshold is taken to be reached; never 0, never beyond the threshold."""
    return max(1, min(threshold, math.ceil(threshold * (100 - headroom_percent) / 100)))


def event_id(counter_id: str, threshold: int, window: Window) -> str:
    """Return the id of the event by which a threshold is reached in a window: one each, whoever looks how often."""
    digest = hashlib.sha256(f"{counter_id}/{threshold}/{window.end_us}".encode()).hexdigest()
    return f"reached-{counter_id[:32]}-{digest[:16]}"


def _reached(
    counter: Counter, threshold: int, total: int, window: Window, from_us: int, now_us: int
) -> LegalEvent:  # fmt: skip
    return LegalEvent(
        id=event_id(counter.id, threshold, window),
        type="threshold_reached",
        counter=counter.id,
        count=threshold,
        effective_from=EPOCH + timedelta(microseconds=from_us),
        effective_until=EPOCH + timedelta(microseconds=window.end_us),
        recorded_at=EPOCH + timedelta(microseconds=now_us),
        source=f"counter `{counter.id}` of this gateway",
        reason=f"{total} requests counted for {window.name}; the threshold is {threshold}",
    )
