"""JSON of which every parser reads the same, or a refusal: what a client may not use to show us one thing and the
server behind us another.

Two kept parsers must take the text: orjson, which keeps to RFC 8259 (UTF-8 without a byte order mark, no lone
surrogates, no NaN, no number beyond a double), and the standard library's, which shows every member of an object, so
that a key that stands twice is seen, however it is escaped. What both would take and others read otherwise (deep
nesting, integers beyond 64 bits) is refused before. Reasons are words for records and metrics.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Final, NamedTuple

import orjson

from borderpost.facts.headers import Refused
from borderpost.payload.pointer import JsonValue
from borderpost_base import limits

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A string, or what begins as one and never ends: so each byte is looked at once, whatever is sent."""
_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_ALL_BUT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_LONG_NUMBER: Final = re.compile(rb"-?[0-9.eE+-]{19,}")
_INTEGERS: Final = range(-(2**63), 2**64)
"""What orjson and many others keep exactly; of more they make doubles, and others do not."""
_WHOLE_NUMBER: Final = re.compile(
    rb"(?<![0-9.eE+-])[0-9]{%d,}(?:\.0+)?(?![0-9.eE])|[0-9.]+[eE]\+?[0-9]+" % limits.SEARCHED_DIGITS_MIN
)


class JsonText(NamedTuple):
    """A JSON text with one meaning."""

    document: JsonValue
    numbers: tuple[str, ...]
    """Its whole numbers of seven digits and more, without sign, as people write them: `4.1e15` has 16 digits."""


def read_json(body: bytes) -> JsonText:
    """Read a body that is one JSON text. Raises Refused (400, BP1301)."""
    outside = _STRING.sub(b'""', body)
    _check_shape(outside)
    _check_numbers(outside)
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _refused(_what_is_wrong(body)) from error
    document: JsonValue = json.loads(body.decode("utf-8"), object_pairs_hook=_object)
    return JsonText(document, tuple(_whole_numbers(outside)))


def _check_shape(outside: bytes) -> None:
    """Bound what a parser has to do, before one does it. `outside` is the text without what strings hold."""
    brackets = outside.translate(_TO_SQUARE, _ALL_BUT_BRACKETS)
    if len(brackets) // 2 + outside.count(b",") > limits.JSON_VALUES_MAX:
        raise _refused("json-too-many-values")
    for _ in range(limits.JSON_DEPTH_MAX):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"")  # takes the innermost level away
    if brackets:
        raise _refused("json-too-deep")


def _check_numbers(outside: bytes) -> None:
    for number in _LONG_NUMBER.findall(outside):
        if len(number) > limits.JSON_NUMBER_CHARACTERS_MAX:
            raise _refused("json-number-too-long")
        if number.removeprefix(b"-").isdigit() and int(number) not in _INTEGERS:
            raise _refused("json-number-out-of-range")


def _what_is_wrong(body: bytes) -> str:
    """Return the reason for a text that orjson does not take; only a word for it is new here, not the refusal."""
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return "json-byte-order-mark"
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return "json-not-utf-8"
    return "json-malformed"


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _refused("json-duplicate-key")
    return members


def _whole_numbers(outside: bytes) -> list[str]:
    found = []
    for number in _WHOLE_NUMBER.findall(outside):
        text = number.decode("ascii")
        if not text.isdigit():
            value = Decimal(text)
            if value.adjusted() > limits.JSON_NUMBER_CHARACTERS_MAX or value != value.to_integral_value():
                continue
            text = str(int(value))
        found.append(text)
    return found


def _refused(reason: str) -> Refused:
    return Refused(400, "BP1301", reason)
