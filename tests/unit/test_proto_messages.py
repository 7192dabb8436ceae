"""Our messages on the wire: Envoy's recorded bytes read to the right values, ours read alike by the oracle."""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor, json_format, message
from hypothesis import given
from hypothesis import strategies as st

from borderpost_proto import common_pb2 as common
from borderpost_proto import ext_authz_pb2 as authz
from borderpost_proto import ext_proc_pb2 as proc
from support.envoy_oracle import core, envoy_type, ext_proc_filter, rpc
from support.envoy_oracle import ext_authz as oracle_authz
from support.envoy_oracle import ext_proc as oracle_proc
from support.golden_reading import EXPECTED, GOLDEN, fits, read

ROOT = Path(__file__).parents[2]


def recorded(name: str) -> bytes:
    return (GOLDEN / f"{name}.bin").read_bytes()


@pytest.mark.parametrize("name", EXPECTED)
def test_recorded_bytes_read_to_the_right_values(name: str) -> None:
    found = read(name, recorded(name))
    for key, value in EXPECTED[name].items():
        assert fits(value, found[key]), f"{key}: {found[key]!r}"
    assert found.keys() == EXPECTED[name].keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_nothing_in_the_recorded_bytes_is_unknown_to_us(name: str) -> None:
    """Unknown fields survive in a message; a message without them has lost something if it is smaller."""
    kind = proc.ProcessingRequest if name.startswith("ext_proc") else authz.CheckRequest
    parsed = kind.FromString(recorded(name))
    assert len(parsed.SerializeToString()) == len(recorded(name))
    parsed.DiscardUnknownFields()
    assert len(parsed.SerializeToString()) == len(recorded(name))


@pytest.mark.parametrize("name", EXPECTED)
def test_the_oracle_reads_the_recorded_bytes_alike(name: str) -> None:
    kind = proc.ProcessingRequest if name.startswith("ext_proc") else authz.CheckRequest
    oracle = oracle_proc.ProcessingRequest if name.startswith("ext_proc") else oracle_authz.CheckRequest
    assert kind.FromString(bytes(oracle.parse(recorded(name)))) == kind.FromString(recorded(name))


def test_fits_tells_a_difference() -> None:
    expected = EXPECTED["ext_proc"]
    found = read("ext_proc", recorded("ext_proc"))
    assert fits(expected, found)
    for change in ("phase", "headers", "attributes", "metadata"):
        changed = copy.deepcopy(found)
        changed[change] = type(found[change])()
        assert not fits(expected, changed)
    assert not fits("a*", "b") and not fits(None, "") and not fits([1.0], [1.0, 2.0]) and not fits(1.0, True)


def test_repeated_header_is_two_lines() -> None:
    request = proc.ProcessingRequest.FromString(recorded("ext_proc"))
    lines = [each.raw_value for each in request.request_headers.headers.headers if each.key == "x-twice"]
    assert lines == [b"one", b"two"]


names = st.from_regex(r"x-borderpost-[a-z]{1,20}", fullmatch=True)
values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40)
texts = st.text(max_size=40)
metadata = st.dictionaries(
    texts, st.one_of(texts, st.booleans(), st.floats(allow_nan=False, allow_infinity=False)), max_size=4
)
codes = st.sampled_from([200, 400, 403, 429, 451, 503])
actions = st.sampled_from(common.HeaderValueOption.HeaderAppendAction.values())


@st.composite
def options(draw: st.DrawFn, *, raw: bool) -> common.HeaderValueOption:
    option = common.HeaderValueOption(append_action=draw(actions), keep_empty_value=draw(st.booleans()))
    option.header.key = draw(names)
    if raw:
        option.header.raw_value = draw(st.binary(max_size=40))
    else:
        option.header.value = draw(values)
    if draw(st.booleans()):
        option.append.value = draw(st.booleans())
    return option


