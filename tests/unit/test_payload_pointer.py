"""JSON Pointer (RFC 6901), and keys that only look like the one that a pointer names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost.payload.pointer import ABSENT, LookalikeKey, Pointer, parse_pointer
from borderpost_base.errors import BorderpostError

DOCUMENT: dict[str, Any] = {
    "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8,
}  # fmt: skip
"""Of section 5 of the RFC."""


@pytest.mark.parametrize(
    ("text", "value"),
    [("", DOCUMENT), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/a~1b", 1), ("/c%d", 2), ("/e^f", 3),
     ("/g|h", 4), ("/i\\j", 5), ('/k"l', 6), ("/m~0n", 8)],
)  # fmt: skip
def test_the_examples_of_the_rfc(text: str, value: object) -> None:
    assert parse_pointer(text).find(DOCUMENT) == value


def test_keys_of_nothing_and_of_spaces_are_keys_where_they_stand_alone() -> None:
    assert parse_pointer("/").find({"": 0}) == 0
    assert parse_pointer("/ ").find({" ": 7}) == 7


@pytest.mark.parametrize(
    ("text", "document"),
    [("/x", {}), ("/x/y", {"x": {}}), ("/x/y", {"x": "y"}), ("/x", []), ("/x", None), ("/0", []), ("/1", [0]),
     ("/-", [0]), ("/00", [0]), ("/01", [0, 1]), ("/+0", [0]), ("/-1", [0]), ("/ 0", [0]), ("/0x0", [0]),
     ("/1e0", [0, 1]), ("/٠", [0]),
     ("/99999999999999999999", [0]), ("/x/", {"x": 1}), ("/0", "abc"), ("/length", [0])],
)  # fmt: skip
def test_what_is_not_there_is_absent(text: str, document: Any) -> None:
    assert parse_pointer(text).find(document) is ABSENT


def test_null_is_there() -> None:
    assert parse_pointer("/x").find({"x": None}) is None


def test_a_number_is_a_key_of_an_object() -> None:
    assert parse_pointer("/0").find({"0": "a"}) == "a"


@pytest.mark.parametrize(
    "key",
    ["Model", "MODEL", "mOdel", "ｍｏｄｅｌ", "model\0", "model\0x", " model", "model ", "mo\u200bdel", "model\n",
     "\ufeffmodel", "mode\u00adl", "𝐦𝐨𝐝𝐞𝐥", "modeℓ"],
)  # fmt: skip
def test_a_key_that_some_parsers_take_for_the_pointer_s_is_told(key: str) -> None:
    for document in ({key: "a"}, {key: "a", "model": "b"}, {"model": "b", key: "a"}):
        with pytest.raises(LookalikeKey):
            parse_pointer("/model").find(document)
    with pytest.raises(LookalikeKey):
        parse_pointer("/model/name").find({key: {"name": 1}})


def test_letters_that_fold_to_ascii_are_told() -> None:
    """Go's encoding/json takes ſ (U+017F) for s, and the sign K (U+212A) for k."""
    for key in ("claſs", "CLAſS"):
        with pytest.raises(LookalikeKey):
            parse_pointer("/class").find({key: 1})
    with pytest.raises(LookalikeKey):
        parse_pointer("/key").find({"\u212aey": 1})


def test_other_keys_are_of_no_concern() -> None:
    assert parse_pointer("/model").find({"models": 1, "mode": 2, "Other": 3, "other": 4, "model": "a"}) == "a"
    assert parse_pointer("/a/model").find({"Model": 1, "a": {"model": "x"}}) == "x"


@pytest.mark.parametrize("text", ["model", "~", "/~", "/a~2b", "/a~", "/" + "a" * 300, "#/model", "$.model"])
def test_a_malformed_pointer_is_told(text: str) -> None:
    with pytest.raises(BorderpostError) as caught:
        parse_pointer(text)
    assert caught.value.code == "BP1311"


@given(st.lists(st.text(max_size=8), max_size=4))
def test_a_pointer_is_read_as_it_is_written(tokens: list[str]) -> None:
    assert parse_pointer(str(Pointer(tuple(tokens)))) == Pointer(tuple(tokens))
