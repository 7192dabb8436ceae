"""Where in a text a number may stand, and how many such places are looked at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from borderpost.payload.texts import Text
from borderpost_base import limits

_RUN: Final = re.compile(rb"0(?:[ ./()-]{0,3}0){6,}+")
_GROUP: Final = re.compile(rb"(0+)([^0]*)")
_NO_DIGIT: Final = re.compile(r"[^0-9]+")


class Shape(NamedTuple):
    """How something is written, over `Text.shape`, between no letters or digits and not behind a decimal point."""

    pattern: re.Pattern[bytes]
    """Begins at the first digit, so that a search goes from digit to digit, fast."""
    letters_before: int
    """How many letters stand right before the first digit."""

    def pieces(self, text: Text) -> Iterator[str]:
        """Yield what of the text has this shape."""
        for found in self.pattern.finditer(text.shape):
            yield text.text[found.start() - self.letters_before : found.end()]


def shape(written: str) -> Shape:
    """Make a shape of a regular expression such as `aa0000` that begins with its letters and one digit, both bare."""
    letters = len(written) - len(written.lstrip("a"))
    if not re.match("a*0(?![?*+{|])", written):
        raise ValueError(f"{written}: begins with no single digit")
    before = f"(?<={'a' * letters}0)(?<![0a]{'a' * letters}0)" + ("" if letters else r"(?<!0[.]0)")
    return Shape(re.compile(f"0{before}(?:{written[letters + 1 :]})(?![0a])".encode("ascii")), letters)


def evenly_grouped(text: Text, digits_min: int, digits_max: int) -> Iterator[str]:
    """Yield the digits of numbers in groups of one size, the last perhaps shorter, with one kind of separator.

    Only where nothing else stands beside them: of a row of numbers nobody can say which are one.
    """
    for found in _RUN.finditer(text.shape):
        if digits_min <= found[0].count(b"0") <= digits_max:
            (size, separator), *others = ((len(digits), between) for digits, between in _GROUP.findall(found[0]))
            if all((length, between) == (size, separator) for length, between in others[:-1]) and (
                len(others) > 1 and others[-1][0] <= size
            ):
                yield digits_of(text.text[found.start() : found.end()])


def digits_of(piece: str) -> str:
    """Return a piece without what stands between its digits."""
    return _NO_DIGIT.sub("", piece)


def any_is(candidates: Iterable[str], is_one: Callable[[str], bool]) -> bool:
    """Say whether a candidate is what is looked for, or there are more than are looked at."""
    for count, candidate in enumerate(candidates):
        if count == limits.DETECTOR_CANDIDATES_MAX or is_one(candidate):
            return True
    return False
