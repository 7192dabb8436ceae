"""The limits files in force: read at the start, read again where they have changed, the last good ones kept.

A folder is looked at as a whole, so files that come, go or move count as changes, and so does the symbolic link by
which Kubernetes exchanges all files of a ConfigMap at once. Looking and reading happen off the loop: requests are
answered meanwhile by what is in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from borderpost.uptake import Uptake
from borderpost.watch import FileWatch
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.logs import get_logger
from borderpost_ratelimit.config import LimitsSpec
from borderpost_ratelimit.files.book import Book
from borderpost_ratelimit.files.global_limits import global_limits
from borderpost_ratelimit.files.keys import KeyStyle
from borderpost_ratelimit.files.loading import load, named_files
from borderpost_ratelimit.limits import WhenAway

WHAT: Final = "limits"
"""The name of limits files among what is taken whole or not at all."""


def limits_of(spec: LimitsSpec) -> Book:
    """Return what a configuration's limits files say. Raises Problems with every mistake of every file, or OSError."""
    book = load(
        spec.limits,
        merge_domains=spec.merge_domains,
        key_style=KeyStyle(spec.key_style),
        when_away=WhenAway(spec.away.when_store_away),
    )
    if spec.global_store is None and (reaching := global_limits(book)):
        raise Problems(reaching)
    return book


class LimitsWatch:
    """A watch over the limits files of one limiter. Used on its loop.

    `keep` is told of each set before it comes into force, off the loop; `take` is told as it does.
    """

    def __init__(
        self, spec: LimitsSpec, *, take: Callable[[Book], None], uptake: Uptake, keep: Callable[[Book], None]
    ) -> None:
        self._keep = keep
        self._spec = spec
        self._take = take
        self._uptake = uptake
        self._watch = FileWatch()
        self._reading = asyncio.Lock()
        self._digest = ""
        self._unseen = ""
        """Why the files cannot be looked at."""
        self._log = get_logger("limits")

    def begin(self) -> Book:
        """Return what lies there at the start. Raises Problems with all that is wrong with it."""
        book = self._read()
        self._keep(book)
        self._uptake.begins(WHAT)
        self._told(book)
        return book

    async def look(self) -> None:
        """Take the files if they have changed and lie still."""
        if self._reading.locked():
            return
        try:
            changed = await asyncio.to_thread(self._changed)
        except OSError as error:
            if str(error) != self._unseen:  # said once, not at every look
                self._unseen = str(error)
                self._refuse(error)
            return
        self._unseen = ""
        if changed:
            self._log.info("limits files changed on the disk")
            await self.take()

    async def take(self) -> None:
        """Take the files as they lie there now, or say why not and stay with the last good ones."""
        async with self._reading:
            try:
                book = await asyncio.to_thread(self._read)
                if book.digest != self._digest:
                    await asyncio.to_thread(self._keep, book)
            except (BorderpostError, Problems, OSError) as error:
                self._refuse(error)
                return
            except Exception as error:  # noqa: BLE001 - a bug in reading must not end what answers
                self._log.exception("limits files could not be read")
                self._refuse(BorderpostError("BP1651", type(error).__name__))
                return
            anew = book.digest != self._digest
            if anew:
                self._take(book)
                self._told(book)
            else:
                self._log.info("limits files say what is in force", digest=book.digest[:16])
            self._uptake.taken(WHAT, anew=anew)

    def _refuse(self, error: BorderpostError | Problems | OSError) -> None:
        self._uptake.refused(WHAT, BorderpostError("BP0003", str(error)) if isinstance(error, OSError) else error)

    def _changed(self) -> bool:
        return self._watch.changed(named_files(self._spec.limits))

    def _read(self) -> Book:
        self._watch.take(named_files(self._spec.limits))  # before reading: what changes meanwhile is a change
        return limits_of(self._spec)

    def _told(self, book: Book) -> None:
        self._digest = book.digest
        self._log.info("limits taken", files=len(book.files), domains=len(book.domains), digest=book.digest[:16])
        for finding in book.findings:
            self._log.warning("limits files say something that counts for nothing", **finding.as_dict())
