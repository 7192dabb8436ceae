"""One thing that a check found, and the rule that it breaks. Values only; the writers stand beside."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from borderpost_base.errors import BorderpostError, Place


class Level(enum.StrEnum):
    """How much a finding matters, the most first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """What findings of one kind have in common."""

    id: str
    """Stable: it stands in suppressions and dashboards, and is never used for something else."""
    title: str
    """What is wrong, in a few words, without the particulars."""
    why: str
    """Why it matters."""
    mend: str
    """What the reader does about it."""
    level: Level = Level.ERROR
    """The level of its findings where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach of a rule at one place."""

    rule: Rule
    message: str
    """What was found, in whole sentences."""
    file: str | None = None
    """Path as the reader named it; None for what stands in no file."""
    line: int | None = None
    """From 1."""
    column: int | None = None
    """From 1, in characters."""
    subject: str | None = None
    """What it is about: an object, a resource's address, a dotted key."""
    level: Level = Level.ERROR
    help: str | None = None
    """How to mend this very case; None where the rule's own advice is all."""

    @property
    def place(self) -> Place:
        """Return where it stands, as errors say it."""
        return Place(self.file, self.line, self.column, self.subject)

    @property
    def mend(self) -> str:
        """Return how to mend it."""
        return self.help or self.rule.mend

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as JSON-ready data, for `--json` output."""
        told: dict[str, Any] = {
            "rule": self.rule.id,
            "title": self.rule.title,
            "level": self.level.value,
            "message": self.message,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "subject": self.subject,
            "mend": self.mend,
        }
        return {name: value for name, value in told.items() if value is not None}


def findings_of(errors: Iterable[BorderpostError], level: Level = Level.ERROR) -> Iterator[Finding]:
    """Yield errors as findings; their codes are their rules."""
    for error in errors:
        spec, place = error.spec, error.place
        yield Finding(
            Rule(spec.code, spec.title, spec.cause, spec.mend),
            error.detail,
            # What has no line may be a flag or a variable, which is no file to point into.
            file=place.file if place.line is not None else None,
            line=place.line,
            column=place.column,
            subject=place.key if place.line is not None else (str(place) or None),
            level=level,
            help=error.mend,
        )
