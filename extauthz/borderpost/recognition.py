"""Recognising a request by its bytes: most differ from an earlier one in three values that no law looks at.

An ext_proc question is the same message each time for the same client, headers and route, but for the request id, the
trace and the port of the client's address. `cut` takes these three out of the bytes without parsing them; what is
left is a key under which the decision for the first such message is remembered.

Why this is sound, whatever a client sends. A key is only ever put in by `proves`, after the message has been parsed
in full: each marker then stands in it at most once, and what was cut out is what the parser found in that header or
attribute. A later message with the same key has the same bytes up to each cut, the length prefixes of everything
around it included, so it parses to the same structure, and the cut-out values of the same kinds stand in the same
places. Two messages with one key can differ in those values only.
"""

from __future__ import annotations

from typing import NamedTuple

from borderpost_proto import ext_proc_pb2 as proc

_ID = b"\x0a\x0cx-request-id\x1a"
"""HeaderValue{key: "x-request-id", raw_value: …} up to the length of the value."""
_TRACE = b"\x0a\x0btraceparent\x1a"
_ADDRESS = b"\x0a\x0esource.address\x12"
"""A Struct entry with that key, up to the length of its value."""
_STRING_VALUE = 0x1A
_ONE_BYTE_LENGTH_MAX = 127
_ID_CHARACTERS = b"0123456789abcdefABCDEF-"
_HEX = b"0123456789abcdef"
_HYPHEN = 0x2D
_NO_TRACE = b"0" * 32
_NO_PARENT = b"0" * 16


class Cut(NamedTuple):
    """A message taken apart."""

    key: tuple[bytes, ...]
    """All bytes that may change the law; the client's host is one of them."""
    request_id: bytes | None
    """Value of the first `x-request-id`; None if there is none."""
    traceparent: bytes | None
    address: bytes
    """Value of `source.address`, with its port."""


def cut(message: bytes) -> Cut | None:
    """Take a ProcessingRequest apart; None for one that is not of the usual shape, which is no error."""
    at = message.find(_ADDRESS)
    if at < 0:
        return None
    start = at + len(_ADDRESS) + 3
    try:
        if message[start - 2] != _STRING_VALUE or message[start - 1] > _ONE_BYTE_LENGTH_MAX:
            return None
        end = start + message[start - 1]
        address = message[start:end]
        colon = address.rfind(b":")
        tail = (address[:colon], message[end:]) if colon >= 0 else (address, message[end:])
        id_at, trace_at = message.find(_ID, 0, at), message.find(_TRACE, 0, at)
        request_id = traceparent = None
        id_end = trace_end = 0
        if id_at >= 0:
            id_at += len(_ID) + 1
            id_end = id_at + message[id_at - 1]
            request_id = message[id_at:id_end]
        if trace_at >= 0:
            trace_at += len(_TRACE) + 1
            trace_end = trace_at + message[trace_at - 1]
            traceparent = message[trace_at:trace_end]
    except IndexError:
        return None
    if max(id_end, trace_end) > at:
        return None
    if request_id is None and traceparent is None:
        key: tuple[bytes, ...] = (message[:start], *tail)
    elif traceparent is None:
        key = (message[:id_at], message[id_end:start], *tail)
    elif request_id is None:
        key = (message[:trace_at], message[trace_end:start], *tail)
    elif id_at < trace_at:
        key = (message[:id_at], message[id_end:trace_at], message[trace_end:start], *tail)
    else:
        key = (message[:trace_at], message[trace_end:id_at], message[id_end:start], *tail)
    return Cut(key, request_id, traceparent, address)


def proves(message: bytes, taken: Cut, question: proc.ProcessingRequest, address: str) -> bool:
    """Say whether what was cut out is what the parser found, so that the key may be remembered.

    `address` is the parsed `source.address`.
    """
    if message.count(_ID) > 1 or message.count(_TRACE) > 1 or message.count(_ADDRESS) != 1:
        return False
    found: dict[str, list[bytes]] = {"x-request-id": [], "traceparent": []}
    for header in question.request_headers.headers.headers:
        if header.key in found:
            found[header.key].append(header.raw_value)
    return (
        found["x-request-id"] == ([] if taken.request_id is None else [taken.request_id])
        and found["traceparent"] == ([] if taken.traceparent is None else [taken.traceparent])
        and all(len(value) <= _ONE_BYTE_LENGTH_MAX for values in found.values() for value in values)
        and address.encode() == taken.address
    )


def usual_request(taken: Cut) -> bytes | None:
    """Return the canonical JSON of a record's `req` for an id and a trace of the usual form; None for others.

    The usual id is what Envoy and everybody else writes: hex digits and hyphens. The usual trace is version 00 of
    W3C Trace Context, section 3.2. Others are not wrong; `facts.read_identity` judges them.
    """
    request_id, traceparent = taken.request_id, taken.traceparent
    if request_id is not None and (not request_id or request_id.translate(None, _ID_CHARACTERS)):
        return None
    if traceparent is None:
        return b"{}" if request_id is None else b'{"id":"%b"}' % request_id
    trace = traceparent[3:35]
    if (
        len(traceparent) != 55
        or not traceparent.startswith(b"00-")
        or traceparent[35] != _HYPHEN
        or traceparent[52] != _HYPHEN
        or (trace + traceparent[36:52] + traceparent[53:]).translate(None, _HEX)
        or trace == _NO_TRACE
        or traceparent[36:52] == _NO_PARENT
    ):
        return None
    if request_id is None:
        return b'{"trace":"%b"}' % trace
    return b'{"id":"%b","trace":"%b"}' % (request_id, trace)
