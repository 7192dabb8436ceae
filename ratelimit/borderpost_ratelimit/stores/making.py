"""Redis stores from their configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from borderpost_base.errors import BorderpostError, Place
from borderpost_base.world import World
from borderpost_ratelimit.files.keys import KeyStyle
from borderpost_ratelimit.stores.config import GlobalRedisSpec, RedisStoreSpec
from borderpost_ratelimit.stores.redis.store import RedisStore

SECRET_BYTES_MIN: Final = 16
SECRET_BYTES_MAX: Final = 64
"""A key of BLAKE2b has no more (RFC 7693)."""


def redis_store(spec: RedisStoreSpec, style: KeyStyle, world: World) -> RedisStore:
    """Return a store, not started yet. Raises BorderpostError BP1631 where the secret of a global one is none."""
    secret = read_secret(spec.key_file) if isinstance(spec, GlobalRedisSpec) else None
    return RedisStore(spec, world, by_second=style is KeyStyle.ENVOYPROXY and secret is None, secret=secret)


def read_secret(path: Path) -> bytes:
    """Read the secret under which keys are hashed, without a newline at its end. Raises BorderpostError BP1631."""
    place = Place(key="limiter.global_store.key_file")
    try:
        secret = path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise BorderpostError("BP1631", f"{path}: {error.strerror}", place=place) from error
    if not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
        raise BorderpostError("BP1631", f"{path} holds {len(secret)} bytes", place=place)
    return secret
