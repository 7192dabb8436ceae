"""The writer of one stream: appends records to a chain and makes them durable, or says that it cannot.

Two halves, so that a thread may do the waiting (committer.py) and a simple program need not know:

    chain half   `append`, `detach`, `settle`, `prepare_repair`, `end`    one owner: the thread that serves
    disk half    `write`, `write_ahead`, `release` (files.py)             whoever holds the detached batch

`append` owns the tip of the chain and the open batch. `detach` gives the open batch away; it is not changed
any more. `write` touches nothing but that batch and the file. `settle` takes the outcome back:

* success: the batch's last record becomes the durable head.
* failure: nothing of the batch is acknowledged, and neither is anything appended since: those records were
  chained to a predecessor that does not exist. The tip falls back to the durable head, the open batch is
  dropped with the failed one, and the stream is unavailable: `append` refuses.

At most one batch is detached at a time. A stream comes back by `prepare_repair`: the segment is cut back to its
durable size, read back, and closed; a new segment begins with a `gap` record, chained to the durable head, that
says what was lost. The gap record is a batch like any other: it goes through `write` and `settle`. While the
repair is out, `append` still refuses, so nothing is ever chained to a gap that may fail.

`commit`, `try_heal` and `close` are these steps in a row, for callers without a thread. Nothing here knows of
threads or event loops.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from borderpost.audit import record as records
from borderpost.audit.batch import AuditUnavailable, Batch
from borderpost.audit.config import AuditSpec
from borderpost.audit.files import StreamFiles
from borderpost.audit.inputs import InputStore
from borderpost.audit.lock import StreamLock
from borderpost.audit.prepared import PreparedRecord
from borderpost.audit.record import Head, Position, RecordMaker
from borderpost.audit.recovery import Found, recover
from borderpost.audit.segment import INPUTS_NAME, STREAM_NAME
from borderpost.version import __version__
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.world import World

__all__ = ["AuditUnavailable", "AuditWriter", "Batch", "CommitObserver"]

_EPOCH_BYTES = 10


class CommitObserver(Protocol):
    """Told of every commit once it is durable, in order, by the thread that serves: the seam of the Merkle tree."""

    def committed(self, first_seq: int, leaves: Sequence[bytes]) -> None:
        """Take the leaf hashes, SHA-256(0x00 || line), of consecutive records."""
        ...


@dataclass(slots=True)
class _Fault:
    """Why the stream is unavailable, and what that has cost so far."""

    error: AuditUnavailable
    since_us: int
    lost: int
    lost_bytes: int
    attempts: int = 0


class AuditWriter:
    """One stream's writer. Make it with `open`; it holds the stream's lock until `close` or `release`."""

    def __init__(
        self,
        maker: RecordMaker,
        files: StreamFiles,
        world: World,
        inputs: InputStore,
        found: Found,
        observer: CommitObserver | None,
    ) -> None:
        self.directory = files.directory
        """Directory of the stream."""
        self._maker = maker
        self._files = files
        self._world = world
        self._inputs = inputs
        self._observer = observer
        self._durable = found.head
        self._tip = found.head
        self._open = Batch(found.head)
        self._out: Batch | None = None
        self._fault: _Fault | None = None
        self._refused = 0
        self._refused_for = "backlog"
        self._ended = False
        self._first_seq = found.head.seq + 1

    @classmethod
    def open(
        cls,
        directory: Path,
        stream: str,
        spec: AuditSpec,
        world: World,
        inputs: InputStore,
        *,
        observer: CommitObserver | None = None,
    ) -> AuditWriter:
        """Lock a stream, recover its end, and begin an epoch durably.

        `directory` is the audit directory, `stream` the stream's name (`worker-0`). Time (`world.now_us`) is
        raised to the last record's. Raises BorderpostError: BP0401 locked, BP0402 not writable, BP0403 damaged.
        """
        if STREAM_NAME.fullmatch(stream) is None or stream == INPUTS_NAME:
            raise ValueError(f"{stream!r} is not the name of a stream")
        place = directory / stream
        log = f"{spec.log}/{stream}"
        try:
            with contextlib.ExitStack() as undo:
                place.mkdir(mode=0o750, parents=True, exist_ok=True)
                for folder in (directory, directory.parent):
                    world.disk.fsync_dir(folder)
                lock = StreamLock.take(place, world.disk)
                undo.callback(lock.release)
                found = recover(place, log, world.disk)
                world.never_before(found.last_us)
                maker = RecordMaker(log, world.randomness.token(_EPOCH_BYTES).hex(), world.randomness)
                files = StreamFiles(place, spec, world, lock, leaves=observer is not None)
                undo.callback(files.release)
                files.take_ballast()
                writer = cls(maker, files, world, inputs, found, observer)
                writer._begin(found)
                undo.pop_all()
                return writer
        except AuditUnavailable as refusal:
            raise BorderpostError("BP0402", refusal.detail, place=refusal.place) from refusal
        except OSError as error:
            raise _cannot_open(place, error) from error

    # Chain half.

    @property
    def epoch(self) -> str:
        """Return the epoch this writer began, 20 hex digits."""
        return self._maker.epoch

    @property
    def durable(self) -> Head:
        """Return the last record that is on stable storage."""
        return self._durable

    @property
    def fault(self) -> AuditUnavailable | None:
        """Return why the stream takes no records, None while it does."""
        return self._fault.error if self._fault is not None else None

    @property
    def open_records(self) -> int:
        """Return how many records wait in the open batch."""
        return len(self._open.lines)

    @property
    def pending(self) -> int:
        """Return how many records are not durable yet, in the open batch and the one that is out."""
        return len(self._open.lines) + (len(self._out.lines) if self._out is not None else 0)

    @property
    def ended(self) -> bool:
        """Return True once `epoch.close` has been appended."""
        return self._ended

    def append(self, kind: str, fields: Mapping[str, Any], *, at_us: int | None = None) -> Position:
        """Chain a record to the stream and put it in the open batch. It is durable after the next commit.

        `at_us` is the instant the record speaks of, for a decision the `now` its law was asked for; left out,
        it is now. Raises AuditUnavailable when the stream takes no records or too many wait, and
        BorderpostError BP0404 or BP0407 for a record that may not be written; the chain is then unchanged.
        """
        self._admit()
        return self._chain(kind, fields, at_us)

    def prepare(self, kind: str, fields: Mapping[str, Any]) -> PreparedRecord:
        """Return a record with holes for the fields of one request, for `append_prepared`."""
        return self._maker.prepare(kind, fields)

    def append_prepared(
        self, entries: Sequence[tuple[PreparedRecord, bytes]], *, at_us: int, mono_us: int
    ) -> list[bytes]:
        """Chain prepared records in a row, as `append` does, and return their decision ids.

        An entry is a prepared record and the canonical JSON of its `req` field. Fewer ids than entries come back
        where there was room for no more: the rest was refused (`backlog`). Raises AuditUnavailable as `append`.
        """
        self._admit()
        room = self._room()
        if len(entries) > room:
            self._refused += len(entries) - room
            entries = entries[:room]
        lines, head = self._maker.follow(entries, self._tip, at_us=at_us, mono_us=mono_us)
        ids = records.decision_ids(self._maker.epoch, self._tip.seq + 1, len(lines))
        batch = self._open
        batch.lines += lines
        batch.size_bytes += sum(map(len, lines)) + len(lines)
        batch.head = self._tip = head
        return ids

    def _admit(self) -> None:
        """Raise AuditUnavailable unless the stream takes another record now."""
        if self._fault is None and not self._ended and self._room() > 0:
            return
        if self._fault is not None:
            self._refused += 1
            raise self._fault.error
        if self._ended:
            raise AuditUnavailable("BP0405", "the stream has been closed", reason="ended")
        self._refused += 1
        raise AuditUnavailable("BP0406", f"{self.pending} records wait", reason="backlog")

    def _room(self) -> int:
        """Return how many more records may wait, each as long as a record can be."""
        batch, out = self._open, self._out
        count, size_bytes = len(batch.lines), batch.size_bytes
        if out is not None:
            count, size_bytes = count + len(out.lines), size_bytes + out.size_bytes
        by_bytes = -((size_bytes - limits.AUDIT_PENDING_BYTES_MAX) // limits.RECORD_BYTES_MAX)
        return max(0, min(limits.AUDIT_PENDING_RECORDS_MAX - count, by_bytes))

    def detach(self) -> Batch | None:
        """Give the open batch away for `write`; None if it is empty. Its outcome must come back to `settle`."""
        assert self._out is None, "one batch is out at a time"
        if not self._open.lines:
            return None
        self._out = self._open
        self._open = Batch(self._tip)
        return self._out

    def settle(self, batch: Batch, error: AuditUnavailable | None) -> None:
        """Take back the outcome of `write`: move the durable head on, or fall back to it."""
        assert batch is self._out, "only the batch that is out can be settled"
        self._out = None
        if error is not None:
            self._fall_back(batch, error)
            return
        self._durable = batch.head
        if batch.repairs is not None:
            assert self._fault is not None, "a repair mends a fault"
            self._fault = None
            self._refused -= batch.refused
            self._refused_for = batch.repairs
        if self._observer is not None and batch.leaves is not None:
            self._observer.committed(batch.base.seq + 1, batch.leaves)
        if self._refused and not self._ended:
            # Refused since the gap record was made, or for a backlog that is now gone.
            refused, self._refused = self._refused, 0
            self._chain("gap", _gap(reason=self._refused_for, during="append", refused=refused), None)
            self._open.refused += refused
            self._refused_for = "backlog"

    def prepare_repair(self, *, final: bool = False) -> Batch:
        """Make the batch whose `write` repairs the stream: one `gap` record. Only while there is a fault.

        `final=True` means: the stream is about to be closed, use the ballast if the disk is full.
        """
        assert self._fault is not None and self._out is None, "repair follows a settled fault"
        fault = self._fault
        fault.attempts += 1
        gap = _gap(
            reason=fault.error.reason,
            during=fault.error.during,
            lost=fault.lost,
            size_bytes=fault.lost_bytes,
            refused=self._refused,
            down_us=max(0, self._world.clock.mono_us() - fault.since_us),
            attempts=fault.attempts,
        )
        self._chain("gap", gap, None)
        batch, self._open = self._open, Batch(self._tip)
        batch.repairs, batch.refused, batch.final = fault.error.reason, self._refused, final
        self._out = batch
        return batch

    def end(self, reason: str) -> None:
        """Append `epoch.close`; the writer takes nothing after it. Raises as `append` does."""
        if self._fault is not None:
            raise self._fault.error
        if not self._ended:
            count = self._tip.seq + 1 - self._first_seq + 1
            self._chain("epoch.close", {"records": count, "reason": reason}, None)
            self._ended = True

    # Disk half.

    def write(self, batch: Batch) -> None:
        """Bring a detached batch to stable storage, all of it. Raises AuditUnavailable; nothing of it counts then."""
        self._files.write(batch)

    def write_ahead(self, batch: Batch) -> int | None:
        """Write a detached batch and return the descriptor to sync (see `StreamFiles.write_ahead`).

        None where `write` must do it. Raises AuditUnavailable.
        """
        return self._files.write_ahead(batch)

    def note_synced(self, batch: Batch, number: int) -> None:
        """Take the outcome of the sync behind `write_ahead`: 0 or an errno. Raises AuditUnavailable for an errno."""
        self._files.note_synced(batch, number)

    def release(self) -> None:
        """Close the segment and give up the lock, whatever the state of the chain. Raises OSError from the close."""
        self._files.release()

    # The steps in a row, for a caller that may wait.

    def commit(self) -> None:
        """Make everything appended so far durable. Raises AuditUnavailable, and then nothing of it counts."""
        batch = self.detach()
        if batch is not None:
            self._write_and_settle(batch)

    def try_heal(self, *, final: bool = False) -> bool:
        """Try to bring a faulty stream back; True if it takes records again."""
        if self._fault is not None:
            try:
                self._write_and_settle(self.prepare_repair(final=final))
            except AuditUnavailable:
                return False
        return True

    def close(self, reason: str = "stop") -> None:
        """Commit what is open, record the end of the epoch, close the file and give up the lock.

        Raises AuditUnavailable if the end could not be recorded; the lock is given up all the same.
        """
        try:
            try:
                self.end(reason)
                self.commit()
            except AuditUnavailable:
                if not self.try_heal(final=True):
                    raise
                self.end(reason)
                self.commit()
        finally:
            self.release()

    # Inside.

    def _begin(self, found: Found) -> None:
        opening: dict[str, Any] = {"engine": __version__}
        if found.last is not None:
            opening["previous"] = {
                "epoch": found.last["epoch"],
                "seq": found.head.seq,
                "head": found.head.digest,
                "end": "clean" if found.last["type"] == "epoch.close" else "unclean",
            }
        self._chain("epoch.open", opening, None)
        for torn in found.torn:
            own = {"segment": torn.segment, "at": torn.at, "bytes": torn.size_bytes, "sha256": torn.sha256}
            self._chain("recovery", own, None)
        self.commit()

    def _chain(self, kind: str, fields: Mapping[str, Any], at_us: int | None) -> Position:
        tip = self._tip
        checked = kind != "decision"
        if checked and "digest" in fields and not self._inputs.has(fields["digest"]):
            raise BorderpostError("BP0407", f"a {kind!r} record names {fields['digest']}, which is not stored")
        line = self._maker.make(
            kind,
            fields,
            tip,
            at_us=self._world.now_us() if at_us is None else at_us,
            mono_us=self._world.clock.mono_us(),
            checked=checked,
        )
        head = self._extend(line)
        return Position(head.seq, records.decision_id(self._maker.epoch, head.seq), head.digest)

    def _extend(self, line: bytes) -> Head:
        """Put a line behind the tip and in the open batch; return the new tip."""
        batch = self._open
        batch.lines.append(line)
        batch.size_bytes += len(line) + 1
        batch.head = self._tip = head = Head(self._tip.seq + 1, records.digest_of(line))
        return head

    def _fall_back(self, batch: Batch, error: AuditUnavailable) -> None:
        """Nothing of the failed batch counts, and nothing that was chained to it since."""
        if batch.repairs is None:
            lost = len(batch.lines) + len(self._open.lines)
            size = batch.size_bytes + self._open.size_bytes
            self._fault = _Fault(error, self._world.clock.mono_us(), lost, size)
            self._refused += batch.refused + self._open.refused
        else:
            assert self._fault is not None, "a repair mends a fault"
            self._fault.error = AuditUnavailable(
                error.code,
                error.detail,
                reason=self._fault.error.reason,
                during=self._fault.error.during,
                where=error.place.file,
            )
        self._ended = False
        self._tip = self._durable
        self._open = Batch(self._durable)

    def _write_and_settle(self, batch: Batch) -> None:
        try:
            self.write(batch)
        except AuditUnavailable as error:
            self.settle(batch, error)
            raise
        self.settle(batch, None)


def _gap(
    *,
    reason: str,
    during: str,
    refused: int,
    lost: int = 0,
    size_bytes: int = 0,
    down_us: int = 0,
    attempts: int = 0,
) -> dict[str, Any]:
    return {
        "lost": lost,
        "bytes": size_bytes,
        "refused": refused,
        "reason": reason,
        "during": during,
        "down_us": down_us,
        "attempts": attempts,
    }


def _cannot_open(place: Path, error: OSError) -> BorderpostError:
    name = errno.errorcode.get(error.errno or 0, "unknown")
    return BorderpostError("BP0402", f"{error.strerror or error} ({name})", place=Place(str(error.filename or place)))
