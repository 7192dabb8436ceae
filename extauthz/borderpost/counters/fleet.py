"""Counting together: gateways of one controller write what each has counted into one Redis hash, and read the rest.

    <key>  `<counter>/<month>/<replica>`   what this gateway has counted, absolute
           `seen/<replica>`                when it last wrote, seconds since the epoch

Each gateway writes only fields of its own, and absolute values: a write that is repeated, or that comes twice, changes
nothing. The total is the sum over gateways, those included that have gone. Counts only rise, so a value that has gone
back (a server that lost its memory) is not believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from borderpost.counters.book import Others
from borderpost.counters.config import SharedCounts
from borderpost_base.errors import BorderpostError

_SEEN = "seen"
_ALIVE_S = 300
"""A gateway that has not written for this long is taken to have gone; its counts stay."""


class Fleet:
    """This gateway's part in the fleet's count."""

    def __init__(self, spec: SharedCounts, replica: str) -> None:
        self._key = spec.key
        self._replica = replica
        self._redis: Any = Redis.from_url(
            spec.url, socket_timeout=spec.timeout_s, socket_connect_timeout=spec.timeout_s, decode_responses=True
        )

    async def exchange(self, own: Mapping[str, int], before: Others, now_us: int) -> Others:
        """Write what this gateway has counted, by `counter/month`, and return what the others have.

        `before` is what was known of them. Raises BorderpostError BP1102 where the server cannot be had, or holds
        what no gateway writes. The message has no part of the URL: it may hold a password.
        """
        own = dict(own)  # it goes on being counted while we wait
        fields: dict[str, int] = {f"{name}/{self._replica}": count for name, count in own.items()}
        fields[f"{_SEEN}/{self._replica}"] = now_us // 1_000_000
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hset(self._key, mapping=fields)
                pipeline.hgetall(self._key)
                _, found = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise BorderpostError("BP1102", f"the server cannot be had: {type(error).__name__}") from error
        return self._others(found, own, before, now_us // 1_000_000)

    def _others(self, found: Mapping[str, str], own: Mapping[str, int], before: Others, now_s: int) -> Others:
        counts: dict[str, int] = {}
        alive = 0
        for field, value in found.items():
            name, _, replica = field.rpartition("/")
            if not name or not value.isdecimal():
                raise BorderpostError("BP1102", f"the hash has a field that no gateway writes: {field[:80]!r}")
            if replica == self._replica:
                continue
            if name == _SEEN:
                alive += now_s - int(value) < _ALIVE_S
            else:
                counts[name] = counts.get(name, 0) + int(value)
        for name, count in before.counts.items():
            counts[name] = max(count, counts.get(name, 0))
        return Others(replicas=alive, counts=counts, own=own)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
