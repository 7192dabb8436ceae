"""Error codes (RFC 9113 section 7), and errors by how far they reach and whose fault they are."""

from __future__ import annotations

import enum


class ErrorCode(enum.IntEnum):
    """What RST_STREAM and GOAWAY carry."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class ConnectionFault(Exception):
    """The peer broke the connection (section 5.4.1): answered by GOAWAY, and never seen outside the core."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class StreamFault(Exception):
    """The peer broke one stream (section 5.4.2): answered by RST_STREAM, and never seen outside the core."""

    def __init__(self, stream_id: int, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.stream_id = stream_id
        self.code = code


class LocalFault(Exception):
    """Whoever drives the core asked for what the protocol does not allow; a bug on our side."""
