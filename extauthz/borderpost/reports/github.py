"""Findings as workflow commands, which GitHub Actions shows as annotations at the lines of a pull request.

    ::error file=app.yaml,line=3,col=7,title=BPM001 …::message

A command is one line. What would end a value or the line is escaped as GitHub's runner unescapes it: in the message
`%`, CR and LF, in properties `:` and `,` besides (docs.github.com, Workflow commands; `actions/toolkit`, command.ts).
So a name in a manifest cannot write a command of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from borderpost.reports.finding import Finding, Level

_COMMANDS = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}


def workflow_commands(findings: Iterable[Finding], root: Path) -> Iterator[str]:
    """Yield one command a finding; `root` is the absolute directory that relative file names start at."""
    for finding in findings:
        properties: list[tuple[str, str]] = []
        if finding.file is not None:
            properties.append(("file", _named(finding.file, root)))
            if finding.line is not None:
                properties.append(("line", str(finding.line)))
                if finding.column is not None:
                    properties.append(("col", str(finding.column)))
        properties.append(("title", f"{finding.rule.id} {finding.rule.title}"))
        written = ",".join(f"{name}={_property(value)}" for name, value in properties)
        subject = f"{finding.subject}: " if finding.subject else ""
        message = _message(f"{subject}{finding.message}\n{finding.mend}")
        yield f"::{_COMMANDS[finding.level]} {written}::{message}"


def _named(file: str, root: Path) -> str:
    """Return the file's name from the working directory if it is below it: the form that annotations are matched by."""
    whole = root / file
    return str(whole.relative_to(root)) if whole.is_relative_to(root) else file


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
