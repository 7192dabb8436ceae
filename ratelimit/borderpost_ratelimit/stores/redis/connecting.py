"""How a connection to a server is made, and a question asked that is none of the hot path."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, cast

import hiredis

from borderpost_base.redis_address import RedisLogin
from borderpost_ratelimit.charges import Unanswered
from borderpost_ratelimit.stores.config import Endpoint
from borderpost_ratelimit.stores.redis.link import Link, packed

CONNECT_ERRORS: Final = (OSError, TimeoutError, TypeError, ValueError, hiredis.HiredisError)
"""What a server that is not there, does not let us in, or is none, shows itself by."""


class NoReply(OSError):
    """The connection was lost before its reply came."""

    def __init__(self, why: Unanswered) -> None:
        super().__init__(why.detail)
        self.why = why


async def connect(link: Link, endpoint: Endpoint, login: RedisLogin) -> None:
    """Connect a new link and be let in, within the login's time. Raises `CONNECT_ERRORS`."""
    async with asyncio.timeout(login.timeout_s):
        await _connect(link, endpoint, login)


async def ask(link: Link, *words: str | int | bytes) -> object:
    """Send one command and return its reply. Raises hiredis.ReplyError or NoReply."""
    came: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def take(reply: object) -> None:
        if not came.done():
            came.set_result(reply)

    link.send(packed(*words), take)
    reply = await came
    if isinstance(reply, hiredis.ReplyError):
        raise reply
    if isinstance(reply, Unanswered):
        raise NoReply(reply)
    return reply


async def ask_once(endpoint: Endpoint, login: RedisLogin, *words: str | int | bytes) -> object:
    """Ask over a connection of its own. Raises `CONNECT_ERRORS`."""
    link = Link(asyncio.get_running_loop())
    try:
        async with asyncio.timeout(login.timeout_s):
            await _connect(link, endpoint, login)
            return await ask(link, *words)
    finally:
        link.close()


async def _connect(link: Link, endpoint: Endpoint, login: RedisLogin) -> None:
    loop = asyncio.get_running_loop()
    protocol = cast(asyncio.Protocol, link)
    if endpoint.socket:
        await loop.create_unix_connection(lambda: protocol, endpoint.socket)
    else:
        tls = _tls(login) if endpoint.tls else None
        name = endpoint.host if tls is not None else None
        await loop.create_connection(lambda: protocol, endpoint.host, endpoint.port, ssl=tls, server_hostname=name)
    password = login.password()
    if password is not None:
        await ask(link, "AUTH", *([login.username] if login.username else []), password)
    if endpoint.database:
        await ask(link, "SELECT", endpoint.database)


def _tls(login: RedisLogin) -> ssl.SSLContext:
    """Return how the server is checked, and what it is shown. Raises OSError, of which SSLError is one."""
    context = ssl.create_default_context(cafile=login.ca)
    if login.certificate is not None:
        context.load_cert_chain(login.certificate, login.key)
    return context
