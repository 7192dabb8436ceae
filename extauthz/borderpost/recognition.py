"""Recognising a request by its bytes: most differ from an earlier one in values that no law looks at.

An ext_proc question is the same message each time for the same headers and route, but for the request id, the trace,
the span and the client's address. A `Recogniser` learns, from a message that has been parsed in full, where these
stand (its *shape*), and what was made of it. Of a later message that could have the same shape the values are cut
out; what is left, together with what is known of the place of the client's host, is a key, and a key that was seen
before needs no parsing: of the address, the law sees that answer (the place, and whether it is believed) and nothing
else.

Why this is sound, whatever a client sends. A shape and a key come only from `_shape_of`, after the message has been
parsed: each cut range then lies inside a value that the parser found, and each marker stands in the message once. A
later message of the same length with the same key has the same bytes everywhere else, the length prefixes of
everything around the cuts included, so it parses to the same structure with the cut values in the same places.
Two messages with one key can differ in those values only, and these are checked for every message: what is not of
the usual form is parsed like a message never seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

from borderpost_base import limits
from borderpost_base.memo import Remembered
from borderpost_proto import ext_proc_pb2 as proc

K = TypeVar("K")

_ID: Final = b"\x0a\x0cx-request-id\x1a"
"""HeaderValue{key: "x-request-id", raw_value: …} up to the length of the value."""
_TRACE: Final = b"\x0a\x0btraceparent\x1a"
_DIGEST: Final = "content-digest"
_ADDRESS: Final = b"\x0a\x0esource.address\x12"
"""A Struct entry with that key, up to the length of its value."""
_STRING_VALUE: Final = 0x1A
_ONE_BYTE_LENGTH_MAX: Final = 127
_ID_CHARACTERS: Final = b"0123456789abcdefABCDEF-"
_HEX: Final = b"0123456789abcdef"
_HYPHEN: Final = 0x2D
_NO_TRACE: Final = b"0" * 32
_NO_PARENT: Final = b"0" * 16
_SHAPES_MAX: Final = 4
"""Shapes kept for messages of one length whose headers have one length; in practice there is one."""
_LENGTHS_MAX: Final = 4096
"""Pairs of lengths for which shapes are kept."""

_Lengths = tuple[int, bytes]
"""A message's length and its first bytes: its type and, of a usual one, the length of its headers."""
_Key = tuple[bytes, bytes, bytes, bytes, bytes, bytes, int]
"""What is left of a message without the cuts, and the number of the host's place."""
PlaceOf = Callable[[bytes], int | None]
"""Numbers what is known of a host's place (`Locator.place_number`); None where a host must be looked at."""


class _Shape(NamedTuple):
    """Where the cuts stand in a message, in order of place; one that is absent is empty."""

    begin_1: int
    end_1: int
    begin_2: int
    end_2: int
    begin_3: int
    end_3: int
    begin_host: int
    end_host: int
    begin_port: int
    end_port: int
    id_first: bool
    """The cuts are id, trace, span; otherwise trace, span, id."""
    has_id: bool
    has_trace: bool


class Recogniser(Generic[K]):
    """Remembers what was made of messages, by their bytes. Bounded: a flood of distinct ones pushes old ones out."""

    def __init__(self, messages_max: int) -> None:
        self._shapes: dict[_Lengths, tuple[_Shape, ...]] = {}
        self._known: Remembered[_Key, K] = Remembered(messages_max)

    def __len__(self) -> int:
        return len(self._known)

    def find(self, message: bytes, place_of: PlaceOf) -> tuple[K, bytes] | None:
        """Return what is known of such a message, and its record's `req` as canonical JSON.

        None where it must be parsed.
        """
        shapes = self._shapes.get((len(message), message[:4]))
        if shapes is None:
            return None
        for a, b, c, d, e, f, g, h, i, j, id_first, has_id, has_trace in shapes:
            place = place_of(message[g:h])
            if place is None:
                continue
            key = (message[:a], message[b:c], message[d:e], message[f:g], message[h:i], message[j:], place)
            known = self._known.recent.get(key) or self._known.get(key)
            if known is None:
                continue
            if id_first:
                request_id, trace, span = message[a:b], message[c:d], message[e:f]
            else:
                trace, span, request_id = message[a:b], message[c:d], message[e:f]
            if request_id.translate(None, _ID_CHARACTERS) or (i != j and not message[i:j].isdigit()):
                return None
            if has_trace:
                if (trace + span).translate(None, _HEX) or trace == _NO_TRACE or span == _NO_PARENT:
                    return None
                if has_id:
                    return known, b'{"id":"%b","trace":"%b"}' % (request_id, trace)
                return known, b'{"trace":"%b"}' % trace
            return known, (b'{"id":"%b"}' % request_id if has_id else b"{}")
        return None

    def remember(
        self, message: bytes, question: proc.ProcessingRequest, address: str, place_of: PlaceOf, known: K
    ) -> None:
        """Remember what was made of a message that has been parsed; nothing for one of unusual length or shape.

        `address` is the parsed `source.address`.
        """
        if len(message) > limits.REMEMBERED_MESSAGE_BYTES_MAX:
            return
        shape = _shape_of(message, question, address)
        if shape is None:
            return
        lengths = (len(message), message[:4])
        shapes = self._shapes.get(lengths, ())
        if shape not in shapes:
            if len(self._shapes) >= _LENGTHS_MAX:
                self._shapes.clear()  # a flood of them; those that repeat are soon learnt again
            self._shapes[lengths] = (shape, *shapes[: _SHAPES_MAX - 1])
        a, b, c, d, e, f, g, h, i, j = shape[:10]
        place = place_of(message[g:h])
        if place is not None:
            key = (message[:a], message[b:c], message[d:e], message[f:g], message[h:i], message[j:], place)
            self._known.put(key, known)

    def forget(self) -> None:
        """Forget everything that was made of messages; how they look stays true."""
        self._known.clear()


