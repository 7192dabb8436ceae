"""The shape of an error: its registered text, its place, and the exception that carries both."""

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


class BorderpostError(Exception):
    """An error with a code, a place and a particular.

    `detail` says what was found, in one sentence; `mend` overrides the registered mend where the
    particular case has a better one (the nearest known key, for instance).
    """

    def __init__(self, code: str, detail: str, *, place: Place = NOWHERE, mend: str | None = None) -> None:
        from borderpost_base.errors.registry import find_spec  # the registry's tables use ErrorSpec above

        self.spec = find_spec(code)
        self.code = code
        self.detail = detail
        self.place = place
        self.mend = mend if mend is not None else self.spec.mend
        super().__init__(f"{code} {self.spec.title}: {detail}")

    def __str__(self) -> str:
        where = str(self.place)
        return f"{self.code} {where + ': ' if where else ''}{self.detail} (mend: {self.mend})"

    def as_dict(self) -> dict[str, object]:
        """Return the error as JSON-ready data, for `--json` output and logs."""
        place = {k: v for k, v in self.place._asdict().items() if v is not None}
        return {"code": self.code, "title": self.spec.title, "detail": self.detail, "place": place, "mend": self.mend}


class BadValue(BorderpostError, ValueError):
    """An error raised inside a pydantic validator, which collects only ValueErrors; `validate` adds the place."""


class Problems(Exception):
    """Several errors found in one pass, such as every mistake of a configuration file."""

    def __init__(self, errors: list[BorderpostError]) -> None:
        if not errors:
            raise ValueError("Problems needs at least one error")
        self.errors = tuple(errors)
        super().__init__("; ".join(str(e) for e in errors))
