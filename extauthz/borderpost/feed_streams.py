"""Feeds in Redis or Valkey: streams that others write, and the webhooks' messages that gateways pass on to each other.

    KEY                        a feed that is a stream: entries with the one field `message`
    STREAM:feed:NAME           messages of a webhook, with the field `signature` besides; STREAM is that of the events

One connection follows them all; another one adds. A gateway that comes late hears the last entries of each stream, in
order: what fired while it was away must hold here too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from redis.asyncio import Redis

from borderpost.config.events import EventsSection
from borderpost.config.redis import EventsRedisSpec
from borderpost.events_redis import Entry, entries_of
from borderpost.health import Check, Outcome
from borderpost.redis_link import LINK_ERRORS, ended, loop_client, out_of_reach
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from borderpost_base.logs import get_logger

_MESSAGE: Final = b"message"
_SIGNATURE: Final = b"signature"
_BLOCK_S: Final = 1.0
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0

Hear = Callable[[str, bytes, str], None]
"""Told of a feed's message: the feed's name, the message, and the signature beside it, empty where there is none."""


class FeedStreams:
    """The streams of one configuration. Lives on the steward's loop."""

    def __init__(self, spec: EventsRedisSpec, keys: Mapping[str, str], hear: Hear) -> None:
        """`keys` are the streams' keys by the feeds' names."""
        self._spec = spec
        self._names = {key.encode(): name for name, key in keys.items()}
        self._keys = dict(keys)
        self._hear = hear
        self._after: dict[bytes, bytes] = {}
        """Id of the last entry heard, by key."""
        self._adding: Redis | None = None
        self._unreached: BorderpostError | None = None
        self._task: asyncio.Task[None] | None = None
        self._log = get_logger("feeds")

    def start(self) -> None:
        """Begin to follow."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End it."""
        if self._task is not None:
            await ended(self._task)
        await _close(self._adding)

    async def pass_on(self, name: str, raw: bytes, signature: str) -> None:
        """Add a webhook's message to its stream. Raises BorderpostError BP0620."""
        try:
            if self._adding is None:
                self._adding = loop_client(self._spec)
            fields: Any = {_MESSAGE: raw, _SIGNATURE: signature}
            await self._adding.xadd(self._keys[name], fields, maxlen=limits.FEED_STREAM_ENTRIES_MAX, approximate=True)
        except LINK_ERRORS as error:
            client, self._adding = self._adding, None
            await _close(client)
            raise out_of_reach(error, self._spec) from error

    async def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            client: Redis | None = None
            try:
                client = loop_client(self._spec)
                await self._catch_up(client)
                self._reached()
                pause_s = _FIRST_PAUSE_S
                while True:
                    await self._follow(client)
            except BorderpostError as error:
                self._lose(error)
            except LINK_ERRORS as error:
                self._lose(out_of_reach(error, self._spec))
            finally:
                await _close(client)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _catch_up(self, client: Redis) -> None:
        """Hear the last entries of streams that were never read."""
        for key in self._names.keys() - self._after.keys():
            answer = await client.xrevrange(key, count=limits.FEED_STREAM_ENTRIES_MAX)
            self._after[key] = b"0-0"
            for entry in reversed(entries_of(answer, self._spec.url)):
                self._take(key, entry)

    async def _follow(self, client: Redis) -> None:
        block_ms = int(min(_BLOCK_S, self._spec.timeout_s / 2) * 1000)
        streams: Any = self._after
        answer: Any = await client.xread(streams, block=block_ms)
        for key, entries in answer or ():
            for entry in entries_of(entries, self._spec.url):
                self._take(key, entry)

    def _take(self, key: bytes, entry: Entry) -> None:
        entry_id, fields = entry
        self._after[key] = entry_id
        self._hear(self._names[key], fields.get(_MESSAGE, b""), fields.get(_SIGNATURE, b"").decode("latin-1"))

    def _reached(self) -> None:
        if self._unreached is not None:
            self._log.warning("streams of feeds are followed again")
        self._unreached = None

    def _lose(self, error: BorderpostError) -> None:
        if self._unreached is None:
            self._log.error("streams of feeds cannot be followed, and are tried again", **error.as_dict())
        self._unreached = error

    def checks(self) -> list[Check]:
        """Return a warning while the server cannot be reached."""
        if self._unreached is None:
            return []
        return [Check("feeds/redis", Outcome.WARNING, f"{self._unreached.code} {self._unreached.detail}")]


def stream_keys(section: EventsSection) -> dict[str, str]:
    """Return the key of each feed that has a stream in the section's server, by the feed's name."""
    if section.redis is None:
        return {}
    keys = {name: feed.stream for name, feed in section.feeds.items() if feed.stream is not None}
    passed_on = (name for name, feed in section.feeds.items() if feed.webhook is not None)
    return {**keys, **{name: f"{section.redis.stream}:feed:{name}" for name in passed_on}}


async def _close(client: Redis | None) -> None:
    if client is None:
        return
    try:
        await client.aclose()
    except LINK_ERRORS as error:
        get_logger("feeds").debug("connection not closed in order", error=str(error))
