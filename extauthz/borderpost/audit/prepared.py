"""The line of a record but for what belongs to one request: encoded once, filled in for each.

Decisions with the same facts differ in six fields only. A `PreparedRecord` holds the rest of the canonical line as
a template, in RFC 8785's order of keys, so that a record costs one formatting of bytes instead of an encoding. All
that stands before the first of the six, which is most of a line, is also hashed once. The bytes and the digest are
those that `RecordMaker.make` and `digest_of` give for the same record (a test holds them together).
"""

from __future__ import annotations

import hashlib
from binascii import hexlify
from collections.abc import Mapping
from typing import Any, Final

from borderpost.audit.profile import encode

_HOLES: Final[Mapping[str, bytes]] = {
    "mono_us": b"%d",
    "nonce": b'"%b"',
    "prev": b'"%b"',
    "req": b"%b",
    "seq": b"%d",
    "ts": b'"%b"',
}
"""The fields of one request, in the order of keys, and how each is filled in."""
FIRST_HOLE: Final = "mono_us"
HOLES_BYTES_MAX: Final = 4096
"""No request's six values take more: `req` is two bounded identifiers and what is told of a body, the others have fixed
widths."""


class PreparedRecord:
    """A decision's line with holes, for one epoch of one stream."""

    __slots__ = ("_hashed", "_head", "_tail", "epoch")

    def __init__(self, fixed: Mapping[str, Any], *, epoch: str) -> None:
        """Encode `fixed`: a whole record (own and common fields) but for the fields of one request."""
        if _HOLES.keys() & fixed.keys():
            raise ValueError("a field of one request is not fixed")
        self.epoch = epoch
        before = [b'"%b":%b' % (key.encode(), encode(fixed[key])) for key in sorted(fixed) if key < FIRST_HOLE]
        behind = [
            b'"%b":%b' % (key.encode(), _HOLES.get(key) or encode(fixed[key]).replace(b"%", b"%%"))
            for key in sorted({*fixed, *_HOLES})
            if key >= FIRST_HOLE
        ]
        self._head = b"{" + b"".join(pair + b"," for pair in before)
        self._hashed = hashlib.sha256(self._head)
        self._tail = b",".join(behind) + b"}"

    @property
    def bytes_max(self) -> int:
        """Return the length that no line made of it exceeds."""
        return len(self._head) + len(self._tail) + HOLES_BYTES_MAX

    def fill(self, mono_us: int, nonce: bytes, prev: bytes, request: bytes, seq: int, ts: bytes) -> tuple[bytes, bytes]:
        """Return the line and its SHA-256 as 64 hex digits.

        `request` is the canonical JSON of `req`; the others are the fields of that name.
        """
        tail = self._tail % (mono_us, nonce, prev, request, seq, ts)
        hashed = self._hashed.copy()
        hashed.update(tail)
        return self._head + tail, hexlify(hashed.digest())