@st.composite
def routing_answers(draw: st.DrawFn) -> proc.ProcessingResponse:
    answer = proc.ProcessingResponse()
    common_response = answer.request_headers.response
    common_response.clear_route_cache = draw(st.booleans())
    common_response.header_mutation.set_headers.extend(draw(st.lists(options(raw=True), max_size=3)))
    common_response.header_mutation.remove_headers.extend(draw(st.lists(names, max_size=2)))
    answer.dynamic_metadata.update({"borderpost": draw(metadata)})
    if draw(st.booleans()):
        answer.mode_override.response_header_mode = common.ProcessingMode.SKIP
    return answer


@st.composite
def immediate_answers(draw: st.DrawFn) -> proc.ProcessingResponse:
    answer = proc.ProcessingResponse()
    immediate = answer.immediate_response
    immediate.status.code = draw(codes)
    immediate.headers.set_headers.extend(draw(st.lists(options(raw=True), max_size=3)))
    immediate.body = draw(st.binary(max_size=100))
    immediate.details = draw(texts)
    if draw(st.booleans()):
        immediate.grpc_status.status = draw(st.integers(0, 16))
    return answer


@st.composite
def check_answers(draw: st.DrawFn) -> authz.CheckResponse:
    answer = authz.CheckResponse()
    answer.dynamic_metadata.update(draw(metadata))
    if draw(st.booleans()):
        answer.ok_response.headers.extend(draw(st.lists(options(raw=False), max_size=3)))
        answer.ok_response.headers_to_remove.extend(draw(st.lists(names, max_size=2)))
        answer.ok_response.response_headers_to_add.extend(draw(st.lists(options(raw=False), max_size=2)))
    else:
        answer.status.code = draw(st.integers(1, 16))
        answer.status.message = draw(texts)
        answer.denied_response.status.code = draw(codes)
        answer.denied_response.headers.extend(draw(st.lists(options(raw=False), max_size=3)))
        answer.denied_response.body = draw(texts)
    return answer


def alike(ours: Any, theirs: Any) -> bool:
    """Compare field by field what we meant with what the oracle read."""
    if isinstance(ours, message.Message):
        if ours.DESCRIPTOR.full_name == "google.protobuf.BoolValue":
            return theirs is not None and bool(ours.value == theirs)  # type: ignore[attr-defined]
        if ours.DESCRIPTOR.full_name == "google.protobuf.Struct":
            if theirs is None:
                return not ours.ListFields()
            return bool(json_format.MessageToDict(ours) == theirs.to_dict())
        fields: Sequence[Any] = ours.DESCRIPTOR.fields
        return all(_field_alike(ours, field, getattr(theirs, field.name)) for field in fields)
    return bool(ours == theirs)


