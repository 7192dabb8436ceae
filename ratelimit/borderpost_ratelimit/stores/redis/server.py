"""One server: its connection is kept, its script loaded, its clock learnt.

A connection that is lost is made again for as long as the server is wanted, at once at first and then ever more slowly.
Where it leads is asked each time: a failover that a Sentinel has decided, or a name that has moved, is followed.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Final

import hiredis

from borderpost_base.redis_address import RedisLogin
from borderpost_ratelimit.charges import Unanswered
from borderpost_ratelimit.stores.config import Endpoint
from borderpost_ratelimit.stores.redis.connecting import CONNECT_ERRORS, NoReply, ask, connect
from borderpost_ratelimit.stores.redis.link import Link
from borderpost_ratelimit.stores.redis.replies import AWAY, SPOILT, unanswered
from borderpost_ratelimit.stores.redis.script import SCRIPT
from borderpost_ratelimit.stores.redis.sending import Sender

_AGAIN_S: Final = (0.0, 0.05, 0.1, 0.2, 0.5)
"""Pauses before connecting again; the last one stays."""
_SHORT_S: Final = 1.0
"""A connection that has not lasted so long counts as one that could not be made."""
_SLOW: Final = Unanswered("timeout", "the server did not answer in time")
_DENIED: Final = Unanswered("denied", "the password's file cannot be read")
_REPLACED: Final = Unanswered("read-only", "another server has become the primary")


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

    def __init__(self, where: Whereabouts, login: RedisLogin, sender: Sender) -> None:
        """`sender` is given each connection as soon as it may be used."""
        self._where = where
        self._login = login
        self.sender = sender
        """By which it is sent batches."""
        self._endpoint: Endpoint | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self.connections = 0
        """How often a connection was made."""

    @property
    def connected(self) -> bool:
        """Return whether there is a connection that may be used."""
        return self.sender.connected

    @property
    def reloads(self) -> int:
        """Return how often the server had forgotten the script."""
        return self.sender.reloads

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
        self.sender.drop(AWAY)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        why = AWAY
        while True:
            await asyncio.sleep(_AGAIN_S[min(failures, len(_AGAIN_S) - 1)])
            failures += 1
            link = Link(loop)
            try:
                await self._prepare(link)
                since_s = loop.time()
                self.sender.use(link)
                self.connections += 1
                self._tried.set()
                why = await self._watch(link)
                if loop.time() - since_s >= _SHORT_S:
                    failures = 0
            except CONNECT_ERRORS as error:
                why = _reason(error)
            finally:
                link.close(why)
                self.sender.drop(why)
                self._tried.set()

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
            self.sender.learn_time(int(told[0]) * 1_000_000 + int(told[1]))

    async def _watch(self, link: Link) -> Unanswered:
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
        return link.lost.result()

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
    return AWAY if isinstance(error, OSError) else SPOILT
