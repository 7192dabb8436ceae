"""The texts of a body, made plain: what looks the same to a reader is searched as the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from borderpost.payload.pointer import JsonValue

_UNSEEN: Final = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
                            "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]+")  # fmt: skip
"""Characters that show nothing (Unicode's Default_Ignorable_Code_Point): a number is not cut by them."""
_DASH: Final = re.compile("[\u058a\u05be\u1806\u2010-\u2015\u2043\u207b\u208b\u2212\u2e3a\u2e3b\u30fc\uff0d]")
_SPACE: Final = re.compile(r"[^\S\n ]+")
_OTHER_DIGIT: Final = re.compile(r"[^\D0-9]")


class Text:
    """One form of all texts of a body, keys and numbers as written included, parted by line ends."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def texts_of(document: JsonValue, numbers: Iterable[str] = ()) -> str:
    """Return every key and every string of a document, and the numbers given, a line each."""
    found: list[str] = [*numbers]
    open_values: list[JsonValue] = [document]
    while open_values:
        value = open_values.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            found.extend(value)
            open_values.extend(value.values())
        elif isinstance(value, list):
            open_values.extend(value)
    return "\n".join(found)


def forms_of(text: str) -> tuple[Text, ...]:
    """Return the text as it stands and, where it differs, as a reader sees it; a finding in either counts.

    As a reader sees it: wide, raised and circled digits, and those of other scripts, are digits; what shows nothing
    is left out; every dash is a hyphen and every space a space.
    """
    plain = text
    if not plain.isascii():
        plain = _OTHER_DIGIT.sub(_as_digit, unicodedata.normalize("NFKC", plain))
        plain = _DASH.sub("-", _UNSEEN.sub("", plain))
    plain = _SPACE.sub(" ", plain)
    return (Text(text),) if plain == text else (Text(text), Text(plain))


def _as_digit(found: re.Match[str]) -> str:
    return str(unicodedata.decimal(found[0]))
