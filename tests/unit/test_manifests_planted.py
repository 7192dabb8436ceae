"""Every planted mistake is found at its line, by its rule, and alone; the clean twins are silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from borderpost.config.load import load_config
from borderpost.manifests.check import Asked, check_files
from borderpost.policy.fields import parse_instant, to_us
from support.manifest_cases import FOLDER, Planted, clean, marked_files, planted

LOADED = load_config(FOLDER / "borderpost.yaml", environ={})
ASKED = Asked(
    bundle=LOADED.bundle,
    regions=dict(LOADED.regions),
    events=LOADED.events,
    at_us=to_us(parse_instant("2026-11-21")),
    source_of=lambda _reason: None,
)
PLANTED = planted()


def found(path: Path, text: str) -> set[tuple[str, str, int | None]]:
    """Return what is found, each place once: several things may stand there, such as users of one StorageClass."""
    path.write_text(text, encoding="utf-8")
    checked = check_files([path], ASKED)
    assert checked.errors == []
    assert checked.judged > 0
    return {(finding.rule.id, Path(finding.file or "").name, finding.line) for finding in checked.findings}


def test_there_are_enough_mistakes() -> None:
    assert len(PLANTED) >= 50
    assert len({case.rule for case in PLANTED}) >= 11


@pytest.mark.parametrize("file", marked_files())
def test_the_clean_twin_is_silent(tmp_path: Path, file: str) -> None:
    assert found(tmp_path / file, clean(file)) == set()


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.file}:{case.line}-{case.rule}") for case in PLANTED])
def test_a_planted_mistake_is_found_at_its_line(tmp_path: Path, case: Planted) -> None:
    assert found(tmp_path / case.file, case.text) == {(case.rule, case.file, case.line)}
