"""What a server answers with: response heads, and statuses in trailers or alone. All of it is made once."""

from __future__ import annotations

import functools
import re
from typing import Final

from borderpost_wire.h2 import ResponseHead, Trailers
from borderpost_wire.hpack import encode_fields
from borderpost_wire.service import StatusCode

TEXT_BYTES_MAX = 1024
"""Longest grpc-message, as coded; what is longer is cut."""

_START = ((b":status", b"200"), (b"content-type", b"application/grpc"))
_TO_ESCAPE = re.compile(rb"[^\x20-\x24\x26-\x7e]")

HEAD: Final = ResponseHead(encode_fields(_START))
"""What every response with a message begins with."""
OK_TRAILERS: Final = Trailers(encode_fields([(b"grpc-status", b"0")]))
"""What ends a call that went well."""


@functools.lru_cache(maxsize=256)
def trailers(status: StatusCode, text: str) -> bytes:
    """Return the block that ends a response which has begun."""
    return encode_fields(_status_fields(status, text))


@functools.lru_cache(maxsize=256)
def trailers_only(status: StatusCode, text: str) -> bytes:
    """Return the block that is a whole response (Trailers-Only)."""
    return encode_fields((*_START, *_status_fields(status, text)))


@functools.lru_cache(maxsize=16)
def plain_head(http_status: int) -> bytes:
    """Return the head of an answer to what is not gRPC."""
    allow = ((b"allow", b"POST"),) if http_status == 405 else ()
    return encode_fields(((b":status", b"%d" % http_status), (b"content-type", b"text/plain"), *allow))


PLAIN_BODY: Final = b"This is a gRPC server: it takes POST with content-type application/grpc.\n"


def _status_fields(status: StatusCode, text: str) -> tuple[tuple[bytes, bytes], ...]:
    fields = ((b"grpc-status", b"%d" % status), (b"grpc-message", _percent_encoded(text)))
    if status is StatusCode.UNIMPLEMENTED:
        # What a client that compressed needs to know (grpc/doc/compression.md).
        return (*fields, (b"grpc-accept-encoding", b"identity"))
    return fields


def _percent_encoded(text: str) -> bytes:
    """Return a text as grpc-message carries it: UTF-8, all but printable ASCII as %XX."""
    coded = _TO_ESCAPE.sub(lambda found: b"%%%02X" % found[0][0], text.encode("utf-8", "replace"))
    if len(coded) <= TEXT_BYTES_MAX:
        return coded
    return re.sub(rb"%[0-9A-F]?\Z", b"", coded[:TEXT_BYTES_MAX])
