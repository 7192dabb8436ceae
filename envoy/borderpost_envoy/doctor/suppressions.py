"""Findings that somebody has accepted, from a file: each with its reason, and none for ever unnoticed.

    ignore:
      - rule: BPD034
        subject: cluster eu-*
        reason: two halls of one building

A suppression that fits nothing is told, so that the file does not outlive what it was written for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import Field

from borderpost.reports.finding import Finding
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.strict import StrictModel, validate
from borderpost_base.yaml_source import YamlDocument, load_yaml_file


class Suppression(StrictModel):
    """One accepted finding, or several alike."""

    rule: str
    """The rule's id."""

    reason: str = Field(min_length=1, pattern=r"\S")
    """Why it is accepted. There is no default, because whoever reads it next needs to know."""

    subject: str = "*"
    """What it is about, as the finding says it; `*` stands for any text. Everything by default."""

    file: str = "*"
    """The file's name, as the finding says it; `*` stands for any text. Any by default."""

    def fits(self, finding: Finding) -> bool:
        """Return True for a finding that this accepts."""
        return (
            finding.rule.id == self.rule
            and fnmatchcase(finding.subject or "", self.subject)
            and fnmatchcase(finding.file or "", self.file)
        )


class SuppressionFile(StrictModel):
    """The file."""

    ignore: tuple[Suppression, ...]
    """What is accepted."""


class Suppressions:
    """The suppressions of a file, and which of them were of use."""

    def __init__(self, document: YamlDocument, known: Collection[str]) -> None:
        """Read them. Raises Problems with BP01xx for the file's form, BP1506 for rules that nobody knows."""
        self._document = document
        self._entries = validate(SuppressionFile, document, code_value="BP1507").ignore
        self._used: set[int] = set()
        unknown = [
            BorderpostError("BP1506", f"`{entry.rule}` is no rule", place=document.place(("ignore", index, "rule")))
            for index, entry in enumerate(self._entries)
            if entry.rule not in known
        ]
        if unknown:
            raise Problems(unknown)

    @classmethod
    def from_file(cls, path: Path, known: Collection[str]) -> Suppressions:
        """Read a file; raises besides BorderpostError BP0003 where it cannot be read."""
        return cls(load_yaml_file(path), known)

    def kept(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return the findings that nobody has accepted."""
        left = []
        for finding in findings:
            fitting = [index for index, entry in enumerate(self._entries) if entry.fits(finding)]
            self._used.update(fitting)
            if not fitting:
                left.append(finding)
        return left

    def unused(self) -> list[BorderpostError]:
        """Return a BP1509 for each suppression that fitted nothing so far."""
        return [
            BorderpostError(
                "BP1509", f"no finding is `{entry.rule}` there", place=self._document.place(("ignore", index))
            )
            for index, entry in enumerate(self._entries)
            if index not in self._used
        ]
