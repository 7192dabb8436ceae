"""Where in a text a number may stand, and how many such places are looked at.

A form is looked for by a piece that every number written so contains, at the speed of a search for plain bytes. Only a
text that has the piece is gone through with a regular expression.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from borderpost.payload.texts import Text
from borderpost_base import limits

_NO_DIGIT: Final = re.compile(r"[^0-9]+")
_ATOM: Final = re.compile(r"(\[[^]]+\]|.)(\?|\{(\d+)\})?")


class Form(NamedTuple):
    """How something is written, over `Text.shape`: between no letters or digits, and not behind a decimal point."""

    core: bytes
    """Every text that has the form has these bytes in its shape."""
    pattern: re.Pattern[bytes]
    """As `from_digit` makes it."""
    characters_before: int
    """How many characters stand before the first digit."""

    def pieces(self, text: Text) -> Iterator[str]:
        """Yield what of the text has this form."""
        if self.core in text.outline:
            for found in hits(self.pattern, text):
                yield text.text[found.start() - self.characters_before : found.end()]


def form(core: str, pattern: str) -> Form:
    """Make a form of a regular expression that begins with bare letters, perhaps a hyphen, and one bare digit."""
    if not re.match(r"(?:a|\\?-)*0(?![?*+{|])", pattern):
        raise ValueError(f"{pattern}: begins with no single digit")
    before, _, after = pattern.partition("0")
    alone = f"(?<={before}0)(?<![0a]{before}0)" if before else "(?<![0a]0)(?<!0[.]0)"
    return Form(core.encode("ascii"), from_digit(f"{alone}(?:{after})(?![0a])"), len(before.replace("\\", "")))


def from_digit(pattern: str) -> re.Pattern[bytes]:
    """Compile a pattern over shapes of what follows the first digit of something, for `hits`.

    It begins with a bare digit, so that a search goes from digit to digit, and where there is nothing to be found it
    passes over all digits and letters up to the next gap at once.
    """
    return re.compile(f"0(?:{pattern}(?P<hit>)|[0a]*+)".encode("ascii"))


def hits(pattern: re.Pattern[bytes], text: Text) -> Iterator[re.Match[bytes]]:
    """Yield where a pattern of `from_digit` finds something."""
    return (found for found in pattern.finditer(text.shape) if found.lastgroup == "hit")


def spelt_out(written: str) -> list[str]:
    """Return every spelling of a form such as `0{6}[-+]?0{4}`: characters and classes, each with `?` or a number."""
    choices: list[list[str]] = []
    for atom, quantifier, times in _ATOM.findall(written):
        characters = list(atom[1:-1]) if len(atom) > 1 else [atom]
        if quantifier == "?":
            choices.append(["", *characters])
        else:
            choices.extend([characters] * int(times or 1))
    return ["".join(chosen) for chosen in itertools.product(*choices)]


_ROW: Final = from_digit(r"(?<![0a]0)0*+([ ./-])0++(?:\1[0]++)++")
"""As long as it gets: a row that fails at its end would be gone through again from its second number on."""


def evenly_grouped(text: Text, digits_min: int, digits_max: int) -> Iterator[str]:
    """Yield numbers in three groups and more of one size, the last perhaps shorter, with one kind of separator.

    Only where no further digits stand beside them and no letter behind: nobody can say which of a row are one.
    """
    for found in hits(_ROW, text):
        row = found[0]
        ends = text.shape[found.end() : found.end() + 1] != b"a"
        if ends and digits_min <= row.count(b"0") <= digits_max:
            *sizes, last = map(len, row.split(found[1]))
            if len(set(sizes)) == 1 and last <= sizes[0]:
                yield text.text[found.start() : found.end()]


def digits_of(piece: str) -> str:
    """Return a piece without what stands between its digits."""
    return _NO_DIGIT.sub("", piece)


def any_is(
    candidates: Iterable[str], is_one: Callable[[str], bool], most: int = limits.DETECTOR_CANDIDATES_MAX
) -> bool:
    """Say whether a candidate is what is looked for, or there are more different ones than are looked at."""
    seen: set[str] = set()
    for candidate in candidates:
        if candidate in seen:
            continue
        seen.add(candidate)
        if len(seen) > most or is_one(candidate):
            return True
    return False
