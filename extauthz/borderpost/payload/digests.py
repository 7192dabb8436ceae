"""`Content-Digest` and `Repr-Digest` (RFC 9530): what a client says of its body's bytes, held against them.

The headers are dictionaries of byte sequences (RFC 9651, sections 3.2 and 3.3.5). Our reader knows that and no more:
parameters, and a key that stands twice (where the RFC lets the last one win), are refused, since another reader may
see another digest than the one that was checked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final

from borderpost.facts.headers import Refused
from borderpost.payload.model import DigestOutcome
from borderpost_base import limits

_MEMBER: Final = r"[a-z*][a-z0-9_.*-]*=:[A-Za-z0-9+/]*={0,2}:"
_DICTIONARY: Final = re.compile(rf" *{_MEMBER}(?:[ \t]*,[ \t]*{_MEMBER})* *")
_ALGORITHMS: Final = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
"""Those that the registry of RFC 9530, section 7.2, calls active. The deprecated ones prove nothing."""


def check_digest(name: str, lines: Sequence[bytes], body: bytes, *, whole: bool = True) -> DigestOutcome:
    """Hold a digest header against the body. Raises Refused (400) where it is malformed or wrong.

    `name` is the header's; `whole` says whether the body is all of what the digest is about.
    """
    if not lines:
        return DigestOutcome.ABSENT
    known = {algorithm: value for algorithm, value in _members(name, lines).items() if algorithm in _ALGORITHMS}
    if not known or not whole:
        return DigestOutcome.NOT_VERIFIED
    if not all(hmac.compare_digest(_ALGORITHMS[algorithm](body).digest(), known[algorithm]) for algorithm in known):
        raise Refused(400, "BP1304", f"{name}-mismatch")
    return DigestOutcome.VERIFIED


def _members(name: str, lines: Sequence[bytes]) -> dict[str, bytes]:
    joined = b", ".join(lines)
    if len(joined) > limits.DIGEST_HEADER_BYTES_MAX or not joined.isascii():
        raise Refused(400, "BP1303", f"{name}-malformed")
    text = joined.decode("ascii")
    if not _DICTIONARY.fullmatch(text):
        raise Refused(400, "BP1303", f"{name}-malformed")
    members: dict[str, bytes] = {}
    for member in text.split(","):
        algorithm, _, value = member.strip(" \t").partition("=")
        if algorithm in members:
            raise Refused(400, "BP1303", f"{name}-malformed")
        members[algorithm] = _decoded(name, value.strip(":"))
    return members


def _decoded(name: str, text: str) -> bytes:
    """Decode base64 that has one spelling only: padded, and without loose bits at its end (RFC 4648, section 3.5)."""
    try:
        value = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise Refused(400, "BP1303", f"{name}-malformed") from error
    if base64.b64encode(value).decode() != text:
        raise Refused(400, "BP1303", f"{name}-malformed")
    return value
