"""JSON as RFC 8259 has it, with the place of every value, for files too large to keep a place a value.

The C decoder reads the data. Places are looked up when somebody asks: the decoder skips over what stands before a
value, and where the children of a container begin is remembered, so that asking for many places of one container
costs one pass over its text. Duplicate keys, values beyond I-JSON (NaN, Infinity) and numbers of very many digits are
refused; size and depth are bounded.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from typing import Any

from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.yaml_source import KeyPath, dotted

_SPACE = re.compile(r"[ \t\n\r]*")
_NESTING = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


class JsonDocument:
    """Plain data, and where each part of it stands."""

    __slots__ = ("_breaks", "_children", "_decoder", "_text", "data", "file")

    def __init__(self, text: str, file: str) -> None:
        """Parse. Raises BorderpostError BP0101, BP0105 or BP0106."""
        self.file = file
        self._text = text
        self._breaks: list[int] | None = None
        self._children: dict[KeyPath, dict[str | int, tuple[int, int]]] = {}
        self._decoder = json.JSONDecoder()  # for skipping what was read before
        self._bound_depth()
        self.data: Any = self._parse()

    def _parse(self) -> Any:
        try:
            return json.loads(
                self._text,
                object_pairs_hook=_unique,
                parse_constant=_refused,
                parse_int=_integer,
            )
        except json.JSONDecodeError as error:
            place = Place(self.file, error.lineno, error.colno)
            raise BorderpostError("BP0101", error.msg, place=place) from error
        except _Twice as twice:
            raise BorderpostError("BP0105", f"`{twice}` stands in one object twice", place=Place(self.file)) from twice
        except ValueError as error:
            raise BorderpostError("BP0101", str(error), place=Place(self.file)) from error

    def _bound_depth(self) -> None:
        """Refuse nesting beyond the bound before the decoder, which recurses, sees it."""
        depth = 0
        for found in _NESTING.finditer(self._text):
            if found[0] in ("[", "{"):
                depth += 1
                if depth > limits.YAML_DEPTH_MAX:
                    detail = f"nested deeper than {limits.YAML_DEPTH_MAX} levels"
                    raise BorderpostError("BP0106", detail, place=self._place_at(found.start(), ()))
            elif found[0] in ("]", "}"):
                depth -= 1

    def place(self, path: KeyPath) -> Place:
        """Return the place of a key path, or of its nearest ancestor that exists: a member's key, an item's begin."""
        at = value_at = self._after_space(0)
        for length, part in enumerate(path):
            child = self._children_at(path[:length], value_at).get(part)
            if child is None:
                break
            at, value_at = child
        return self._place_at(at, path)

    def _children_at(self, path: KeyPath, begin: int) -> dict[str | int, tuple[int, int]]:
        """Return where each member or item of a container begins, and where its value does."""
        known = self._children.get(path)
        if known is None:
            known = {}
            text = self._text
            if text[begin] in "[{":
                is_object = text[begin] == "{"
                at, index = self._after_space(begin + 1), 0
                while text[at] not in "]}":
                    key: str | int = index
                    value_at = at
                    if is_object:
                        key, end = self._decoder.raw_decode(text, at)
                        value_at = self._after_space(self._after_space(end) + 1)  # over the colon
                    known[key] = (at, value_at)
                    _, end = self._decoder.raw_decode(text, value_at)
                    at = self._after_space(end)
                    if text[at] == ",":
                        at = self._after_space(at + 1)
                    index += 1
            self._children[path] = known
        return known

    def _after_space(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return at if found is None else found.end()

    def _place_at(self, offset: int, path: KeyPath) -> Place:
        if self._breaks is None:
            self._breaks = [found.start() for found in re.finditer("\n", self._text)]
        before = bisect_left(self._breaks, offset)
        column = offset - (self._breaks[before - 1] if before else -1)
        return Place(self.file, before + 1, column, dotted(path) or None)


class _Twice(Exception):
    """A key that an object has twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _Twice(next(key for index, key in enumerate(keys) if key in keys[:index]))
    return built


def _refused(word: str) -> Any:
    raise ValueError(f"`{word}` is no JSON")


def _integer(text: str) -> int:
    if len(text) > limits.YAML_INTEGER_DIGITS_MAX:
        raise ValueError(f"a number of more than {limits.YAML_INTEGER_DIGITS_MAX} digits")
    return int(text)


def load_json(raw: bytes, file: str) -> JsonDocument:
    """Parse one JSON document. Raises BorderpostError BP0101, BP0105 or BP0106."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise BorderpostError("BP0101", "not UTF-8", place=Place(file, line)) from error
    return JsonDocument(text, file)
