"""Where news of the law come from: the list's file or stream, its heartbeats, and the clock by which it takes effect.

    file or stream ─▶ list, checked line by line ─▶ book ─▶ the one list that is published
                      heartbeat, checked ─────────────────▶ until when the list counts as fresh, in the shared page
    kernel ─────────▶ ε ─────────────────────────▶ book

What cannot be taken is told and changes nothing: what was known stays in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from borderpost.clock_error import ClockError
from borderpost.config.event_list import load_events
from borderpost.config.events import EventsSection, is_plain, signers_of
from borderpost.config.load import Loaded
from borderpost.events.book import SignedList, continued
from borderpost.events.heartbeat import Heartbeat, check_against, read_heartbeat
from borderpost.events.signing import Signers
from borderpost.events.store import FileStore, whole_lines
from borderpost.events.triggers import Trigger
from borderpost.events_stream import EventStream, Trouble
from borderpost.freshness import Freshness
from borderpost.health import Check, Outcome
from borderpost.law_book import LawBook
from borderpost.policy.event_schema import LegalEvent
from borderpost.policy.events import EventList
from borderpost.policy.fields import EPOCH, to_us
from borderpost.snapshots import SharedPage
from borderpost.uptake import Uptake
from borderpost.watch import FileMark, mark_of
from borderpost_base.errors import BorderpostError, Place, Problems
from borderpost_base.logs import get_logger
from borderpost_base.metrics import Metrics
from borderpost_base.world import World

_WHAT = "events"


class LawWatch:
    """Keeps the list of legal events up to date. Used on the steward's loop."""

    def __init__(
        self, loaded: Loaded, *, restored: EventList | None, page: SharedPage, world: World, metrics: Metrics,
        uptake: Uptake, on_change: Callable[[], None],
    ) -> None:  # fmt: skip
        """`restored` is the list that the log says was last in force here; `on_change` is told of every other one."""
        self.book = LawBook(restored)
        """The list in force."""
        self._loaded = loaded
        self._world = world
        self._metrics = metrics
        self._uptake = uptake
        self._on_change = on_change
        self._log = get_logger(_WHAT)
        self._begun = restored is not None
        self._refused = ""
        self._clock = ClockError(loaded.config.events.clock_error_ms)
        self._swapping: asyncio.Task[None] | None = None
        self._marks: tuple[FileMark, ...] = ()
        self._freshness = Freshness(page, world, loaded.config.events.max_age_s)
        self._follow(loaded.config.events)
        if self._stream is None:
            try:
                self.book.take_base(loaded.events)
            except BorderpostError as error:
                self._settle(error)
            self._begun = True
        self._look_at_clock()

    @property
    def known(self) -> bool:
        """Return True once there is a list: a stream that was never read may hold anything."""
        return self._begun

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """Return the triggers of the signed list, those whose time is over too; a plain file has none."""
        return self._list.triggers if self._list is not None else ()

    def start(self) -> None:
        """Begin to follow the stream, if there is one."""
        if self._stream is not None:
            self._stream.start()

    async def stop(self) -> None:
        """End it."""
        if self._swapping is not None:
            await self._swapping
        if self._stream is not None:
            await self._stream.stop()

    def add_own(self, event: LegalEvent) -> bool:
        """Add an event that was made here, in force from now on; return False if it is known already."""
        if not self.book.add_own(event):
            return False
        self._log.warning("legal event made here", id=event.id, type=event.type, trigger=event.trigger)
        self._on_change()
        return True

    def refuse(self, loaded: Loaded) -> None:
        """Raise BorderpostError or Problems if `replace` could not take this configuration."""
        signers_of(loaded.config.events)
        if loaded.config.events.redis is None:
            self.book.refuse(loaded.events)

    def replace(self, loaded: Loaded) -> None:
        """Take another configuration, which `refuse` has let pass; what is published is the caller's affair."""
        before, self._loaded = self._loaded.config.events, loaded
        section = loaded.config.events
        if section.redis is None:
            self.book.take_base(loaded.events)
            self._settle(None)
        others_sign = _keys(signers_of(section)) != _keys(self._signers)
        if others_sign or (section.file, section.redis) != (before.file, before.redis):
            self._swapping = asyncio.get_running_loop().create_task(self._swap(self._stream, self._swapping))
            self._follow(section)
        if others_sign:
            self._freshness.forget()
        self._freshness.allow(section.max_age_s)
        self._marks = ()
        if section.clock_error_ms != before.clock_error_ms:
            self._clock = ClockError(section.clock_error_ms)
        self._look_at_clock()

    async def look(self) -> None:
        """Look whether the file, its heartbeat or the clock is another than before, and whether the list went stale."""
        if self._look_at_clock():
            self._on_change()
        section = self._loaded.config.events
        if section.file is not None and (marks := _marks(section.file)) != self._marks:
            self._marks, self._refused = marks, ""  # each change that is refused is told
            await (self._read_plain() if is_plain(section.file) else self._read_signed(section.file))
        self._freshness.look()

    def _follow(self, section: EventsSection) -> None:
        """Set up to read where the configuration says; nothing is read yet."""
        self._signers = signers_of(section)
        self._marks = ()  # looked at anew: it may have changed since it was loaded
        self._heartbeat: tuple[bytes, Heartbeat] | None = None
        self._list: SignedList | None = None
        self._stream: EventStream | None = None
        if section.redis is not None:
            self._stream = EventStream(
                section.redis, self._signers, world=self._world, on_read=self._take_signed, on_settled=self._settle
            )

    async def _swap(self, before: EventStream | None, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await earlier
        if before is not None:
            await before.stop()
        self.start()

    async def _read_plain(self) -> None:
        loaded = self._loaded
        try:
            events = await asyncio.to_thread(
                load_events, loaded.config.events, loaded.regions, known=loaded.bundle.vocabulary
            )
            if loaded is self._loaded:
                self._take(events)
        except (BorderpostError, Problems) as error:
            self._settle(error)
        else:
            self._settle(None)

    async def _read_signed(self, file: Path) -> None:
        known = self._list or SignedList(str(file))
        loaded, now = self._loaded, self._now()
        try:
            store = FileStore(file)
            heartbeat = store.heartbeat()  # before the list: what is appended in between is no fault
            lines, torn = await asyncio.to_thread(whole_lines, store, max(0, known.length - 1))
            read = await asyncio.to_thread(continued, known, lines, self._signers, now=now)
            if loaded is not self._loaded:
                return
            self._take_signed(read, heartbeat)
            if problems := [*read.problems, *((torn,) if torn else ())]:
                raise Problems(problems)
        except (BorderpostError, Problems) as error:
            self._settle(error)
        else:
            self._settle(None)

    def _take_signed(self, known: SignedList, heartbeat: bytes | None) -> None:
        """Take a list's lines up to its first fault, and what a heartbeat says of them.

        Raises BorderpostError BP0606 for lines that rewrite the past, and what is wrong with the heartbeat.
        """
        wrong: BorderpostError | None = None
        try:
            vouched = self._vouches(known, heartbeat)
        except BorderpostError as error:
            vouched, wrong = None, error
        if not known.length and not self._begun and vouched is None:
            detail = "it is missing or empty, and no heartbeat says that the list is"
            raise wrong or BorderpostError("BP0621", detail, place=Place(known.source))
        if known is not self._list:
            followed = self._list is not None
            self._take(EventList(known.file))
            self._list = known = replace(known, problems=())
            if followed and known.at is not None:
                self._metrics.events_lag_seconds.set(max(0, self._world.now_us() - to_us(known.at)) / 1e6)
        if wrong is not None:
            raise wrong
        if vouched is not None:
            self._freshness.vouch(to_us(vouched.at))

    def _take(self, base: EventList) -> None:
        begun, self._begun = self._begun, True
        try:
            changed = self.book.take_base(base)
        except BorderpostError:
            self._begun = begun
            raise
        if changed or not begun:
            self._log.info("legal events taken", count=len(base.events), lines=base.file.length)
            self._uptake.taken(_WHAT)
            self._on_change()

    def _settle(self, trouble: Trouble | None) -> None:
        """Tell what is wrong with the list, once; or that nothing is."""
        if trouble is None:
            self._uptake.taken(_WHAT, anew=False)
            self._refused = ""
        elif str(trouble) != self._refused:
            self._refused = str(trouble)
            self._uptake.refused(_WHAT, trouble)

    def _vouches(self, known: SignedList, raw: bytes | None) -> Heartbeat | None:
        """Return a heartbeat that is valid and about this list; None if there is none. Raises BorderpostError."""
        if raw is None:
            return None
        if self._heartbeat is None or self._heartbeat[0] != raw:
            place = Place(f"{known.source} heartbeat")
            self._heartbeat = raw, read_heartbeat(raw, self._signers, place, now=self._now())
        heartbeat = self._heartbeat[1]
        check_against(heartbeat, known)
        return heartbeat

    def _now(self) -> datetime:
        return EPOCH + timedelta(microseconds=self._world.now_us())

    def _look_at_clock(self) -> bool:
        before = self._clock.origin
        changed = self._clock.look(self._world.clock.mono_us())
        if changed:
            log = self._log.warning if self._clock.origin == "fallback" != before else self._log.info
            log("clock error", epsilon_us=self._clock.value_us, origin=self._clock.origin)
        return self.book.set_clock_error(self._clock.value_us)

    def checks(self) -> list[Check]:
        """Return what is to be said of the list in health checks; what is refused stands in those of the uptake."""
        found = [Check(f"{_WHAT}/clock", Outcome.PASSED, f"ε is {self._clock.value_us} µs ({self._clock.origin})")]
        if not self._begun:
            found.append(Check(f"{_WHAT}/known", Outcome.FAILED, "no list of legal events has been read yet"))
        stream = self._stream
        if stream is not None:
            reached = stream.unreached.detail if stream.unreached is not None else f"{stream.known.length} lines"
            outcome = Outcome.PASSED if stream.connected else Outcome.WARNING
            found.append(Check(f"{_WHAT}/stream", outcome, reached))
        return found + self._freshness.checks()

    def set_gauges(self) -> None:
        """Bring the gauges up to date, for a scrape."""
        metrics, now_us = self._metrics, self._world.now_us()
        metrics.events_in_force.set(len(self.book.current().in_force(now_us)))
        metrics.events_lines.set(self.book.current().file.length)
        metrics.events_stale.set(float(self._freshness.stale))
        metrics.clock_error_seconds.set(self._clock.value_us / 1e6)
        if self._freshness.age_s is not None:
            metrics.events_heartbeat_age_seconds.set(self._freshness.age_s)
        if self._stream is not None:
            metrics.events_stream_connected.set(float(self._stream.connected))
            silent_us = self._world.clock.mono_us() - self._stream.heard_us
            metrics.events_stream_silent_seconds.set(silent_us / 1e6)


def _marks(file: Path) -> tuple[FileMark, ...]:
    """Return the marks of the list and, beside a signed one, of its heartbeat.

    A change is looked at as soon as it is seen, since an event should not wait: what is half written then is refused,
    and looked at again when it has changed again.
    """
    return (mark_of(file),) if is_plain(file) else (mark_of(file), mark_of(FileStore(file).heartbeat_path))


def _keys(signers: Signers) -> dict[str, list[tuple[str, datetime | None]]]:
    """Return who may sign with which keys, to be compared."""
    return {name: [(key.digest, key.until) for key in keys] for name, keys in signers.items()}
