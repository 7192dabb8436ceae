"""One server: its connection is kept, its script loaded, its clock learnt, its batches sent.

A connection that is lost is made again for as long as the server is wanted, at once at first and then ever more slowly.
Where it leads is asked each time: a failover that a Sentinel has decided, or a name that has moved, is followed.
"""

from __future__ import annotations

import asyncio
import hashlib
from abc import abstractmethod
from collections.abc import Callable
from importlib import resources
from typing import Final

import hiredis

from borderpost_base.redis_address import RedisLogin
from borderpost_ratelimit.charges import Unanswered
from borderpost_ratelimit.stores.config import Endpoint
from borderpost_ratelimit.stores.redis.batch import Batch
from borderpost_ratelimit.stores.redis.connecting import CONNECT_ERRORS, NoReply, ask, connect
from borderpost_ratelimit.stores.redis.link import Link, packed
from borderpost_ratelimit.stores.redis.names import Names
from borderpost_ratelimit.stores.redis.replies import ELSEWHERE, MOVED_AWAY, SPOILT, unanswered, word_of

SCRIPT: Final = resources.files(__package__).joinpath("take.lua").read_bytes()
_DIGEST: Final = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()
_AGAIN_S: Final = (0.0, 0.05, 0.1, 0.2, 0.5)
"""Pauses before connecting again; the last one stays."""
_SHORT_S: Final = 1.0
"""A connection that has not lasted so long counts as one that could not be made."""
_AWAY: Final = Unanswered("unreachable", "there is no connection")
_SLOW: Final = Unanswered("timeout", "the server did not answer in time")
_DENIED: Final = Unanswered("denied", "the password's file cannot be read")
_REPLACED: Final = Unanswered("read-only", "another server has become the primary")
STALE_US: Final = 1_000_000
"""How long after it was made a batch may be counted. A server that was stopped, or the network before it, reads later
what had been sent to it: those requests had other answers long ago, and may belong to a window that is over."""
_STALE: Final = Unanswered("timeout", "the server read it too late, and did not count it")
SENT_MAX: Final = 5
"""How often a batch is sent: to a server that has forgotten the script, or to where it was sent on to."""

FLIGHTS: Final = 2
"""Script calls on their way at which the next requests are gathered until a reply has come. A server runs one script at
a time, so the second call waits there for the first one: more of them make no answer come sooner, and each costs the
server as much as some five requests."""
FULL: Final = 16
"""Requests that are sent without waiting for a reply."""
FLIGHTS_MAX: Final = 256
"""Script calls on their way at which nothing is sent."""


class Whereabouts:
    """Says where a server is at present."""

    recheck_s: float = 0.0
    """How often that may have changed behind a connection that still works; 0: never."""
    must_be_primary: bool = False
    """Whether a replica may be found there, which is not to be talked to."""

    @abstractmethod
    async def find(self) -> Endpoint:
        """Return where it is. Raises one of `CONNECT_ERRORS` where that cannot be found out."""
        raise NotImplementedError


