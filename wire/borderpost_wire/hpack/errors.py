"""What can be wrong with a field block; always the fault of whoever encoded it."""

from __future__ import annotations


class HpackError(Exception):
    """A block that cannot be decoded: COMPRESSION_ERROR of its connection, whose shared state is lost."""


class FieldsTooLong(Exception):
    """A block that was decoded to its end, whose fields are longer than we take; the shared state is intact."""
