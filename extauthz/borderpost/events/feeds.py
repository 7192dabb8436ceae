"""What a feed says: a value, and since when it holds. Read from bytes, and shown to be a webhook sender's own."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from borderpost.policy.fields import parse_instant
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place

_SIGNATURE = "sha256="


@dataclass(frozen=True, slots=True)
class FeedMessage:
    """One message of a feed."""

    value: bool | int | float | str
    """What the feed says."""
    at: datetime
    """Since when it says so (UTC). Two messages of one instant are one message."""


def read_message(raw: bytes, source: str) -> FeedMessage:
    """Read a message, `{"value": …, "at": "…"}`; `source` for errors. Raises BorderpostError BP1030."""
    place = Place(source)
    if len(raw) > limits.FEED_MESSAGE_BYTES_MAX:
        detail = f"the message has more than {limits.FEED_MESSAGE_BYTES_MAX} bytes"
        raise BorderpostError("BP1030", detail, place=place)
    try:
        data: Any = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BorderpostError("BP1030", f"the message is no JSON: {error}", place=place) from error
    if not isinstance(data, dict) or data.keys() != {"value", "at"}:
        raise BorderpostError("BP1030", "a message has the keys `value` and `at`, and no others", place=place)
    value, at = data["value"], data["at"]
    if not isinstance(value, (bool, int, float, str)):
        raise BorderpostError("BP1030", "`value` is a text, a number, true or false", place=place)
    if not isinstance(at, str):
        raise BorderpostError("BP1030", "`at` is an instant, such as 2026-11-21T09:30:00Z", place=place)
    try:
        return FeedMessage(value, parse_instant(at))
    except BorderpostError as error:
        raise BorderpostError("BP1030", f"`at`: {error.detail}", place=place, mend=error.mend) from error


def signature_of(raw: bytes, secret: bytes) -> str:
    """Return what a sender puts beside a message: `sha256=` and the HMAC-SHA256 of its bytes, hex."""
    return _SIGNATURE + hmac.new(secret, raw, hashlib.sha256).hexdigest()


def is_signed(raw: bytes, secret: bytes, signature: str) -> bool:
    """Return True if a signature is of these bytes; how long it takes tells nothing of where they differ."""
    return hmac.compare_digest(signature_of(raw, secret).encode(), signature.encode("utf-8", "replace"))
