"""The files of `geoip.anonymisers` as the steward holds them: opened together, and watched."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from borderpost.geoip import Anonymisers
from borderpost.rollback import refuse_older_anonymisers
from borderpost.uptake import Uptake
from borderpost.watch import FileWatch
from borderpost_base.errors import BorderpostError
from borderpost_base.logs import get_logger

WHAT = "anonymisers"
"""What it is called in logs, metrics and health checks."""


class AnonymiserFiles:
    """What is in force of the files. Used on the steward's loop. Raises as `Anonymisers.open` where one is none."""

    def __init__(self, paths: Sequence[Path], instead: Anonymisers | None = None) -> None:
        self._paths = tuple(paths)
        self._watch = FileWatch(paths)
        self.current = instead if instead is not None else Anonymisers.open(paths)
        """The files in force; `instead` of those configured where these are refused."""

    def replaced(self, paths: Sequence[Path]) -> AnonymiserFiles:
        """Return what takes the place of this for another configuration.

        Raises BorderpostError BP0611 for a database older than the one in force of its kind, and as `Anonymisers.open`.
        """
        fresh = AnonymiserFiles(paths)
        refuse_older_anonymisers(fresh.current, self.current)
        return fresh

    async def look(self, uptake: Uptake) -> bool:
        """Look whether a file is another than before; return True if other ones are in force since."""
        if not self._watch.changed():
            return False
        self._watch.take(self._paths)
        try:
            found = await asyncio.to_thread(Anonymisers.open, self._paths)
            refuse_older_anonymisers(found, self.current)
        except BorderpostError as error:
            uptake.refused(WHAT, error)
            return False
        anew = found.digest != self.current.digest
        self.current = found
        uptake.taken(WHAT, anew=anew)
        if anew:
            get_logger("publication").info("anonymisers taken", files=len(found.files), digest=found.digest)
        return anew
