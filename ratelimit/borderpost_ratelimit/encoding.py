"""Just enough of protobuf's encoding to write answers: tests hold it against the generated messages.

Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from typing import Final

_PREPARED_MAX: Final = 16_384


def _encoded(value: int) -> bytes:
    octets = bytearray()
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


_PREPARED: Final[tuple[bytes, ...]] = tuple(_encoded(value) for value in range(_PREPARED_MAX))


def varint(value: int) -> bytes:
    """Return a number's octets; it is not negative."""
    return _PREPARED[value] if value < _PREPARED_MAX else _encoded(value)


def field(number: int, value: bytes) -> bytes:
    """Return a field that holds bytes, a string's or a message's."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def number_field(number: int, value: int) -> bytes:
    """Return a field that holds a number, nothing for 0, which is its default."""
    return varint(number << 3) + varint(value) if value else b""
