"""Frames (RFC 9113 sections 4 and 6): their types, their flags, and how those that a server sends are built."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first (section 3.4)."""

HEAD: Final = struct.Struct(">HBBBL")
"""Head of a frame: length (16 high bits, 8 low bits), type, flags, stream id (the high bit is reserved)."""
HEAD_BYTES: Final = 9
STREAM_ID_MASK: Final = 0x7FFF_FFFF
WINDOW_MAX: Final = 0x7FFF_FFFF
"""Largest flow-control window (section 6.9.1)."""
WINDOW_DEFAULT: Final = 65_535
"""Window of a connection, and of a stream before any SETTINGS (section 6.9.2)."""
FRAME_BYTES_DEFAULT: Final = 16_384
"""Longest payload before any SETTINGS, which is also the smallest limit (section 4.2). Ours stays there."""
FRAME_BYTES_LARGEST: Final = (1 << 24) - 1

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

END_STREAM: Final = 0x01
ACK: Final = 0x01
END_HEADERS: Final = 0x04
PADDED: Final = 0x08
PRIORITIZED: Final = 0x20
"""The flag that the RFC names PRIORITY, like the frame."""

_LONG: Final = struct.Struct(">L")


def frame(kind: int, flags: int, stream_id: int, payload: bytes | memoryview = b"") -> bytes:
    """Return a whole frame."""
    size = len(payload)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def settings(values: Mapping[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", *each) for each in values.items()))


def rst_stream(stream_id: int, code: int) -> bytes:
    """Return a RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream_id, _LONG.pack(code))


def window_update(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream_id, _LONG.pack(increment))


def goaway(last_id: int, code: int, text: str = "") -> bytes:
    """Return a GOAWAY frame; `text` is for whoever reads the peer's log."""
    return frame(GOAWAY, 0, 0, _LONG.pack(last_id) + _LONG.pack(code) + text.encode())


SETTINGS_ACK: Final = frame(SETTINGS, ACK, 0)
