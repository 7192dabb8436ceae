"""What server reflection shows of a limiter: Envoy's rate-limit service and gRPC's health service."""

from __future__ import annotations

from borderpost.described import Described, descriptor_set_of
from borderpost_proto import rate_limit_pb2
from borderpost_ratelimit.service import RATE_LIMIT_SERVICE


def descriptor_set() -> bytes:
    """Return a serialised `google.protobuf.FileDescriptorSet`, with all that its files import."""
    asked = Described(RATE_LIMIT_SERVICE, "ShouldRateLimit", rate_limit_pb2.DESCRIPTOR, "RateLimit", False)
    return descriptor_set_of((asked,))
