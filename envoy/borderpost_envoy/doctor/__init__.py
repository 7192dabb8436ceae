"""Finds what leaks in an Envoy configuration: the rules behind `borderpost doctor`.

    source = read_file(Path("dump.json"))            # or read_admin("127.0.0.1:15000")
    for finding in examine(read_configuration(source), expected_of(config)):
        print(finding.rule.id, finding.message)

`CHECKS` has every rule by its id (BPD001 to BPD049); Istio's and Kubernetes' (from BPD050) are
`borderpost_istio.doctor`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from borderpost.reports.finding import Finding, Rule
from borderpost_envoy.doctor.checks import CHECKS, Check
from borderpost_envoy.doctor.configuration import read_configuration
from borderpost_envoy.doctor.envoy_gateway import by_our_names
from borderpost_envoy.doctor.expected import UNKNOWN, Expected, expected_of
from borderpost_envoy.doctor.model import Configuration
from borderpost_envoy.doctor.rules import ALL, SUBJECTS
from borderpost_envoy.doctor.scene import Scene
from borderpost_envoy.doctor.sources import Source, read_admin, read_file

__all__ = [
    "CHECKS",
    "RULES",
    "SUBJECTS",
    "UNKNOWN",
    "Check",
    "Configuration",
    "Expected",
    "Source",
    "examine",
    "expected_of",
    "in_order",
    "read_admin",
    "read_configuration",
    "read_file",
]

RULES: Final[Mapping[str, Rule]] = {one.rule.id: one.rule for one in ALL}
"""Every rule about Envoy's configuration by its id."""


def examine(configuration: Configuration, expected: Expected = UNKNOWN) -> list[Finding]:
    """Return what the rules find, by place."""
    scene = Scene(by_our_names(configuration, expected), expected)
    return in_order(finding for one in ALL for finding in one.findings(scene))


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return each finding once, by place, then by rule."""

    def key(finding: Finding) -> tuple[str, int, int, str, str, str]:
        place = finding.file or "", finding.line or 0, finding.column or 0
        return (*place, finding.rule.id, finding.subject or "", finding.message)

    return sorted(dict.fromkeys(findings), key=key)
