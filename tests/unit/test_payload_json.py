"""JSON of one meaning: whatever parsers read differently is refused, and what all read alike is read as they do."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pydantic_core
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from borderpost.facts.headers import Refused
from borderpost.payload.json_text import read_json
from borderpost.payload.texts import PARTED
from borderpost_base import limits


class Pairs(list[tuple[str, Any]]):
    """The members of an object as they stand in the text, those that stand twice included."""


def by_json(body: bytes) -> Any:
    return json.loads(body, object_pairs_hook=Pairs)


def unpaired(value: Any) -> Any:
    if isinstance(value, Pairs):
        return {key: unpaired(member) for key, member in value}
    return [unpaired(item) for item in value] if isinstance(value, list) else value


PARSERS = {
    "json": lambda body: unpaired(by_json(body)),
    "json, the first of two": lambda body: first_wins(by_json(body)),
    "orjson": orjson.loads,
    "pydantic_core": pydantic_core.from_json,
    "pydantic_core, strict": lambda body: pydantic_core.from_json(body, allow_inf_nan=False),
}


def first_wins(value: Any) -> Any:
    if isinstance(value, Pairs):
        kept: dict[str, Any] = {}
        for key, member in value:
            kept.setdefault(key, first_wins(member))
        return kept
    return [first_wins(item) for item in value] if isinstance(value, list) else value


def readings(body: bytes) -> list[str]:
    """Return what each parser makes of a body, as text in which 1 and 1.0 differ; `refused` where it takes none."""
    found = []
    for parse in PARSERS.values():
        try:
            found.append(repr(parse(body)))
        except (ValueError, RecursionError):
            found.append("refused")
    return found


def reason(body: bytes) -> str | None:
    """Return why a body is refused, None for one that is read."""
    try:
        read_json(body)
    except Refused as refused:
        assert (refused.status, refused.code) == (400, "BP1301")
        return refused.reason
    return None


REFUSED = {
    "json-duplicate-key": [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","model":"a"}',
        b'{"model":"a","\\u006dodel":"b"}',
        b'{"\\u006Dodel":"a","mod\\u0065l":"b"}',
        b'[{"x":{"":1,"":2}}]',
        b'{"a\\/b":1,"a/b":2}',
        b'{"\xf0\x9f\x98\x80":1,"\\ud83d\\ude00":2}',
        b'{"a":1,"b":{"c":1,"c":[]},"a":3}',
        b'{"a":":","a":"\\":"}',
    ],
    "json-not-utf-8": [
        b'"\xff"', b'{"model":"\xc3"}', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b"\xe9",
    ],
    "json-byte-order-mark": [
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'\xfe\xff\x00"\x00"',
    ],
    "json-malformed": [
        b"", b" ", b"{", b"[", b"]", b"[" * 100_000, b"]" * 10, b"[{" * 500,
        b'"', b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,', b'{"a":1,}', b"[1,]", b"[,1]", b"[1 2]",
        b"{'a':1}", b"{a:1}", b"{1:2}", b"{null:1}", b'{"a":1;}', b'{"a" 1}', b'{"a":1 "b":2}', b'{"a"::1}', b'{:1}',
        b'{"a":1}{"a":2}', b'{"a":1}\n{"a":2}\n', b"1 2", b"[]]", b"{}}", b"[1}", b'{"a":1]', b'"a"b', b"null null",
        b"/**/1", b"1//x", b"#x\n1", b'{"a":1/*x*/}', b"NaN", b"Infinity", b"-Infinity", b"[NaN]", b"nan", b"inf",
        b"1e999", b"-1e999", b"1e400", b"[123123e100000]", b"01", b"-01", b"-", b"+1", b"1.", b".5", b"-.5", b"1.e5",
        b"1e", b"1e+", b"0x10", b"1_000", b"1,5", b"0b1", b"\xd9\xa1", b"tru", b"True", b"NULL", b"undefined", b"none",
        b'"\n"', b'"\t"', b'"\x00"', b'"\x1f"', b'"\\x41"', b'"\\a"', b'"\\u12"', b'"\\u123g"', b'"\\U00000041"',
        b'"\\',
        b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud800\\u0041"', b'{"\\ud800":1}', b'"\\u{41}"', b"`a`", b'"""a"""',
        b"\x0c1", b"\x0b1", b"\xc2\xa01", b"\xe2\x80\xa81", b"\x001", b'{"a":1}\x00', b"1\x00", b"[1\x00]", b"\x1e1\n",
        b"\x00\x00\x00\x01", b"'", b"\\", b'\\"', b'\\"a"', b'"a"\\',
    ],
    "json-too-deep": [
        b"[" * 65 + b"]" * 65,
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b"[" * 5000 + b"]" * 5000,
        b'[{"a":' * 40 + b"1" + b"}]" * 40,
    ],
    "json-number-out-of-range": [b"18446744073709551616", b"-9223372036854775809", b"[" + b"9" * 40 + b"]"],
    "json-number-too-long": [b"1" * 65, b"0." + b"1" * 70, b"1" + b"0" * 5000, b"[-" + b"7" * 10_000 + b"]"],
    "json-too-many-values": [b"[" + b"1," * 100_001 + b"1]", b"[" + b"[]," * 70_000 + b"[]]", b'["",' * 200_001],
}  # fmt: skip


@pytest.mark.parametrize(
    ("why", "body"), [(why, body) for why, bodies in REFUSED.items() for body in bodies],
    ids=lambda value: value if isinstance(value, str) else repr(value[:24]) + str(len(value)),
)  # fmt: skip
def test_hostile_text_is_refused_for_its_reason(why: str, body: bytes) -> None:
    assert reason(body) == why


TAKEN = [
    b"{}", b"[]", b"null", b"true", b"0", b"-0", b"-1.5e-7", b'""', b' \t\r\n{ "a" : [ 1 , 2 ] } \n', b'"\\u0000"',
    b'"\x7f"', b'"\\ud83d\\ude00"', b'{"a":1,"A":2}', b'{"a":{"a":{"a":1}}}', b'"\\"\\\\\\/\\b\\f\\n\\r\\t"', b'"\\\\"',
    b'{"":0}', b'{"\\\\":"\\\\\\"","b":1}', b'{"a":"x:y","b:c":{"d":":::"}}', b"18446744073709551615",
    b"-9223372036854775808", b"1e308", b"1e-999", b"[" * 64 + b"]" * 64, b'{"a":"[[[[{{{{"}', b'"' + b"[" * 9999 + b'"',
    b'"' + b"1" * 9999 + b'"', b"0.1000000000000000055511151231257827021181583404541",
    "{\"schlüssel\":\"Straße 北京 😀\"}".encode(),
]  # fmt: skip


@pytest.mark.parametrize("body", TAKEN, ids=lambda body: repr(body[:24]) + str(len(body)))
def test_what_all_read_alike_is_read(body: bytes) -> None:
    assert repr(read_json(body).document) == repr(json.loads(body))
    assert len(set(readings(body))) == 1


def test_the_corpus_has_texts_that_parsers_really_read_differently() -> None:
    assert sum(len(set(readings(body))) > 1 for bodies in REFUSED.values() for body in bodies if len(body) < 400) >= 25


PIECES = st.lists(
    st.sampled_from(
        [b"{", b"}", b"[", b"]", b",", b":", b'"a"', b'"b"', b'"\\u0061"', b"1", b"-0", b"1.0", b"1e999", b"NaN",
         b"null", b"true", b'"', b"\\", b"\\u", b"d800", b" ", b"\n", b"\x00", b"\xff", b"\xef\xbb\xbf",
         b"99999999999999999999", b'"model"', b'"x', b"/*", b"*/", b"Infinity", b'\\"', b'"\xc3\xa9"']
    ),
    max_size=24,
).map(b"".join)  # fmt: skip

KEYS = st.sampled_from("aAb\x00é")
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.lists(st.tuples(KEYS, inner), max_size=4).map(Pairs),
    max_leaves=12,
)  # fmt: skip


def spelt(value: Any) -> str:
    """Return JSON, with keys twice where a Pairs has them."""
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(key)}:{spelt(member)}" for key, member in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(spelt, value)) + "]"
    return json.dumps(value)


@given(st.binary(max_size=60) | PIECES | JSON_VALUES.map(lambda value: spelt(value).encode()))
@example(b'{"a":1,"a":1}')
@example(b'{"a":":","b":"\\\\"}')
def test_where_parsers_differ_the_text_is_refused_and_otherwise_read_as_they_do(body: bytes) -> None:
    found = readings(body)
    if reason(body) is None:
        assert set(found) == {repr(read_json(body).document)}
    if len(set(found)) > 1:
        assert reason(body) is not None


@given(JSON_VALUES)
def test_text_that_has_one_meaning_is_taken(value: Any) -> None:
    body = spelt(value).encode()
    found = set(readings(body))
    if len(found) == 1 and found != {"refused"}:
        assert (reason(body) is None) == (not has_key_twice(value))


def has_key_twice(value: Any) -> bool:
    if isinstance(value, Pairs):
        keys = [key for key, _ in value]
        return len(set(keys)) < len(keys) or any(has_key_twice(member) for _, member in value)
    return isinstance(value, list) and any(map(has_key_twice, value))


def texts(body: bytes) -> list[str]:
    return sorted(read_json(body).texts.split(PARTED))


def test_keys_strings_and_long_whole_numbers_are_searched() -> None:
    body = b'{"k":["s",{"deep":"t"}],"n":4111111111111111,"neg":-12345678,"short":123456,"f":1.2345678,"g":1234567.00}'
    assert texts(body) == sorted(
        ["k", "s", "deep", "t", "n", "neg", "short", "f", "g", "4111111111111111", "12345678", "1234567"]
    )


def test_a_number_with_an_exponent_is_searched_as_people_write_it() -> None:
    assert texts(b"[4.111111111111111e15, 12345678e-2, 1234567.5e1, 0e99999999, 0.00000001]") == [
        "0", "12345675", "4111111111111111",
    ]  # fmt: skip


@pytest.mark.parametrize("body", [b'["' + b"\\\\" * 50_000 + b'"]', b'"' + b'\\"' * 50_000, b'\\"' * 50_000])
def test_backslashes_without_end_end(body: bytes) -> None:
    assert reason(body) in {None, "json-malformed"}


def test_bounds_are_exact() -> None:
    most = limits.JSON_VALUES_MAX
    assert reason(b"[" + b"1," * (most - 1) + b"1]") is None
    assert reason(b"[" * limits.JSON_DEPTH_MAX + b"]" * limits.JSON_DEPTH_MAX) is None
    assert reason(b"[" * (limits.JSON_DEPTH_MAX + 1) + b"]" * (limits.JSON_DEPTH_MAX + 1)) == "json-too-deep"
