"""Counting together: gateways of one controller write what each has counted into one Redis hash, and read the rest.

    <hash>  `<counter>/<month>/<replica>`   what this gateway has counted, absolute
            `seen/<replica>`                when it last wrote, seconds since the epoch

Each gateway writes only fields of its own, and absolute values: a write that is repeated, or that comes twice, changes
nothing. The total is the sum over gateways, those included that have gone. Counts only rise, so a value that has gone
back (a server that lost its memory) is not believed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import redis.asyncio

from borderpost.config.counters import CountersRedisSpec
from borderpost.counters.book import Others
from borderpost.counters.tally import COUNT_NAME
from borderpost.redis_link import LINK_ERRORS, loop_client
from borderpost_base.errors import BorderpostError

_SEEN = "seen"
_FIELD = re.compile(rf"(?:{_SEEN}|{COUNT_NAME})/[0-9a-f]{{16}}")
_VALUE = re.compile(r"[0-9]{1,15}")
_ALIVE_S = 300
"""A gateway that has not written for this long is taken to have gone; its counts stay."""


class Fleet:
    """This gateway's part in the fleet's count."""

    def __init__(self, spec: CountersRedisSpec, replica: str) -> None:
        self._spec = spec
        self._replica = replica
        self._client: redis.asyncio.Redis | None = None

    async def exchange(self, own: Mapping[str, int], before: Others, now_us: int) -> Others:
        """Write what this gateway has counted, by `counter/month`, and return what the others have.

        `before` is what was known of them. Raises BorderpostError BP1102 where the server cannot be had, or holds
        what no gateway writes.
        """
        own = dict(own)  # it goes on being counted while we wait
        fields: dict[Any, Any] = {f"{name}/{self._replica}": count for name, count in own.items()}
        fields[f"{_SEEN}/{self._replica}"] = now_us // 1_000_000
        try:
            if self._client is None:
                self._client = loop_client(self._spec)
            async with self._client.pipeline(transaction=True) as pipeline:
                pipeline.hset(self._spec.hash, mapping=fields)
                pipeline.hgetall(self._spec.hash)
                _, found = await pipeline.execute()
            told = {field.decode(): value.decode() for field, value in found.items()}
        except LINK_ERRORS as error:
            await self.close()
            raise BorderpostError("BP1102", f"{self._spec.url}: {type(error).__name__}") from error
        except BaseException:
            await self.close()
            raise
        return self._others(told, own, before, now_us // 1_000_000)

    def _others(self, found: Mapping[str, str], own: Mapping[str, int], before: Others, now_s: int) -> Others:
        counts: dict[str, int] = {}
        alive = 0
        for field, value in found.items():
            name, _, replica = field.rpartition("/")
            if _FIELD.fullmatch(field) is None or _VALUE.fullmatch(value) is None:
                raise BorderpostError("BP1102", f"the hash has a field that no gateway writes: {field[:80]!a}")
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
        """Close the connection; the next exchange makes another."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
