"""The bytes of a `RateLimitRequest` to what it asks, checked.

Envoy's own rules hold (`ratelimit.proto`: a descriptor has entries, a key is not empty), and bounds on how much there
may be. Values are whatever a client sent, in any length: a value that is refused would be an error, and Envoy lets a
request pass on an error unless it is told otherwise.

Messages as Envoy writes them are read here, by hand; whatever is unusual in any way is left to the generated messages,
which read every message that there can be. Tests hold that both say the same.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from borderpost_proto.rate_limit_pb2 import RateLimitDescriptor, RateLimitRequest
from borderpost_ratelimit.limits import Unit
from borderpost_ratelimit.rules import PHASE_DONE, PHASE_KEY, REQUEST_KEY, Entries
from borderpost_wire.protobuf import bytes_field

WINDOW_US_MAX: Final = 100 * Unit.YEAR.length_us
"""Of a limit that a request brings itself; every number that is worked with stays below 2^53."""
NAME_BYTES_MAX: Final = 64
"""Of a request's name, which is printable ASCII."""
_RESERVED: Final = "borderpost."
_PHASE_KEY: Final = PHASE_KEY
_PHASE_DONE: Final = PHASE_DONE
_REQUEST_KEY: Final = REQUEST_KEY
NAMING: Final = bytes_field(1, REQUEST_KEY.encode()) + b"\x12"
"""How an entry that names the request begins: its key, and the tag of its value."""
_UNITS: Final[dict[int, Unit]] = {int(unit): unit for unit in Unit if unit is not Unit.UNKNOWN}


class MalformedRequest(Exception):
    """A request that cannot be understood. Its text is ASCII and says nothing of any value."""


class UnusualRequest(Exception):
    """A request that is not read by hand."""


class Override(NamedTuple):
    """A limit that a request brings itself."""

    amount: int
    unit: Unit
    multiplier: int


class Asked:
    """One descriptor."""

    __slots__ = ("addend", "done", "entries", "negative", "override")

    def __init__(
        self, entries: Entries, addend: int | None, negative: bool, done: bool, override: Override | None
    ) -> None:  # fmt: skip
        self.entries = entries
        """Without the reserved ones."""
        self.addend = addend
        """`hits_addend` of the descriptor; None if it says none."""
        self.negative = negative
        """Whether its hits are given back."""
        self.done = done
        """Whether the request's stream has ended."""
        self.override = override


class Question:
    """What one request asks."""

    __slots__ = ("addend", "asked", "domain", "name", "names_at")

    def __init__(
        self, domain: str, asked: list[Asked], addend: int, name: str, names_at: list[tuple[int, int]] | None
    ) -> None:  # fmt: skip
        self.domain = domain
        self.asked = asked
        self.addend = addend
        """`hits_addend` of the request; 0 if it says none."""
        self.name = name
        """The request's name as a descriptor gave it; empty without one."""
        self.names_at = names_at
        """Where in the message the values of entries stand that name the request; None where nobody looked."""


def read(message: bytes, descriptors_max: int, entries_max: int) -> Question:
    """Return what a message asks. Raises MalformedRequest."""
    try:
        return _read_usual(message, descriptors_max, entries_max)
    except (UnusualRequest, UnicodeDecodeError):
        return _read_any(message, descriptors_max, entries_max)


# Without the name, which is another for each request


def without_names(message: bytes) -> tuple[bytes, list[bytes], list[tuple[int, int]]]:
    """Return a message without the values that seem to name the request, those values, and where they stood.

    Two messages that are equal without such values have them at the same places: what is cut out follows the same
    bytes, and its length is one of them. So where reading one message has shown that the values are names indeed
    (`Question.names_at`), they are in every message that is the same without them. Where such a value is longer than
    127 bytes or cut off, nothing is returned: that message is like no other.
    """
    at = message.find(NAMING)
    if at < 0:
        return message, [], []
    pieces: list[bytes] = []
    names: list[bytes] = []
    places: list[tuple[int, int]] = []
    begin = 0
    while at >= 0:
        start = at + len(NAMING) + 1
        size = message[start - 1] if start <= len(message) else 128
        stop = start + size
        if size > 127 or stop > len(message):
            return b"", [], []
        pieces.append(message[begin:start])
        names.append(message[start:stop])
        places.append((start, stop))
        begin = stop
        at = message.find(NAMING, stop)
    pieces.append(message[begin:])
    return b"".join(pieces), names, places


def name_of(names: list[bytes]) -> str:
    """Return the first of some values that can name a request; empty if none can."""
    for value in names:
        if 0 < len(value) <= NAME_BYTES_MAX and value.isascii():
            name = value.decode()
            if name.isprintable():
                return name
    return ""


