"""The disk half of a writer: the segment being written, its rotation and repair, the ballast and the lock.

Whoever holds the detached batch may call it, one call at a time: the thread that serves, or the flusher. It
knows the batch and the files and nothing of the chain's tip.

A failed write or sync is never tried again on the same bytes: Linux reports a sync error once, and marks the
pages clean. The segment is instead cut back to what was durable before, which dirties its last page again, synced,
and its last record is read back from the disk; then a new segment begins.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from borderpost.audit import record as records
from borderpost.audit.ballast import Ballast
from borderpost.audit.batch import AuditUnavailable, Batch
from borderpost.audit.config import AuditSpec
from borderpost.audit.lock import StreamLock
from borderpost.audit.segment import SegmentFile, drop_cached_pages, last_line
from borderpost_base.world import World

_NO_ROOM = frozenset({"ENOSPC", "EDQUOT"})


class StreamFiles:
    """The files of one stream, under its lock."""

    def __init__(self, directory: Path, spec: AuditSpec, world: World, lock: StreamLock, *, leaves: bool) -> None:
        self.directory = directory
        self._spec = spec
        self._world = world
        self._lock = lock
        self._leaves = leaves
        self._ballast = Ballast(directory, spec.ballast_bytes, world.disk)
        self._segment: SegmentFile | None = None
        self._pid = os.getpid()

    def take_ballast(self) -> None:
        """Reserve the room for a full disk. Raises OSError."""
        self._ballast.take()

    def write(self, batch: Batch) -> None:
        """Bring a detached batch to stable storage, all of it. Raises AuditUnavailable; nothing of it counts then.

        What `write_ahead` has written is only synced.
        """
        self._check_process()
        doing = "repair" if batch.repairs is not None else "open"
        segment = self._segment
        try:
            if batch.repairs is not None:
                segment = self._repair(batch)
            elif segment is None or (self._is_full(segment) and not batch.written):
                segment = self._begin_segment(batch.base.seq + 1)
            doing = ""
            if not batch.written:
                segment.write(batch.lines)
            segment.sync()
        except OSError as error:
            during = doing or (segment.doing if segment is not None else "write")
            raise self._unavailable(error, during) from error
        self._make_leaves(batch)

    def write_ahead(self, batch: Batch) -> int | None:
        """Write a batch to the open segment, and return the descriptor to sync; `note_synced` is to follow.

        Returns None, and nothing is done, where more is needed than to write: a new segment, or a repair.
        Raises AuditUnavailable; nothing of the batch counts then.
        """
        self._check_process()
        segment = self._segment
        if segment is None or batch.repairs is not None or self._is_full(segment):
            return None
        try:
            segment.write(batch.lines)
        except OSError as error:
            raise self._unavailable(error, segment.doing) from error
        batch.written = True
        return segment.fd

    def note_synced(self, batch: Batch, number: int) -> None:
        """Take the outcome of the sync behind `write_ahead`: 0, or an errno.

        Raises AuditUnavailable for an errno; nothing of the batch counts then.
        """
        assert self._segment is not None and batch.written, "only what was written ahead is synced by others"
        try:
            if number:
                raise OSError(number, os.strerror(number))
            self._segment.note_synced()
        except OSError as error:
            raise self._unavailable(error, self._segment.doing) from error
        self._make_leaves(batch)

    def release(self) -> None:
        """Close the segment and give up the lock, whatever the state of the chain. Raises OSError from the close."""
        try:
            if self._segment is not None:
                self._segment.close()
        finally:
            self._lock.release()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError("an audit stream belongs to the process that opened it, not to its children")

    def _make_leaves(self, batch: Batch) -> None:
        if self._leaves:
            batch.leaves = [records.leaf_of(line) for line in batch.lines]

    def _is_full(self, segment: SegmentFile) -> bool:
        age_us = self._world.clock.mono_us() - segment.born_us
        return segment.durable_bytes >= self._spec.segment_bytes or age_us >= self._spec.segment_s * 1e6

    def _begin_segment(self, first_seq: int) -> SegmentFile:
        if self._segment is not None:
            self._segment.close()
        self._segment = SegmentFile.create(
            self.directory, first_seq, self._world.disk, self._world.clock.mono_us(), self._spec.reserve_bytes
        )
        return self._segment

    def _repair(self, batch: Batch) -> SegmentFile:
        """Cut the broken segment back, read back its last durable record, and begin the next segment.

        Each step may be tried again after a failure of a later one.
        """
        broken = self._segment
        if broken is not None:
            broken.cut_to_durable()
            if broken.durable_bytes:
                drop_cached_pages(broken.path, self._world.disk)
                line = last_line(broken.path, broken.durable_bytes)
                if line is None or records.digest_of(line) != batch.base.digest:
                    raise OSError(errno.EIO, "the last durable record does not read back", str(broken.path))
        if batch.final:
            self._ballast.give_up()
        elif batch.repairs in _NO_ROOM:
            self._ballast.check_room()
        return self._begin_segment(batch.base.seq + 1)

    def _unavailable(self, error: OSError, during: str) -> AuditUnavailable:
        name = errno.errorcode.get(error.errno or 0, "unknown")
        detail = f"{during} failed: {error.strerror or error} ({name})"
        return AuditUnavailable("BP0405", detail, reason=name, during=during, where=str(self.directory))
