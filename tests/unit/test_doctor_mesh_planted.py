"""Every planted mistake is found at its line, by its rule, and alone; the mended twins are silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from borderpost.manifests.reading import parse_documents
from borderpost_istio.doctor import DESCRIBED, RULES, SUBJECTS, Setting, examine_documents
from borderpost_istio.doctor.rules.sources import SOURCES, UNSHOWN
from support.manifest_cases import Planted, clean, marked_files, planted

FOLDER = Path(__file__).resolve().parent.parent / "data" / "doctor"
PLANTED = planted(FOLDER)
SETTING = Setting(trusted_hops=1)
ELSEWHERE = {"BPD098"}
"""Rules that compare, and are tested where they do."""


def found(text: str, file: str) -> set[tuple[str, int | None]]:
    """Return rule and line of what is found; that something was not examined counts only by itself."""
    findings = set(examine_documents(parse_documents(text.encode(), file), SETTING))
    told = {(finding.rule.id, finding.line) for finding in findings if finding.file == file}
    assert len(told) == len({(finding.rule.id, finding.file, finding.line) for finding in findings})
    return {one for one in told if one[0] != "BPD099"} or told


@pytest.mark.parametrize("file", marked_files(FOLDER))
def test_the_mended_twin_is_silent(file: str) -> None:
    assert {rule for rule, _ in found(clean(file, FOLDER), file)} <= {"BPD099"}


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.file}:{case.line}-{case.rule}") for case in PLANTED])
def test_a_planted_mistake_is_found_at_its_line(case: Planted) -> None:
    assert found(case.text, case.file) == {(case.rule, case.line)}


def test_each_rule_has_a_mistake_of_its_own() -> None:
    assert set(RULES) - {case.rule for case in PLANTED} == ELSEWHERE


def test_each_rule_is_described() -> None:
    assert list(RULES) == [f"BPD{number:03}" for number in range(50, 101)]
    assert {rule.id for rules in SUBJECTS.values() for rule in rules} == set(RULES) == set(SOURCES) == set(DESCRIBED)
    assert set(UNSHOWN) <= set(RULES)
    for rule in RULES.values():
        assert rule.title[0].islower() or rule.title.startswith(("CONNECT", "Envoy"))
        assert not rule.title.endswith(".")
        assert rule.why.endswith(".")
        assert rule.mend.endswith(".")
