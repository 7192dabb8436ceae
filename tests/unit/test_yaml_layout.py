"""One form for one content: every comment kept, nothing said otherwise, and the form of a form is itself."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import borderpost.policy
from borderpost.cli.file_kinds import KINDS, kind_of
from borderpost.policy import canonical
from borderpost.policy.pack import PolicyPack
from borderpost.yaml_layout import formatting
from borderpost.yaml_layout.formatting import formatted, same
from borderpost_base.errors import BorderpostError
from borderpost_base.yaml_source import load_yaml
from support import sloppy_yaml

ROOT = Path(__file__).resolve().parents[2]
PACKS = sorted((Path(borderpost.policy.__file__).parent / "packs").glob("*.yaml"))
_EXAMPLE = re.compile(r"<!-- file: (\S+\.ya?ml) -->\n```yaml\n(.*?)```", re.DOTALL)


def corpus() -> dict[str, str]:
    """Return every YAML text of the repository that is one document, by where it stands."""
    found = {}
    template = (ROOT / "extauthz/borderpost/template").rglob("*.yaml")
    for path in (*PACKS, *sorted((ROOT / "envoy/rendered").glob("*-full.yaml")), *sorted(template)):
        found[path.stem] = path.read_text(encoding="utf-8")
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for name, text in _EXAMPLE.findall(page.read_text(encoding="utf-8")):
            if not re.search(r"^---$", text, re.M):  # several manifests of Kubernetes in one file
                found[f"{page.relative_to(ROOT)}:{name}"] = text
    return found


CORPUS = corpus()
SCHEMAS = {kind: KINDS[kind].bare() for kind in KINDS}


def schema_for(text: str) -> dict[str, Any] | None:
    kind = kind_of(load_yaml(text.encode(), "f").data)
    return SCHEMAS[kind] if kind else None


def laid(text: str, schema: dict[str, Any] | None = None) -> str:
    """Return the form of a text, having held it against the text by means of its own."""
    result = formatted(text.encode(), "f", schema)
    assert same(load_yaml(text.encode(), "f").data, load_yaml(result.encode(), "f").data)
    assert formatted(result.encode(), "f", schema) == result
    return result


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_every_file_of_the_repository_keeps_its_content_and_its_comments(name: str) -> None:
    text = CORPUS[name]
    result = laid(text, schema_for(text))
    assert Counter(re.findall(r"(?:^|\s)(#.*)$", result, re.M)) == Counter(re.findall(r"(?:^|\s)(#.*)$", text, re.M))


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_the_built_in_packs_are_laid_out(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert formatted(text.encode(), path.name, SCHEMAS["pack"]) == text


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_a_pack_written_anyhow_keeps_its_digest(path: Path) -> None:
    """The canonical form, from which the policy's digest is made, is the same byte for byte."""
    data = load_yaml(path.read_bytes(), path.name).data
    result = laid(sloppy_yaml.write(data, Random(path.stem)), SCHEMAS["pack"])
    read = PolicyPack.model_validate(load_yaml(result.encode(), "f").data)
    assert canonical.canonical_bytes(read) == canonical.canonical_bytes(PolicyPack.model_validate(data))


TEXTS = st.one_of(
    st.sampled_from(["NO", "on", "yes", "~", "null", "true", "012", "0x1f", "1e3", "12:30:00", "1_000", "2026-11-20"]),
    st.sampled_from(["", " ", "*", "a: b", "a #b", "#", "- x", "'", '"', "a\nb", "a\n\nb\n", "\n", "x\n\n", "a\tb"]),
    st.sampled_from(
        ["word " * 40 + "end", "word\n" + "long " * 40 + "x", "  in\nnot", "\\", "\u2028", "a\x85b", "😀" * 70]
    ),
    st.text(max_size=30),
)
SCALARS = st.one_of(TEXTS, st.integers(-(10**9), 10**9), st.booleans(), st.none(), st.floats(allow_nan=False))
DATA = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(TEXTS, inner, max_size=5)),
    max_leaves=25,
)


@given(data=DATA, seed=st.integers(0, 2**32))
def test_what_was_written_anyhow_keeps_its_content_and_its_comments(data: Any, seed: int) -> None:
    text = sloppy_yaml.write(data, Random(seed))
    try:
        load_yaml(text.encode(), "f")
    except BorderpostError:
        return
    laid(text)


@given(pieces=st.lists(st.sampled_from(sloppy_yaml.PIECES), max_size=25))
def test_whatever_can_be_read_can_be_laid_out(pieces: list[str]) -> None:
    """Odd documents: keys without values, comments in brackets, values below comments, blanks everywhere."""
    text = "".join(pieces)
    try:
        load_yaml(text.encode(), "f")
    except BorderpostError:
        return
    try:
        laid(text)
    except BorderpostError as error:
        assert error.code == "BP1260"


