"""Reading a log back: its records in order, and one decision by its id.

Reading is lenient where verifying is strict: a line that is no record is passed over, and `verify` reports it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from borderpost.audit.profile import ProfileError, decode
from borderpost.audit.record import split_decision_id
from borderpost.audit.segment import Line, first_seq_of, read_lines, segments_of, streams_of
from borderpost_base.errors import BorderpostError, Place


@dataclass(frozen=True, slots=True)
class Located:
    """A record and where it stands."""

    record: dict[str, Any]
    line: bytes
    """Its bytes without the newline."""
    file: Path
    number: int
    """Line number, from 1."""


def stream_directories(path: Path) -> list[Path]:
    """Return the streams of an audit directory, or the path itself if it is a stream.

    Raises BorderpostError BP0408 if it is neither.
    """
    if path.is_dir():
        if segments_of(path):
            return [path]
        found = [stream for stream in streams_of(path) if segments_of(stream)]
        if found:
            return found
    raise BorderpostError("BP0408", "holds no audit stream", place=Place(str(path)))


def read_stream(stream_directory: Path, *, from_seq: int = 0) -> Iterator[Located]:
    """Read a stream's records in order, beginning at a sequence number, in bounded memory."""
    segments = segments_of(stream_directory)
    begins = [first_seq_of(path) or 0 for path in segments]
    for index, path in enumerate(segments):
        if index + 1 < len(segments) and begins[index + 1] <= from_seq:
            continue
        for line in read_lines(path):
            located = _located(line, path)
            if located is not None and located.record.get("seq", -1) >= from_seq:
                yield located


def read_log(path: Path) -> Iterator[Located]:
    """Read the records of an audit directory stream by stream, or those of one stream. Raises BP0408."""
    for directory in stream_directories(path):
        yield from read_stream(directory)


def find(path: Path, decision_id: str) -> Located:
    """Return the record with a decision id, from an audit directory or one stream of it.

    The segment is known from its name and the line from its number, so only bytes before it are read, not parsed.
    Raises BorderpostError BP0408 for what is no log, BP0409 for an id that is none or is not in it.
    """
    epoch, seq = split_decision_id(decision_id)
    for directory in stream_directories(path):
        holding = [each for each in segments_of(directory) if (first_seq_of(each) or 0) <= seq]
        if not holding:
            continue
        located = _at(holding[-1], seq)
        if located is not None and located.record.get("epoch") == epoch:
            return located
    raise BorderpostError("BP0409", f"no record has the id {decision_id}", place=Place(str(path)))


def _at(segment: Path, seq: int) -> Located | None:
    """Return the record with a sequence number: on its line if the segment is whole, wherever it is if not."""
    due = seq - (first_seq_of(segment) or 0) + 1
    for line in read_lines(segment):
        if line.number == due:
            located = _located(line, segment)
            if located is not None and located.record.get("seq") == seq:
                return located
            break
    for line in read_lines(segment):
        located = _located(line, segment)
        if located is not None and located.record.get("seq") == seq:
            return located
    return None


def _located(line: Line, path: Path) -> Located | None:
    if not line.ended:
        return None
    try:
        record = decode(line.data)
    except ProfileError:
        return None
    if type(record) is not dict or type(record.get("seq")) is not int:
        return None
    return Located(record, line.data, path, line.number)
