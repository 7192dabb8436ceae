"""A process's hold on its audit stream: opens it, keeps it open, and says at once when it takes no records.

Opening can fail (locked by a process that has not ended yet, damaged, disk read-only). A worker then stays
up, refuses every request, and tries again every `audit.retry_s`: that is the closed door, with a clear log line
instead of a crash loop.

Announcements are records about the process itself (which policy, catalogue, events, GeoIP, limits came into use). They
are chained before the first record that they explain. When a commit fails they are lost with it, so all
that still hold are made again before the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from borderpost.audit.committer import Commit, Committer, Release
from borderpost.audit.config import AuditSpec
from borderpost.audit.inputs import InputStore
from borderpost.audit.kernel_sync import KernelSync
from borderpost.audit.prepared import PreparedRecord
from borderpost.audit.writer import AuditUnavailable, AuditWriter
from borderpost_base.errors import BorderpostError
from borderpost_base.logs import get_logger
from borderpost_base.metrics import BoundedGauge, Metrics
from borderpost_base.world import World

Announcement = tuple[str, Mapping[str, Any]]
"""Type of record, and its own fields."""


def counting_commits(metrics: Metrics) -> Callable[[Commit], None]:
    """Return what counts a worker's commits."""

    def count(commit: Commit) -> None:
        if commit.fault is None:
            metrics.audit_commit_seconds.observe(commit.took_us / 1e6)
            metrics.audit_batch_records.observe(commit.records)
            metrics.audit_records_total.inc(by=commit.records)
            metrics.audit_bytes_total.inc(by=commit.size_bytes)

    return count


class RecordKeeper:
    """One process's audit stream, whether it is open or not. Used on the loop's thread."""

    def __init__(
        self, *, stream: str, spec: AuditSpec, inputs: InputStore, world: World, unavailable: BoundedGauge,
        on_commit: Callable[[Commit], None], meanwhile: str = "every request is refused",
    ) -> None:  # fmt: skip
        """`unavailable` is 1 while no records are taken, and `meanwhile` says for the log what that means."""
        self._stream = stream
        self._unavailable = unavailable
        self._on_commit = on_commit
        self._meanwhile = meanwhile
        self._spec = spec
        self._inputs = inputs
        self._world = world
        self._committer: Committer | None = None
        self._standing: dict[str, Announcement] = {}
        self._unsaid: dict[str, Announcement] = {}
        self._opening: asyncio.Task[None] | None = None
        self._log = get_logger("audit")

    @property
    def available(self) -> bool:
        """Return True while records are taken."""
        return self._committer is not None and self._committer.available

    @property
    def pending(self) -> int:
        """Return how many records are not durable yet."""
        return self._committer.pending if self._committer is not None else 0

    def silent_us(self) -> int:
        """Return for how long the disk has not answered the write under way; 0 if none is."""
        return self._committer.stalled_for_us() if self._committer is not None else 0

    def open_soon(self, *, in_loop: bool = False, kernel_sync: bool = False) -> None:
        """Begin to open the stream, and go on trying until it is open.

        `in_loop` allows commits in the loop while the disk is brisk, for a server that delivers batches;
        `kernel_sync` leaves the loop the write only, and the sync to the kernel where that is possible.
        """
        self._opening = asyncio.get_running_loop().create_task(self._open(in_loop, kernel_sync))

    async def _open(self, in_loop: bool, kernel_sync: bool) -> None:
        told = ""
        while True:
            try:
                writer = await asyncio.to_thread(
                    AuditWriter.open, self._spec.directory, self._stream, self._spec, self._world, self._inputs
                )
                break
            except (BorderpostError, OSError) as error:
                self._unavailable.set(1)
                if str(error) != told:
                    told = str(error)
                    detail = error.as_dict() if isinstance(error, BorderpostError) else {"detail": told}
                    self._log.error(f"audit log cannot be opened: {self._meanwhile}", **detail)
            await asyncio.sleep(self._spec.retry_s)
        loop = asyncio.get_running_loop()
        self._committer = Committer(
            writer, self._spec, self._world, loop, on_commit=self._count, in_loop=in_loop,
            kernel_sync=KernelSync.open(loop) if kernel_sync else None, meanwhile=self._meanwhile,
        )  # fmt: skip
        self._unavailable.set(0)
        self._log.info("audit log open", stream=self._stream, epoch=writer.epoch)

    def announce(self, key: str, kind: str, fields: Mapping[str, Any]) -> None:
        """Have a record written before the next decision; `key` names what it replaces (`policy`, `events`…)."""
        self._standing[key] = self._unsaid[key] = (kind, fields)

    def say(self, at_us: int) -> None:
        """Have what is unsaid recorded now, if the log takes records: what came into use must be known to the log even
        if no request comes, since a steward that starts later goes by it (`borderpost.seen`)."""
        if not self._unsaid or self._committer is None or not self._committer.available:
            return
        try:
            self._say_unsaid(self._committer, at_us)
        except AuditUnavailable as full:
            self._log.debug("what came into use is recorded later", detail=full.detail)

    def _say_unsaid(self, committer: Committer, at_us: int) -> None:
        for key, (kind, own) in list(self._unsaid.items()):
            committer.append(kind, own, at_us=at_us)
            del self._unsaid[key]

    def prepare(self, fields: Mapping[str, Any], kind: str = "decision") -> PreparedRecord:
        """Return a record with holes for one request. Raises AuditUnavailable while the log is not open."""
        return self._open_committer().prepare(kind, fields)

    def append(self, kind: str, fields: Mapping[str, Any], *, at_us: int) -> None:
        """Chain one record after whatever is unsaid. Raises AuditUnavailable, and then nothing was chained."""
        committer = self._open_committer()
        if self._unsaid:
            self._say_unsaid(committer, at_us)
        committer.append(kind, fields, at_us=at_us)

    def chain(self, entries: Sequence[tuple[PreparedRecord, bytes]], *, at_us: int, mono_us: int) -> list[bytes]:
        """Chain prepared records in a row after whatever is unsaid, and return their ids.

        An entry is a prepared record and its `req` field as canonical JSON. Fewer ids than entries come back where
        the log had room for no more. Raises AuditUnavailable. What got no id is to be refused; for the others,
        `when_durable` is to be called in the same turn.
        """
        committer = self._open_committer()
        if self._unsaid:
            self._say_unsaid(committer, at_us)
        return committer.append_prepared(entries, at_us=at_us, mono_us=mono_us)

    def _open_committer(self) -> Committer:
        if self._committer is None:
            raise AuditUnavailable("BP0405", "the audit log is not open", reason="not-open")
        return self._committer

    def when_durable(self, release: Release) -> None:
        """Call `release(durable)` once all that was chained so far is on disk, or never will be."""
        if self._committer is None:
            raise AssertionError("nothing was chained: the log is not open")
        self._committer.when_durable(release)

    def _count(self, commit: Commit) -> None:
        if commit.fault is not None:
            self._unsaid = dict(self._standing)
        self._unavailable.set(0 if commit.fault is None else 1)
        self._on_commit(commit)

    async def stop(self, *, within_s: float) -> None:
        """Close the epoch in order; stop trying if the stream was never opened."""
        if self._opening is not None:
            self._opening.cancel()
        if self._committer is not None:
            await self._committer.stop(within_s=within_s)
