"""Messages in a body: each behind a flag (compressed or not) and its length (Length-Prefixed-Message)."""

from __future__ import annotations

import struct
from typing import Final

from borderpost_wire.service import StatusCode

PREFIX: Final = struct.Struct(">BL")
"""Compressed flag, length."""
PREFIX_BYTES: Final = 5


class MessageFault(Exception):
    """A message that is not taken; its call ends with `status`."""

    def __init__(self, status: StatusCode, text: str) -> None:
        super().__init__(text)
        self.status = status


def framed(message: bytes) -> bytes:
    """Return a message as it stands in a body."""
    return PREFIX.pack(0, len(message)) + message


class MessageReader:
    """Puts messages together that come in pieces, or several in one piece."""

    __slots__ = ("_held", "_message_bytes_max")

    def __init__(self, message_bytes_max: int) -> None:
        self._message_bytes_max = message_bytes_max
        self._held = bytearray()

    @property
    def held_bytes(self) -> int:
        """Return how much of an unfinished message is kept."""
        return len(self._held)

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the messages that a piece of the body completes.

        Raises MessageFault as soon as a prefix says that a message is compressed or too long.
        """
        held = self._held
        held += piece
        messages = []
        at = 0
        while len(held) - at >= PREFIX_BYTES:
            flag, size = PREFIX.unpack_from(held, at)
            check_prefix(flag, size, self._message_bytes_max)
            end = at + PREFIX_BYTES + size
            if end > len(held):
                break
            messages.append(bytes(held[at + PREFIX_BYTES : end]))
            at = end
        del held[:at]
        return messages


def check_prefix(flag: int, size: int, message_bytes_max: int) -> None:
    """Raise MessageFault for a message that is not taken."""
    if flag == 1:
        raise MessageFault(StatusCode.UNIMPLEMENTED, "compressed messages are not taken")
    if flag:
        raise MessageFault(StatusCode.INTERNAL, "unknown flag of a message")
    if size > message_bytes_max:
        raise MessageFault(StatusCode.RESOURCE_EXHAUSTED, f"a message longer than {message_bytes_max} bytes")
