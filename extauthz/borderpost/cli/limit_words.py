"""What is said of a decision whose request a limit refused after all: its record is in another stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from borderpost.audit.profile import ProfileError
from borderpost.audit.reader import stream_directories
from borderpost.audit.record import parse
from borderpost.audit.segment import read_lines, segments_of

_STREAM = "limiter"


def limit_notes(audit_directory: Path, decision_id: str) -> Iterator[str]:
    """Yield what the limiter's streams of an audit directory record of a request under the id of its decision.

    A request that is one of a flood may have no record of its own.
    """
    named = b'"decision":"%b"' % decision_id.encode()
    for stream in stream_directories(audit_directory):
        if not stream.name.startswith(_STREAM):
            continue
        for segment in segments_of(stream):
            for line in read_lines(segment):
                if named in line.data:
                    yield _told(line.data)


def _told(line: bytes) -> str:
    try:
        record: dict[str, Any] = parse(line)
    except ProfileError as error:
        return f"the limiter's record of it is damaged: it {error}"
    seconds = record["window_us"] / 1_000_000
    limit = f"{record['algorithm']}, {record['amount']:,} in {seconds:,g} s"
    return f"it went nowhere: the limit {record['rule']} ({limit}) refused it at {record['ts']}"
