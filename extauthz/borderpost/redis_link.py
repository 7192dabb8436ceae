"""Connections to a Redis or Valkey server, made as the configuration says. No command is sent here.

What goes wrong is told without what lets one in: the server's own words are passed on only where they are an error
reply, and cut short.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from borderpost.config.redis import RedisSpec
from borderpost_base.errors import BorderpostError, Place

LINK_ERRORS: Final = (RedisError, OSError, ValueError, UnicodeError)
"""What a server that is not there, or answers what is no answer, shows itself by."""

_DETAIL_MAX: Final = 200
_CANCEL_AGAIN_S: Final = 0.1


def asking_client(spec: RedisSpec) -> redis.Redis:
    """Return a client that waits for each answer, for commands. Raises BorderpostError BP0620."""
    return redis.Redis(retry=Retry(NoBackoff(), 0), **_arguments(spec))


def loop_client(spec: RedisSpec) -> redis.asyncio.Redis:
    """Return a client of one connection for an event loop. Raises BorderpostError BP0620."""
    return redis.asyncio.Redis(retry=AsyncRetry(NoBackoff(), 0), single_connection_client=True, **_arguments(spec))


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task that talks to a server, and wait until it has ended.

    Once is not enough: where an answer arrives at the same moment, redis-py 8.1 loses the cancellation.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_AGAIN_S)


def out_of_reach(error: BaseException, spec: RedisSpec) -> BorderpostError:
    """Return the error that says so, for one of `LINK_ERRORS`."""
    text = " ".join(str(error).split()) or type(error).__name__
    return BorderpostError("BP0620", f"{spec.url}: {text[:_DETAIL_MAX]}", place=Place(key="events.redis"))


def _arguments(spec: RedisSpec) -> dict[str, Any]:
    """Return how to connect. The version of the protocol is one that every server of the last ten years speaks."""
    given: dict[str, Any] = {
        "db": spec.database,
        "username": spec.username,
        "password": _password(spec),
        "socket_timeout": spec.timeout_s,
        "socket_connect_timeout": spec.timeout_s,
        "protocol": 2,
    }
    if spec.socket:
        return {**given, "unix_socket_path": spec.socket}
    given |= {"host": spec.host, "port": spec.port}
    if spec.scheme == "rediss":
        files = {"ssl_ca_certs": spec.ca, "ssl_certfile": spec.certificate, "ssl_keyfile": spec.key}
        given |= {"ssl": True, **{name: str(path) for name, path in files.items() if path is not None}}
    return given


def _password(spec: RedisSpec) -> str | None:
    try:
        return spec.password()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no UTF-8"
        place = Place(key="events.redis.password_file")
        raise BorderpostError("BP0620", f"{spec.password_file}: {why}", place=place) from error
