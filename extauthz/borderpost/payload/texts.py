"""The texts of a body, made plain: what looks the same to a reader is searched as the same.

Most of a text holds nothing that a detector could want. Its `shape` (each digit a `0`, each letter an `a`) can be
searched from one `0` to the next at the speed of memory, and `numbers` keeps only where digits stand close together.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property, lru_cache
from typing import Final

PARTED: Final = "\x1f"
"""Stands between two texts of a body; no number or address goes on over it."""

_ASCII: Final = bytes(range(128))
_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
_SHAPE: Final = bytes.maketrans(
    b"0123456789" + _LETTERS + b"\t\v\f\r", b"0" * 10 + b"a" * len(_LETTERS) + b" " * 4
)  # fmt: skip
_CLOSE_DIGITS: Final = re.compile(rb"0(?:[ ./()+-]{0,3}0){5,}")
"""Six digits and more with little between them."""
_AROUND: Final = 8
"""Characters before and after close digits that may belong to a number: `+(0`, the letters of an identifier."""
_REPLACED_SINGLY_MAX: Final = 8
_UNSEEN: Final = {"Cf", "Me", "Mn"}
"""Unicode's categories of what shows nothing of itself: zero-width spaces, keycaps, strokes through a digit."""
_SEEN_AS_NOTHING: Final = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
"""Further ones of the property Default_Ignorable_Code_Point."""
_ALSO_DASHES: Final = "\u2043\u2212"


class Text:
    """One form of all texts of a body."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def shape(self) -> bytes:
        """One byte a character: `0` a digit, `a` a letter or `_`, a space, `?` beyond ASCII, others as they are."""
        return self.text.encode("ascii", "replace").translate(_SHAPE)

    @cached_property
    def outline(self) -> bytes:
        """A shape in which every form occurs that occurs in the text, often much shorter: what repeats stands once."""
        return self.shape

    @cached_property
    def numbers(self) -> Text:
        """Where six digits and more stand close together, with a little around them, parted."""
        shape = self.shape
        parts: list[str] = []
        outlines: set[bytes] = set()
        begin = end = 0
        for found in _CLOSE_DIGITS.finditer(shape):
            start, stop = max(0, found.start() - _AROUND), found.end() + _AROUND
            outlines.add(shape[start:stop])
            if start > end:
                parts.append(self.text[begin:end])
                begin = start
            end = stop
        parts.append(self.text[begin:end])
        numbers = Text(PARTED.join(parts))
        numbers.outline = PARTED.encode("ascii").join(outlines)
        return numbers


def forms_of(text: str) -> tuple[Text, ...]:
    """Return the text as it stands and, where it differs, as a reader sees it; a finding in either counts.

    As a reader sees it: wide, raised and circled digits, and those of other scripts, are digits; what shows nothing
    is left out; every dash is a hyphen and every space a space.
    """
    plain = text
    if not text.isascii():
        beyond = set(text.encode("utf-8", "replace").translate(None, _ASCII).decode("utf-8"))
        replaced: dict[str, str] = {
            character: seen for character in beyond if (seen := _seen_as(character)) is not None
        }
        if len(replaced) <= _REPLACED_SINGLY_MAX:
            for character, seen in replaced.items():
                plain = plain.replace(character, seen)
        else:
            plain = plain.translate({ord(character): seen for character, seen in replaced.items()})
    return (Text(text),) if plain is text else (Text(text), Text(plain))


@lru_cache(maxsize=4096)
def _seen_as(character: str) -> str | None:
    """Return the ASCII that a character beyond it looks like, nothing for one that shows nothing, None for others."""
    category = unicodedata.category(character)
    if category in _UNSEEN or character in _SEEN_AS_NOTHING:
        return ""
    if category == "Zs":
        return " "
    if category == "Pd" or character in _ALSO_DASHES:
        return "-"
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    folded = unicodedata.normalize("NFKC", character)
    return folded if folded.isascii() else None
