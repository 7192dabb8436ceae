"""The bytes of a `RateLimitRequest` to what it asks, checked.

Envoy's own rules hold (`ratelimit.proto`: a descriptor has entries, a key is not empty), and bounds on how much there
may be. Values are whatever a client sent, in any length: a value that is refused would be an error, and Envoy lets a
request pass on an error unless it is told otherwise.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from borderpost_proto.rate_limit_pb2 import RateLimitDescriptor, RateLimitRequest
from borderpost_ratelimit.limits import Unit
from borderpost_ratelimit.rules import PHASE_DONE, PHASE_KEY, REQUEST_KEY, RESERVED, Entries

HITS_MAX: Final = 2**32 - 1
"""Hits of one descriptor; more are taken as so many. Envoy's configuration takes at most 1,000,000,000."""
WINDOW_US_MAX: Final = 100 * Unit.YEAR.length_us
"""Of a limit that a request brings itself; every number that is worked with stays below 2^53."""
NAME_CHARACTERS_MAX: Final = 64
"""Of a request's name."""
_UNITS: Final[dict[int, Unit]] = {int(unit): unit for unit in Unit if unit is not Unit.UNKNOWN}


class MalformedRequest(Exception):
    """A request that cannot be understood. Its text is ASCII and says nothing of any value."""


class Override(NamedTuple):
    """A limit that a request brings itself."""

    amount: int
    unit: Unit
    multiplier: int


class Asked(NamedTuple):
    """One descriptor."""

    entries: Entries
    """Without the reserved ones."""
    hits: int
    """Negative gives back."""
    addend: int | None
    """`hits_addend` of this descriptor, as it came; None if it said none."""
    estimated: bool
    """Whether request or descriptor said the hits."""
    done: bool
    """Whether the request's stream has ended."""
    override: Override | None


class Question(NamedTuple):
    """What one request asks."""

    domain: str
    asked: tuple[Asked, ...]
    addend: int
    """`hits_addend` of the request, as it came."""
    name: str
    """The request's name as a descriptor gave it; empty without one."""


def read(message: bytes, descriptors_max: int, entries_max: int) -> Question:
    """Return what a message asks. Raises MalformedRequest."""
    try:
        request = RateLimitRequest.FromString(message)
    except DecodeError:
        raise MalformedRequest("this is no RateLimitRequest") from None
    domain = request.domain
    if not domain:
        raise MalformedRequest("the domain is empty")
    descriptors = request.descriptors
    count = len(descriptors)
    if not count:
        raise MalformedRequest("there is no descriptor")
    if count > descriptors_max:
        raise MalformedRequest(f"there are {count} descriptors; at most {descriptors_max} are taken")
    addend = request.hits_addend
    name = ""
    asked: list[Asked] = []
    for descriptor in descriptors:
        entries, done, named = _entries(descriptor, entries_max)
        name = name or named
        asked.append(_asked(descriptor, entries, addend, done))
    return Question(domain, tuple(asked), addend, name)


def _entries(descriptor: RateLimitDescriptor, entries_max: int) -> tuple[Entries, bool, str]:
    """Return entries without the reserved ones, whether the stream has ended, and the request's name."""
    read_entries = descriptor.entries
    count = len(read_entries)
    if not count:
        raise MalformedRequest("a descriptor has no entries")
    if count > entries_max:
        raise MalformedRequest(f"a descriptor has {count} entries; at most {entries_max} are taken")
    entries: list[tuple[str, str]] = []
    done, name = False, ""
    for entry in read_entries:
        key = entry.key
        value = text_of(entry.value)
        if not key:
            raise MalformedRequest("an entry has an empty key")
        if not key.startswith(RESERVED):
            entries.append((key, value))
        elif key == PHASE_KEY:
            if value != PHASE_DONE:
                raise MalformedRequest(f"an entry {PHASE_KEY} has another value than {PHASE_DONE}")
            done = True
        elif key == REQUEST_KEY:
            name = value if len(value) <= NAME_CHARACTERS_MAX and value.isascii() and value.isprintable() else ""
        else:
            raise MalformedRequest("an entry has a key that is reserved and not known")
    return tuple(entries), done, name


def _asked(descriptor: RateLimitDescriptor, entries: Entries, addend: int, done: bool) -> Asked:
    own: int | None = None
    if descriptor.HasField("hits_addend"):
        own = descriptor.hits_addend.value
        hits = own
    else:
        hits = addend or 1
    hits = min(hits, HITS_MAX)
    if descriptor.is_negative_hits:
        hits = -hits
    override = _override(descriptor) if descriptor.HasField("limit") else None
    return Asked(entries, hits, own, own is not None or addend != 0, done, override)


def _override(descriptor: RateLimitDescriptor) -> Override:
    limit = descriptor.limit
    unit = _UNITS.get(limit.unit)
    if unit is None:
        raise MalformedRequest("a descriptor's own limit has a unit that is not known")
    multiplier = limit.unit_multiplier.value if limit.HasField("unit_multiplier") else 1
    if not 0 < multiplier <= WINDOW_US_MAX // unit.length_us:
        raise MalformedRequest("a descriptor's own limit is for 0 units, or for more than 100 years")
    return Override(limit.requests_per_unit, unit, multiplier)


def text_of(value: bytes) -> str:
    r"""Return bytes as text; where they are no UTF-8, with such octets as `\xNN`."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode(errors="backslashreplace")
