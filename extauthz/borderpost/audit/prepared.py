"""The line of a record but for what belongs to one request: encoded once, filled in for each.

Decisions with the same facts differ in six fields only. A `PreparedRecord` holds the rest of the canonical line as
a template, in RFC 8785's order of keys, so that a record costs one formatting of bytes instead of an encoding. The
bytes are those that `RecordMaker.make` gives for the same record (a test holds the two together).
"""

from __future__ import annotations

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


class PreparedRecord:
    """A decision's line with holes, for one epoch of one stream."""

    __slots__ = ("_template", "epoch")

    def __init__(self, fixed: Mapping[str, Any], *, epoch: str) -> None:
        """Encode `fixed`: a whole record (own and common fields) but for the fields of one request."""
        if _HOLES.keys() & fixed.keys():
            raise ValueError("a field of one request is not fixed")
        self.epoch = epoch
        parts = []
        for key in sorted({*fixed, *_HOLES}):
            value = _HOLES.get(key) or encode(fixed[key]).replace(b"%", b"%%")
            parts.append(b'"%b":%b' % (key.encode(), value))
        self._template = b"{%b}" % b",".join(parts)

    def fill(self, *, mono_us: int, nonce: bytes, prev: bytes, request: bytes, seq: int, ts: bytes) -> bytes:
        """Return the line. `request` is the canonical JSON of `req`; the others are the fields of that name."""
        return self._template % (mono_us, nonce, prev, request, seq, ts)
