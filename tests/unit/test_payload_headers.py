"""What headers say of a body: its form, and its digest; malformed ones are refused, never read leniently."""

from __future__ import annotations

import base64
import hashlib

import http_sfv
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from borderpost.facts.headers import Refused
from borderpost.payload.content import Form, form_of
from borderpost.payload.digests import check_digest
from borderpost.payload.model import DigestOutcome

BODY = b'{"hello": "world"}\n'
SHA_256 = b"sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
"""Of this body, as appendix B.1 of RFC 9530 has it."""


def digest(algorithm: str, body: bytes = BODY) -> bytes:
    value = base64.b64encode(hashlib.new(algorithm.replace("-", ""), body).digest())
    return b"%b=:%b:" % (algorithm.encode(), value)


def refusal(*lines: bytes, body: bytes = BODY, name: str = "content-digest") -> tuple[int, str, str]:
    with pytest.raises(Refused) as caught:
        check_digest(name, lines, body)
    return caught.value.status, caught.value.code, caught.value.reason


def form(*content_types: bytes, encodings: tuple[bytes, ...] = (), ranges: tuple[bytes, ...] = ()) -> tuple[Form, str]:
    return form_of(content_types, encodings, ranges)


@pytest.mark.parametrize(
    "content_type",
    [b"application/json", b"Application/JSON", b"application/json;charset=utf-8", b'application/json; Charset="UTF-8"',
     b"application/json ; charset=utf-8", b"application/problem+json", b"application/vnd.api+json;profile=x",
     b"application/json;", b'application/json; a="b;c\\"d"', b'application/json;charset="\\utf-8"'],
)  # fmt: skip
def test_json_is_read(content_type: bytes) -> None:
    assert form(content_type) == (Form.JSON, "")


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (b"text/plain", (Form.PLAIN, "content-type-not-read")),
        (b"text/json", (Form.PLAIN, "content-type-not-read")),
        (b"application/jsonp", (Form.PLAIN, "content-type-not-read")),
        (b"application/x-ndjson", (Form.PLAIN, "content-type-not-read")),
        (b"application/json-seq", (Form.PLAIN, "content-type-not-read")),
        (b"application/xml+json+xml", (Form.PLAIN, "content-type-not-read")),
        (b"application/+json", (Form.PLAIN, "content-type-not-read")),
        (b"multipart/form-data; boundary=json", (Form.PLAIN, "content-type-not-read")),
        (b'multipart/form-data; boundary="application/json"', (Form.PLAIN, "content-type-not-read")),
        (b"application/x-www-form-urlencoded", (Form.PLAIN, "content-type-not-read")),
        (b"application/x-protobuf", (Form.PLAIN, "content-type-not-read")),
        (b"application/json; charset=utf-16", (Form.ENCODED, "charset-not-read")),
        (b"application/json; charset=utf8", (Form.ENCODED, "charset-not-read")),
        (b'application/json; charset=""', (Form.ENCODED, "charset-not-read")),
    ],
)
def test_other_types_are_not_read(content_type: bytes, expected: tuple[Form, str]) -> None:
    assert form(content_type) == expected


@pytest.mark.parametrize(
    "lines",
    [(b"",), (b"json",), (b"application/json, text/plain",), (b"application/json", b"application/json"),
     (b"application/json", b"text/plain"), (b"application/json; charset=utf-8; charset=utf-16",),
     (b"application/json; charset = utf-8",), (b"application /json",), (b"application/json; charset",),
     (b'application/json; a="b',), (b"application/json\xff",), (b"application/json\x00",), (b" application/json",),
     (b"application/json;" + b"a" * 300,), (b"*/*;q=1,",), (b"a/b" + b"; " * 120 + b"@",),
     (b"multipart/form-data; boundary=application/json",), (b"application/json/x",)],
)  # fmt: skip
def test_a_type_that_could_be_read_in_two_ways_is_refused(lines: tuple[bytes, ...]) -> None:
    with pytest.raises(Refused) as caught:
        form(*lines)
    assert (caught.value.status, caught.value.code, caught.value.reason) == (400, "BP1302", "content-type-malformed")


@pytest.mark.parametrize(
    "encodings",
    [(b"gzip",), (b"br",), (b"deflate",), (b"zstd",), (b"x-gzip",), (b"gzip, br",), (b"identity, gzip",),
     (b"aes128gcm",), (b"identity", b"gzip"), (b"GZIP",), (b"gzip", b"gzip"), (b"identity2",)],
)  # fmt: skip
def test_an_encoded_body_is_not_read(encodings: tuple[bytes, ...]) -> None:
    assert form(b"application/json", encodings=encodings) == (Form.ENCODED, "content-encoding-not-read")


@pytest.mark.parametrize("encodings", [(b"identity",), (b"Identity",), (b"identity, identity",), (b" identity ",)])
def test_identity_is_no_encoding(encodings: tuple[bytes, ...]) -> None:
    assert form(b"application/json", encodings=encodings) == (Form.JSON, "")


