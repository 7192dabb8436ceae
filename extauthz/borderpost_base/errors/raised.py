"""The exceptions that carry a registered error to whoever can mend it."""

from __future__ import annotations

from borderpost_base.errors.model import NOWHERE, Place
from borderpost_base.errors.registry import find_spec


class BorderpostError(Exception):
    """An error with a code, a place and a particular.

    `detail` says what was found, in one sentence; `mend` overrides the registered mend where the
    particular case has a better one (the nearest known key, for instance).
    """

    def __init__(self, code: str, detail: str, *, place: Place = NOWHERE, mend: str | None = None) -> None:
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
