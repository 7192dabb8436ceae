"""Descriptor sets for server reflection: services under Envoy's names with messages of ours, and gRPC's health service.

The messages live in packages of our own (`borderpost_proto`), which are wire-compatible with Envoy's; only the services
carry Envoy's names, because the method paths do. So the services are declared here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from borderpost_wire.health import ServingStatus

_Field = FieldDescriptorProto
_HEALTH = "grpc.health.v1"


class Described(NamedTuple):
    """A service of one method."""

    full_name: str
    method: str
    messages: FileDescriptor
    """The file of its messages, `…Request` and `…Response`."""
    prefix: str
    """What their names begin with."""
    streaming: bool


def descriptor_set_of(services: Iterable[Described]) -> bytes:
    """Return a serialised `google.protobuf.FileDescriptorSet`: these services, what they need, and gRPC's health."""
    declared = list(services)
    files: dict[str, FileDescriptorProto] = {}
    for each in declared:
        _add(files, each.messages)
    own = [_service(each) for each in declared]
    return FileDescriptorSet(file=[*files.values(), *own, _health()]).SerializeToString(deterministic=True)


def _add(files: dict[str, FileDescriptorProto], file: FileDescriptor) -> None:
    """Add a file behind those that it imports."""
    for imported in file.dependencies:
        _add(files, imported)
    if file.name not in files:
        files[file.name] = FileDescriptorProto()
        file.CopyToProto(files[file.name])


def _service(described: Described) -> FileDescriptorProto:
    """Declare a service under Envoy's name with messages of ours."""
    package, _, name = described.full_name.rpartition(".")
    file = FileDescriptorProto(name=f"borderpost/{name}.proto", package=package, syntax="proto3")
    messages = described.messages
    file.dependency.append(messages.name)
    declared = file.service.add(name=name).method.add(name=described.method)
    declared.input_type = "." + messages.message_types_by_name[f"{described.prefix}Request"].full_name
    declared.output_type = "." + messages.message_types_by_name[f"{described.prefix}Response"].full_name
    declared.client_streaming = declared.server_streaming = described.streaming
    return file


def _health() -> FileDescriptorProto:
    """Declare grpc/health/v1/health.proto, whose messages are coded by hand."""
    file = FileDescriptorProto(name="grpc/health/v1/health.proto", package=_HEALTH, syntax="proto3")
    request = file.message_type.add(name="HealthCheckRequest")
    request.field.add(name="service", number=1, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
    response: DescriptorProto = file.message_type.add(name="HealthCheckResponse")
    status = response.enum_type.add(name="ServingStatus")
    for each in ServingStatus:
        status.value.add(name=each.name, number=each.value)
    kind = f".{_HEALTH}.HealthCheckResponse.ServingStatus"
    response.field.add(name="status", number=1, type=_Field.TYPE_ENUM, type_name=kind, label=_Field.LABEL_OPTIONAL)
    service = file.service.add(name="Health")
    for method, streaming in (("Check", False), ("Watch", True)):
        declared = service.method.add(name=method, server_streaming=streaming)
        declared.input_type = f".{_HEALTH}.HealthCheckRequest"
        declared.output_type = f".{_HEALTH}.HealthCheckResponse"
    return file
