"""What a writer finds when it opens a stream: where the chain ends, and what the last crash tore.

A crash can only tear the end: whatever was acknowledged is whole and on stable storage, and everything before
it too. So the last segment is read forward, and the first line that is no record starts the torn bytes. They are
copied to `quarantine/` and made durable there before they are cut off, and a `recovery` record says what they
were. A whole record that is not the next one, or that stands after torn bytes, is no crash: the log is left as it
is and the writer refuses to start (BP0403).

Before it is read, the file is synced and its cached pages are dropped: the chain must go on from what the disk
holds, not from what memory believes it holds.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as attribute
from pathlib import Path
from typing import Any

from borderpost.audit import fields
from borderpost.audit import record as records
from borderpost.audit.kinds import parse_stamp
from borderpost.audit.profile import ProfileError, decode, encode
from borderpost.audit.record import NO_RECORD, Head
from borderpost.audit.segment import (
    CLOSED_MODE,
    QUARANTINE_NAME,
    Line,
    drop_cached_pages,
    first_seq_of,
    last_line,
    read_lines,
    segments_of,
    write_all,
)
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.world import Disk


@dataclass(frozen=True, slots=True)
class TornBytes:
    """Bytes put aside."""

    segment: str
    at: int
    size_bytes: int
    sha256: str


@dataclass(slots=True)
class Found:
    """Where the stream ends."""

    head: Head = NO_RECORD
    last: dict[str, Any] | None = None
    """The last record; None in a new stream."""
    torn: list[TornBytes] = attribute(default_factory=list)

    @property
    def last_us(self) -> int:
        """Return the time of the last record in microseconds, 0 in a new stream."""
        return parse_stamp(self.last["ts"]) if self.last is not None else 0


def recover(stream_directory: Path, log: str, disk: Disk) -> Found:
    """Find the end of a stream and put torn bytes aside. Raises BorderpostError BP0403, or OSError.

    After it every segment is whole lines of a chain, and the last one holds at least one record.
    """
    torn: list[TornBytes] = []
    segments = segments_of(stream_directory)
    while segments:
        path = segments.pop()
        found = _recover_segment(path, segments[-1] if segments else None, log, disk)
        torn += found.torn
        if found.last is not None:
            _make_read_only(path, disk)
            return Found(found.head, found.last, torn)
        # Begun and never filled: a crash came between its creation and its first durable record.
        disk.unlink(path)
        disk.fsync_dir(stream_directory)
    return Found(torn=torn)


def _recover_segment(path: Path, before: Path | None, log: str, disk: Disk) -> Found:
    drop_cached_pages(path, disk)
    found = Found(head=_head_before(path, before, log))
    lines = read_lines(path)
    for line in lines:
        record = _record_of(line)
        if record is None:
            _refuse_if_records_follow(path, line, lines)
            found.torn.append(_put_aside(path, line.offset, disk))
            break
        reason = _why_not_next(record, found.head, log)
        if reason is not None:
            raise BorderpostError("BP0403", reason, place=Place(str(path), line.number))
        found.head = Head(record["seq"], records.digest_of(line.data))
        found.last = record
    return found


def _record_of(line: Line) -> dict[str, Any] | None:
    """Return the object of a whole line of canonical JSON; None for anything else.

    No more is asked here: what a tear leaves is never that, and a record that a newer version wrote, or one
    outside its schema, may have been acknowledged and must not be put aside.
    """
    if not line.ended or len(line.data) > limits.RECORD_BYTES_MAX:
        return None
    try:
        record = decode(line.data)
        if type(record) is not dict or encode(record) != line.data:
            return None
    except ProfileError:
        return None
    return record


def _why_not_next(record: dict[str, Any], head: Head, log: str) -> str | None:
    """Return why a whole record is not the next one, which no crash explains; None if it is."""
    try:
        fields.check_common(record)
    except ProfileError as error:
        return f"the record is none of this version's: {error}"
    if record["log"] != log:
        return f"the record belongs to {record['log']!r}, and this writer is {log!r}"
    if record["seq"] != head.seq + 1:
        return f"the record has sequence number {record['seq']} where {head.seq + 1} is due"
    if head.digest not in ("", record["prev"]):
        return f"record {record['seq']} is not chained to the line before"
    return None


def _head_before(path: Path, before: Path | None, log: str) -> Head:
    """Return what a segment's first record is chained to. An empty digest means: not known, its predecessor
    has been moved away."""
    first = first_seq_of(path)
    assert first is not None, "segments_of gives segments only"
    if first == 0:
        return NO_RECORD
    if before is None:
        return Head(first - 1, "")
    data = last_line(before, before.stat().st_size)
    record = _record_of(Line(0, 0, data, True)) if data is not None else None
    if data is None or record is None:
        raise BorderpostError("BP0403", "the last line is no record", place=Place(str(before)))
    if record.get("seq") != first - 1 or record.get("log") != log:
        detail = f"ends with record {record.get('seq')} of {record.get('log')!r:.200}, and {path.name} follows"
        raise BorderpostError("BP0403", detail, place=Place(str(before)))
    return Head(first - 1, records.digest_of(data))


def _refuse_if_records_follow(path: Path, bad: Line, rest: Iterator[Line]) -> None:
    for line in rest:
        record = _record_of(line)
        if record is not None:
            detail = f"the line is no record, and record {record.get('seq')} stands after it in line {line.number}"
            raise BorderpostError("BP0403", detail, place=Place(str(path), bad.number))


def _put_aside(path: Path, offset: int, disk: Disk) -> TornBytes:
    """Copy what stands from an offset on to `quarantine/`, durably, then cut it off, durably."""
    folder = path.parent / QUARANTINE_NAME
    folder.mkdir(mode=0o750, exist_ok=True)
    torn = _digest_from(path, offset)
    kept = folder / f"{path.stem}-{offset}-{torn.sha256[:16]}.torn"
    kept.unlink(missing_ok=True)  # the same bytes, from an attempt that did not come to the cut
    copy = disk.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o440)
    try:
        for chunk in _chunks(path, offset):
            write_all(disk, copy, chunk)
        disk.fdatasync(copy)
    finally:
        disk.close(copy)
    disk.fsync_dir(folder)
    disk.fsync_dir(path.parent)
    segment = disk.open(path, os.O_WRONLY)
    try:
        disk.truncate(segment, offset)
        disk.fdatasync(segment)
    finally:
        disk.close(segment)
    return torn


def _digest_from(path: Path, offset: int) -> TornBytes:
    digest = hashlib.sha256()
    size = 0
    for chunk in _chunks(path, offset):
        digest.update(chunk)
        size += len(chunk)
    return TornBytes(path.name, offset, size, digest.hexdigest())


def _chunks(path: Path, offset: int) -> Iterator[bytes]:
    with path.open("rb") as source:
        source.seek(offset)
        while chunk := source.read(1 << 20):
            yield chunk


def _make_read_only(path: Path, disk: Disk) -> None:
    """Close for good the segment that a crashed writer left open."""
    status = path.stat()
    left_open = bool(status.st_mode & stat.S_IWUSR)
    fd = disk.open(path, os.O_WRONLY if left_open else os.O_RDONLY)
    try:
        if left_open:
            disk.truncate(fd, status.st_size)  # gives back what was set aside behind the end
        disk.chmod(fd, CLOSED_MODE)
    finally:
        disk.close(fd)
