"""The decoder (RFC 7541 sections 2 to 6): one a connection, since the dynamic table is the connection's.

Two bounds keep a block from costing more than its bytes: the table never holds more than we announced, and a
list of fields is collected only up to `list_bytes_max`; what lies behind is decoded, so that the table stays
right, and thrown away.
"""

from __future__ import annotations

import collections

from borderpost_wire.hpack.errors import FieldsTooLong, HpackError
from borderpost_wire.hpack.huffman import decode_huffman
from borderpost_wire.hpack.integers import decode_integer
from borderpost_wire.hpack.static_table import STATIC_TABLE

Fields = list[tuple[bytes, bytes]]

ENTRY_OVERHEAD_BYTES = 32
"""What an entry counts besides its octets (section 4.1; for lists of fields RFC 9113 section 6.5.2)."""
TABLE_BYTES_DEFAULT = 4096
"""Size of a table before any SETTINGS (RFC 9113 section 6.5.2)."""

_STATIC_COUNT = len(STATIC_TABLE)


class Decoder:
    """Decodes the blocks of one direction of one connection, in the order they came."""

    __slots__ = ("_allowed_bytes", "_entries", "_list_bytes_max", "_table_bytes", "_table_bytes_max", "_update_due")

    def __init__(self, list_bytes_max: int) -> None:
        self._list_bytes_max = list_bytes_max
        self._entries: collections.deque[tuple[bytes, bytes]] = collections.deque()
        """The dynamic table, youngest first."""
        self._table_bytes = 0
        self._table_bytes_max = TABLE_BYTES_DEFAULT
        """What the encoder keeps to."""
        self._allowed_bytes = TABLE_BYTES_DEFAULT
        """What we announced and the peer acknowledged."""
        self._update_due = False
        """The next block must begin with a size update."""

    @property
    def stateless(self) -> bool:
        """Return whether a block means the same whenever it comes, because no table can hold anything."""
        return not (self._allowed_bytes or self._table_bytes_max or self._update_due)

    @property
    def table(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the dynamic table, youngest entry first."""
        return tuple(self._entries)

    def allow(self, table_bytes_max: int) -> None:
        """Note that the peer acknowledged this table size (SETTINGS_HEADER_TABLE_SIZE)."""
        self._allowed_bytes = table_bytes_max
        # A smaller table has to be confirmed at the beginning of the next block (RFC 9113 section 4.3.1).
        self._update_due = table_bytes_max < self._table_bytes_max

    def decode(self, block: bytes) -> Fields:
        """Return the fields of a block. Raises HpackError (state lost) or FieldsTooLong (state intact)."""
        fields: Fields = []
        room = self._list_bytes_max
        at = self._size_updates(block)
        end = len(block)
        while at < end:
            octet = block[at]
            if octet & 0x80:
                index, at = decode_integer(block, at, 7)
                field = self._entry(index)
            elif octet & 0x40:
                field, at = self._literal(block, at, 6)
                self._insert(field)
            elif octet & 0x20:
                raise HpackError("a table size update behind a field")
            else:
                field, at = self._literal(block, at, 4)
            room -= len(field[0]) + len(field[1]) + ENTRY_OVERHEAD_BYTES
            if room >= 0:
                fields.append(field)
        if room < 0:
            raise FieldsTooLong(f"fields of more than {self._list_bytes_max} bytes")
        return fields

    def _size_updates(self, block: bytes) -> int:
        """Take the size updates at the beginning of a block (section 4.2); return the position behind them."""
        at = 0
        while at < len(block) and block[at] & 0xE0 == 0x20:
            size, at = decode_integer(block, at, 5)
            if size > self._allowed_bytes:
                raise HpackError("a table larger than allowed")
            self._update_due = False
            self._table_bytes_max = size
            self._evict(size)
        if self._update_due:
            raise HpackError("a smaller table was acknowledged but not confirmed")
        return at

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        if 0 < index <= _STATIC_COUNT:
            return STATIC_TABLE[index - 1]
        if not index or index > _STATIC_COUNT + len(self._entries):
            raise HpackError("an index that no table has")
        return self._entries[index - _STATIC_COUNT - 1]

    def _literal(self, block: bytes, at: int, prefix_bits: int) -> tuple[tuple[bytes, bytes], int]:
        index, at = decode_integer(block, at, prefix_bits)
        if index:
            name = self._entry(index)[0]
        else:
            name, at = _string(block, at)
        value, at = _string(block, at)
        return (name, value), at

    def _insert(self, field: tuple[bytes, bytes]) -> None:
        """Put an entry into the table; one that is too large for it empties it (section 4.4)."""
        size = len(field[0]) + len(field[1]) + ENTRY_OVERHEAD_BYTES
        self._evict(self._table_bytes_max - size)
        if size <= self._table_bytes_max:
            self._entries.appendleft(field)
            self._table_bytes += size

    def _evict(self, down_to_bytes: int) -> None:
        while self._entries and self._table_bytes > down_to_bytes:
            name, value = self._entries.pop()
            self._table_bytes -= len(name) + len(value) + ENTRY_OVERHEAD_BYTES


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """Return the string literal at a position and the position behind it (section 5.2)."""
    length, after = decode_integer(block, at, 7)
    end = after + length
    if end > len(block):
        raise HpackError("a string is cut off")
    text = block[after:end]
    return (decode_huffman(text) if block[at] & 0x80 else text), end
