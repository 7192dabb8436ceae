"""What reading a body is asked with and answers with. None of these values holds a piece of the body."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from borderpost.payload.detectors import Detector
from borderpost.payload.pointer import Pointer

HEADERS: Final = ("content-type", "content-encoding", "content-digest", "repr-digest", "content-range")
"""The request headers, in lower case, that `read_payload` wants to see; all others are passed over."""


class DigestOutcome(StrEnum):
    """What a digest header came to; one that is malformed or wrong is no outcome but a refusal."""

    ABSENT = "absent"
    """The client sent none."""
    VERIFIED = "verified"
    """At least one SHA-256 or SHA-512 was there, and each of them is that of the body as received."""
    NOT_VERIFIED = "not-verified"
    """Well formed, but only of algorithms that prove nothing (MD5, CRC32c, …) or are unknown here; or a
    `Repr-Digest` of a representation of which the body is only a part (`Content-Range`)."""


@dataclass(frozen=True, slots=True)
class PayloadSpec:
    """What is to be read of a body. Made once from the configuration; everything in it is plain."""

    key: bytes
    """Key of the HMAC-SHA-256 by which a record names a body; at least 16 bytes, kept from readers of records."""
    body_bytes_max: int
    """A longer body is refused, whatever it is."""
    model: Pointer | None = None
    """Where JSON says the model; None: nowhere."""
    data_class: Pointer | None = None
    """Where JSON says its data class, an identifier or a list of them; None: nowhere."""
    detectors: tuple[Detector, ...] = ()
    """What searches texts for what brings a data class (`detectors.known.make_detectors`)."""
    assumed: tuple[str, ...] | None = None
    """Data classes of a body in a form that is not read (not JSON, compressed); None: such a body is refused.

    Only for forms that are not read. What claims to be JSON and has no single meaning is refused in any case."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A detector found something; what it was, and where, is not kept."""

    detector: str
    """Name of the detector."""
    data_class: str
    """The data class that it brings."""
    failed: bool = False
    """It did not get to its end, by a fault of its own, so that it could not say that there is nothing."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What a body says."""

    size_bytes: int
    body_hash: str
    """HMAC-SHA-256 of the body as received, by `PayloadSpec.key`; 64 lower-case hex digits."""
    model: str | None = None
    """The model that JSON names; None where it names none or was not read."""
    declared: tuple[str, ...] = ()
    """Distinct data classes that JSON names, in its order."""
    assumed: tuple[str, ...] = ()
    """`PayloadSpec.assumed` for a body in a form that is not read, otherwise empty."""
    found: tuple[Finding, ...] = ()
    """In the order of `PayloadSpec.detectors`."""
    unread: str | None = None
    """Why the form of the body is not read, such as `content-type-not-read`; None for one that was."""
    content_digest: DigestOutcome = DigestOutcome.ABSENT
    repr_digest: DigestOutcome = DigestOutcome.ABSENT

    @property
    def data_classes(self) -> tuple[str, ...]:
        """Every data class that the body brings, distinct, sorted; they add to what headers declare."""
        return tuple(sorted({*self.declared, *self.assumed, *(finding.data_class for finding in self.found)}))


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A body that has no single meaning here; the request ends with it."""

    status: int
    """HTTP status for the caller: 400 malformed, 413 too long, 415 a form that is not read."""
    code: str
    """Registered error, BP1301 to BP1307."""
    reason: str
    """Stable word for records and metrics, such as `json-duplicate-key`; never a piece of the body."""
    size_bytes: int
    """Of what was received."""
    body_hash: str | None
    """As `Payload.body_hash`; None for a body that is too long, of which there is only a part."""
