"""Reading a body as a whole: what is read, what is assumed, what is refused, and that nothing of it stays."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost.payload.detectors.known import DETECTORS, DetectorSettings, make_detectors
from borderpost.payload.model import DigestOutcome, Finding, Payload, PayloadSpec, Unreadable
from borderpost.payload.pointer import parse_pointer
from borderpost.payload.reading import read_payload
from borderpost.payload.texts import Text
from borderpost_base.errors import ERRORS, BorderpostError

KEY = b"sixteen bytes or more"
DEFAULTS = ("cards", "ibans", "national-ids", "phones", "email")
SPEC = PayloadSpec(
    key=KEY,
    body_bytes_max=4096,
    model=parse_pointer("/model"),
    data_class=parse_pointer("/metadata/data_class"),
    detectors=make_detectors(DetectorSettings(name, f"has-{name}") for name in DEFAULTS),
)
JSON = ("content-type", b"application/json")
CARD = "4111 1111 1111 1111"


def read(body: bytes, *headers: tuple[str, bytes], **changes: Any) -> Payload | Unreadable:
    return read_payload(headers, body, replace(SPEC, **changes))


def payload(body: bytes | dict[str, Any], *headers: tuple[str, bytes], **changes: Any) -> Payload:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = read(raw, *(headers or (JSON,)), **changes)
    assert isinstance(found, Payload), found
    return found


def refused(body: bytes | dict[str, Any], *headers: tuple[str, bytes], **changes: Any) -> tuple[int, str, str]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = read(raw, *(headers or (JSON,)), **changes)
    assert isinstance(found, Unreadable), found
    assert found.code in ERRORS
    return found.status, found.code, found.reason


def test_a_body_says_its_model_and_its_class() -> None:
    raw = b'{"model": "llama-3", "metadata": {"data_class": ["health", "personal", "health"]}}'
    found = payload(raw)
    assert found == Payload(
        size_bytes=len(raw),
        body_hash=hmac.new(KEY, raw, hashlib.sha256).hexdigest(),
        model="llama-3",
        declared=("health", "personal"),
    )
    assert found.data_classes == ("health", "personal")


def test_the_hash_is_of_the_body_as_received_and_of_the_key() -> None:
    first = payload(b'{"model":"a"}').body_hash
    assert first != payload(b'{"model": "a"}').body_hash
    assert first != payload(b'{"model":"a"}', key=KEY + b"2").body_hash
    assert first == payload(b'{"model":"a"}').body_hash


def test_what_is_not_named_is_not_read() -> None:
    raw = {"model": "llama", "metadata": {"data_class": "health"}}
    assert payload(raw, model=None, data_class=None, detectors=()).data_classes == ()
    assert payload(raw, model=None).model is None
    assert payload({"model": ["not", "a", "name"]}, model=None).model is None


def test_absent_is_no_declaration() -> None:
    found = payload({"messages": []})
    assert (found.model, found.declared, found.unread) == (None, (), None)


@pytest.mark.parametrize(
    "model",
    [None, "", " llama", "llama 3", "a,b", 1, True, ["llama"], {"name": "llama"}, "x" * 129, "é", "a\nb", "a\0"],
)
def test_a_model_that_is_no_name_is_refused(model: Any) -> None:
    assert refused({"model": model}) == (400, "BP1307", "body-model-malformed")


@pytest.mark.parametrize(
    "data_class",
    [
        None,
        "",
        "Health",
        "health ",
        "a,b",
        3,
        False,
        [],
        {},
        [["health"]],
        ["health", None],
        ["health", ""],
        ["h"] * 17,
    ],
)
def test_a_class_that_is_no_identifier_is_refused(data_class: Any) -> None:
    assert refused({"metadata": {"data_class": data_class}}) == (400, "BP1307", "body-data-class-malformed")


def test_a_key_that_looks_like_a_declared_one_is_refused() -> None:
    assert refused({"Model": "small"}) == (400, "BP1301", "json-lookalike-key")
    assert refused({"metadata": {"DATA_CLASS": "public"}}) == (400, "BP1301", "json-lookalike-key")
    assert refused({"metadata": {}, "Metadata": {"data_class": "public"}}) == (400, "BP1301", "json-lookalike-key")


@pytest.mark.parametrize("headers", [(), (JSON,), (("content-encoding", b"gzip"),), (("content-type", b"?"),)])
def test_an_empty_body_says_nothing(headers: tuple[tuple[str, bytes], ...]) -> None:
    found = read(b"", *headers)
    assert found == Payload(size_bytes=0, body_hash=hmac.new(KEY, b"", hashlib.sha256).hexdigest())


def test_bounds_are_exact() -> None:
    assert payload(b'"' + b"a" * 4094 + b'"').size_bytes == 4096
    beyond = read(b'"' + b"a" * 4095 + b'"', JSON)
    assert beyond == Unreadable(413, "BP1306", "body-too-long", 4097, None)
    assert read(b"x" * 4097, assumed=("health",)) == replace(beyond, size_bytes=4097)


UNREAD = [
    ((), "content-type-absent"),
    ((("content-type", b"text/plain"),), "content-type-not-read"),
    ((("content-type", b"multipart/form-data; boundary=b"),), "content-type-not-read"),
    ((("content-type", b"application/x-www-form-urlencoded"),), "content-type-not-read"),
    ((JSON, ("content-encoding", b"gzip")), "content-encoding-not-read"),
    ((JSON, ("content-encoding", b"identity"), ("content-encoding", b"br")), "content-encoding-not-read"),
    ((JSON, ("content-range", b"bytes 0-9/10")), "content-range-not-read"),
    ((("content-type", b"application/json; charset=latin1"),), "charset-not-read"),
]


@pytest.mark.parametrize(("headers", "why"), UNREAD)
def test_a_form_that_is_not_read_is_refused_or_assumed(headers: tuple[tuple[str, bytes], ...], why: str) -> None:
    raw = b'{"model":"llama"}'
    told = read(raw, *headers)
    assert isinstance(told, Unreadable)
    assert (told.status, told.code, told.reason) == (415, "BP1305", why)
    assert told.body_hash == hmac.new(KEY, raw, hashlib.sha256).hexdigest()
    found = read(raw, *headers, assumed=("health", "personal"))
    assert isinstance(found, Payload)
    assert (found.model, found.declared, found.assumed, found.unread) == (None, (), ("health", "personal"), why)


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ((JSON,), b'{"model":"a","model":"b"}', "BP1301"),
        ((JSON,), b"not json", "BP1301"),
        ((JSON, JSON), b"{}", "BP1302"),
        ((JSON, ("content-encoding", b"")), b"{}", "BP1302"),
        ((JSON, ("content-digest", b"sha-256")), b"{}", "BP1303"),
        ((JSON, ("content-digest", b"sha-256=:AAAA:")), b"{}", "BP1304"),
        ((("content-type", b"text/plain"), ("repr-digest", b"sha-512=:AAAA:")), b"{}", "BP1304"),
        ((JSON,), b'{"model":null}', "BP1307"),
    ],
)
def test_what_is_wrong_is_refused_even_where_other_forms_are_assumed(
    headers: tuple[tuple[str, bytes], ...], body: bytes, code: str
) -> None:
    assert refused(body, *headers, assumed=("health",))[1] == code


@pytest.mark.parametrize(
    "body",
    [f"card={CARD}", "card=4111%201111%201111%201111", "card=4111+1111+1111+1111", f"--b\r\n\r\n{CARD}\r\n--b--\r\n"],
)
def test_what_is_not_json_is_searched_as_it_stands(body: str) -> None:
    found = payload(body.encode(), ("content-type", b"application/x-www-form-urlencoded"), assumed=("health",))
    assert found.found == (Finding("cards", "has-cards"),)
    assert found.data_classes == ("has-cards", "health")


def test_an_encoded_body_is_not_searched() -> None:
    found = payload(CARD.encode(), ("content-type", b"text/plain"), ("content-encoding", b"gzip"), assumed=("health",))
    assert found.data_classes == ("health",)


def test_digests_are_verified() -> None:
    value = b"sha-256=:" + base64.b64encode(hashlib.sha256(b"{}").digest()) + b":"
    found = payload(b"{}", JSON, ("content-digest", value), ("repr-digest", value))
    assert (found.content_digest, found.repr_digest) == (DigestOutcome.VERIFIED, DigestOutcome.VERIFIED)
    part = payload(
        b"{}", JSON, ("content-digest", value), ("repr-digest", b"sha-256=:AAAA:"), ("content-range", b"bytes 0-1/9"),
        assumed=("health",),
    )  # fmt: skip
    assert (part.content_digest, part.repr_digest) == (DigestOutcome.VERIFIED, DigestOutcome.NOT_VERIFIED)
    empty = b"sha-256=:" + base64.b64encode(hashlib.sha256(b"").digest()) + b":"
    assert payload(b"", ("content-digest", empty)).content_digest is DigestOutcome.VERIFIED
    assert refused(b"", ("content-digest", value)) == (400, "BP1304", "content-digest-mismatch")


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": f"my card is {CARD}, thanks"}]},
        {"messages": [{"content": [{"type": "text", "text": CARD}]}]},
        {CARD: 1},
        {"card": 4111111111111111},
        {"card": 4111111111111111.0},
        {"card": -4111111111111111},
        {"tool": json.dumps({"arguments": json.dumps({"card": CARD})})},
        [[[[CARD]]]],
        CARD,
    ],
)
def test_a_card_is_found_wherever_it_stands(body: Any) -> None:
    assert payload(body).data_classes == ("has-cards",)


def test_escapes_hide_nothing() -> None:
    escaped = "".join(f"\\u{ord(character):04x}" for character in CARD)
    assert payload(f'{{"a":"{escaped}"}}'.encode()).data_classes == ("has-cards",)


def test_two_values_are_not_one_number() -> None:
    assert payload({"a": "4111 1111", "b": "1111 1111"}).data_classes == ()


def test_what_is_found_is_not_kept() -> None:
    found = payload({"model": "llama", "text": f"{CARD}, mail jane@example.org, DE89370400440532013000"})
    assert {each.detector for each in found.found} == {"cards", "ibans", "email"}
    assert not any(piece in repr(found) for piece in ("4111", "jane", "0532"))


@dataclass(frozen=True)
class Broken:
    """A detector with a fault."""

    name: str = "broken"
    data_class: str = "strict"

    def finds(self, text: Text) -> bool:
        raise RuntimeError(f"did not expect {text.text}")


def test_a_detector_that_fails_counts_as_one_that_finds() -> None:
    found = payload({"a": "b"}, detectors=(Broken(), *SPEC.detectors))
    assert found.found == (Finding("broken", "strict", failed=True),)
    assert found.data_classes == ("strict",)


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["content-type", "content-encoding", "content-digest", "repr-digest", "content-range", "x"]),
        st.sampled_from(
            [b"application/json", b"application/json; charset=utf-8", b"text/plain", b"gzip", b"identity", b"", b"\xff",
             b"sha-256=:AAAA:", b"md5=:AAAA:", b"bytes 0-1/2"]
        )
        | st.binary(max_size=12),
    ),
    max_size=4,
)  # fmt: skip
TEXTS = st.text(max_size=20) | st.sampled_from([CARD, "DE89370400440532013000", "jane@example.org", "+49 30 901820"])
BODIES = (
    st.binary(max_size=80)
    | st.dictionaries(TEXTS, TEXTS | st.integers() | st.lists(TEXTS, max_size=3), max_size=4).map(
        lambda value: json.dumps(value).encode()
    )
    | st.lists(st.sampled_from([b"{", b"}", b'"model"', b":", b",", b'"a"', b"[", b"]", b"1", b'"']), max_size=16).map(
        b"".join
    )
)  # fmt: skip


@given(HEADERS | st.just([JSON]), BODIES, st.sampled_from([None, ("health",)]))
def test_nothing_that_is_sent_raises_and_detectors_never_weaken(
    headers: list[tuple[str, bytes]], body: bytes, assumed: tuple[str, ...] | None
) -> None:
    with_detectors = read(body, *headers, assumed=assumed)
    without = read(body, *headers, assumed=assumed, detectors=())
    if isinstance(without, Unreadable):
        assert with_detectors == without
        return
    assert isinstance(with_detectors, Payload)
    assert set(with_detectors.data_classes) >= set(without.data_classes)
    assert replace(with_detectors, found=()) == without
    assert not any(found.failed for found in with_detectors.found)


@given(st.text(max_size=40), st.sampled_from(DEFAULTS))
def test_more_text_never_takes_a_finding_away(text: str, name: str) -> None:
    sample = {
        "cards": CARD, "ibans": "DE89370400440532013000", "national-ids": "36574261809", "phones": "+49 30 901820",
        "email": "jane@example.org",
    }[name]  # fmt: skip
    found = payload({"one": sample, "two": text})
    assert name in {each.detector for each in found.found}


def test_libraries_of_detectors_are_loaded_only_with_their_detector() -> None:
    program = (
        "import sys\n"
        "import borderpost.payload.reading, borderpost.payload.detectors.known as known\n"
        "heavy = {'stdnum', 'phonenumbers', 'presidio_analyzer', 'spacy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "known.make_detectors([known.DetectorSettings('email', 'personal')])\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "known.make_detectors([known.DetectorSettings('cards', 'payment')])\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split("\n")[:3]) == (0, ["[]", "[]", "['stdnum']"]), done.stderr


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        (DetectorSettings("card", "x"), "BP1310", "did you mean `cards`?"),
        (DetectorSettings("zzz", "x"), "BP1310", "one of `cards`"),
        (DetectorSettings("cards", "x", ("visa",)), "BP1310", "leave `only` out"),
        (DetectorSettings("national-ids", "x", ("de.idn",)), "BP1310", "did you mean `de.idnr`?"),
        (DetectorSettings("national-ids", "x", ("12345",)), "BP1310", "one of be.bis"),
        (DetectorSettings("phones", "x", ("de",)), "BP1310", "did you mean `DE`?"),
        (DetectorSettings("phones", "x", ("12345",)), "BP1310", "such as `DE`"),
    ],
)
def test_a_detector_that_is_not_known_is_told(settings: DetectorSettings, code: str, words: str) -> None:
    with pytest.raises(BorderpostError) as caught:
        make_detectors([settings])
    assert caught.value.code == code
    assert words in caught.value.mend


@pytest.mark.parametrize("name", [name for name, kind in DETECTORS.items() if kind.extra])
def test_a_library_that_is_not_installed_is_told_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = DETECTORS[name]
    for module in [*sys.modules]:
        if module == kind.module or module.split(".")[0] in {"stdnum", "phonenumbers", "presidio_analyzer"}:
            monkeypatch.delitem(sys.modules, module)
    for module in ("stdnum", "phonenumbers", "presidio_analyzer"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BorderpostError) as caught:
        make_detectors([DetectorSettings(name, "x")])
    assert caught.value.code == "BP1309"
    assert caught.value.mend == f"pip install 'borderpost[{kind.extra}]'"