def _field_alike(ours: message.Message, field: Any, theirs: Any) -> bool:
    value = getattr(ours, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return len(value) == len(theirs)
    if field.is_repeated:
        return len(value) == len(theirs) and all(alike(*pair) for pair in zip(value, theirs, strict=True))
    if field.has_presence and not ours.HasField(field.name):
        return theirs is None
    return alike(value, theirs)


@pytest.mark.filterwarnings("ignore:HeaderValueOption.append is deprecated:DeprecationWarning")
@given(st.one_of(routing_answers(), immediate_answers()))
def test_the_oracle_reads_our_ext_proc_answers_alike(answer: proc.ProcessingResponse) -> None:
    theirs = oracle_proc.ProcessingResponse.parse(answer.SerializeToString())
    phase = answer.WhichOneof("response")
    assert phase is not None
    assert alike(getattr(answer, phase), getattr(theirs, phase))
    assert (theirs.dynamic_metadata is not None) == answer.HasField("dynamic_metadata")
    if theirs.dynamic_metadata is not None:
        assert json_format.MessageToDict(answer.dynamic_metadata) == theirs.dynamic_metadata.to_dict()
    assert proc.ProcessingResponse.FromString(bytes(theirs)) == answer


@pytest.mark.filterwarnings("ignore:HeaderValueOption.append is deprecated:DeprecationWarning")
@given(check_answers())
def test_the_oracle_reads_our_ext_authz_answers_alike(answer: authz.CheckResponse) -> None:
    theirs = oracle_authz.CheckResponse.parse(answer.SerializeToString())
    kind = answer.WhichOneof("http_response")
    assert kind is not None
    assert alike(getattr(answer, kind), getattr(theirs, kind))
    assert alike(answer.dynamic_metadata, theirs.dynamic_metadata)
    assert authz.CheckResponse.FromString(bytes(theirs)) == answer


ORACLES = (core, oracle_proc, oracle_authz, ext_proc_filter, envoy_type, rpc)
NEWER_THAN_THE_ORACLE = {
    "FlowControlInit",
    "ClientWindowUpdate",
    "ServerWindowUpdate",
    "ProcessingRequest.flow_control_init",
    "ProcessingRequest.client_window_update",
    "ProcessingResponse.server_window_update",
    "ProcessingResponse.typed_dynamic_metadata",
    "ProcessingResponse.request_drain_requests",
    "ProcessingResponse.request_drain_responses",
    "HttpBody.drain_complete",
    "StreamedBodyResponse.drain_complete",
}
"""Of Envoy 1.40 and not yet in the oracle; compared with the binary's own schema in the black-box tests."""


def our_messages() -> Iterator[Any]:
    pending: list[Any] = [
        each for module in (common, proc, authz) for each in module.DESCRIPTOR.message_types_by_name.values()
    ]
    while pending:
        each = pending.pop()
        if not each.GetOptions().map_entry:
            yield each
            pending.extend(each.nested_types)


def oracle_of(name: str) -> Any:
    """Return the oracle's class: nested names are joined there."""
    for module in ORACLES:
        for spelt in (name, f"AttributeContext{name}", "AttributeContextTlsSession" if name == "TLSSession" else ""):
            if spelt and hasattr(module, spelt):
                return getattr(module, spelt)
    raise LookupError(name)


def test_numbers_and_types_are_the_oracles() -> None:
    lacking: set[str] = set()
    for ours in our_messages():
        if ours.name in NEWER_THAN_THE_ORACLE:
            lacking.add(ours.name)
            continue
        theirs = {field.name: field.metadata["betterproto"] for field in dataclasses.fields(oracle_of(ours.name))}
        for field in ours.fields:
            name = f"{ours.name}.{field.name}"
            if field.name not in theirs:
                lacking.add(name)
                continue
            their = theirs[field.name]
            assert field.number == their.number, name
            is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
            kind = "map" if is_map else FIELD_TYPES[field.type]
            assert kind == their.proto_type or (name == "HttpStatus.code" and their.proto_type == "enum"), name
            oneof = field.containing_oneof.name if field.containing_oneof is not None else None
            assert oneof == their.group, name
    assert lacking == NEWER_THAN_THE_ORACLE


FIELD_TYPES = {
    descriptor.FieldDescriptor.TYPE_BOOL: "bool",
    descriptor.FieldDescriptor.TYPE_BYTES: "bytes",
    descriptor.FieldDescriptor.TYPE_ENUM: "enum",
    descriptor.FieldDescriptor.TYPE_INT32: "int32",
    descriptor.FieldDescriptor.TYPE_INT64: "int64",
    descriptor.FieldDescriptor.TYPE_MESSAGE: "message",
    descriptor.FieldDescriptor.TYPE_STRING: "string",
    descriptor.FieldDescriptor.TYPE_UINT32: "uint32",
}


def test_field_11_is_the_streamed_immediate_response() -> None:
    """Published schemas disagree on it; the number is Envoy 1.40's."""
    fields = proc.ProcessingResponse.DESCRIPTOR.fields_by_number
    assert fields[11].name == "streamed_immediate_response"
    assert fields[12].name == "request_drain"


@pytest.mark.parametrize("junk", [b"\xff", b"\x12\x05a", b"\x0a\x01"])
def test_junk_is_an_error(junk: bytes) -> None:
    with pytest.raises(message.DecodeError):
        proc.ProcessingRequest.FromString(junk)


def test_our_names_are_our_own() -> None:
    """Nothing of ours is registered under Envoy's or Google's names, so other copies load beside ours."""
    for module in (common, proc, authz):
        assert module.DESCRIPTOR.name.startswith("borderpost_proto/")
        assert module.DESCRIPTOR.package.startswith("borderpost.")


def test_generated_files_are_current() -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "generate_proto.py"), "--check"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
