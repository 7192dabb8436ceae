"""Where the primary is, by Sentinels (redis.io, Sentinel client specification)."""

from __future__ import annotations

from borderpost_base.redis_address import RedisLogin
from borderpost_ratelimit.stores.config import Endpoint
from borderpost_ratelimit.stores.redis.connecting import CONNECT_ERRORS, ask_once
from borderpost_ratelimit.stores.redis.server import Whereabouts

RECHECK_S = 1.0
"""How long a primary that has been replaced, and does not know it yet, may still be counted on."""


class Sentinels(Whereabouts):
    """Asks Sentinels, the one first that answered last."""

    recheck_s = RECHECK_S
    must_be_primary = True

    def __init__(self, sentinels: tuple[Endpoint, ...], primary: str, login: RedisLogin, *, database: int) -> None:
        """`login` is for the Sentinels; `primary` is the name under which they watch it."""
        self._sentinels = list(sentinels)
        self._primary = primary
        self._login = login
        self._database = database

    async def find(self) -> Endpoint:
        """Return where the primary is. Raises OSError if no Sentinel says it."""
        for sentinel in tuple(self._sentinels):
            try:
                told = await ask_once(sentinel, self._login, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._primary)
                if isinstance(told, list) and len(told) == 2:
                    host, port = bytes(told[0]).decode(), int(told[1])
                    self._sentinels.remove(sentinel)
                    self._sentinels.insert(0, sentinel)
                    return Endpoint(host, port, tls=sentinel.tls, database=self._database)
            except (*CONNECT_ERRORS, TypeError):
                continue
        raise OSError("no Sentinel says where the primary is")
