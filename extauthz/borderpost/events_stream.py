"""Following a signed list in a stream of Redis or Valkey, so that every gateway of a fleet hears of news at once.

    read anew   the whole stream, held against the lines that are known: at every connection, and whenever something
                about the stream is not as it was left
    follow      XREAD BLOCK from the last entry; each time it returns, and once a second, one look at the stream's
                length, its last entry and the heartbeat, taken together (MULTI)

Lines that are known stay known, whatever becomes of the stream: one that was emptied, shortened or exchanged for
another is trouble, and is told, but lines that go on from what is known are taken wherever they stand, since nobody
but signers can have written them. A server that cannot be reached is tried again for ever, with pauses that stay short.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis

from borderpost.config.redis import EventsRedisSpec
from borderpost.events.book import SignedList
from borderpost.events.lines import line_digest, parse_line
from borderpost.events.signing import Signers
from borderpost.events_redis import Entry, check_size, entries_of, heartbeat_key, line_of, source_of
from borderpost.policy.fields import EPOCH
from borderpost.redis_link import LINK_ERRORS, ended, loop_client, out_of_reach
from borderpost_base.errors import BorderpostError, Place, Problems
from borderpost_base.logs import get_logger
from borderpost_base.world import World

Trouble = BorderpostError | Problems

_LOOK_S: Final = 1.0
"""How often the stream is looked at where nothing is added: heartbeats are seen, and what was taken away."""
_PAGE: Final = 1000
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_AGAIN_S: Final = 5.0
"""After how long a stream in trouble is read anew, if nothing is added to it before."""
_NOT_AGAIN_WITHIN_S: Final = 0.2
_IN_LOOP_LINES: Final = 16
"""Up to this many lines are checked in the loop (about 0.2 ms each); more would hold it up."""


class _Tail(NamedTuple):
    """Where a stream ends."""

    entries: int
    last_id: bytes


class EventStream:
    """The list of one stream, kept up to date. Lives on the steward's loop."""

    def __init__(
        self, spec: EventsRedisSpec, signers: Signers, *, world: World,
        on_read: Callable[[SignedList, bytes | None], None], on_settled: Callable[[Trouble | None], None],
    ) -> None:  # fmt: skip
        """`on_read` is told of the list and the newest heartbeat at every look, and raises what is wrong with them;
        `on_settled` is told after it what is wrong with either or with the stream, None where nothing is."""
        self.known = SignedList(source_of(spec))
        """The list, as far as its lines could be checked."""
        self.connected = False
        """Whether the server answers."""
        self.heard_us = 0
        """When the server last answered, monotonic microseconds; 0 if never."""
        self.unreached: BorderpostError | None = None
        """Why the server could not be reached at the last attempt; None while it can."""
        self._spec = spec
        self._signers = signers
        self._world = world
        self._on_read = on_read
        self._on_settled = on_settled
        self._trouble: Trouble | None = None
        self._tail = _Tail(0, b"0-0")
        self._heartbeat: bytes | None = None
        self._task: asyncio.Task[None] | None = None
        self._log = get_logger("events")

    def start(self) -> None:
        """Begin to follow, unless that was begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End it."""
        task, self._task = self._task, None
        if task is not None:
            await ended(task)
        self.connected = False

    async def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            client: Redis | None = None
            try:
                client = loop_client(self._spec)
                while True:
                    await self._read_anew(client)
                    pause_s = _FIRST_PAUSE_S
                    await self._follow(client)
            except BorderpostError as error:
                self._lose(error)
            except LINK_ERRORS as error:
                self._lose(out_of_reach(error, self._spec))
            except Exception as error:  # noqa: BLE001 - whatever a hostile answer sets off must not end the following
                detail = f"the server's answer could not be taken: {type(error).__name__}"
                told = BorderpostError("BP0621", detail, place=Place(self.known.source))
                self._lose(told, traceback=True)
            finally:
                if client is not None:
                    await self._close(client)
            await asyncio.sleep(pause_s * (0.5 + self._world.randomness.token(1)[0] / 256))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _read_anew(self, client: Redis) -> None:
        entries: list[Entry] = []
        after: bytes = b"-"
        source = self.known.source
        while page := entries_of(await client.xrange(self._spec.stream, after, "+", _PAGE), source):
            entries += page
            check_size([line for _, fields in entries for line in fields.values()], source)
            after = b"(" + page[-1][0]
        self._heartbeat = _text(await client.get(heartbeat_key(self._spec)))
        self._tail = _Tail(len(entries), entries[-1][0] if entries else b"0-0")
        self._hear()
        lines, trouble = self._lines_of(entries)
        try:
            start, gone = self._place_of(lines)
        except BorderpostError as error:
            self._settle(error)
            return
        self._take(await self._extended(lines[self.known.length - start :]), trouble or gone)

    def _lines_of(self, entries: Sequence[Entry]) -> tuple[list[bytes], BorderpostError | None]:
        """Return the lines of entries up to the first that is none, and what is wrong with that."""
        lines: list[bytes] = []
        try:
            for entry in entries:
                lines.append(line_of(entry, self.known.source))
        except BorderpostError as error:
            return lines, error
        return lines, None

    def _place_of(self, lines: Sequence[bytes]) -> tuple[int, BorderpostError | None]:
        """Return the number of the stream's first line in the list, and what is wrong if it is not 0.

        Raises BorderpostError BP1012 if the stream is not the list that is known, or ends before it; BP1001 or BP1010
        if it does not begin with a line.
        """
        known, place = self.known, Place(self.known.source)
        digests = [line_digest(line) for line in lines]
        held = [known.head_at(number) for number in range(1, known.length + 1)]
        start = held.index(digests[0]) if digests and digests[0] in held else known.length
        overlap = held[start : start + len(digests)]
        if start + len(digests) < known.length or (not digests and known.length):
            detail = f"the stream ends before line {known.length}, which was read before"
            raise BorderpostError("BP1012", detail, place=place)
        follows = not digests or start < known.length or parse_line(lines[0], place).prev == known.head
        if digests[: len(overlap)] != overlap or not follows:
            raise BorderpostError("BP1012", "the stream holds other lines than were read before", place=place)
        if not start:
            return 0, None
        return start, BorderpostError("BP0621", f"the first {start} lines are gone from the stream", place=place)

    async def _follow(self, client: Redis) -> None:
        """Take what is added. Return when the stream is to be read anew."""
        read_us = self._world.clock.mono_us()
        while True:
            fresh = await self._next(client)
            if fresh and self._trouble is not None:
                waited_s = (self._world.clock.mono_us() - read_us) / 1e6
                await asyncio.sleep(max(0.0, _NOT_AGAIN_WITHIN_S - waited_s))
                return
            if fresh:
                self._tail = _Tail(self._tail.entries + len(fresh), fresh[-1][0])
                lines, trouble = self._lines_of(fresh)
                self._take(await self._extended(lines), trouble)
            found, self._heartbeat = await self._look(client)
            self._hear()
            self._take(self.known, self._trouble)
            if _number(found.last_id) > _number(self._tail.last_id):
                continue  # added meanwhile
            if found != self._tail or (self._trouble and self._world.clock.mono_us() - read_us > _AGAIN_S * 1e6):
                return

    async def _next(self, client: Redis) -> list[Entry]:
        """Wait for entries behind the last one, for a while."""
        block_ms = int(min(_LOOK_S, self._spec.timeout_s / 2) * 1000)
        answer: Any = await client.xread({self._spec.stream: self._tail.last_id}, count=_PAGE, block=block_ms)
        self._hear()
        if not answer:
            return []
        if not isinstance(answer, list) or len(answer) != 1 or len(answer[0]) != 2:
            raise BorderpostError("BP0621", "the server's answer is no list of entries", place=Place(self.known.source))
        return entries_of(answer[0][1], self.known.source)

    async def _look(self, client: Redis) -> tuple[_Tail, bytes | None]:
        """Return where the stream ends and the newest heartbeat, both of one instant."""
        async with client.pipeline(transaction=True) as together:
            together.xlen(self._spec.stream)
            together.xrevrange(self._spec.stream, "+", "-", 1)
            together.get(heartbeat_key(self._spec))
            length, last, heartbeat = await together.execute()
        entries = entries_of(last, self.known.source)
        return _Tail(int(length), entries[0][0] if entries else b"0-0"), _text(heartbeat)

    async def _extended(self, lines: Sequence[bytes]) -> SignedList:
        now: datetime = EPOCH + timedelta(microseconds=self._world.clock.wall_us())
        if len(lines) <= _IN_LOOP_LINES:
            return self.known.extended(lines, self._signers, now=now)
        return await asyncio.to_thread(self.known.extended, lines, self._signers, now=now)

    def _take(self, known: SignedList, trouble: Trouble | None) -> None:
        """Keep the lines that are right, tell of them, and note what is wrong with the rest or the stream."""
        self.known = replace(known, problems=())
        if known.problems:
            trouble = Problems(list(known.problems))
        try:
            self._on_read(self.known, self._heartbeat)
        except (BorderpostError, Problems) as error:
            trouble = trouble or error
        self._settle(trouble)

    def _settle(self, trouble: Trouble | None) -> None:
        self._trouble = trouble
        self._on_settled(trouble)

    def _hear(self) -> None:
        self.heard_us = self._world.clock.mono_us()
        self.unreached = None
        if not self.connected:
            self.connected = True
            self._log.info("the stream of legal events is followed", source=self.known.source)

    def _lose(self, error: BorderpostError, *, traceback: bool = False) -> None:
        if self.unreached is None or self.unreached.detail != error.detail:
            event = "the stream of legal events is lost, and tried again"
            self._log.warning(event, **error.as_dict(), exc_info=traceback)
        self.connected, self.unreached = False, error

    async def _close(self, client: Redis) -> None:
        try:
            await client.aclose()
        except LINK_ERRORS as error:
            self._log.debug("the connection ended badly", detail=str(error))


def _text(answer: Any) -> bytes | None:
    return answer if isinstance(answer, bytes) else None


def _number(entry_id: bytes) -> tuple[int, int]:
    """Return the two numbers of an entry's id, by which entries are in order. Raises ValueError if it is none."""
    at_ms, _, sequence = entry_id.partition(b"-")
    return int(at_ms), int(sequence)
