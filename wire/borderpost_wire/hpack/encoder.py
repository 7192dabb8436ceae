"""An encoder without state (RFC 7541 section 6): static table, and literals that no table keeps.

What it makes means the same at any time on any connection, so blocks can be made once and sent for ever. A
decoder's dynamic table stays empty, whatever size its owner offers.
"""

from __future__ import annotations

from collections.abc import Iterable

from borderpost_wire.hpack.integers import encode_integer
from borderpost_wire.hpack.static_table import INDEX_OF_FIELD, INDEX_OF_NAME

NEVER_INDEXED = frozenset({b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"})
"""Names whose values no intermediary may put into a table either (section 7.1.3)."""

EMPTY_TABLE_UPDATE = b"\x20"
"""Dynamic table size update to 0 (section 6.3); what acknowledges a peer's smaller table (RFC 9113 section 4.3.1)."""

_INDEXED, _WITHOUT_INDEXING, _NEVER_INDEXED = 0x80, 0x00, 0x10


def encode_fields(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the block of some fields, given as (lower-case name, value)."""
    return b"".join(_encode_field(name, value) for name, value in fields)


def _encode_field(name: bytes, value: bytes) -> bytes:
    secret = name in NEVER_INDEXED
    index = INDEX_OF_FIELD.get((name, value))
    if index is not None and not secret:
        return encode_integer(index, 7, _INDEXED)
    known = INDEX_OF_NAME.get(name, 0)
    head = encode_integer(known, 4, _NEVER_INDEXED if secret else _WITHOUT_INDEXING)
    return head + (b"" if known else _encode_string(name)) + _encode_string(value)


def _encode_string(text: bytes) -> bytes:
    return encode_integer(len(text), 7, 0x00) + text
