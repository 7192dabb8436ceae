"""Just enough of protobuf's encoding for small messages that are read or written by hand.

Source: protobuf.dev/programming-guides/encoding. Groups, which proto3 lacks, are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types."""

_VARINT_OCTETS_MAX = 10
_OCTETS: Final = tuple(bytes((value,)) for value in range(0x80))


def fields(message: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Give number, wire type and value of each field in turn: a number for a varint, else the field's bytes.

    Raises ValueError where the message is malformed.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise ValueError("a field without a number")
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, at = _varint(message, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise ValueError("a wire type that is not taken")
        if at + size > len(message):
            raise ValueError("a field is cut off")
        yield number, kind, message[at : at + size]
        at += size


def texts(message: bytes, wanted: int) -> list[str]:
    """Return every value of a string field. Raises ValueError (UnicodeDecodeError is one)."""
    return [value.decode("utf-8") for value in pieces(message, wanted)]


def pieces(message: bytes, wanted: int) -> list[bytes]:
    """Return every value of a field of bytes or messages. Raises ValueError."""
    return [
        value
        for number, kind, value in fields(message)
        if number == wanted and isinstance(value, bytes) and kind == BYTES
    ]


def varint_field(number: int, value: int) -> bytes:
    """Return a field that holds a number, not negative."""
    return varint(number << 3 | VARINT) + varint(value)


def number_field(number: int, value: int) -> bytes:
    """Return a field that holds a number, nothing for 0, which is its default."""
    return varint_field(number, value) if value else b""


def bytes_field(number: int, value: bytes) -> bytes:
    """Return a field that holds bytes, a string's or a message's."""
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """Return a number's octets; it is not negative."""
    if value < 0x80:
        return _OCTETS[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    octets = bytearray()
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the number at a position and the position behind it."""
    value = 0
    for shift in range(0, 7 * _VARINT_OCTETS_MAX, 7):
        if at >= len(message):
            raise ValueError("a number is cut off")
        octet = message[at]
        at += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value, at
    raise ValueError("a number is too long")
