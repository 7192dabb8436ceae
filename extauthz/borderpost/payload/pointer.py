"""JSON Pointer (RFC 6901): the way from the root of a JSON document to one value in it."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

from borderpost_base import limits
from borderpost_base.errors import BorderpostError

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]

_WRONG_ESCAPE: Final = re.compile(r"~(?![01])")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_UNSEEN: Final = {"Cf", "Cc", "Zs", "Zl", "Zp"}
"""Categories of characters that a key may carry without looking different: format, control, spaces."""


class Absent:
    """The type of `ABSENT`."""


ABSENT: Final = Absent()
"""What a pointer finds where the document has no such value; None would be JSON's `null`."""


class LookalikeKey(Exception):
    """An object on the way has a key that some parsers take for the one that the pointer names."""


class Pointer(NamedTuple):
    """A pointer, unescaped."""

    tokens: tuple[str, ...]
    """Reference tokens from the root; none for the whole document."""

    def find(self, document: JsonValue) -> JsonValue | Absent:
        """Return the value, or ABSENT. Raises LookalikeKey.

        A key counts as the token itself only where it is the same text. One that merely folds to it is no
        absence: Go's encoding/json matches keys without regard to case, and a parser written in C may end a key at
        its first NUL.
        """
        value = document
        for token in self.tokens:
            if isinstance(value, dict):
                folded = _folded(token)
                if any(key != token and _folded(key) == folded for key in value):
                    raise LookalikeKey
                if token not in value:
                    return ABSENT
                value = value[token]
            elif isinstance(value, list) and _INDEX.fullmatch(token) and int(token) < len(value):
                value = value[int(token)]
            else:
                return ABSENT
        return value

    def __str__(self) -> str:
        return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in self.tokens)


def parse_pointer(text: str) -> Pointer:
    """Read a pointer as it stands in a configuration file. Raises BorderpostError BP1311."""
    if len(text) > limits.JSON_POINTER_CHARACTERS_MAX:
        raise BorderpostError("BP1311", f"a pointer has at most {limits.JSON_POINTER_CHARACTERS_MAX} characters")
    if text and not text.startswith("/"):
        raise BorderpostError("BP1311", f"`{text}` does not begin with `/`", mend=f"`/{text}`")
    if _WRONG_ESCAPE.search(text):
        raise BorderpostError("BP1311", f"in `{text}` a `~` is followed by neither 0 nor 1")
    return Pointer(tuple(token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:]))


def _folded(key: str) -> str:
    """Return a key as a careless reader takes it: up to a NUL, without case, form, spaces and what is not seen."""
    if key.isascii() and key.isalnum():
        return key.lower()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", key.partition("\0")[0]).casefold())
    return "".join(character for character in folded if unicodedata.category(character) not in _UNSEEN)
