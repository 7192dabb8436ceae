"""Reading a segment from its end: the last lines of some kind, without parsing all that came after them.

A line is looked for by bytes that it must hold. Inside a record's strings a quote is escaped, so that `"type":"x"`
with its quotes bare can only be the record's own key and value.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from borderpost.audit.segment import segments_of
from borderpost_base import limits

_CHUNK_BYTES: Final = 1 << 20


def stream_backwards(stream_directory: Path, holding: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the whole lines of a stream that hold one of some byte strings, the last one first, without newlines.

    Bytes after the last newline are no record. Reads in pieces of a mebibyte, and no further than it is asked for.
    Raises OSError.
    """
    for segment in reversed(segments_of(stream_directory)):
        yield from lines_backwards(segment, holding)


def lines_backwards(path: Path, holding: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the whole lines of one segment that hold one of some byte strings, the last one first. Raises OSError."""
    begun = b""
    """The line whose beginning lies further to the front, up to and with its newline; nothing at the file's end."""
    torn = True
    with path.open("rb", buffering=0) as file:
        at = file.seek(0, os.SEEK_END)
        while at > 0:
            size = min(_CHUNK_BYTES, at)
            at -= size
            file.seek(at)
            piece = _read(file.fileno(), size)
            if torn:
                end = piece.rfind(b"\n") + 1
                torn, piece = end == 0, piece[:end]
            block = piece + begun
            first = _first_line_bytes(block) if at > 0 else 0
            begun, block = block[:first], block[first:]
            if len(begun) > limits.RECORD_BYTES_MAX:
                begun = begun[-limits.RECORD_BYTES_MAX :]  # no record is longer: what is left of it is none either
            if any(mark in block for mark in holding):
                lines = block.split(b"\n")
                yield from (line for line in reversed(lines) if any(mark in line for mark in holding))


def _first_line_bytes(block: bytes) -> int:
    """Return the size of a block up to and with its first newline: all of it if there is none."""
    return block.find(b"\n") + 1 or len(block)


def _read(fd: int, size: int) -> bytes:
    """Read so many bytes from the descriptor's place, fewer only where the file has become shorter."""
    pieces = []
    while size > 0 and (piece := os.read(fd, size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
