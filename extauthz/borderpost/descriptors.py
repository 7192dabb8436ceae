"""What server reflection shows of a worker: Envoy's two services and gRPC's health service."""

from __future__ import annotations

from borderpost.described import Described, descriptor_set_of
from borderpost.processor import AUTHORIZATION_SERVICE, EXTERNAL_PROCESSOR_SERVICE
from borderpost_proto import ext_authz_pb2, ext_proc_pb2


def descriptor_set() -> bytes:
    """Return a serialised `google.protobuf.FileDescriptorSet`, with all that its files import."""
    process = Described(EXTERNAL_PROCESSOR_SERVICE, "Process", ext_proc_pb2.DESCRIPTOR, "Processing", True)
    check = Described(AUTHORIZATION_SERVICE, "Check", ext_authz_pb2.DESCRIPTOR, "Check", False)
    return descriptor_set_of((process, check))
