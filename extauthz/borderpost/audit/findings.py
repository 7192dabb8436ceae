"""What verification finds, as values: one finding, one stream's figures, one report. Rendering is others' work."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Final

from borderpost_base.errors import ERRORS

SCHEMA_VERSION: Final = 1
"""Of `Report.as_dict`."""

CAVEAT: Final = (
    "This checks the log against itself. Whoever can write all of it can write all of it anew, or cut whole "
    "epochs off its end, and no check of the log alone can tell. Only a checkpoint or a copy held by somebody "
    "else can."
)
"""What every report says of its own reach."""


class Kind(enum.IntEnum):
    """A kind of damage. Its number is the exit status of `verify`; the lower, the graver."""

    code: str
    """The registered error code that tells of it."""

    def __new__(cls, number: int, code: str) -> Kind:
        """Make a member that is its number and carries its code."""
        kind = int.__new__(cls, number)
        kind._value_ = number
        kind.code = code
        return kind

    ALTERED = 10, "BP0410"
    MISSING = 11, "BP0411"
    REORDERED = 12, "BP0412"
    UNCLOSED = 13, "BP0413"
    PROFILE = 14, "BP0414"
    TORN = 15, "BP0415"
    INPUT = 16, "BP0416"
    DUPLICATE = 17, "BP0417"
    UNKNOWN = 18, "BP0418"
    INCONSISTENT = 19, "BP0419"

    @property
    def title(self) -> str:
        """Return the kind in a few words."""
        return ERRORS[self.code].title

    @property
    def mend(self) -> str:
        """Return what the reader does about it."""
        return ERRORS[self.code].mend


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where."""

    kind: Kind
    what: str
    """The particulars, one sentence without its full stop."""
    file: str
    line: int | None = None
    """From 1; None where no line is meant."""
    seq: int | None = None
    """Sequence number of the record concerned, where known."""

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as JSON-ready data; unknown parts are left out."""
        told: dict[str, Any] = {
            "kind": self.kind.name.lower(),
            "code": self.kind.code,
            "title": self.kind.title,
            "what": self.what,
            "mend": self.kind.mend,
            "file": self.file,
        }
        if self.line is not None:
            told["line"] = self.line
        if self.seq is not None:
            told["seq"] = self.seq
        return told


@dataclass(slots=True)
class StreamFigures:
    """What was read of one stream."""

    stream: str
    live: bool = False
    """True while a process writes it: its end is then not held against it."""
    segments: int = 0
    records: int = 0
    size_bytes: int = 0
    epochs: int = 0
    unclean_epochs: int = 0
    """Epochs that ended without `epoch.close` and whose successor says so: crashes."""
    gaps: int = 0
    recoveries: int = 0
    observed: int = 0
    """Decisions of which only a record was made: their requests went their own way."""
    limited: int = 0
    """Requests that limits refused, after the law had let them pass."""
    decisions: int = 0
    """Decisions that bound Envoy."""
    routed: int = 0
    refused: int = 0
    head: str | None = None
    """SHA-256 of the last line in hex: what to compare with a copy of the log."""
    last_seq: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON-ready data."""
        return {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}


@dataclass(slots=True)
class Report:
    """The outcome of one verification."""

    path: str
    streams: list[StreamFigures] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unlisted: int = 0
    """Findings beyond the bound, counted only."""
    inputs_checked: int = 0
    notes: list[str] = field(default_factory=list)
    """What was not checked, and why."""
    caveat: str = CAVEAT

    @property
    def clean(self) -> bool:
        """Return True if nothing is wrong."""
        return not self.findings

    @property
    def exit_code(self) -> int:
        """Return 0 if clean, else the lowest kind found: the gravest, as the kinds are ordered."""
        return min((int(finding.kind) for finding in self.findings), default=0)

    @property
    def records(self) -> int:
        """Return the number of records read."""
        return sum(stream.records for stream in self.streams)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready data."""
        return {
            "schema_version": SCHEMA_VERSION,
            "path": self.path,
            "clean": self.clean,
            "exit_code": self.exit_code,
            "records": self.records,
            "inputs_checked": self.inputs_checked,
            "streams": [stream.as_dict() for stream in self.streams],
            "findings": [finding.as_dict() for finding in self.findings],
            "findings_unlisted": self.unlisted,
            "notes": list(self.notes),
            "caveat": self.caveat,
        }
