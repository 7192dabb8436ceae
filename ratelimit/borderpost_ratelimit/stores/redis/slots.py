"""Which server of a Cluster counts a slot (redis.io, cluster specification)."""

from __future__ import annotations

from typing import NamedTuple

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from borderpost_ratelimit.stores.config import Endpoint

__all__ = ["REDIS_CLUSTER_HASH_SLOTS", "Moved", "key_slot", "moved_to", "primaries"]


class Moved(NamedTuple):
    """Where a batch is sent on to."""

    slot: int
    host: str
    port: int
    asking: bool
    """This once only: the slot is on its way there."""


def moved_to(error: str) -> Moved:
    """Read `MOVED SLOT HOST:PORT` or `ASK …`. Raises ValueError."""
    word, slot, place = error.split()
    host, _, port = place.rpartition(":")
    if not 0 <= int(slot) < REDIS_CLUSTER_HASH_SLOTS or not 0 < int(port) < 65536:
        raise ValueError("no slot, or no port")
    return Moved(int(slot), host, int(port), word == "ASK")


def primaries(told: object, asked: Endpoint) -> dict[Endpoint, list[range]]:
    """Return the slots of each primary by a reply to CLUSTER SLOTS; `asked` is who gave it. Raises ValueError."""
    found: dict[Endpoint, list[range]] = {}
    if not isinstance(told, list):
        raise ValueError("no list of slots")
    for row in told:
        match row:
            case [int(first), int(last), [host, int(port), *_], *_] if 0 <= first <= last < REDIS_CLUSTER_HASH_SLOTS:
                name = host.decode() if isinstance(host, bytes) else ""
                place = asked._replace(host=asked.host if name in ("", "?") else name, port=port, socket="")
                found.setdefault(place, []).append(range(first, last + 1))
            case _:
                raise ValueError("no range of slots")
    return found
