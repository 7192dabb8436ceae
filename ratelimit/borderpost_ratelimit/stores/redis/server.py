"""One server: its connection is kept, its script loaded, its clock learnt.

A connection that is lost is made again for as long as the server is wanted, at once at first and then ever more slowly.
Where it leads is asked each time: a failover that a Sentinel has decided, or a name that has moved, is followed.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Final, cast

import hiredis

from borderpost_base.redis_address import RedisLogin
from borderpost_ratelimit.charges import Unanswered
from borderpost_ratelimit.stores.config import Endpoint
from borderpost_ratelimit.stores.redis.batch import Batch
from borderpost_ratelimit.stores.redis.link import Link, packed
from borderpost_ratelimit.stores.redis.replies import MOVED_AWAY, unanswered, word_of

SCRIPT: Final = resources.files(__package__).joinpath("take.lua").read_bytes()
_DIGEST: Final = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()
_AGAIN_S: Final = (0.0, 0.05, 0.1, 0.2, 0.5)
"""Pauses before connecting again; the last one stays."""
_AWAY: Final = Unanswered("unreachable", "there is no connection")
_SLOW: Final = Unanswered("timeout", "the server did not answer in time")
_DENIED: Final = Unanswered("denied", "the password's file cannot be read")

Finder = Callable[[], Awaitable[Endpoint]]
"""Says where the server is at present. Raises OSError where that cannot be found out."""


class Server:
    """One server, on one event loop."""

    def __init__(self, find: Finder, login: RedisLogin, *, mono_us: Callable[[], int]) -> None:
        self._find = find
        self._login = login
        self._mono_us = mono_us
        self._offset_us = 0
        self._link: Link | None = None
        self._why = _AWAY
        self._keeper: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self.connections = 0
        """How often a connection was made."""
        self.reloads = 0
        """How often the server had forgotten the script."""

    @property
    def in_flight(self) -> int:
        """Return how many script calls have no reply yet."""
        return self._link.in_flight if self._link is not None else 0

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
        self._drop(_AWAY)

    def run(self, batch: Batch) -> None:
        """Have a batch counted; its requests are answered at once or later."""
        link = self._link
        if link is None:
            batch.fail(self._why)
            return
        arguments = batch.arguments()
        link.send(packed(b"EVALSHA", _DIGEST, *arguments), lambda reply: self._take(batch, reply, link))

    def _take(self, batch: Batch, reply: object, link: Link) -> None:
        if isinstance(reply, hiredis.ReplyError):
            word = word_of(reply)
            if word == "NOSCRIPT":  # nothing was counted
                self.reloads += 1
                command = packed(b"EVAL", SCRIPT, *batch.arguments())
                link.send(command, lambda again: self._take(batch, again, link))
                return
            why = unanswered(reply)
            batch.fail(why)
            if word in MOVED_AWAY:
                link.close(why)
        elif isinstance(reply, Unanswered):
            batch.fail(reply)
        else:
            now_us = batch.answer(reply)
            if now_us:
                self._offset_us = now_us - self._mono_us()

    # The connection

    async def _keep(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(_AGAIN_S[min(failures, len(_AGAIN_S) - 1)])
            link = Link(asyncio.get_running_loop())
            try:
                await asyncio.wait_for(self._connect(link), self._login.timeout_s)
            except (OSError, TimeoutError) as error:
                failures += 1
                self._why = _SLOW if isinstance(error, TimeoutError) else _AWAY
            except UnicodeDecodeError:
                failures += 1
                self._why = _DENIED
            except hiredis.HiredisError as error:
                failures += 1
                self._why = unanswered(error)
            else:
                failures = 0
                self._link = link
                self.connections += 1
                self._tried.set()
                await self._watch(link)
            finally:
                link.close()
                self._link = None
                self._tried.set()

    async def _connect(self, link: Link) -> None:
        """Connect and be let in. Raises OSError, UnicodeDecodeError, TimeoutError or hiredis' errors."""
        loop = asyncio.get_running_loop()
        endpoint = await self._find()
        tls = _tls(self._login) if endpoint.tls else None
        protocol = cast(asyncio.Protocol, link)
        if endpoint.socket:
            await loop.create_unix_connection(lambda: protocol, endpoint.socket)
        else:
            name = endpoint.host if endpoint.tls else None
            await loop.create_connection(lambda: protocol, endpoint.host, endpoint.port, ssl=tls, server_hostname=name)
        password = self._login.password()
        if password is not None:
            name = self._login.username
            await _ask(link, *(("AUTH", name, password) if name else ("AUTH", password)))
        if endpoint.database:
            await _ask(link, "SELECT", endpoint.database)
        await _ask(link, "SCRIPT", "LOAD", SCRIPT)
        told = await _ask(link, "TIME")
        if not isinstance(told, list) or len(told) != 2:
            raise hiredis.ProtocolError("no time")
        self._offset_us = int(told[0]) * 1_000_000 + int(told[1]) - self._mono_us()

    async def _watch(self, link: Link) -> None:
        """Return once the connection has gone, or has left a command unanswered for too long."""
        loop = asyncio.get_running_loop()
        timeout_s = self._login.timeout_s
        while not link.lost.done():
            left_s = link.oldest_s + timeout_s - loop.time()
            if left_s <= 0:
                link.close(_SLOW)
                break
            await asyncio.wait({link.lost}, timeout=left_s)
        self._why = link.lost.result()

    def _drop(self, why: Unanswered) -> None:
        link, self._link = self._link, None
        self._why = why
        if link is not None:
            link.close(why)


async def _ask(link: Link, *words: str | int | bytes) -> object:
    """Send one command and return its reply. Raises hiredis.ReplyError, or OSError where none comes."""
    came: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def take(reply: object) -> None:
        if not came.done():
            came.set_result(reply)

    link.send(packed(*words), take)
    reply = await came
    if isinstance(reply, hiredis.ReplyError):
        raise reply
    if isinstance(reply, Unanswered):
        raise OSError(reply.detail)
    return reply


def _tls(login: RedisLogin) -> ssl.SSLContext:
    """Return how the server is checked, and what it is shown. Raises OSError, of which SSLError is one."""
    context = ssl.create_default_context(cafile=login.ca)
    if login.certificate is not None:
        context.load_cert_chain(login.certificate, login.key)
    return context
