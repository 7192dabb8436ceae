"""Group commit: batches become durable while the event loop goes on deciding.

This is the only module of the audit log that knows of threads and of the loop. Who owns what:

* The loop's thread owns the chain half of the writer: tip, open batch, fault. It alone calls `append`, `detach`,
  `settle`, `prepare_repair` and `end`, and it alone touches the fields of `Committer`.
* The flusher thread owns a batch from the moment it takes it off the queue until it hands the outcome back by
  `call_soon_threadsafe`, and with it the disk half (`write`, `release`). There is at most one such job at a
  time, so the two halves never run against each other and no lock is needed.

`append` puts a record in the open batch and, if nothing is under way, schedules `_advance` for the end of this
turn of the loop: all that one turn brings goes into one sync (`append_prepared` leaves that to `when_durable`).
While the flusher is out with batch n, the loop fills batch n+1; there is no timer, the batch grows with the load.

While the disk is brisk (pace.py), a batch is written in the loop itself, because a hand-off to the thread and back
costs more than the write. Its sync is the kernel's business where it takes one (kernel_sync.py), and the loop goes on;
elsewhere the loop waits for it, which costs less than the thread, too. One slow write, and the thread does it again.

When batch n fails, everybody waiting for it is told False, and so is everybody waiting for batch n+1: its records
were chained to records that do not exist. The chain falls back to the durable head (writer.py), `append` refuses,
and a repair is tried every `retry_s` until one succeeds. Nobody is told True for a record that is not on
stable storage: True is said in one place, after a `write` that did not raise.
"""

from __future__ import annotations

import asyncio
import functools
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from borderpost.audit.batch import AuditUnavailable, Batch
from borderpost.audit.config import AuditSpec
from borderpost.audit.kernel_sync import KernelSync
from borderpost.audit.pace import Pace
from borderpost.audit.prepared import PreparedRecord
from borderpost.audit.record import Position
from borderpost.audit.writer import AuditWriter
from borderpost_base.logs import get_logger
from borderpost_base.world import World

Release = Callable[[bool], None]
"""Told True when the records are durable, False when they never will be: the request is then refused."""

_log = get_logger("audit")


@dataclass(frozen=True, slots=True)
class Commit:
    """The outcome of one attempt to make a batch durable."""

    records: int
    size_bytes: int
    took_us: int
    """From the hand-over to the outcome's arrival in the loop."""
    fault: AuditUnavailable | None
    """Why it failed; None if it is durable."""