@pytest.mark.parametrize("line", [b"", b",", b"gzip,", b",gzip", b"gzip br", b"gzip;q=1", b"\xff", b"identity\x00"])
def test_a_malformed_encoding_is_refused(line: bytes) -> None:
    with pytest.raises(Refused, match="content-encoding-malformed"):
        form(b"application/json", encodings=(line,))


def test_a_part_of_a_representation_and_a_body_of_no_type_are_not_read() -> None:
    assert form(b"application/json", ranges=(b"bytes 0-1/2",)) == (Form.ENCODED, "content-range-not-read")
    assert form() == (Form.PLAIN, "content-type-absent")


def test_the_digest_of_the_rfc_is_verified() -> None:
    assert check_digest("content-digest", [SHA_256], BODY) is DigestOutcome.VERIFIED


@pytest.mark.parametrize(
    "lines",
    [
        [digest("sha-512")],
        [digest("sha-256") + b", " + digest("sha-512")],
        [digest("sha-256"), digest("sha-512")],
        [digest("sha-256") + b",\t" + b"md5=:AAAA:"],
        [b"unixsum=:AAAA:", digest("sha-512")],
    ],
)
def test_all_that_is_known_is_verified(lines: list[bytes]) -> None:
    assert check_digest("content-digest", lines, BODY) is DigestOutcome.VERIFIED


def test_absent_and_unknown_digests_prove_nothing() -> None:
    assert check_digest("content-digest", [], BODY) is DigestOutcome.ABSENT
    assert check_digest("content-digest", [b"md5=:AAAA:, sha=:AAAA:"], BODY) is DigestOutcome.NOT_VERIFIED
    assert check_digest("content-digest", [b"sha-1024=::"], BODY) is DigestOutcome.NOT_VERIFIED


def test_a_digest_of_more_than_the_body_is_not_held_against_it() -> None:
    assert check_digest("repr-digest", [digest("sha-256", b"x")], BODY, whole=False) is DigestOutcome.NOT_VERIFIED


@pytest.mark.parametrize(
    "line",
    [digest("sha-256", b"x"), digest("sha-512", b"x"), digest("sha-256") + b"," + digest("sha-512", b"x"),
     b"sha-256=::", b"sha-256=:AAAA:", digest("sha-512").replace(b"512", b"256")],
)  # fmt: skip
def test_one_wrong_digest_is_enough_to_refuse(line: bytes) -> None:
    assert refusal(line) == (400, "BP1304", "content-digest-mismatch")
    assert refusal(line, name="repr-digest") == (400, "BP1304", "repr-digest-mismatch")


@pytest.mark.parametrize(
    "lines",
    [[b""], [SHA_256 + b", "], [b"," + SHA_256], [SHA_256, b""], [SHA_256, SHA_256], [SHA_256 + b", " + SHA_256],
     [SHA_256 + b";p=1"], [b"sha-256"], [b"sha-256=1"], [b"sha-256=RK/0"], [b'sha-256="RK/0"'], [b"SHA-256=:AAAA:"],
     [b"sha-256=:AAA:"], [b"sha-256=:AAAB=:"], [b"sha-256=:AA A=:"], [b"sha-256=:AB==:"], [b"sha-256=:AA-_:"],
     [b"sha-256=:A==A:"], [b"sha-256=:AAAA"], [b"sha-256 = :AAAA:"], [b"256=:AAAA:"], [b"sha-256=:AAAA::"],
     [b"sha-256=:\xff:"], [SHA_256 + b"\x00"], [b"sha-256=:" + b"A" * 2000 + b":"], [b"\t" + SHA_256],
     [b"sha-256=(:AAAA:)"]],
)  # fmt: skip
def test_a_malformed_digest_is_refused(lines: list[bytes]) -> None:
    assert refusal(*lines) == (400, "BP1303", "content-digest-malformed")


MEMBERS = st.lists(
    st.sampled_from(
        [
            "sha-256",
            "sha-512",
            "md5",
            "=",
            ":",
            ",",
            " ",
            "\t",
            ";",
            "a",
            "*",
            "AAAA",
            "AA==",
            "AAA=",
            "AB==",
            "?1",
            '"',
        ]
    ),
    max_size=14,
).map("".join)


@given(MEMBERS | st.text("ab-*=:,; A/+9", max_size=20))
@example("sha-256=:AAAA:,md5=::")
@example("sha-256=:AAAA:;a")
def test_what_is_accepted_a_kept_parser_of_structured_fields_reads_alike(text: str) -> None:
    try:
        outcome = check_digest("content-digest", [text.encode()], BODY, whole=False)
    except Refused as refused:
        assert refused.reason == "content-digest-malformed"
        return
    assert outcome is DigestOutcome.NOT_VERIFIED
    fields = http_sfv.Dictionary()
    fields.parse(text.encode())
    assert fields
    assert all(isinstance(member.value, bytes) and not member.params for member in fields.values())
    assert text.count(":") == 2 * len(fields)
