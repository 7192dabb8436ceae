"""What records are made of: the forms of their texts, and what a type of record is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from borderpost.audit.kinds import Field, Integer, Kind, Shape, Text
from borderpost_base import limits

_NAME_BYTES = limits.RECORDED_NAME_BYTES_MAX
_VISIBLE = r"[!#-\[\]-~]"
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*")

NAME = Text("name", re.compile(rf"{_VISIBLE}+"), _NAME_BYTES)
"""An id of ours: visible ASCII but the quote and the backslash, which JSON would double."""
LABEL = Text("label", re.compile(rf"{_VISIBLE}+"), limits.RECORDED_LABEL_BYTES_MAX)
"""A name of somebody else's: of a tenant, or a model."""
CLUSTER = Text("cluster name", re.compile(r"[!-~]+"), limits.CLUSTER_NAME_BYTES_MAX)
ROUTE = Text("route name", re.compile(r"[ -~]+"), 200)
REASON = Text("reason", re.compile(rf"{_VISIBLE}+"), limits.RECORDED_REASON_BYTES_MAX)
DIGEST = Text("digest, sha256:<64 hex digits>", re.compile(r"sha256:[0-9a-f]{64}"), 71)
HEX_64 = Text("64 hex digits", re.compile(r"[0-9a-f]{64}"), 64)
EPOCH = Text("20 hex digits", re.compile(r"[0-9a-f]{20}"), 20)
NONCE = Text("128 bits in base64url", re.compile(r"[A-Za-z0-9_-]{21}[AQgw]"), 22)
PLACE = Text("ISO 3166 code or sub-country jurisdiction", re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,8})?"), 11)
LOG = Text("origin and stream", re.compile(r"[A-Za-z0-9._:/-]+"), 128 + 1 + _NAME_BYTES)
LINE = Text("printable text", _PRINTABLE, 256)
REQUEST_ID = Text("printable text", _PRINTABLE, limits.REQUEST_ID_BYTES_MAX)
CONTENT_DIGEST = Text("a Content-Digest", _PRINTABLE, limits.CONTENT_DIGEST_BYTES_MAX)
HEX_32 = Text("32 hex digits", re.compile(r"[0-9a-f]{32}"), 32)
BASES = Text("legal bases joined by commas", re.compile(rf"{_VISIBLE}+"), 1024)
ENGINE = Text("version of the decision engine", re.compile(rf"{_VISIBLE}+"), 128)
SEED = Text("1 to 32 hex digits", re.compile(r"[0-9a-f]{1,32}"), 32)
COUNT = Integer()


@dataclass(frozen=True, slots=True)
class RecordType:
    """One type of record: its name, why it is written, and its own fields beside the common ones."""

    name: str
    about: str
    shape: Shape


def optional(name: str, kind: Kind, about: str) -> Field:
    """Return a field that a record may lack."""
    return Field(name, kind, about, required=False)
