"""Make docs/reference/doctor-rules.md from the doctor's registries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from generate_reference import NOTE

from borderpost.reports.finding import Rule
from borderpost_envoy.doctor import CHECKS, SUBJECTS
from borderpost_istio.doctor import DESCRIBED
from borderpost_istio.doctor import SUBJECTS as OF_OBJECTS

PAGE = Path("docs/reference/doctor-rules.md")

_INTRODUCTION = """
What `borderpost doctor` finds. An error lets requests past the law, or stops them all; a warning weakens what is known,
kept or bounded. [The guide](../guide/doctor.md) shows the command; `borderpost doctor --explain CODE` prints any of
these. A code is never used for something else.
"""


def generate(_root: Path) -> dict[Path, bytes]:
    """Return the page by its path below the repository's root."""
    lines = [NOTE, "", "# Rules of the doctor", "", *_INTRODUCTION.strip().splitlines(), ""]
    for subject, module in SUBJECTS.items():
        lines += [f"# {subject}", ""]
        for check in CHECKS.values():
            if check.look.__module__ == module.__name__:
                lines += _section(check.rule, check.source)
    for heading, rules in OF_OBJECTS.items():
        lines += [f"# {heading}", ""]
        for rule in rules:
            described = DESCRIBED[rule.id]
            lines += _section(rule, described.source, "Source")
            if described.unshown is not None:
                lines += [f"No test shows it on Istio's own control plane. {described.unshown}", ""]
    return {PAGE: "\n".join(lines).encode()}


def _section(rule: Rule, source: str, called: str = "Envoy") -> Iterator[str]:
    yield from (f"## {rule.id}", "", f"**{rule.title}** ({rule.level}). {rule.why}", "", f"*Mend:* {rule.mend}", "")
    yield from (f"*{called}:* <{source}>", "")
