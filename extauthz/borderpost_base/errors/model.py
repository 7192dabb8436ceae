"""The shape of an error: its registered text, and a place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """One registered error."""

    code: str
    """`BP` and four digits; never reused, even after the error is gone."""
    title: str
    """What is wrong, in a few words, without the particulars."""
    cause: str
    """Why this happens."""
    mend: str
    """What the reader does about it."""


class Place(NamedTuple):
    """Where an error is. Unknown parts are None; `line` and `column` count from 1."""

    file: str | None = None
    line: int | None = None
    column: int | None = None
    key: str | None = None
    """Dotted key path inside the file, such as `server.workers`."""

    def __str__(self) -> str:
        where = self.file or ""
        if self.line is not None:
            where += f":{self.line}"
            if self.column is not None:
                where += f":{self.column}"
        if self.key:
            where = f"{where}: {self.key}" if where else self.key
        return where


NOWHERE = Place()
"""For an error that stands in no file."""
