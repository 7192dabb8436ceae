"""Our messages against the real Envoy 1.40: a fresh recording, and the schema inside its binary."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from borderpost.demo.envoy_process import envoy_binary
from borderpost_proto import common_pb2 as common
from borderpost_proto import ext_authz_pb2 as authz
from borderpost_proto import ext_proc_pb2 as proc
from support.golden_reading import EXPECTED, fits, read
from support.golden_recorder import record

pytestmark = pytest.mark.blackbox

SCHEMAS = {
    "envoy/config/core/v3/address.proto": common,
    "envoy/config/core/v3/base.proto": common,
    "envoy/extensions/filters/http/ext_proc/v3/processing_mode.proto": common,
    "envoy/type/v3/http_status.proto": common,
    "google/rpc/status.proto": common,
    "envoy/service/ext_proc/v3/external_processor.proto": proc,
    "envoy/service/auth/v3/attribute_context.proto": authz,
    "envoy/service/auth/v3/external_auth.proto": authz,
}
FILE_BYTES_MAX = 256 << 10


def test_a_fresh_recording_fits_the_expectations() -> None:
    messages = record()
    assert messages.keys() == EXPECTED.keys()
    for name, message in messages.items():
        found = read(name, message)
        for key, value in EXPECTED[name].items():
            assert fits(value, found[key]), f"{name} {key}: {found[key]!r}"


def test_our_schema_is_the_one_in_envoys_binary() -> None:
    theirs = {name: shape for path in SCHEMAS for name, shape in _shapes(_embedded(path).message_type, prefix="")}
    ours = {
        name: shape
        for module in (common, proc, authz)
        for name, shape in _shapes(_own_schema(module).message_type, prefix="")
    }
    number = descriptor_pb2.FieldDescriptorProto.Type.Value
    assert theirs["HttpStatus"][1][1] == number("TYPE_ENUM")
    assert ours["HttpStatus"][1][1] == number("TYPE_INT32"), "the one exception, which has the same bytes"
    del theirs["HttpStatus"], ours["HttpStatus"]
    assert ours == {name: theirs[name] for name in ours}
    assert "ProcessingResponse.TypedDynamicMetadataEntry" in ours


def _own_schema(module: Any) -> descriptor_pb2.FileDescriptorProto:
    schema = descriptor_pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(schema)
    return schema


def _shapes(messages: Any, *, prefix: str) -> Iterator[tuple[str, dict[int, tuple[Any, ...]]]]:
    """Yield each message's name and its fields by number; type names without their packages."""
    for each in messages:
        name = prefix + each.name
        yield (
            name,
            {
                field.number: (
                    field.name,
                    field.type,
                    field.label,
                    field.type_name.rpartition(".")[2],
                    each.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None,
                    field.options.deprecated,
                )
                for field in each.field
            },
        )
        yield from _shapes(each.nested_type, prefix=name + ".")


def _embedded(path: str) -> descriptor_pb2.FileDescriptorProto:
    """Find a serialised FileDescriptorProto in the binary: it begins with field 1, its path."""
    key = b"\x0a" + bytes((len(path),)) + path.encode()
    with envoy_binary().open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as binary:
        at = binary.find(key)
        while at >= 0:
            found = _longest_schema(binary[at : at + FILE_BYTES_MAX])
            if found is not None:
                return found
            at = binary.find(key, at + 1)
    raise AssertionError(f"{path} is not in the binary")


def _longest_schema(data: bytes) -> descriptor_pb2.FileDescriptorProto | None:
    """Read field after field as long as it can be one of a FileDescriptorProto; None if it has no message."""
    schema = descriptor_pb2.FileDescriptorProto()
    position = 0
    seen_syntax = False
    while not seen_syntax:
        end = _field_end(data, position)
        if end is None:
            break
        seen_syntax = data[position] == 0x62  # field 12, `syntax`, is the last one that is written
        try:
            schema.MergeFromString(data[position:end])
        except DecodeError:
            break
        position = end
    return schema if seen_syntax and schema.message_type else None


def _field_end(data: bytes, position: int) -> int | None:
    """Return where a length-delimited or varint field with a one-byte tag ends, None for anything else."""
    if position + 1 >= len(data) or data[position] & 7 not in (0, 2):
        return None
    value, shift, end = 0, 0, position + 1
    while end < len(data):
        value |= (data[end] & 0x7F) << shift
        shift += 7
        end += 1
        if data[end - 1] < 0x80:
            return end + value if data[position] & 7 == 2 else end
    return None
