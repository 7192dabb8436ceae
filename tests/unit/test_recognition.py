"""Recognition by bytes: it may only ever conflate requests that differ in nothing the law looks at."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost.audit.prepared import PreparedRecord
from borderpost.audit.profile import encode
from borderpost.audit.record import digest_of, parse
from borderpost.decision_record import request_field
from borderpost.policy.schema import TokenSource
from borderpost.recognition import Recogniser
from borderpost.requests import ProcessReader, Reading
from borderpost_proto import ext_proc_pb2 as proc
from support.audit import lines_of
from support.worker_parts import BRITISH, FakeCall, until, worker_parts

READING = Reading(
    frozenset({"x-data-class", "x-data-residency", "x-model", "x-purpose", "x-tenant"}),
    TokenSource(issuers=("https://a.example/",)),
)
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
MARKERS = (b"\x0a\x0cx-request-id\x1a", b"\x0a\x0btraceparent\x1a", b"\x0a\x0esource.address\x12")


def question(
    headers: list[tuple[str, bytes]],
    address: str = "192.0.2.1:4711",
    extra: dict[str, str] | None = None,
    claims: dict[str, str] | None = None,
) -> bytes:
    request = proc.ProcessingRequest()
    request.request_headers.SetInParent()
    for key, value in headers:
        header = request.request_headers.headers.headers.add()
        header.key, header.raw_value = key, value
    request.attributes["envoy.filters.http.ext_proc"].update({"source.address": address, **(extra or {})})
    if claims is not None:
        token = request.metadata_context.filter_metadata["envoy.filters.http.jwt_authn"]
        token.update({"payload": claims})
    return request.SerializeToString(deterministic=True)


def same_law(first: bytes, second: bytes) -> bool:
    """Say whether two messages read to the same raw request but for an address of the same place."""
    reader = ProcessReader()
    (one, _), (two, _) = (reader.read(reader.parse(message), READING) for message in (first, second))
    places = [place_of(raw.address.rpartition(":")[0].encode()) for raw in (one, two)]
    same_place = one.address == two.address or (places[0] is not None and places[0] == places[1])
    return same_place and one[1:] == two[1:]


def place_of(host: bytes) -> int | None:
    """As the GeoIP database does: a number for well-formed hosts, one for each first octet."""
    if host == b"[2001:db8::1]":
        return 6
    if not re.fullmatch(rb"[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+", host):
        return None
    return 1000 + int(host.split(b".")[0])


def learn(recogniser: Recogniser[bytes], message: bytes) -> bytes:
    """Have a message remembered after parsing it, as the processor does; return it."""
    parsed = ProcessReader().parse(message)
    raw, _ = ProcessReader().read(parsed, READING)
    recogniser.remember(message, parsed, raw.address, place_of, message)
    return message


def recorded(message: bytes) -> bytes:
    """Return the `req` field that the careful way gives."""
    _, identity = ProcessReader().read(ProcessReader().parse(message), READING)
    return request_field(identity)


def test_a_message_that_differs_in_id_trace_and_port_only_is_recognised() -> None:
    recogniser: Recogniser[bytes] = Recogniser(10)
    headers = [("x-request-id", b"6f1c2d3e-aaaa"), ("x-data-class", b"health"), ("traceparent", TRACE)]
    first = learn(recogniser, question(headers))
    other_trace = TRACE.replace(b"4bf9", b"5bf9").replace(b"00f0", b"01f0")
    other = question([("x-request-id", b"00000000-bbbb"), headers[1], ("traceparent", other_trace)], "192.0.2.1:5822")
    assert recogniser.find(other, place_of) == (first, recorded(other))
    assert b"5bf9" in recorded(other)
    recogniser.forget()
    assert recogniser.find(other, place_of) is None
    assert recogniser.find(learn(recogniser, other), place_of) is not None


@pytest.mark.parametrize(
    "changed",
    [
        question([("x-request-id", b"a"), ("x-data-class", b"public")]),
        question([("x-request-id", b"a"), ("x-data-class", b"healtj")]),
        question([("x-request-id", b"a"), ("x-data-class", b"health"), ("x-data-class", b"public")]),
        question([("x-request-id", b"a"), ("x-data-class", b"health")], "193.0.2.1:4711"),
        question([("x-request-id", b"a"), ("x-data-class", b"health")], "192.0.2.1.4711"),
        question([("x-request-id", b"a"), ("x-data-class", b"health")], "192.0.2.1:4:11"),
        question([("x-request-id", b"a"), ("x-data-class", b"health")], "192.0:2.1:4711"),
        question([("x-request-id", b"a"), ("x-data-class", b"health")], "[92.0.2.1]4711"),
        question([("x-request-id", b"a"), ("x-data-class", b"health")], "[2001:db8::1]:4711"),
        question([("x-request-id", b"a"), ("x-data-class", b"health")], extra={"xds.route_name": "other"}),
        question([("x-data-class", b"health")]),
        question([("x-request-id", b"a"), ("x-request-id", b"b"), ("x-data-class", b"health")]),
        question([("x-request-id", b"!"), ("x-data-class", b"health")]),
        question([("x-request-id", b"a"), ("x-data-class", b"health")], claims={"iss": "https://a.example/"}),
        question([("x-request-id", b"a"), ("x-data-class", b"health"), ("x-purpose", b"care")]),
    ],
)
def test_whatever_may_change_the_law_or_is_unusual_is_parsed(changed: bytes) -> None:
    recogniser: Recogniser[bytes] = Recogniser(10)
    first = learn(recogniser, question([("x-request-id", b"a"), ("x-data-class", b"health")]))
    assert recogniser.find(first, place_of) is not None
    assert recogniser.find(changed, place_of) is None


def test_a_message_with_a_digest_is_never_recognised() -> None:
    """Its value is in the record, and is another one each time."""
    recogniser: Recogniser[bytes] = Recogniser(8)
    message = learn(recogniser, question([("x-request-id", b"6f1c-1"), ("content-digest", b"sha-256=:AAAA:")]))
    assert recogniser.find(message, place_of) is None
    assert recorded(message) == b'{"digest":"sha-256=:AAAA:","id":"6f1c-1"}'


@pytest.mark.parametrize("address", ["[192.0.2.1:4711", "[::1", "::1:4711", "[::1]4711"])
def test_of_an_address_that_is_none_nothing_is_cut_out(address: str) -> None:
    recogniser: Recogniser[bytes] = Recogniser(10)
    learn(recogniser, question([], address))
    assert recogniser.find(question([], address), place_of) is None
    assert recogniser.find(question([], address[:-1] + "2"), place_of) is None


@pytest.mark.parametrize("other", [{"iss": "https://b.example/"}, {"iss": "https://a.example/", "residency": "FR"}])
def test_a_token_of_another_issuer_or_claim_is_another_message(other: dict[str, str]) -> None:
    recogniser: Recogniser[bytes] = Recogniser(10)
    claims = {"iss": "https://a.example/", **dict.fromkeys(other.keys() - {"iss"}, "DE")}
    first = learn(recogniser, question([("x-request-id", b"a")], claims=claims))
    assert recogniser.find(first, place_of) is not None
    changed = question([("x-request-id", b"a")], claims={**claims, **other})
    assert len(changed) == len(first)
    assert recogniser.find(changed, place_of) is None


def test_shapes_of_the_same_lengths_are_kept_side_by_side() -> None:
    recogniser: Recogniser[bytes] = Recogniser(10)
    one = learn(recogniser, question([("x-request-id", b"a"), ("x-data-class", b"health")]))
    two = learn(recogniser, question([("x-data-class", b"health"), ("x-request-id", b"a")]))
    assert len(one) == len(two)
    assert recogniser.find(one, place_of) == (one, b'{"id":"a"}')
    assert recogniser.find(two, place_of) == (two, b'{"id":"a"}')


def test_memory_is_bounded_whatever_comes() -> None:
    recogniser: Recogniser[bytes] = Recogniser(100)
    for number in range(1000):
        learn(recogniser, question([("x-data-class", b"x" * number)]))
    assert len(recogniser) <= 100


_value = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(MARKERS),
    st.builds(
        lambda marker, rest: marker + bytes([len(rest)]) + rest, st.sampled_from(MARKERS), st.binary(max_size=20)
    ),
)
_header = st.tuples(
    st.sampled_from(["x-request-id", "traceparent", "x-data-class", "x-data-residency", "x-purpose", "other"]), _value
)
_question = st.builds(
    question,
    st.lists(_header, max_size=4),
    st.sampled_from(["192.0.2.1:1", "192.0.2.1:65535", "192.0.2.2:1", "[2001:db8::1]:9", "", "nonsense"]),
    st.dictionaries(
        st.sampled_from(["xds.route_name", "zz"]), st.sampled_from(["a", "source.address", "b"]), max_size=2
    ),
    st.none()
    | st.dictionaries(
        st.sampled_from(["iss", "residency", "tenant"]),
        st.sampled_from(["https://a.example/", "https://b.example/", "DE", "x-request-id"]),
        max_size=2,
    ),
)


@given(st.lists(_question, min_size=2, max_size=6))
def test_messages_taken_for_one_another_have_one_law_even_with_markers_in_their_values(messages: list[bytes]) -> None:
    recogniser: Recogniser[bytes] = Recogniser(100)
    for message in messages:
        found = recogniser.find(message, place_of)
        if found is None:
            learn(recogniser, message)
        else:
            assert same_law(message, found[0])


@given(_question, st.integers(0), st.binary(min_size=1, max_size=8))
def test_no_change_of_bytes_that_goes_unnoticed_changes_the_law(message: bytes, at: int, new: bytes) -> None:
    """Overwrite some bytes: a message that is still recognised has the law of the first and its own identity."""
    recogniser: Recogniser[bytes] = Recogniser(100)
    learn(recogniser, message)
    at %= len(message)
    changed = (message[:at] + new)[: len(message)] + message[at + len(new) :]
    found = recogniser.find(changed, place_of)
    if found is not None:
        assert same_law(changed, message)
        assert found[1] == recorded(changed)


@given(st.integers(0, 99_999), st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8), st.uuids())
def test_usual_values_are_recognised_and_recorded_as_the_careful_way_does(
    port: int, trace: bytes, span: bytes, identity: UUID
) -> None:
    def asked(identity: str, trace: bytes, span: bytes, port: int) -> bytes:
        parent = b"00-%b-%b-01" % (trace.hex().encode(), span.hex().encode())
        headers = [("x-request-id", identity.encode()), ("traceparent", parent)]
        return question(headers, f"192.0.2.1:{port:05}")

    recogniser: Recogniser[bytes] = Recogniser(100)
    first = learn(recogniser, asked("6f1c2d3e-1111-4222-8333-0123456789ab", b"t" * 16, b"s" * 8, 1))
    message = asked(str(identity), trace, span, port)
    found = recogniser.find(message, place_of)
    if any(trace) and any(span):
        assert found == (first, recorded(message))
    else:
        assert found is None


@given(st.binary(max_size=300), _question)
def test_any_bytes_are_recognised_or_left_alone(message: bytes, known: bytes) -> None:
    recogniser: Recogniser[bytes] = Recogniser(10)
    learn(recogniser, known)
    found = recogniser.find(message, place_of)
    assert found is None or same_law(message, known)


@pytest.mark.parametrize(
    ("request_id", "trace"),
    [
        (b"6f1c2d3e-1111-4222-8333-0123456789ab", TRACE),
        (b"6F1C", None),
        (None, TRACE),
        (None, None),
    ],
)
def test_what_is_absent_is_absent_in_the_record(request_id: bytes | None, trace: bytes | None) -> None:
    recogniser: Recogniser[bytes] = Recogniser(10)
    headers = [(name, value) for name, value in (("x-request-id", request_id), ("traceparent", trace)) if value]
    message = learn(recogniser, question(headers))
    assert recogniser.find(message, place_of) == (message, recorded(message))


def test_a_prepared_record_is_byte_for_byte_the_encoded_one() -> None:
    fixed = {"via": "ext_proc", "model": "100% é", "v": 1, "type": "decision", "epoch": "0" * 20, "seed": "00"}
    own = {"mono_us": 5, "nonce": "n", "prev": "p", "req": {"id": "a"}, "seq": 7, "ts": "t"}
    prepared = PreparedRecord(fixed, epoch="0" * 20)
    line, digest = prepared.fill(5, b"n", b"p", b'{"id":"a"}', 7, b"t")
    assert line == encode({**fixed, **own})
    assert digest.decode() == digest_of(line)
    assert len(line) <= prepared.bytes_max
    with pytest.raises(ValueError, match="one request"):
        PreparedRecord({**fixed, "seq": 1}, epoch="0" * 20)


def test_a_recognised_request_is_recorded_and_answered_like_the_first(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_parts(tmp_path) as parts:
            calls = []
            for number in range(3):
                headers = [("x-request-id", b"%036x" % number), ("x-data-class", b"personal"), ("traceparent", TRACE)]
                message = question(headers, f"{BRITISH}:{4000 + number}")
                calls.append(await parts.ask(message, FakeCall()))
            await until(lambda: all(call.answered for call in calls))
            assert {call.cluster for call in calls} == {"eu-1"}
            found = [parse(line) for line in lines_of(parts.audit)]  # parse checks schema and canonical form
            decisions = [record for record in found if record["type"] == "decision"]
            assert [record["req"]["id"] for record in decisions] == [f"{number:036x}" for number in range(3)]
            assert {record["req"]["trace"] for record in decisions} == {TRACE[3:35].decode()}
            own = [
                {k: v for k, v in r.items() if k not in {"req", "seq", "prev", "nonce", "ts", "mono_us"}}
                for r in decisions
            ]
            assert own[0] == own[1] == own[2]

    asyncio.run(main())
