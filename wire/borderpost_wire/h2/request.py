"""A request's fields, validated (RFC 9113 sections 8.2 and 8.3), and remembered by their coded block."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from borderpost_wire.hpack import Fields

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
"""A field name (RFC 9110 section 5.6.2) in lower case."""
_BAD_IN_VALUE = re.compile(rb"[\0\r\n]|\A[ \t]|[ \t]\Z")
"""Section 8.2.1."""
_DIGITS = re.compile(rb"[0-9]{1,18}")

_OF_CONNECTIONS = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
"""Fields of HTTP/1.1 connections (section 8.2.2)."""
_PSEUDO = frozenset({b":authority", b":method", b":path", b":scheme"})

NO_LENGTH: Final = -1


class Malformed(Exception):
    """Fields that are no request, or no trailers (section 8.1.1)."""


class Request:
    """The fields of one request. Shared by every request whose block has the same bytes: nobody writes to it.

    But `plan`: whoever serves requests may keep there, once, what it makes of these fields, and then `slim` the rest.
    """

    __slots__ = ("authority", "content_length", "fields", "method", "path", "plan", "scheme")

    def __init__(self, fields: Fields) -> None:
        pseudo, self.fields = _split(fields)
        self.method = pseudo.get(b":method", b"")
        self.scheme = pseudo.get(b":scheme", b"")
        self.path = pseudo.get(b":path", b"")
        self.authority = pseudo.get(b":authority")
        self.plan: Any = None
        _check_pseudo(pseudo)
        self.content_length = self._length()
        """Announced bytes of the body, or NO_LENGTH."""
        host = self.field(b"host")
        if host is not None and self.authority is not None and host.lower() != self.authority.lower():
            raise Malformed("host and :authority differ")

    def field(self, name: bytes) -> bytes | None:
        """Return the value of the first field of a name."""
        return next((value for each, value in self.fields if each == name), None)

    def slim(self) -> None:
        """Let go of all text. For whoever has made a `plan` and asks for nothing else: streams may be open for long,
        thousands of them, and each could hold fields of 16 KiB."""
        self.fields = ()
        self.authority = None
        self.method = self.scheme = self.path = b""

    def _length(self) -> int:
        values = {value for name, value in self.fields if name == b"content-length"}
        if not values:
            return NO_LENGTH
        value = values.pop()
        if values or not _DIGITS.fullmatch(value):
            raise Malformed("content-length")
        return int(value)


def check_trailers(fields: Fields) -> None:
    """Raise Malformed for fields that cannot be trailers."""
    if _split(fields)[0]:
        raise Malformed("pseudo-header in trailers")


def _split(fields: Fields) -> tuple[dict[bytes, bytes], tuple[tuple[bytes, bytes], ...]]:
    """Return pseudo-headers and other fields, each checked by itself."""
    pseudo: dict[bytes, bytes] = {}
    for name, value in fields:
        if not name.startswith(b":"):
            break
        if name not in _PSEUDO or name in pseudo or _BAD_IN_VALUE.search(value):
            raise Malformed("pseudo-header")
        pseudo[name] = value
    rest = tuple(fields[len(pseudo) :])
    for name, value in rest:
        if not _TOKEN.fullmatch(name):
            raise Malformed("field name")  # a pseudo-header behind other fields too
        if _BAD_IN_VALUE.search(value):
            raise Malformed("field value")
        if name in _OF_CONNECTIONS or (name == b"te" and value.lower() != b"trailers"):
            raise Malformed("field of a connection")
    return pseudo, rest


def _check_pseudo(pseudo: dict[bytes, bytes]) -> None:
    """Raise Malformed unless there is what a request needs (section 8.3.1; CONNECT: section 8.5)."""
    if pseudo.get(b":method") == b"CONNECT":
        if b":scheme" in pseudo or b":path" in pseudo or not pseudo.get(b":authority"):
            raise Malformed("CONNECT")
        return
    if not (pseudo.get(b":method") and pseudo.get(b":scheme") and pseudo.get(b":path")):
        raise Malformed("pseudo-header is missing")
    if not _TOKEN.fullmatch(pseudo[b":method"].lower()):
        raise Malformed(":method")
    path = pseudo[b":path"]
    if not path.startswith(b"/") and not (path == b"*" and pseudo[b":method"] == b"OPTIONS"):
        raise Malformed(":path")


class RequestMemo:
    """Coded block → request, for blocks that mean the same at any time (`Decoder.stateless`).

    Bounded: two generations of `entries_max`, of which the older is dropped when the younger is full. What is
    used goes on living, and a flood of distinct blocks costs memory for two generations and no more.
    """

    __slots__ = ("_older", "_younger", "entries_max", "get")

    BLOCK_BYTES_MAX: ClassVar[int] = 2048
    """Longer blocks are not remembered."""

    def __init__(self, entries_max: int = 1024) -> None:
        self.entries_max = entries_max
        self._younger: dict[bytes, Request] = {}
        self._older: dict[bytes, Request] = {}
        self.get = self._younger.get
        """Look among the younger: the fast path's only question."""

    def find(self, block: bytes) -> Request | None:
        """Return a remembered request."""
        found = self._younger.get(block)
        if found is None:
            found = self._older.get(block)
            if found is not None:
                self.add(block, found)
        return found

    def add(self, block: bytes, request: Request) -> None:
        """Remember a request."""
        if len(block) > self.BLOCK_BYTES_MAX:
            return
        if len(self._younger) >= self.entries_max:
            self._older, self._younger = self._younger, {}
            self.get = self._younger.get
        self._younger[block] = request
