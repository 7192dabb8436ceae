"""Redis or Valkey servers that a fleet of gateways shares. Shapes only: no I/O.

What a fleet shares lies in a server that it has already. None is needed to start, and none stands on a request's path.
"""

from __future__ import annotations

from pydantic import Field

from borderpost.policy.fields import Identifier
from borderpost_base.redis_address import RedisAddress


class RedisSpec(RedisAddress):
    """One server, how to be let in, and where it stands."""

    sink: Identifier
    """The name under `sinks` that says where the server stands and who runs it. Required: what the server is sent
    stays there, so the law must allow the place."""


class EventsRedisSpec(RedisSpec):
    """The stream that legal events are read from."""

    stream: str = Field(default="borderpost:events", pattern=r"^[\x21-\x7e]{1,200}$")
    """Key of the stream. The newest heartbeat lies beside it, under the same key and `:heartbeat`."""
