"""SETTINGS (RFC 9113 section 6.5): what a peer may announce, checked, and what we announce."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from borderpost_wire.h2.errors import ConnectionFault, ErrorCode
from borderpost_wire.h2.frames import FRAME_BYTES_DEFAULT, FRAME_BYTES_LARGEST, WINDOW_MAX

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 0x1, 0x2, 0x3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 0x4, 0x5, 0x6
ENABLE_CONNECT_PROTOCOL = 0x8  # RFC 8441
NO_RFC7540_PRIORITIES = 0x9  # RFC 9218

_ENTRY = struct.Struct(">HL")

_VALUES: Mapping[int, tuple[int, int, ErrorCode]] = {
    ENABLE_PUSH: (0, 1, ErrorCode.PROTOCOL_ERROR),
    INITIAL_WINDOW_SIZE: (0, WINDOW_MAX, ErrorCode.FLOW_CONTROL_ERROR),
    MAX_FRAME_SIZE: (FRAME_BYTES_DEFAULT, FRAME_BYTES_LARGEST, ErrorCode.PROTOCOL_ERROR),
    ENABLE_CONNECT_PROTOCOL: (0, 1, ErrorCode.PROTOCOL_ERROR),
    NO_RFC7540_PRIORITIES: (0, 1, ErrorCode.PROTOCOL_ERROR),
}
"""Identifier → smallest and largest value, and the error for others."""


def parse(payload: bytes) -> list[tuple[int, int]]:
    """Return identifiers and values in the order they came; unknown ones are among them (section 6.5.2).

    Raises ConnectionFault.
    """
    if len(payload) % _ENTRY.size:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a broken length")
    entries = list(_ENTRY.iter_unpack(payload))
    for identifier, value in entries:
        low, high, code = _VALUES.get(identifier, (0, value, ErrorCode.PROTOCOL_ERROR))
        if not low <= value <= high:
            raise ConnectionFault(code, f"SETTINGS value out of range for {identifier:#x}")
    return entries
