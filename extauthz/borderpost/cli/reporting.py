"""How commands that find things print them: `--format text`, `json`, `sarif` or `github`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from borderpost.cli.output import Output, counted

if TYPE_CHECKING:
    from borderpost.reports.finding import Finding, Level

FORMATS = ("text", "json", "sarif", "github")
_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add `--format`, and `--json` for its short form."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--format", choices=FORMATS, default="text", dest="report",
        help="text for people (default), json with a schema_version, SARIF 2.1.0, or GitHub's workflow commands",
    )  # fmt: skip
    group.add_argument("--json", action="store_const", const="json", dest="report", help="the same as --format json")


def choose(arguments: argparse.Namespace, output: Output) -> str:
    """Return the format asked for; from here on errors are told in JSON where that is it."""
    chosen: str = arguments.report
    output.as_json = chosen == "json"
    return chosen


def write_report(findings: Sequence[Finding], report: str, output: Output) -> None:
    """Print findings as SARIF or as GitHub's commands; the other formats are the command's own."""
    root = Path.cwd()
    if report == "sarif":
        from borderpost.reports.sarif import sarif_log

        output.data(json.dumps(sarif_log(findings, root), indent=2, ensure_ascii=False))
    elif report == "github":
        from borderpost.reports.github import workflow_commands

        for line in workflow_commands(findings, root):
            output.data(line)
    else:
        raise ValueError(f"{report} is no format for findings alone")


def print_findings(findings: Iterable[Finding], output: Output) -> None:
    """Print findings for people: each with its place, what it is about, and how to mend it."""
    for finding in findings:
        head = output.paint(f"{finding.level}[{finding.rule.id}]", _COLOURS[finding.level], stream=output.stdout)
        output.data(f"{head}: {finding.rule.title}")
        output.data(f"  --> {output.paint(str(finding.place), 'cyan', stream=output.stdout)}")
        output.data(f"  {finding.message}")
        output.data(f"  hint: {finding.mend}")
        output.data("")


def summed(findings: Iterable[Finding]) -> str:
    """Return how many findings there are of each level: `2 errors, 1 warning`, or `nothing found`."""
    levels: dict[Level, int] = {}
    for finding in findings:
        levels[finding.level] = levels.get(finding.level, 0) + 1
    return ", ".join(counted(levels[level], str(level)) for level in sorted(levels)) or "nothing found"


def fails(findings: Iterable[Finding], least: str) -> bool:
    """Return True if a finding is of a level or above it: `error`, `warning` or `note`."""
    from borderpost.reports.finding import Level

    order = tuple(Level)
    failing = order[: order.index(Level(least)) + 1]
    return any(finding.level in failing for finding in findings)