class Committer:
    """Makes one writer's records durable for one event loop. Make it and use it on the loop's thread."""

    def __init__(
        self,
        writer: AuditWriter,
        spec: AuditSpec,
        world: World,
        loop: asyncio.AbstractEventLoop,
        *,
        on_commit: Callable[[Commit], None] | None = None,
        in_loop: bool = False,
        kernel_sync: KernelSync | None = None,
        meanwhile: str = "every request is refused",
    ) -> None:
        """`in_loop` allows commits in the loop while the disk is brisk (pace.py); `kernel_sync` makes them better.
        `meanwhile` says for the log what it means that the log takes no records."""
        self._writer = writer
        self._retry_s = spec.retry_s
        self._heartbeat_s = spec.heartbeat_s
        self._world = world
        self._loop = loop
        self._on_commit = on_commit
        self._in_loop = in_loop
        self._kernel_sync = kernel_sync
        self._meanwhile = meanwhile
        self._pace = Pace(allowed=in_loop or kernel_sync is not None)
        self._jobs: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._out: Batch | None = None
        self._out_since_us: int | None = None
        self._waiting_out: list[Release] = []
        self._waiting_open: list[Release] = []
        self._scheduled = False
        self._retry: asyncio.TimerHandle | None = None
        self._idle_since_us = world.clock.mono_us()
        self._stopping: str | None = None
        self._last_repair_made = False
        self._concluding = False
        self._ended: asyncio.Future[bool] = loop.create_future()
        self._heart: asyncio.TimerHandle | None = loop.call_later(self._heartbeat_s, self._beat)
        # A daemon: a sync that never returns must not keep the process from ending.
        self._flusher = threading.Thread(target=self._flush, name=f"audit-{writer.directory.name}", daemon=True)
        self._flusher.start()

    @property
    def available(self) -> bool:
        """Return True while the log takes records."""
        return self._writer.fault is None and self._stopping is None

    @property
    def fault(self) -> AuditUnavailable | None:
        """Return why the log takes no records, None while it does."""
        return self._writer.fault

    @property
    def pending(self) -> int:
        """Return how many records are not durable yet."""
        return self._writer.pending

    def stalled_for_us(self) -> int:
        """Return for how long the disk has been silent: the age of the write under way, 0 if there is none.

        May be called from any thread: a watchdog must not depend on the loop.
        """
        since = self._out_since_us
        return 0 if since is None else max(0, self._world.clock.mono_us() - since)

    def append(self, kind: str, fields: Mapping[str, Any], *, at_us: int | None = None) -> Position:
        """Chain a record; it is durable when a later `when_durable` says so.

        Raises what `AuditWriter.append` raises; AuditUnavailable means: refuse the request (503).
        """
        self._admit()
        position = self._writer.append(kind, fields, at_us=at_us)
        self._schedule()
        return position

    def prepare(self, kind: str, fields: Mapping[str, Any]) -> PreparedRecord:
        """Return a record with holes for the fields of one request."""
        return self._writer.prepare(kind, fields)

    def append_prepared(
        self, entries: Sequence[tuple[PreparedRecord, bytes]], *, at_us: int, mono_us: int
    ) -> list[bytes]:
        """Chain prepared records and return their decision ids (see `AuditWriter.append_prepared`); else as `append`.

        Nothing is written before `when_durable` is called, in the same turn.
        """
        self._admit()
        return self._writer.append_prepared(entries, at_us=at_us, mono_us=mono_us)

    def _admit(self) -> None:
        if self._stopping is not None:
            raise AuditUnavailable("BP0405", "the worker is stopping", reason="ended")

    def when_durable(self, release: Release) -> None:
        """Call `release` once everything appended so far is durable (True) or lost (False), on the loop's thread.

        Call it in the same turn as the appends it stands for: one call may stand for a whole batch of requests.
        While batches are written in the loop, `release` is called before this returns.
        """
        if self._writer.open_records:
            self._waiting_open.append(release)
            if self._pace.in_loop and self._out is None:
                self._advance()
            else:
                self._schedule()
        elif self._out is not None and self._out.repairs is None:
            self._waiting_out.append(release)
        else:
            # Nothing is under way: what was appended before is durable, or its failure has been told.
            self._loop.call_soon(release, self._writer.fault is None)

    async def stop(self, *, within_s: float, reason: str = "stop") -> bool:
        """Make everything durable, record the end of the epoch, close the stream and end the thread.

        Returns True if the log ends with `epoch.close`; False if that failed or took longer than `within_s`
        seconds (a disk that hangs keeps the stream's lock until the process ends). Appends are refused from now.
        """
        if self._stopping is None:
            self._stopping = reason
            for timer in (self._retry, self._heart):
                if timer is not None:
                    timer.cancel()
            self._schedule()
        done, _ = await asyncio.wait((self._ended,), timeout=within_s)
        if not done:
            _log.error("audit log did not end in time", waited_s=within_s, stalled_us=self.stalled_for_us())
            return False
        self._flusher.join(within_s)
        return self._ended.result()

    # On the loop's thread.

    def _schedule(self) -> None:
        if not self._scheduled and self._out is None:
            self._scheduled = True
            self._loop.call_soon(self._advance)

    def _advance(self) -> None:
        """Hand the next job to the flusher, if there is one and it is free."""
        self._scheduled = False
        if self._out is not None or self._concluding:
            return
        if self._writer.fault is not None:
            if self._stopping is None or self._last_repair_made:
                self._conclude_if_stopping()
                return
            self._last_repair_made = True
            self._hand_over(self._writer.prepare_repair(final=True), [])
            return
        if self._stopping is not None and not self._writer.ended:
            self._writer.end(self._stopping)
        batch = self._writer.detach()
        if batch is None:
            self._conclude_if_stopping()
            return
        waiting, self._waiting_open = self._waiting_open, []
        self._hand_over(batch, waiting)

    def _hand_over(self, batch: Batch, waiting: list[Release]) -> None:
        self._out, self._waiting_out = batch, waiting
        self._out_since_us = self._world.clock.mono_us()
        if not self._pace.in_loop or batch.repairs is not None:
            self._jobs.put(batch)
        elif self._kernel_sync is None:
            self._settle(batch, *self._write(batch))
        else:
            self._write_ahead(batch, self._kernel_sync)

    def _write_ahead(self, batch: Batch, kernel_sync: KernelSync) -> None:
        """Write a batch and leave its sync to the kernel, or all that is left to the flusher."""
        began_us = self._world.clock.mono_us()
        fd: int | None = None
        try:
            fd = self._writer.write_ahead(batch)
        except Exception as error:  # noqa: BLE001 - whatever happened, the batch is not durable: refuse
            self._settle(batch, _unavailable(error), self._world.clock.mono_us() - began_us)
            return
        wrote_us = self._world.clock.mono_us() - began_us
        try:
            if fd is not None:
                kernel_sync.start(fd, functools.partial(self._synced, batch, wrote_us))
                return
        except OSError as unwilling:
            _log.warning("the kernel takes no syncs: a thread makes them", error=str(unwilling))
            self._kernel_sync = None
            self._pace = Pace(allowed=self._in_loop)  # what may be waited for is the sync, too, from now on
            kernel_sync.close()
        self._jobs.put(batch)

    def _synced(self, batch: Batch, wrote_us: int, number: int) -> None:
        """Take the outcome of a sync by the kernel. What the loop had to wait for was the write alone."""
        error: AuditUnavailable | None = None
        try:
            self._writer.note_synced(batch, number)
        except Exception as failure:  # noqa: BLE001 - as above
            error = _unavailable(failure)
        self._settle(batch, error, wrote_us)

    def _settle(self, batch: Batch, error: AuditUnavailable | None, wrote_us: int) -> None:
        """Take the outcome of the job that was out, and tell whoever waits for it."""
        since, self._out_since_us, self._out = self._out_since_us, None, None
        now_us = self._world.clock.mono_us()
        self._idle_since_us = now_us
        was_down = self._writer.fault is not None
        self._pace.note(wrote_us)
        self._writer.settle(batch, error)
        waiting, self._waiting_out = self._waiting_out, []
        if error is not None:
            waiting, self._waiting_open = waiting + self._waiting_open, []
            self._after_failure(error, was_down)
        elif was_down:
            _log.warning("audit log takes records again", next_seq=batch.head.seq + 1)
        waits = self._pace.in_loop and self._kernel_sync is None
        if not waits:
            self._advance()  # first, so that the disk works while the answers are made
        for release in waiting:
            self._tell(release, error is None)
        if waits and (self._writer.open_records or self._stopping is not None):
            self._schedule()  # after the answers: in the loop the next commit would only keep them waiting
        if self._on_commit is not None:
            took_us = now_us - (since if since is not None else now_us)
            self._on_commit(Commit(len(batch.lines), batch.size_bytes, took_us, error))

    def _after_failure(self, error: AuditUnavailable, was_down: bool) -> None:
        if not was_down:
            _log.error(f"audit log takes no records: {self._meanwhile}", error=error.as_dict())
        if self._stopping is None:
            self._retry = self._loop.call_later(self._retry_s, self._repair)

    def _repair(self) -> None:
        self._retry = None
        if self._writer.fault is not None and self._out is None:
            self._hand_over(self._writer.prepare_repair(), [])

    def _tell(self, release: Release, durable: bool) -> None:
        try:
            release(durable)
        except Exception:  # noqa: BLE001 - one request's answer must not keep the others from theirs
            _log.exception("a release callback failed")

    def _beat(self) -> None:
        """Write a heartbeat if nothing has been written for a while."""
        quiet_s = (self._world.clock.mono_us() - self._idle_since_us) / 1e6
        if quiet_s >= self._heartbeat_s and self._writer.fault is None and not self.pending:
            ahead_us = self._world.ahead_of_wall_us()
            self._writer.append("heartbeat", {"ahead_us": ahead_us} if ahead_us else {})
            self._schedule()
            quiet_s = 0.0
        self._heart = self._loop.call_later(max(0.01, self._heartbeat_s - quiet_s), self._beat)

    def _conclude_if_stopping(self) -> None:
        if self._stopping is not None and not self._concluding:
            self._concluding = True
            self._out_since_us = self._world.clock.mono_us()
            self._jobs.put(None)

    def _concluded(self, error: Exception | None) -> None:
        self._out_since_us = None
        if self._kernel_sync is not None:
            self._kernel_sync.close()
        if error is not None:
            _log.error("audit log was not closed in order", error=str(error))
        if not self._ended.done():
            self._ended.set_result(error is None and self._writer.fault is None)

    # On the flusher thread, or in the loop while the disk is brisk.

    def _write(self, batch: Batch) -> tuple[AuditUnavailable | None, int]:
        """Make a batch durable; return what went wrong, and how long the disk took, microseconds."""
        began_us = self._world.clock.mono_us()
        outcome: AuditUnavailable | None = None
        try:
            self._writer.write(batch)
        except Exception as error:  # noqa: BLE001 - whatever happened, the batch is not durable: refuse
            outcome = _unavailable(error)
        return outcome, self._world.clock.mono_us() - began_us

    # On the flusher thread.

    def _flush(self) -> None:
        while (batch := self._jobs.get()) is not None:
            if not self._hand_back(self._settle, batch, *self._write(batch)):
                return
        problem: Exception | None = None
        try:
            self._writer.release()
        except OSError as error:
            problem = error
        self._hand_back(self._concluded, problem)

    def _hand_back(self, callback: Callable[..., None], *arguments: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            # The loop was closed without `stop`: nobody waits any more, and the lock goes with the process.
            _log.error("the event loop ended before its audit log")
            return False
        return True


def _unavailable(error: Exception) -> AuditUnavailable:
    if isinstance(error, AuditUnavailable):
        return error
    return AuditUnavailable("BP0405", f"{type(error).__name__}: {error}", reason="internal", during="write")