def _shape_of(message: bytes, question: proc.ProcessingRequest, address: str) -> _Shape | None:
    """Return the shape of a parsed message; None where what is to be cut out is not surely what the parser found."""
    found: dict[str, list[bytes]] = {"x-request-id": [], "traceparent": []}
    for header in question.request_headers.headers.headers:
        if header.key == _DIGEST:
            return None  # its value is in the record, and differs each time
        if header.key in found:
            found[header.key].append(header.raw_value)
    identity = _only_value(message, _ID, found["x-request-id"])
    trace = _only_value(message, _TRACE, found["traceparent"])
    host = _address_in(message, address.encode())
    if identity is None or trace is None or host is None or max(identity[1], trace[1]) > host[0]:
        return None
    begin, end = trace
    if has_trace := end > begin:
        if not _is_usual_trace(message[begin:end]):
            return None
        # 00-<32: trace>-<16: span>-<2: flags>; version, hyphens and flags stay in the key
        cuts = (begin + 3, begin + 35, begin + 36, begin + 52)
    else:
        cuts = (begin, begin, begin, begin)
    id_first = identity[0] <= begin
    ordered = (*identity, *cuts) if id_first else (*cuts, *identity)
    return _Shape(*ordered, *host, id_first, identity[1] > identity[0], has_trace)


def _only_value(message: bytes, marker: bytes, values: list[bytes]) -> tuple[int, int] | None:
    """Return where a header's one value stands; an empty range at 0 where it is absent; None if unsure."""
    if not values and marker not in message:
        return 0, 0
    if len(values) != 1 or message.count(marker) != 1 or not 0 < len(values[0]) <= _ONE_BYTE_LENGTH_MAX:
        return None
    begin = message.find(marker) + len(marker) + 1
    end = begin + len(values[0])
    return (begin, end) if message[begin - 1] == len(values[0]) and message[begin:end] == values[0] else None


def _is_usual_trace(value: bytes) -> bool:
    """Say whether a traceparent is of version 00 (W3C Trace Context, section 3.2), its flags two hex digits."""
    hyphens = len(value) == 55 and value[35] == value[52] == _HYPHEN
    return hyphens and value.startswith(b"00-") and not value[53:].translate(None, _HEX)


def _address_in(message: bytes, address: bytes) -> tuple[int, int, int, int] | None:
    """Return where host and port of the one `source.address` stand, an empty range for no port; None if unsure.

    What is host and what is port is for `place_of` to say: it knows only hosts that cannot be taken otherwise.
    """
    if len(address) > _ONE_BYTE_LENGTH_MAX or message.count(_ADDRESS) != 1:
        return None
    begin = message.find(_ADDRESS) + len(_ADDRESS) + 3
    end = begin + len(address)
    if message[begin - 2 : end] != bytes((_STRING_VALUE, len(address))) + address:
        return None
    host, colon, _ = address.rpartition(b":")
    if colon and (host.endswith(b"]") if host.startswith(b"[") else b":" not in host):
        return begin, begin + len(host), begin + len(host) + 1, end
    return begin, end, end, end
