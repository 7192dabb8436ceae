"""The strict profile: inside it orjson is RFC 8785, outside it everything is refused."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from borderpost.audit.kinds import Stamp, format_stamp, parse_stamp
from borderpost.audit.profile import INTEGER_MAX, ProfileError, canonical, check_value, decode

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(lambda t: unicodedata.normalize("NFC", t))
KEYS = st.text(st.characters(max_codepoint=127), max_size=12)
VALUES = st.recursive(
    st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=25,
)


@settings(max_examples=400, deadline=None)
@given(VALUES)
def test_inside_the_profile_our_bytes_are_those_of_rfc_8785(value: Any) -> None:
    line = canonical(value)
    assert line == rfc8785.dumps(value)
    assert decode(line) == value


@pytest.mark.parametrize("code", range(0xA0))
def test_every_control_character_is_escaped_as_rfc_8785_says(code: int) -> None:
    assert canonical(chr(code)) == rfc8785.dumps(chr(code))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.0, "a float"),
        (math.nan, "a float"),
        (None, "null"),
        (INTEGER_MAX + 1, "beyond"),
        (-INTEGER_MAX - 1, "beyond"),
        ({"é": 1}, "ASCII"),
        ({1: 1}, "ASCII"),
        ("e\u0301", "normalization form C"),
        ("\ud800", "surrogate"),
        (b"bytes", "a bytes"),
        ([[1, {"a": [None]}]], "null"),
    ],
)
def test_outside_the_profile_is_refused(value: Any, said: str) -> None:
    with pytest.raises(ProfileError, match=said):
        canonical(value)


def test_an_error_tells_its_place() -> None:
    with pytest.raises(ProfileError) as raised:
        check_value({"a": [{"b": 1}, {"b": 1.5}]})
    assert raised.value.path == "a[1].b"


def test_nesting_is_bounded() -> None:
    value: Any = 1
    for _ in range(100):
        value = [value]
    with pytest.raises(ProfileError, match="nested"):
        check_value(value)


@given(st.integers(0, 253_402_300_799_999_999))
def test_stamps_go_there_and_back(at_us: int) -> None:
    text = format_stamp(at_us)
    Stamp().check(text)
    assert len(text) == 27
    assert parse_stamp(text) == at_us


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T03:46:16Z",
        "2026-11-21T03:46:16.065Z",
        "2026-11-21 03:46:16.065764Z",
        "2026-11-21T03:46:16.065764+00:00",
        "2026-02-30T03:46:16.065764Z",
        "2026-11-21T24:00:01.000000Z",
        "2026-11-21T03:46:60.000000Z",
        "２026-11-21T03:46:16.065764Z",
        17,
    ],
)
def test_other_forms_of_time_are_refused(text: Any) -> None:
    with pytest.raises(ProfileError):
        Stamp().check(text)