class Fixed(Whereabouts):
    """It is always in one place."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def find(self) -> Endpoint:
        """Return the place."""
        return self._endpoint


class Server:
    """One server, on one event loop."""

    def __init__(
        self,
        where: Whereabouts,
        login: RedisLogin,
        names: Names,
        *,
        mono_us: Callable[[], int],
        moved: Callable[[Batch, str], None] | None = None,
    ) -> None:
        """`moved` takes batches that the server of a Cluster does not count, and its reply."""
        self._where = where
        self._login = login
        self._names = names
        self._mono_us = mono_us
        self._moved = moved
        self._flights = FLIGHTS if moved is None else FLIGHTS_MAX
        self._offset_us = 0
        self._open: dict[int, Batch] = {}
        self._link: Link | None = None
        self._endpoint: Endpoint | None = None
        self._why = _AWAY
        self._keeper: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self.connections = 0
        """How often a connection was made."""
        self.reloads = 0
        """How often the server had forgotten the script."""

    @property
    def connected(self) -> bool:
        """Return whether there is a connection that may be used."""
        return self._link is not None

    def now_us(self) -> int:
        """Return the server's wall clock, as far as its replies have told it."""
        return self._mono_us() + self._offset_us

    async def start(self) -> None:
        """Begin to keep a connection; return once the first try has ended, well or not."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep())
        await self._tried.wait()

    async def close(self) -> None:
        """Let go of the connection. Idempotent."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait({keeper})
        self._why = _AWAY
        self.push()

    async def ask(self, *words: str | int | bytes) -> object:
        """Ask over the connection. Raises hiredis.ReplyError or NoReply."""
        if self._link is None:
            raise NoReply(self._why)
        return await ask(self._link, *words)

    # Batches

    def gather(self, slot: int, told_us: int, now_us: int = 0) -> Batch:
        """Return the batch of a Cluster's slot that is sent next, to add requests to and then `push`.

        `told_us` is what the script takes for the time, 0 for the server's own; `now_us` the time by which windows are
        named, 0 for the server's own as far as it is known.
        """
        batch = self._open.get(slot)
        if batch is not None and (batch.told_us != told_us or (now_us and batch.now_us != now_us)):
            del self._open[slot]
            self.send(batch)
            batch = None
        if batch is None:
            server_us = self.now_us()
            batch = self._open[slot] = Batch(self._names, slot, told_us or now_us or server_us, told_us)
            batch.made_us, batch.latest_us = server_us - self._offset_us, server_us + STALE_US
        return batch

    def push(self) -> None:
        """Send what was gathered: at once, or with the next reply where the server has enough to do."""
        while self._open:
            link = self._link
            slot, batch = next(iter(self._open.items()))
            flying = link.in_flight if link is not None else 0
            if flying >= self._flights and (flying >= FLIGHTS_MAX or len(batch.asked) < FULL):
                return
            del self._open[slot]
            self.send(batch)

    def send(self, batch: Batch, *, asking: bool = False) -> None:
        """Have a batch counted now. `asking`: its slot is on its way here (ASK)."""
        link = self._link
        if link is None or batch.sent >= SENT_MAX:
            batch.fail(self._why if link is None else SPOILT)
            return
        if asking:
            link.send(packed("ASKING"), _ignore)
        if batch.sent:
            batch.latest_us = (
                batch.made_us + self._offset_us + STALE_US
            )  # by the clock of the server that it is sent to
        batch.sent += 1
        link.send(packed(b"EVALSHA", _DIGEST, *batch.arguments()), lambda reply: self._take(batch, reply, link))

    def _take(self, batch: Batch, reply: object, link: Link) -> None:
        if isinstance(reply, hiredis.ReplyError):
            self._refused(batch, reply, link)
        elif isinstance(reply, Unanswered):
            batch.fail(reply)
        else:
            now_us = batch.answer(reply)
            if now_us and not batch.told_us:
                self._offset_us = now_us - self._mono_us()
            if batch.refused is not None and word_of(batch.refused) in MOVED_AWAY:
                link.close(unanswered(batch.refused))
        if self._open:
            self.push()

    def _refused(self, batch: Batch, error: hiredis.ReplyError, link: Link) -> None:
        """Take an error reply to a whole script call: nothing of it was counted."""
        word = word_of(error)
        if word == "NOSCRIPT" and batch.sent < SENT_MAX:
            self.reloads += 1
            batch.sent += 1
            link.send(packed(b"EVAL", SCRIPT, *batch.arguments()), lambda again: self._take(batch, again, link))
        elif word == "STALE":
            self._stale(batch, error)
        elif word in ELSEWHERE and self._moved is not None:
            self._moved(batch, str(error))
        else:
            why = unanswered(error)
            batch.fail(why)
            if word in MOVED_AWAY:
                link.close(why)

    def _stale(self, batch: Batch, error: hiredis.ReplyError) -> None:
        """Learn the server's time; send the batch again if it is not late, but the server's clock was set."""
        told = str(error).split(" ")[1:]
        if len(told) != 1 or not (told[0].isascii() and told[0].isdecimal()):
            batch.fail(SPOILT)
            return
        mono_us = self._mono_us()
        self._offset_us = int(told[0]) - mono_us
        if mono_us - batch.made_us < STALE_US:
            self.send(batch)
        else:
            batch.fail(_STALE)

    # The connection

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            await asyncio.sleep(_AGAIN_S[min(failures, len(_AGAIN_S) - 1)])
            failures += 1
            link = Link(loop)
            try:
                await self._prepare(link)
                since_s = loop.time()
                self._link = link
                self.connections += 1
                self._tried.set()
                await self._watch(link)
                if loop.time() - since_s >= _SHORT_S:
                    failures = 0
            except CONNECT_ERRORS as error:
                self._why = _reason(error)
            finally:
                self._link = None
                link.close(self._why)
                self._tried.set()
                self.push()

    async def _prepare(self, link: Link) -> None:
        """Connect, load the script and learn the time. Raises one of `CONNECT_ERRORS`."""
        async with asyncio.timeout(self._login.timeout_s):
            self._endpoint = await self._where.find()
            await connect(link, self._endpoint, self._login)
            if self._where.must_be_primary:
                role = await ask(link, "ROLE")
                if not isinstance(role, list) or not role or role[0] != b"master":
                    raise hiredis.ReplyError("READONLY this is a replica")
            await ask(link, "SCRIPT", "LOAD", SCRIPT)
            told = await ask(link, "TIME")
            if not isinstance(told, list) or len(told) != 2:
                raise hiredis.ProtocolError("this is no time")
            self._offset_us = int(told[0]) * 1_000_000 + int(told[1]) - self._mono_us()

    async def _watch(self, link: Link) -> None:
        """Return once the connection has gone, has left a command unanswered for too long, or leads elsewhere."""
        loop = asyncio.get_running_loop()
        where, timeout_s = self._where, self._login.timeout_s
        recheck_at_s = loop.time() + where.recheck_s
        while not link.lost.done():
            left_s = link.oldest_s + timeout_s - loop.time()
            if left_s <= 0:
                link.close(_SLOW)
            elif where.recheck_s and loop.time() >= recheck_at_s:
                recheck_at_s = loop.time() + where.recheck_s
                if await self._has_moved():
                    link.close(_REPLACED)
            else:
                await asyncio.wait({link.lost}, timeout=min(left_s, where.recheck_s or left_s))
        self._why = link.lost.result()

    async def _has_moved(self) -> bool:
        try:
            return await self._where.find() != self._endpoint
        except CONNECT_ERRORS:
            return False  # nobody says so


def _reason(error: BaseException) -> Unanswered:
    if isinstance(error, NoReply):
        return error.why
    if isinstance(error, hiredis.ReplyError):
        return unanswered(error)
    if isinstance(error, TimeoutError):
        return _SLOW
    if isinstance(error, UnicodeDecodeError):
        return _DENIED
    return _AWAY if isinstance(error, OSError) else SPOILT


def _ignore(reply: object) -> None:
    """Take the reply to a command whose failure the next reply shows."""
