"""JSON of which every parser reads the same, or a refusal: what a client may not use to show us one thing and the
server behind us another.

orjson takes only what RFC 8259 allows, of what parsers differ in less than others: UTF-8 without a byte order mark,
no lone surrogates, no NaN, no number beyond a double. What it takes and others read otherwise is refused beside it:
deep nesting, integers beyond 64 bits, and a key that stands twice in an object, however it is escaped. Of the last it
keeps one member and does not tell; but as many colons stand outside the strings of a JSON text as it has members.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import orjson

from borderpost.facts.headers import Refused
from borderpost.payload.pointer import JsonValue
from borderpost.payload.texts import PARTED
from borderpost_base import limits

_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_ALL_BUT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_DIGITS_ALIKE: Final = bytes.maketrans(b"123456789", b"000000000")
_SEARCHED_DIGITS: Final = b"0" * limits.SEARCHED_DIGITS_MIN
_LONG_NUMBER: Final = re.compile(rb"[0-9.eE+-]{19,}")
_INTEGERS: Final = range(-(2**63), 2**64)
"""What orjson and many others keep exactly; of more they make doubles, and others do not."""
_NUMBER: Final = re.compile(rb"[0-9][0-9.eE+-]{%d,}" % (limits.SEARCHED_DIGITS_MIN - 1))
_WITH_FRACTION: Final = re.compile(rb"[0-9]+\.[0-9]*[1-9]|[0-9.]+[eE]-[0-9]+")


class JsonText(NamedTuple):
    """A JSON text with one meaning."""

    document: JsonValue
    texts: str
    """All its keys and strings, and its whole numbers of seven digits and more as people write them (`4.1e15` has 16
    digits), parted by `texts.PARTED`."""


def read_json(body: bytes) -> JsonText:
    """Read a body that is one JSON text. Raises Refused (400, BP1301)."""
    outside = _outside_strings(body)
    _check_shape(outside)
    long_numbers = _SEARCHED_DIGITS in outside.translate(_DIGITS_ALIKE)
    if long_numbers:
        _check_numbers(outside)
    try:
        document: JsonValue = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _refused(_what_is_wrong(body)) from error
    texts, members = _texts_of(document)
    if members != outside.count(b":"):
        raise _refused("json-duplicate-key")
    if long_numbers:
        texts += _whole_numbers(outside)
    return JsonText(document, PARTED.join(texts))


def _outside_strings(body: bytes) -> bytes:
    """Return a JSON text without what its strings hold. Of what is no JSON text, only that up to where it fails.

    Without escaped backslashes, and then escaped quotes, each second quote ends a string.
    """
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    if unescaped.count(b'"') > 4 * limits.JSON_VALUES_MAX:  # a member has two strings at most, of two quotes each
        raise _refused("json-too-many-values")
    return b'""'.join(unescaped.split(b'"')[::2])


def _check_shape(outside: bytes) -> None:
    """Bound what a parser has to do, before one does it."""
    brackets = outside.translate(_TO_SQUARE, _ALL_BUT_BRACKETS)
    if len(brackets) // 2 + outside.count(b",") > limits.JSON_VALUES_MAX:
        raise _refused("json-too-many-values")
    for _ in range(limits.JSON_DEPTH_MAX):
        inner = brackets
        brackets = inner.replace(b"[]", b"")  # takes the innermost level away
        if brackets == inner:
            return  # none is left, or those left are no pairs, which the parser will say
    if brackets:
        raise _refused("json-too-deep")


def _texts_of(document: JsonValue) -> tuple[list[str], int]:
    """Return every key and string of a document, and how many members its objects have."""
    texts: list[str] = []
    members = 0
    open_lists: list[Iterable[JsonValue]] = [(document,)]
    while open_lists:
        for value in open_lists.pop():
            if isinstance(value, str):
                texts.append(value)
            elif isinstance(value, dict):
                members += len(value)
                texts.extend(value)
                open_lists.append(value.values())
            elif isinstance(value, list):
                open_lists.append(value)
    return texts, members


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


def _whole_numbers(outside: bytes) -> list[str]:
    found = []
    for number in _NUMBER.findall(outside):
        if number.isdigit():
            found.append(number.decode("ascii"))
        elif not _WITH_FRACTION.fullmatch(number):
            value = float(number)  # exact as far as cards go, 16 digits that begin with 8 or less
            if value.is_integer():
                found.append(str(int(value)))
    return found


def _refused(reason: str) -> Refused:
    return Refused(400, "BP1301", reason)
