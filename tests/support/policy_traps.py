"""Files with a mistake in them: policies, packs and lists of events, and the one clear error that each must give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from borderpost.config.load import load_config
from borderpost.policy.bundle import read_pack
from borderpost.policy.check import Vocabulary, vocabulary_of
from borderpost.policy.events import read_events
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.yaml_source import load_yaml, load_yaml_file

WORDS = """\
groups: {NORDIC: [NO, SE, DK]}
data_classes: {public: {rank: 0}, personal: {}, health: {implies: [personal], rank: 3}}
regimes:
- {id: law, title: t, source: s, applies_when: {subject_in: NORDIC}, allow: [{to: NORDIC, basis: home}]}
"""
HEAD = """\
apiVersion: residency/v1
kind: PolicyPack
metadata: {id: trap, version: "1", as_of: 2026-11-20, not_legal_advice: true}
"""
CONFIG = """\
here: {country: DE}
regions: {eu: {country: DE}}
policy:
  packs: []
"""
REGIME = "- {id: r, title: t, source: s, applies_when: {subject_in: DE}, %s}\n"
RESTRICTED = "  regimes: [{id: r, title: t, source: s, applies_when: {subject_in: DE}}]\n"
EVENT = "- {id: e, effective_from: 2027-01-01, recorded_at: 2027-01-01, source: s, reason: r, %s}\n"


def known() -> Vocabulary:
    """Return the names that events may use."""
    return vocabulary_of([read_pack(load_yaml((HEAD + WORDS).encode(), "words.yaml"))])


def read_policy(path: Path) -> None:
    load_config(path, environ={})


def read_pack_file(path: Path) -> None:
    read_pack(load_yaml_file(path))


def read_events_file(path: Path) -> None:
    read_events(load_yaml_file(path), ["eu", "us"], known())


Kind = tuple[Callable[[Path], None], str]
POLICY: Kind = (read_policy, CONFIG + "  data_classes: {personal: {}}\n  ")
PACK: Kind = (read_pack_file, HEAD)
EVENTS: Kind = (read_events_file, "apiVersion: residency/v1\nkind: LegalEvents\n")
KINDS = {"policy": POLICY, "pack": PACK, "events": EVENTS}


def problems_in(path: Path, kind: Kind) -> list[BorderpostError]:
    try:
        kind[0](path)
    except BorderpostError as error:
        return [error]
    except Problems as several:
        return list(several.errors)
    pytest.fail(f"nothing was said against\n{path.read_text()[:500]}")


def only_problem(kind: Kind, body: str, folder: Path) -> BorderpostError:
    """Write a body behind the head of its kind, read it, and return the one error, which must be clear."""
    path = folder / "trap.yaml"
    path.write_text(kind[1] + body, encoding="utf-8")
    found = problems_in(path, kind)
    assert len(found) == 1, [str(error) for error in found]
    assert_clear(found[0], path)
    return found[0]


def assert_clear(error: BorderpostError, path: Path) -> None:
    assert error.place.file is not None
    assert error.place.file.endswith(path.name), str(error)
    assert error.place.line is not None, str(error)
    assert error.mend, str(error)
