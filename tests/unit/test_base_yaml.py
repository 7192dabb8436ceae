"""YAML by the 1.2 rules, with places and bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from borderpost_base.yaml_source import KeyPath, YamlDocument, dotted, load_yaml, load_yaml_file, walk_paths


def load(text: str) -> YamlDocument:
    return load_yaml(text.encode(), "t.yaml")


def refused(text: str | bytes) -> BorderpostError:
    with pytest.raises(BorderpostError) as caught:
        load_yaml(text if isinstance(text, bytes) else text.encode(), "t.yaml")
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2026-11-20", "2026-11-20"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ('"12"', "12"),
        ("'true'", "true"),
        ("0660", 660),
        ('"0660"', "0660"),
        ("<<", "<<"),
        ("=", "="),
    ],
)
def test_scalars_follow_the_1_2_core_schema(text: str, value: object) -> None:
    found = load(f"key: {text}").data["key"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_read_as_one() -> None:
    found = load("key: .NaN").data["key"]
    assert found != found


def test_keys_are_text_whatever_they_look_like() -> None:
    assert load("NO: 1\n2: x\ntrue: y\n~: z").data == {"NO": 1, "2": "x", "true": "y", "~": "z"}


def test_places_name_line_and_column_of_the_key() -> None:
    document = load("server:\n  workers: 2\nregions:\n  - id: a\n  - id: b\n")
    assert str(document.place(("server", "workers"))) == "t.yaml:2:3: server.workers"
    assert str(document.place(("regions", 1, "id"))) == "t.yaml:5:5: regions[1].id"


def test_the_place_of_a_missing_key_is_its_nearest_ancestor() -> None:
    place = load("a: 1\nserver:\n  workers: 2\n").place(("server", "mode"))
    assert (place.line, place.key) == (2, "server.mode")


def test_a_duplicate_key_is_an_error_even_when_quoted_once() -> None:
    error = refused('a: 1\n"a": 2\n')
    assert (error.code, error.place.line) == ("BP0105", 2)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1\nb: 2", 2),
        ("a: b: c", 1),
        ("\tx: 1", 1),
        ("x: *nowhere", 1),
        ("a: 1\n---\nb: 2", 2),
        ('a: "\\ud800"', 1),
    ],
)
def test_what_does_not_parse_names_its_line(text: str, line: int) -> None:
    error = refused(text)
    assert (error.code, error.place.line) == ("BP0101", line)


@pytest.mark.parametrize("tag", ["!!str 1", "!!python/object:os.system x", "! x", "!!binary aGk="])
def test_a_tag_is_refused_because_it_changes_a_type_unseen(tag: str) -> None:
    error = refused(f"ok: 1\nkey: {tag}")
    assert (error.code, error.place.line) == ("BP0101", 2)


def test_a_key_that_is_not_text_is_refused() -> None:
    assert refused("[a, b]: 1").code == "BP0101"


@pytest.mark.parametrize("raw", [b"a: \xff", b"\xff\xfea\x00", b"a: \x00", b"\x80"])
def test_bytes_that_are_not_text_are_refused(raw: bytes) -> None:
    assert refused(raw).code == "BP0101"


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert load_yaml(b"\xef\xbb\xbfa: 1", "t").data == {"a": 1}


def test_nesting_is_bounded() -> None:
    deep = limits.YAML_DEPTH_MAX
    assert load("[" * deep + "]" * deep).data is not None
    assert refused("[" * (deep + 1) + "]" * (deep + 1)).code == "BP0106"
    assert refused("[" * 100_000).code == "BP0106"


def test_an_anchor_bomb_stops_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "YAML_NODES_MAX", 1000)
    bomb = "a0: &a0 [1, 2]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    assert refused(bomb).code == "BP0106"


def test_an_alias_to_its_own_parent_stops_at_the_bound() -> None:
    assert refused("a: &a [*a]").code == "BP0106"


def test_an_alias_is_a_copy() -> None:
    data = load("a: &x {k: 1}\nb: *x").data
    data["a"]["k"] = 2
    assert data["b"] == {"k": 1}


def test_a_huge_number_is_an_error_not_text() -> None:
    assert load("key: " + "9" * 40).data["key"] == int("9" * 40)
    assert refused("key: " + "9" * 5000).code == "BP0104"


def test_a_file_too_large_is_not_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    with file.open("wb") as handle:
        handle.truncate(limits.YAML_BYTES_MAX + 1)
    with pytest.raises(BorderpostError) as caught:
        load_yaml_file(file)
    assert caught.value.code == "BP0106"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(BorderpostError) as caught:
            load_yaml_file(path)
        assert caught.value.code == "BP0003"
        assert caught.value.place.file == str(path)


def test_an_override_sets_a_value_and_becomes_its_place() -> None:
    document = load("server:\n  workers: 1\n")
    document.override(("server", "workers"), 4, "BORDERPOST_SERVER__WORKERS")
    document.override(("logs", "level"), "debug", "--set")
    assert document.data == {"server": {"workers": 4}, "logs": {"level": "debug"}}
    assert str(document.place(("server", "workers"))) == "BORDERPOST_SERVER__WORKERS: server.workers"
    assert document.place(("server",)).line == 1


def test_an_override_of_an_empty_file_makes_the_mappings() -> None:
    document = load("")
    document.override(("server", "workers"), 4, "--set")
    assert document.data == {"server": {"workers": 4}}


def test_an_override_through_a_list_is_refused() -> None:
    with pytest.raises(BorderpostError) as caught:
        load("server: [1]").override(("server", "workers"), 4, "--set")
    assert caught.value.code == "BP0104"
    assert caught.value.place.file == "--set"


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(plain)
def test_what_a_yaml_writer_wrote_is_read_back_or_refused(value: object) -> None:
    """PyYAML writes YAML 1.1; where it quotes and tags nothing, both rules agree on the value."""
    raw = yaml.safe_dump({"key": value}, allow_unicode=True).encode()
    if b"!!" in raw or b"? " in raw:
        return
    try:
        found = load_yaml(raw, "t").data["key"]
    except BorderpostError as error:
        assert error.code == "BP0101"
        return
    for path in walk_paths(value):
        assert _at(found, path) is not _MISSING
    assert found == value


_MISSING = object()


def _at(data: object, path: KeyPath) -> object:
    for part in path:
        data = data[part]  # type: ignore[index]
    return data


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_loader(raw: bytes) -> None:
    try:
        load_yaml(raw, "t")
    except BorderpostError as error:
        assert error.code in {"BP0101", "BP0104", "BP0105", "BP0106"}


def test_paths_are_written_as_people_do() -> None:
    assert dotted(("regions", "eu-1", "zones", 0, "id")) == "regions.eu-1.zones[0].id"
    assert dotted(()) == ""
