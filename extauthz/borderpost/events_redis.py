"""A signed list that lies in a stream of Redis or Valkey, for a fleet: each entry holds one line.

    STREAM              entries with the one field `line`, in the list's order
    STREAM:heartbeat    the newest heartbeat

The server is trusted with nothing but delivery: whoever reads checks each line, so one that changes, reorders or
leaves out lines is noticed. A line is added by a script, which the server runs alone, only if the stream's last entry
is still the one that the line goes on from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import redis

from borderpost.config.redis import EventsRedisSpec
from borderpost.events.lines import GENESIS, line_digest
from borderpost.redis_link import LINK_ERRORS, asking_client, out_of_reach
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place

LINE_FIELD: Final = b"line"
_PAGE: Final = 1000
"""Entries asked for at once."""
_APPEND: Final = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local id = ''
if #last > 0 then id = last[1][1] end
if id ~= ARGV[1] then return 0 end
redis.call('XADD', KEYS[1], '*', 'line', ARGV[2])
return 1
"""

Entry = tuple[bytes, dict[bytes, bytes]]
"""Id and fields."""


def heartbeat_key(spec: EventsRedisSpec) -> str:
    """Return the key of the newest heartbeat."""
    return f"{spec.stream}:heartbeat"


def entries_of(answer: Any, source: str) -> list[Entry]:
    """Return a server's answer as entries. Raises BorderpostError BP0621 if it is anything else."""
    if not isinstance(answer, list):
        raise BorderpostError("BP0621", "the server's answer is no list of entries", place=Place(source))
    for entry in answer:
        well_formed = isinstance(entry, (tuple, list)) and len(entry) == 2
        if not well_formed or not isinstance(entry[0], bytes) or not isinstance(entry[1], dict):
            raise BorderpostError("BP0621", "the server's answer is no list of entries", place=Place(source))
    return [(entry[0], entry[1]) for entry in answer]


def line_of(entry: Entry, source: str) -> bytes:
    """Return an entry's line. Raises BorderpostError BP0621 if it is not exactly one."""
    name, fields = entry
    line = fields.get(LINE_FIELD)
    if line is None or len(fields) != 1:
        detail = f"entry {name[:40].decode('latin-1')} has not exactly the one field `line`"
        raise BorderpostError("BP0621", detail, place=Place(source))
    return line


def check_size(lines: Sequence[bytes], source: str) -> None:
    """Raise BorderpostError BP1010 if a list is longer than one may be."""
    if len(lines) > limits.EVENT_LIST_LINES_MAX or sum(map(len, lines)) > limits.EVENT_LIST_BYTES_MAX:
        detail = f"the list has more than {limits.EVENT_LIST_LINES_MAX} lines or {limits.EVENT_LIST_BYTES_MAX} bytes"
        raise BorderpostError("BP1010", detail, place=Place(source))


class RedisStore:
    """The list of a stream, as a `ListStore`. Each call connects if need be; `close` when done."""

    def __init__(self, spec: EventsRedisSpec) -> None:
        self._spec = spec
        self._client: redis.Redis | None = None

    @property
    def source(self) -> str:
        """Return server and key."""
        return source_of(self._spec)

    def read(self, from_line: int = 0) -> list[bytes]:
        """Return the lines from an index on. Raises BorderpostError BP0620, BP0621 or BP1010."""
        lines: list[bytes] = []
        after = b"-"
        while page := entries_of(self._ask("xrange", self._spec.stream, after, "+", _PAGE), self.source):
            lines += [line_of(entry, self.source) for entry in page]
            check_size(lines, self.source)
            after = b"(" + page[-1][0]
        return lines[from_line:]

    def append(self, line: bytes, expected_head: str) -> None:
        """Add a line behind the one whose SHA-256 is `expected_head` (zeros: it is the first).

        How durable it is then is the server's affair (`appendfsync`). Raises BorderpostError: BP1011 if the head is
        another, BP1010 beyond the bounds, BP0620, BP0621.
        """
        place = Place(self.source)
        length = self._ask("xlen", self._spec.stream)
        last = entries_of(self._ask("xrevrange", self._spec.stream, "+", "-", 1), self.source)
        head = line_digest(line_of(last[0], self.source)) if last else GENESIS
        if head != expected_head:
            raise BorderpostError("BP1011", f"its head is {head[:16]}…, not {expected_head[:16]}…", place=place)
        if length >= limits.EVENT_LIST_LINES_MAX or len(line) > limits.EVENT_LINE_BYTES_MAX:
            raise BorderpostError("BP1010", "no further line fits in", place=place)
        added = self._ask("eval", _APPEND, 1, self._spec.stream, last[0][0] if last else b"", line)
        if added != 1:
            raise BorderpostError("BP1011", "another line was added meanwhile", place=place)

    def heartbeat(self) -> bytes | None:
        """Return the newest heartbeat, None if there is none. Raises BorderpostError BP0620."""
        return cast("bytes | None", self._ask("get", heartbeat_key(self._spec)))

    def put_heartbeat(self, raw: bytes) -> None:
        """Put a heartbeat in place of the one before. Raises BorderpostError BP0620."""
        self._ask("set", heartbeat_key(self._spec), raw)

    def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _ask(self, command: str, *arguments: object) -> Any:
        if self._client is None:
            self._client = asking_client(self._spec)
        try:
            return getattr(self._client, command)(*arguments)
        except LINK_ERRORS as error:
            raise out_of_reach(error, self._spec) from error


def source_of(spec: EventsRedisSpec) -> str:
    """Return server and key, for errors and logs; the configuration keeps secrets out of both."""
    return f"{spec.url} {spec.stream}"