SLOPPY = """\
# The house's rules.
apiVersion: "residency/v1"


kind:   PolicyPack
regimes:
- title: Contract
  # whose data
  applies_when: { data: ["health"],   subject_in: 'EEA' }   # people
  id: house
  source: "Framework agreement, section 7"
  allow:
     - {basis: house-eea, "to": [NO, 'DE', # Germany
          AT]}
     # nothing else
groups:
   NORTH: ['NO', SE,
      DK]
metadata:
    not_legal_advice: True
    as_of: "2026-11-20"
    version: '1'
    id: house
# The end.
"""

NEAT = """\
# The house's rules.
apiVersion: residency/v1

kind: PolicyPack
metadata:
  id: house
  version: "1"
  as_of: 2026-11-20
  not_legal_advice: true
groups:
  NORTH: ["NO", SE, DK]
regimes:
  - id: house
    title: Contract
    source: Framework agreement, section 7
    # whose data
    applies_when: {subject_in: EEA, data: [health]}  # people
    allow:
      - to:
          - "NO"
          - DE  # Germany
          - AT
        basis: house-eea
      # nothing else
# The end.
"""


def test_the_form() -> None:
    assert laid(SLOPPY, SCHEMAS["pack"]) == NEAT


def test_long_texts_are_folded_and_long_lists_filled() -> None:
    codes = ", ".join(["AT"] * 60)
    text = f"a: {'word ' * 30}end\nlist: [{codes}]\nmap: {{a: {'x' * 70}, b: {'y' * 70}}}\n"
    result = laid(text)
    assert max(map(len, result.splitlines())) <= 120
    assert "a: >-\n  word word" in result and "list: [\n  AT, AT" in result and f"map:\n  a: {'x' * 70}\n" in result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", ""),
        ("# only a comment", "# only a comment\n"),
        ("\ufeffa: 1\r\nb: 2\r\n", "a: 1\nb: 2\n"),
        ("---\na: 1\n...\n", "a: 1\n"),
        ("a:\n- 1\n- 2", "a:\n  - 1\n  - 2\n"),
        ("a: ~\nb:\nc: [~, Null]", "a: null\nb:\nc: [null, null]\n"),
        ("a: 'don''t'\nb: 'say \"no\"'", 'a: don\'t\nb: say "no"\n'),
        ("a: &x {k: 1}\nb: *x", "a: &x {k: 1}\nb: *x\n"),
        ("a: |\n   one\n    two\n", "a: |\n  one\n   two\n"),
        ("on: 'on'\n1: 1", '"on": "on"\n"1": 1\n'),
        ("- - a\n  - b\n-\n  # c\n  k: v", "- - a\n  - b\n-\n  # c\n  k: v\n"),
    ],
)
def test_small_forms(text: str, result: str) -> None:
    assert laid(text) == result


def test_what_refers_to_itself_keeps_its_order() -> None:
    text = "metadata: &m {id: a}\napiVersion: x\nkind: PolicyPack\nregimes: [*m]\n"
    assert laid(text, SCHEMAS["pack"]) == text


def test_codes_of_groups_are_sorted_only_when_asked_for() -> None:
    text = "groups:\n  A: [SE, DE, AT]\n  B: {plus: [NL, BE], all_of: [Z, A]}\nregimes: [b, a]\n"
    assert laid(text) == text
    result = formatted(text.encode(), "f", sort=True)
    assert result == "groups:\n  A: [AT, DE, SE]\n  B: {plus: [BE, NL], all_of: [A, Z]}\nregimes: [b, a]\n"


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a: 1\na: 2\n", "BP0105", 2),
        ("a: [\n", "BP0101", 2),
        ("a: !!str 1\n", "BP0101", 1),
        ('{"a": 1}', "BP1260", None),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, code: str, line: int | None) -> None:
    with pytest.raises(BorderpostError) as raised:
        formatted(text.encode(), "f")
    assert (raised.value.code, raised.value.place.line) == (code, line)


@pytest.mark.parametrize(
    "wrong", ["a: 2\n# c\n", "a: 1.0\n# c\n", "a: true\n# c\n", "a: 1\n", "a: [\n# c\n", "a: 1\n# c\n# c\n"]
)
def test_a_mistake_of_the_layout_is_found_before_it_is_returned(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formatting, "written", lambda _document: wrong)
    with pytest.raises(BorderpostError, match="BP1261"):
        formatted(b"a: 1\n# c\n", "f")
