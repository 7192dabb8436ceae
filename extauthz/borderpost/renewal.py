"""A worker's part in the renewal of certificates: reads their files anew when the steward has found them good.

A worker that cannot, because the files have changed again in between, keeps what it has and tries again.
"""

from __future__ import annotations

import asyncio
from typing import Final

from borderpost.snapshots import SharedPage
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.logs import get_logger
from borderpost_base.metrics import Metrics
from borderpost_wire.engine import Engine
from borderpost_wire.errors import ListenError

_RETRY_S: Final = 1.0


class Renewal:
    """Which certificates an engine has, by the number in the shared page. Used on the worker's loop."""

    def __init__(self, engine: Engine, page: SharedPage, metrics: Metrics) -> None:
        self._engine = engine
        self._page = page
        self._metrics = metrics
        self._number = 0
        self._not_before_s = 0.0
        self._told = ""
        self._renewing: asyncio.Task[None] | None = None
        self._log = get_logger("certificates")

    def begin(self) -> None:
        """Say that the engine is about to read the files for the first time."""
        self._number = self._page.certificates

    def look(self) -> None:
        """Have the files read anew if the steward says so; called at every beat."""
        if self._page.certificates == self._number or self._renewing is not None:
            return
        if asyncio.get_running_loop().time() >= self._not_before_s:
            self._renewing = asyncio.get_running_loop().create_task(self._renew(self._page.certificates))

    async def _renew(self, number: int) -> None:
        try:
            await self._engine.renew()
        except ListenError as error:
            self._not_before_s = asyncio.get_running_loop().time() + _RETRY_S
            self._metrics.certificates_stale.set(1)
            if error.reason != self._told:
                self._told = error.reason
                told = BorderpostError("BP0504", error.reason, place=Place(error.address))
                self._log.error("certificates not renewed: the ones before stay", **told.as_dict())
        else:
            self._number, self._told = number, ""
            self._metrics.certificates_stale.set(0)
            self._log.info("certificates renewed")
        finally:
            self._renewing = None
