"""Recognition by bytes: it may only ever conflate requests that differ in nothing the law looks at."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost.audit.prepared import PreparedRecord
from borderpost.audit.profile import encode
from borderpost.audit.record import parse
from borderpost.decision_record import request_field
from borderpost.facts import read_identity
from borderpost.recognition import cut, proves, usual_request
from borderpost.requests import ProcessReader, Reading
from borderpost_proto import ext_proc_pb2 as proc
from support.audit import lines_of
from support.worker_parts import BRITISH, FakeCall, until, worker_parts

READING = Reading(frozenset({"x-data-class", "x-data-residency", "x-model", "x-tenant"}), None)
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
MARKERS = (b"\x0a\x0cx-request-id\x1a", b"\x0a\x0btraceparent\x1a", b"\x0a\x0esource.address\x12")


def question(
    headers: list[tuple[str, bytes]], address: str = "192.0.2.1:4711", extra: dict[str, str] | None = None
) -> bytes:
    request = proc.ProcessingRequest()
    request.request_headers.SetInParent()
    for key, value in headers:
        header = request.request_headers.headers.headers.add()
        header.key, header.raw_value = key, value
    request.attributes["envoy.filters.http.ext_proc"].update({"source.address": address, **(extra or {})})
    return request.SerializeToString(deterministic=True)


def same_law(first: bytes, second: bytes) -> bool:
    """Say whether two messages read to the same raw request but for the port of the address."""
    reader = ProcessReader()
    (one, _), (two, _) = (reader.read(reader.parse(message), READING) for message in (first, second))
    return (one.address.rpartition(":")[0], *one[1:]) == (two.address.rpartition(":")[0], *two[1:])


def test_what_is_cut_out_is_what_the_parser_finds_and_the_rest_is_the_key() -> None:
    headers = [("x-request-id", b"6f1c2d3e-aaaa"), ("x-data-class", b"health"), ("traceparent", TRACE)]
    first = question(headers)
    taken = cut(first)
    assert taken is not None
    assert (taken.request_id, taken.traceparent, taken.address) == (b"6f1c2d3e-aaaa", TRACE, b"192.0.2.1:4711")
    other = cut(question([("x-request-id", b"00000000-bbbb"), *headers[1:]], "192.0.2.1:5822"))
    assert other is not None
    assert other.key == taken.key
    question_parsed = ProcessReader().parse(first)
    assert proves(first, taken, question_parsed, "192.0.2.1:4711")


@pytest.mark.parametrize(
    "changed",
    [
        question([("x-request-id", b"a"), ("x-data-class", b"public")]),
        question([("x-request-id", b"a"), ("x-data-class", b"health"), ("x-data-class", b"public")]),
        question([("x-request-id", b"a"), ("x-data-class", b"health")], "192.0.2.2:4711"),
        question([("x-request-id", b"a"), ("x-data-class", b"health")], "[2001:db8::1]:4711"),
        question([("x-request-id", b"a"), ("x-data-class", b"health")], extra={"xds.route_name": "other"}),
        question([("x-data-class", b"health")]),
        question([("x-request-id", b"a"), ("x-request-id", b"b"), ("x-data-class", b"health")]),
    ],
)
def test_whatever_may_change_the_law_changes_the_key(changed: bytes) -> None:
    taken = cut(question([("x-request-id", b"a"), ("x-data-class", b"health")]))
    other = cut(changed)
    assert taken is not None
    assert other is None or other.key != taken.key


_value = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(MARKERS),
    st.builds(
        lambda marker, rest: marker + bytes([len(rest)]) + rest, st.sampled_from(MARKERS), st.binary(max_size=20)
    ),
)
_header = st.tuples(
    st.sampled_from(["x-request-id", "traceparent", "x-data-class", "x-data-residency", "other"]), _value
)
_question = st.builds(
    question,
    st.lists(_header, max_size=4),
    st.sampled_from(["192.0.2.1:1", "192.0.2.1:65535", "192.0.2.2:1", "[2001:db8::1]:9", "", "nonsense"]),
    st.dictionaries(
        st.sampled_from(["xds.route_name", "zz"]), st.sampled_from(["a", "source.address", "b"]), max_size=2
    ),
)


@given(st.lists(_question, min_size=2, max_size=6))
def test_messages_with_one_remembered_key_have_one_law_even_with_markers_in_their_values(messages: list[bytes]) -> None:
    remembered: dict[tuple[bytes, ...], bytes] = {}
    for message in messages:
        taken = cut(message)
        if taken is None:
            continue
        if taken.key in remembered:
            assert same_law(message, remembered[taken.key])
            continue
        parsed = ProcessReader().parse(message)
        raw, _ = ProcessReader().read(parsed, READING)
        if proves(message, taken, parsed, raw.address):
            remembered[taken.key] = message


@given(_question, st.binary(min_size=1, max_size=60), st.binary(min_size=1, max_size=60))
def test_replacing_the_cut_out_values_never_changes_the_law(message: bytes, request_id: bytes, trace: bytes) -> None:
    """Replace what was cut out by other values of the same length: the key stays, and so must the law."""
    taken = cut(message)
    if taken is None:
        return
    parsed = ProcessReader().parse(message)
    raw, _ = ProcessReader().read(parsed, READING)
    if not proves(message, taken, parsed, raw.address):
        return
    other = message
    for old, new in ((taken.request_id, request_id), (taken.traceparent, trace)):
        if old:
            marker = MARKERS[0] if old is taken.request_id else MARKERS[1]
            at = other.find(marker) + len(marker) + 1
            filled = (new * len(old))[: len(old)]
            other = other[:at] + filled + other[at + len(old) :]
    again = cut(other)
    if again is not None and again.key == taken.key:
        assert same_law(message, other)


@given(st.binary(max_size=300))
def test_any_bytes_are_taken_apart_or_left_alone(message: bytes) -> None:
    cut(message)


@pytest.mark.parametrize(
    ("request_id", "trace"),
    [
        (b"6f1c2d3e-1111-4222-8333-0123456789ab", TRACE),
        (b"6F1C", None),
        (None, TRACE),
        (None, None),
    ],
)
def test_the_usual_identity_reads_as_the_careful_one_does(request_id: bytes | None, trace: bytes | None) -> None:
    headers = [(name, value) for name, value in (("x-request-id", request_id), ("traceparent", trace)) if value]
    taken = cut(question(headers))
    assert taken is not None
    identity = read_identity([request_id] if request_id else [], [trace] if trace else [])
    assert usual_request(taken) == request_field(identity)


@given(st.one_of(st.none(), st.binary(max_size=60)), st.one_of(st.none(), st.binary(max_size=60), st.just(TRACE)))
def test_an_identity_is_usual_only_if_the_careful_reading_agrees(request_id: bytes | None, trace: bytes | None) -> None:
    headers = [(n, v) for n, v in (("x-request-id", request_id), ("traceparent", trace)) if v is not None]
    taken = cut(question(headers))
    if taken is None or (taken.request_id, taken.traceparent) != (request_id, trace):
        return
    usual = usual_request(taken)
    if usual is not None:
        careful = read_identity([request_id] if request_id is not None else [], [trace] if trace is not None else [])
        assert usual == request_field(careful)


def test_a_prepared_record_is_byte_for_byte_the_encoded_one() -> None:
    fixed = {"via": "ext_proc", "model": "100% é", "v": 1, "type": "decision", "epoch": "0" * 20, "seed": "00"}
    own = {"mono_us": 5, "nonce": "n", "prev": "p", "req": {"id": "a"}, "seq": 7, "ts": "t"}
    prepared = PreparedRecord(fixed, epoch="0" * 20)
    line = prepared.fill(mono_us=5, nonce=b"n", prev=b"p", request=b'{"id":"a"}', seq=7, ts=b"t")
    assert line == encode({**fixed, **own})
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
