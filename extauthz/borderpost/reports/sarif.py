"""Findings as SARIF 2.1.0 (OASIS standard, with errata 01), which code scanning and editors read.

One run, one tool. Rules stand once and results point at them. A file below the working directory is named relative to
`%SRCROOT%`, which whoever reads the log knows (section 3.4.4): so GitHub finds it in the repository. Another one has
its `file:` URI.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from borderpost.reports.finding import Finding, Rule
from borderpost.version import __version__

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
"""The schema of what is written."""

_ROOT = "%SRCROOT%"


def sarif_log(findings: Sequence[Finding], root: Path) -> dict[str, Any]:
    """Return findings as one SARIF log; `root` is the absolute directory that relative file names start at."""
    rules = {finding.rule.id: finding.rule for finding in findings}
    indexes = {name: index for index, name in enumerate(sorted(rules))}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "borderpost",
                        "semanticVersion": __version__,
                        "rules": [_rule(rules[name]) for name in indexes],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, indexes[finding.rule.id], root) for finding in findings],
            }
        ],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.mend},
        "defaultConfiguration": {"level": rule.level.value},
    }


def _result(finding: Finding, index: int, root: Path) -> dict[str, Any]:
    text = finding.message if finding.help is None else f"{finding.message}\n{finding.help}"
    location: dict[str, Any] = {}
    if finding.file is not None:
        physical: dict[str, Any] = {"artifactLocation": _artifact(finding.file, root)}
        if finding.line is not None:
            region = {"startLine": finding.line}
            if finding.column is not None:
                region["startColumn"] = finding.column
            physical["region"] = region
        location["physicalLocation"] = physical
    if finding.subject is not None:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.subject}]
    result: dict[str, Any] = {
        "ruleId": finding.rule.id,
        "ruleIndex": index,
        "level": finding.level.value,
        "message": {"text": text},
    }
    if location:
        result["locations"] = [location]
    return result


def _artifact(file: str, root: Path) -> dict[str, str]:
    whole = root / file
    if whole.is_relative_to(root) and ".." not in whole.parts:
        return {"uri": quote(whole.relative_to(root).as_posix()), "uriBaseId": _ROOT}
    return {"uri": whole.as_uri()}
