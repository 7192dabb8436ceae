"""What server reflection shows: Envoy's two services and gRPC's health service, as a static descriptor set.

The messages of the first two live in a package of our own (`borderpost_proto`), which is wire-compatible with
Envoy's; only the services carry Envoy's names, because the method paths do. So the services are declared here.
"""

from __future__ import annotations

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from borderpost.processor import AUTHORIZATION_SERVICE, EXTERNAL_PROCESSOR_SERVICE
from borderpost_proto import ext_authz_pb2, ext_proc_pb2
from borderpost_wire.health import ServingStatus

_Field = FieldDescriptorProto
_HEALTH = "grpc.health.v1"


def descriptor_set() -> bytes:
    """Return a serialised `google.protobuf.FileDescriptorSet`, with all that its files import."""
    files: dict[str, FileDescriptorProto] = {}
    for module in (ext_proc_pb2, ext_authz_pb2):
        _add(files, module.DESCRIPTOR)
    process = _service(EXTERNAL_PROCESSOR_SERVICE, "Process", ext_proc_pb2.DESCRIPTOR, "Processing", streaming=True)
    check = _service(AUTHORIZATION_SERVICE, "Check", ext_authz_pb2.DESCRIPTOR, "Check", streaming=False)
    return FileDescriptorSet(file=[*files.values(), process, check, _health()]).SerializeToString(deterministic=True)


def _add(files: dict[str, FileDescriptorProto], file: FileDescriptor) -> None:
    """Add a file behind those that it imports."""
    for imported in file.dependencies:
        _add(files, imported)
    if file.name not in files:
        files[file.name] = FileDescriptorProto()
        file.CopyToProto(files[file.name])


def _service(
    full_name: str, method: str, messages: FileDescriptor, prefix: str, *, streaming: bool
) -> FileDescriptorProto:
    """Declare a service under Envoy's name with `…Request` and `…Response` of a file of ours."""
    package, _, name = full_name.rpartition(".")
    file = FileDescriptorProto(name=f"borderpost/{name}.proto", package=package, syntax="proto3")
    file.dependency.append(messages.name)
    declared = file.service.add(name=name).method.add(name=method)
    declared.input_type = "." + messages.message_types_by_name[f"{prefix}Request"].full_name
    declared.output_type = "." + messages.message_types_by_name[f"{prefix}Response"].full_name
    declared.client_streaming = declared.server_streaming = streaming
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
