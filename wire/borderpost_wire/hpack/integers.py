"""Integers with a prefix (RFC 7541 section 5.1), bounded in value and in length."""

from __future__ import annotations

from borderpost_wire.hpack.errors import HpackError

INTEGER_MAX = (1 << 28) - 1
"""Largest value taken; every index, length and table size that we allow lies far below."""
OCTETS_MAX = 4
"""Most octets behind the prefix: as many as INTEGER_MAX needs, so that zeros cannot be strung on (section 5.1:
excessively large encodings, in value or octet length, are decoding errors)."""


def decode_integer(block: bytes, at: int, prefix_bits: int) -> tuple[int, int]:
    """Return the integer whose prefix is in the low bits of the octet at `at`, and the position behind it.

    Raises HpackError if it is cut off, or longer than we take.
    """
    if at >= len(block):
        raise HpackError("an integer is cut off")
    full = (1 << prefix_bits) - 1
    value = block[at] & full
    at += 1
    if value < full:
        return value, at
    for shift in range(0, 7 * OCTETS_MAX, 7):
        if at >= len(block):
            raise HpackError("an integer is cut off")
        octet = block[at]
        at += 1
        value += (octet & 0x7F) << shift
        if octet < 0x80:
            if value > INTEGER_MAX:
                break
            return value, at
    raise HpackError("an integer is too long")


def encode_integer(value: int, prefix_bits: int, pattern: int) -> bytes:
    """Return the integer behind the high bits of its first octet, `pattern`."""
    full = (1 << prefix_bits) - 1
    if value < full:
        return bytes((pattern | value,))
    octets = bytearray((pattern | full,))
    value -= full
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)
