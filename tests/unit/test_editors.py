"""What people see while they type: the YAML language server with our schemas, as VS Code, Neovim and others run it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from borderpost.cli.main import main
from support import language_server
from support.language_server import Editor, Mark

pytestmark = pytest.mark.full

PACK = """\
apiVersion: residency/v1
kind: PolicyPack
metadata: {id: house, version: "1", as_of: 2026-11-20, not_legal_advice: true}
regimes:
  - id: house-health
    title: Our contract
    source: Section 7
    aplies_when: {subject_in: EEA}
    applies_when: {subject_in: EEA, data: [health]}
    default: dny
    \n"""
CONFIG = """\
here: {country: Germany}
regions:
  frankfurt:
    country: DE
    retention: same
    telemetry:
      country: DE
      \n"""


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    folder = tmp_path_factory.mktemp("law")
    assert main(["schema", "--install", str(folder)]) == 0
    schemas = json.loads((folder / ".vscode/settings.json").read_text(encoding="utf-8"))["yaml.schemas"]
    opened = Editor(language_server.install(tmp_path_factory.mktemp("npm")), folder, schemas)
    yield opened
    opened.close()


def test_a_mistake_is_marked_on_its_line(editor: Editor) -> None:
    assert editor.open("packs/house.yaml", PACK) == [
        Mark(8, "Property aplies_when is not allowed."),
        Mark(10, 'Value is not accepted. Valid values: "deny", "allow".'),
    ]
    assert [mark.line for mark in editor.open("borderpost.yaml", CONFIG)] == [1]


def test_keys_and_values_are_offered_with_their_meaning(editor: Editor) -> None:
    editor.open("packs/other.yaml", PACK)
    keys = editor.offered("packs/other.yaml", 11, 5)
    assert {"allow", "deny", "counters", "from", "until"} <= keys.keys()
    assert "title" not in keys
    assert keys["until"] == "First instant at which it no longer applies (exclusive); for good by default."
    assert editor.offered("packs/other.yaml", 10, 14).keys() == {"deny", "allow"}
    assert "Which requests the regime is about." in editor.told("packs/other.yaml", 9, 6)


def test_a_place_elsewhere_is_completed_like_a_region(editor: Editor) -> None:
    editor.open("borderpost.eu.yaml", CONFIG)
    keys = editor.offered("borderpost.eu.yaml", 8, 7)
    assert {"operator", "contracts", "subdivision"} <= keys.keys() and all(keys.values())


def test_a_first_line_names_the_schema(editor: Editor) -> None:
    text = "# yaml-language-server: $schema=.schemas/trigger.schema.json\nid: t\nwhn: {}\n"
    marks = editor.open("anywhere.yaml", text)
    assert Mark(3, "Property whn is not allowed.") in marks
    assert "event" in editor.offered("anywhere.yaml", 4, 1)