def text_of(value: bytes) -> str:
    r"""Return bytes as text; where they are no UTF-8, with such octets as `\xNN`."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode(errors="backslashreplace")


# Messages as Envoy writes them


def _read_usual(message: bytes, descriptors_max: int, entries_max: int) -> Question:
    """Read fields in their order, each of a length below 16,384. Raises UnusualRequest, UnicodeDecodeError."""
    end = len(message)
    if not end or message[0] != 0x0A:
        raise UnusualRequest
    at, stop = _content(message, 1, end)
    domain = message[at:stop].decode()
    asked: list[Asked] = []
    names: list[bytes] = []
    names_at: list[tuple[int, int]] = []
    at = stop
    while at < end and message[at] == 0x12:
        at, stop = _content(message, at + 1, end)
        asked.append(_read_descriptor(message, at, stop, entries_max, names, names_at))
        at = stop
    addend = 0
    if at < end:
        if message[at] != 0x18:
            raise UnusualRequest
        addend, at = _number(message, at + 1, end)
    if at != end or not domain or not asked or len(asked) > descriptors_max:
        raise UnusualRequest
    return Question(domain, asked, addend, name_of(names) if names else "", names_at)


def _read_descriptor(
    message: bytes, at: int, end: int, entries_max: int, names: list[bytes], names_at: list[tuple[int, int]]
) -> Asked:  # fmt: skip
    """Read a descriptor without a limit of its own; values of entries that name the request go to `names`."""
    entries: list[tuple[str, str]] = []
    done = False
    count = 0
    while at < end and message[at] == 0x0A:
        count += 1
        at, entry_end = _content(message, at + 1, end)
        if at == entry_end or message[at] != 0x0A:
            raise UnusualRequest
        at, stop = _content(message, at + 1, entry_end)
        key = message[at:stop].decode()
        at = start = stop
        if at < entry_end:
            if message[at] != 0x12:
                raise UnusualRequest
            start, at = _content(message, at + 1, entry_end)
        if at != entry_end or not key:
            raise UnusualRequest
        if not key.startswith(_RESERVED):
            entries.append((key, text_of(message[start:at])))
        elif key == _REQUEST_KEY:
            names.append(message[start:at])
            names_at.append((start, at))
        elif key == _PHASE_KEY and message[start:at].decode() == _PHASE_DONE:
            done = True
        else:
            raise UnusualRequest
    addend: int | None = None
    if at < end and message[at] == 0x1A:
        at, stop = _content(message, at + 1, end)
        addend = 0
        if at < stop:
            if message[at] != 0x08:
                raise UnusualRequest
            addend, at = _number(message, at + 1, stop)
        if at != stop:
            raise UnusualRequest
    negative = at + 2 == end and message[at] == 0x20 and message[at + 1] == 1
    if negative:
        at = end
    if at != end or not count or count > entries_max:
        raise UnusualRequest
    return Asked(tuple(entries), addend, negative, done, None)


def _content(message: bytes, at: int, end: int) -> tuple[int, int]:
    """Return where the content of a field begins and ends whose length stands at a place. Raises UnusualRequest."""
    if at >= end:
        raise UnusualRequest
    size = message[at]
    at += 1
    if size >= 0x80:
        if at >= end or message[at] >= 0x80:
            raise UnusualRequest
        size = (size & 0x7F) + message[at] * 128
        at += 1
    if at + size > end:
        raise UnusualRequest
    return at, at + size


def _number(message: bytes, at: int, end: int) -> tuple[int, int]:
    """Return a number of at most four octets and the place behind it. Raises UnusualRequest."""
    value, scale = 0, 1
    for _ in range(4):
        if at >= end:
            raise UnusualRequest
        octet = message[at]
        at += 1
        value += (octet & 0x7F) * scale
        if octet < 0x80:
            return value, at
        scale *= 128
    raise UnusualRequest


# Any message


def _read_any(message: bytes, descriptors_max: int, entries_max: int) -> Question:
    """Read by the generated messages. Raises MalformedRequest."""
    try:
        request = RateLimitRequest.FromString(message)
    except DecodeError:
        raise MalformedRequest("this is no RateLimitRequest") from None
    if not request.domain:
        raise MalformedRequest("the domain is empty")
    count = len(request.descriptors)
    if not count:
        raise MalformedRequest("there is no descriptor")
    if count > descriptors_max:
        raise MalformedRequest(f"there are {count} descriptors; at most {descriptors_max} are taken")
    names: list[bytes] = []
    asked = [_asked(descriptor, entries_max, names) for descriptor in request.descriptors]
    return Question(request.domain, asked, request.hits_addend, name_of(names), None)


def _asked(descriptor: RateLimitDescriptor, entries_max: int, names: list[bytes]) -> Asked:
    count = len(descriptor.entries)
    if not count:
        raise MalformedRequest("a descriptor has no entries")
    if count > entries_max:
        raise MalformedRequest(f"a descriptor has {count} entries; at most {entries_max} are taken")
    entries: list[tuple[str, str]] = []
    done = False
    for entry in descriptor.entries:
        key = entry.key
        if not key:
            raise MalformedRequest("an entry has an empty key")
        if not key.startswith(_RESERVED):
            entries.append((key, text_of(entry.value)))
        elif key == _REQUEST_KEY:
            names.append(entry.value)
        elif key != _PHASE_KEY:
            raise MalformedRequest("an entry has a key that is reserved and not known")
        elif entry.value == _PHASE_DONE.encode():
            done = True
        else:
            raise MalformedRequest(f"an entry {_PHASE_KEY} has another value than {_PHASE_DONE}")
    addend = descriptor.hits_addend.value if descriptor.HasField("hits_addend") else None
    override = _override(descriptor) if descriptor.HasField("limit") else None
    return Asked(tuple(entries), addend, descriptor.is_negative_hits, done, override)


def _override(descriptor: RateLimitDescriptor) -> Override:
    limit = descriptor.limit
    unit = _UNITS.get(limit.unit)
    if unit is None:
        raise MalformedRequest("a descriptor's own limit has a unit that is not known")
    multiplier = limit.unit_multiplier.value if limit.HasField("unit_multiplier") else 1
    if not 0 < multiplier <= WINDOW_US_MAX // unit.length_us:
        raise MalformedRequest("a descriptor's own limit is for 0 units, or for more than 100 years")
    return Override(limit.requests_per_unit, unit, multiplier)
