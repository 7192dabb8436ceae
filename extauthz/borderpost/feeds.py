"""Feeds: outside sources that fire triggers, which people signed in advance.

    file      watched; what it says is heard once it lies still
    webhook   a signed message to the admin server (`deliver`), passed on to the fleet where there is one
    stream    followed in Redis (feed_streams.py)

What a trigger fires is in force at once, and its id is made of the trigger's and the message's instant: the same
message, heard twice or by two gateways, fires one event. Feeds only narrow. One that goes back ends nothing: a `lift`
that two people signed does, and while the feed still says the same, it is not fired again over their heads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from borderpost.config.events import EventsSection
from borderpost.config.feeds import FeedSpec, secret_of
from borderpost.events.feeds import FeedMessage, is_signed, read_message
from borderpost.events.standing import Standing, standings
from borderpost.events.triggers import Trigger
from borderpost.feed_streams import FeedStreams, stream_keys
from borderpost.health import Check, Outcome
from borderpost.law_watch import LawWatch
from borderpost.policy.fields import EPOCH
from borderpost.watch import FileWatch
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.logs import get_logger
from borderpost_base.metrics import Metrics
from borderpost_base.world import World

_QUIET_S = 10.0
"""How long after a refusal was told the next ones are only counted."""


class Feeds:
    """All feeds of an instance. Used on the steward's loop."""

    def __init__(
        self, section: EventsSection, *, law: LawWatch, is_published: Callable[[], bool], world: World, metrics: Metrics
    ) -> None:
        self._law = law
        self._is_published = is_published
        self._world = world
        self._metrics = metrics
        self._log = get_logger("feeds")
        self._said: dict[str, FeedMessage] = {}
        """The newest message of each feed."""
        self._held: dict[str, bool] = {}
        """Whether a trigger's condition held by the newest message, for triggers whose feed has said something."""
        self._wrong: dict[str, BorderpostError] = {}
        """Feeds that cannot be read."""
        self._weighed: tuple[Trigger, ...] = ()
        self._refusal_told_us = 0
        self._streams: FeedStreams | None = None
        self._swapping: asyncio.Task[None] | None = None
        self._set_up(section)

    def _set_up(self, section: EventsSection) -> None:
        self._section = section
        self._feeds: Mapping[str, FeedSpec] = section.feeds
        files = {name: feed.file for name, feed in section.feeds.items() if feed.file is not None}
        self._files = {name: (file, FileWatch([file])) for name, file in files.items()}
        self._unread = set(self._files)
        self._said = {name: said for name, said in self._said.items() if name in section.feeds}
        self._wrong = {name: error for name, error in self._wrong.items() if name in section.feeds}
        keys = stream_keys(section)
        self._streams = FeedStreams(section.redis, keys, self._hear_entry) if section.redis and keys else None

    def start(self) -> None:
        """Begin to follow the streams, if there are any."""
        if self._streams is not None:
            self._streams.start()

    async def stop(self) -> None:
        """End it."""
        if self._swapping is not None:
            await self._swapping
        if self._streams is not None:
            await self._streams.stop()

    def replace(self, section: EventsSection) -> None:
        """Take another configuration: what feeds have said stands, for those that are still there."""
        if (section.feeds, section.redis) == (self._section.feeds, self._section.redis):
            return
        before = self._streams
        self._set_up(section)
        self.start()
        if before is not None:
            self._swapping = asyncio.get_running_loop().create_task(_after(self._swapping, before.stop()))

    def look(self) -> None:
        """Read the files that have changed, and weigh triggers that are new by what feeds have said already."""
        for name, (file, watch) in self._files.items():
            if name in self._unread or watch.changed():
                watch.take([file])
                self._unread.discard(name)
                self._read(name, file)
        if (triggers := self._law.triggers) != self._weighed:
            fresh = set(triggers) - set(self._weighed)
            self._weighed = triggers
            for trigger in (each for each in triggers if each in fresh):
                if (message := self._said.get(trigger.when.feed)) is not None:
                    self._weigh(trigger, message, newest=True)

    def _read(self, name: str, file: Path) -> None:
        try:
            with file.open("rb") as handle:
                raw = handle.read(limits.FEED_MESSAGE_BYTES_MAX + 1)
            self.hear(name, read_message(raw, str(file)))
        except OSError as error:
            self.cannot_hear(name, BorderpostError("BP1030", error.strerror or str(error), place=Place(str(file))))
        except BorderpostError as error:
            self.cannot_hear(name, error)

    async def deliver(self, name: str, raw: bytes, signature: str) -> list[str]:
        """Take a webhook's message; return the ids of the events that are in force because of it.

        When this returns, what was fired is published, and the fleet knows. Raises KeyError for a feed that is no
        webhook, BorderpostError BP1030 (not readable), BP1031 (no secret), BP1032 (not the sender's, or not of now)
        or BP1033 (heard, but not taken everywhere: to be sent again).
        """
        webhook = self._feeds[name].webhook
        if webhook is None:
            raise KeyError(name)
        try:
            message = self._checked(name, raw, signature, secret_of(webhook))
        except BorderpostError as error:
            self._metrics.feed_messages_total.inc(name, "refused")
            self._tell_refused(name, error)
            raise
        fired = self.hear(name, message)
        if not self._is_published():
            raise BorderpostError("BP1033", "what it fires could not be published", place=Place(f"feed {name}"))
        if self._streams is not None:
            try:
                await self._streams.pass_on(name, raw, signature)
            except BorderpostError as error:
                self._log.error("message not passed on to the fleet", feed=name, **error.as_dict())
                raise BorderpostError("BP1033", error.detail, place=Place(f"feed {name}")) from error
        return fired

    def _hear_entry(self, name: str, raw: bytes, signature: str) -> None:
        """Take an entry of a stream: a feed's own, or a webhook's message that another gateway has passed on.

        It may be old: this gateway may have been away. What fires nothing new is no news.
        """
        try:
            webhook = self._feeds[name].webhook
            if webhook is not None:
                self._check_signature(name, raw, signature, secret_of(webhook))
            self.hear(name, read_message(raw, f"feed {name}"))
        except BorderpostError as error:
            self.cannot_hear(name, error)

    def _tell_refused(self, name: str, error: BorderpostError) -> None:
        """Log a refusal, unless one was told a moment ago: whoever reaches the port could fill the log."""
        now_us = self._world.clock.mono_us()
        if now_us - self._refusal_told_us > _QUIET_S * 1e6 or not self._refusal_told_us:
            self._refusal_told_us = now_us
            self._log.warning("message of a feed refused", feed=name, **error.as_dict())

    def _check_signature(self, name: str, raw: bytes, signature: str, secret: bytes) -> None:
        if not is_signed(raw, secret, signature):
            detail = "the signature is missing, or not over these bytes"
            raise BorderpostError("BP1032", detail, place=Place(f"feed {name}"))

    def _checked(self, name: str, raw: bytes, signature: str, secret: bytes) -> FeedMessage:
        self._check_signature(name, raw, signature, secret)
        message = read_message(raw, f"feed {name}")
        apart_s = (self._now() - message.at).total_seconds()
        if abs(apart_s) > limits.FEED_AGE_S_MAX:
            detail = f"`at` is {abs(apart_s):.0f} s {'ago' if apart_s > 0 else 'ahead'}"
            detail += f"; at most {limits.FEED_AGE_S_MAX} s may be"
            raise BorderpostError("BP1032", detail, place=Place(f"feed {name}"))
        return message

    def hear(self, name: str, message: FeedMessage) -> list[str]:
        """Weigh a feed's message by every trigger that waits for it; return the ids of the events in force by it."""
        self._metrics.feed_messages_total.inc(name, "heard")
        self._wrong.pop(name, None)
        before = self._said.get(name)
        newest = before is None or message.at >= before.at
        if newest:
            self._said[name] = message
        waiting = [trigger for trigger in self._law.triggers if trigger.when.feed == name]
        found = [self._weigh(trigger, message, newest=newest) for trigger in waiting]
        return [event_id for event_id in found if event_id is not None]

    def cannot_hear(self, name: str, error: BorderpostError) -> None:
        """Say that a feed cannot be read; what it said before stands."""
        self._metrics.feed_messages_total.inc(name, "unreadable")
        told = self._wrong.get(name)
        self._wrong[name] = error
        if told is None or str(told) != str(error):
            self._log.error("feed cannot be read: what it said before stands", feed=name, **error.as_dict())

    def _weigh(self, trigger: Trigger, message: FeedMessage, *, newest: bool) -> str | None:
        """Fire the trigger if the message says so; return the id of its event in force, None if there is none."""
        holds, held = trigger.when.holds(message.value), self._held.get(trigger.id, False)
        if newest:
            self._held[trigger.id] = holds
        now = self._now()
        if not holds or now >= trigger.valid_until:
            return None
        at = min(message.at, now)
        standing = self._newest_of(trigger, now)
        if standing is not None and standing.state == "in force":
            return standing.event.id
        if standing is not None and standing.ended_by is not None and held:
            self._log.info("trigger not fired again", trigger=trigger.id, lifted_by=standing.ended_by)
            return None
        event = trigger.fire(at).model_copy(update={"recorded_at": now})
        if not self._law.add_own(event):
            return None  # this message has fired it before, and that has ended
        self._metrics.triggers_fired_total.inc(trigger.id)
        self._log.warning("trigger fired", trigger=trigger.id, id=event.id, feed=trigger.when.feed)
        return event.id

    def _newest_of(self, trigger: Trigger, now: datetime) -> Standing | None:
        """Return what has become of the event that a trigger fired last; one in force goes before."""
        found = standings(self._law.book.current().file, (now - EPOCH) // timedelta(microseconds=1))
        own = [standing for standing in found if standing.event.trigger == trigger.id]
        in_force = [standing for standing in own if standing.state == "in force"]
        newest = in_force or own
        return newest[-1] if newest else None

    def _now(self) -> datetime:
        return EPOCH + timedelta(microseconds=self._world.now_us())

    def checks(self) -> list[Check]:
        """Return warnings: feeds that cannot be read, and triggers that wait for a feed that is not configured."""
        found = [
            Check(f"feed/{name}", Outcome.WARNING, f"{error.code} {error.detail}")
            for name, error in sorted(self._wrong.items())
        ]
        now = self._now()
        waiting = {t.when.feed: t.id for t in self._law.triggers if t.valid_until > now}
        for name in sorted(waiting.keys() - self._feeds.keys()):
            detail = f"trigger `{waiting[name]}` waits for it, and `events.feeds` does not name it"
            found.append(Check(f"feed/{name}", Outcome.WARNING, detail))
        return found + (self._streams.checks() if self._streams is not None else [])


async def _after(earlier: asyncio.Task[None] | None, then: Coroutine[None, None, None]) -> None:
    if earlier is not None:
        await earlier
    await then
