"""What form a body has, by `content-type`, `content-encoding` and `content-range` (RFC 9110, section 8)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from borderpost.facts.headers import Refused
from borderpost_base import limits

_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
"""A token (RFC 9110, section 5.6.2)."""
_QUOTED: Final = r'"(?:[\t !#-\[\]-~]|\\[\t -~])*"'
_PARAMETER: Final = re.compile(rf"[ \t]*;[ \t]*(?:({_NAME})=({_NAME}|{_QUOTED}))?")
_MEDIA_TYPE: Final = re.compile(rf"({_NAME}/{_NAME})((?:[ \t]*+;[ \t]*+(?:{_NAME}=(?:{_NAME}|{_QUOTED}))?)*+)[ \t]*")
"""Possessive, since spaces could belong to either side of a semicolon's neighbours, with 2^100 ways to try."""
_CODINGS: Final = re.compile(rf"[ \t]*{_NAME}[ \t]*(?:,[ \t]*{_NAME}[ \t]*)*")
_JSON_TYPE: Final = re.compile(r"application/(?:json|[!#$&^_.a-z0-9-]+\+json)")


class Form(StrEnum):
    """The form of a body, as far as it matters to reading it."""

    JSON = "json"
    """One JSON text in UTF-8, not encoded."""
    PLAIN = "plain"
    """Something else, not encoded: detectors may look at it as it stands."""
    ENCODED = "encoded"
    """Compressed, or a part of something: its bytes say nothing."""


def form_of(content_types: Sequence[bytes], encodings: Sequence[bytes], ranges: Sequence[bytes]) -> tuple[Form, str]:
    """Return the form of a body that is not empty, and why it is not read as JSON (empty where it is).

    Raises Refused where the headers have no single meaning: a server and we would pick differently.
    """
    media_type, charset = _media_type(content_types)
    if not _is_identity(encodings):
        return Form.ENCODED, "content-encoding-not-read"
    if ranges:
        return Form.ENCODED, "content-range-not-read"
    if media_type is None:
        return Form.PLAIN, "content-type-absent"
    if not _JSON_TYPE.fullmatch(media_type):
        return Form.PLAIN, "content-type-not-read"
    if charset not in {None, "utf-8"}:
        return Form.ENCODED, "charset-not-read"
    return Form.JSON, ""


def _media_type(lines: Sequence[bytes]) -> tuple[str | None, str | None]:
    """Return media type and charset in lower case, None for what is absent."""
    if not lines:
        return None, None
    found = _MEDIA_TYPE.fullmatch(_text(lines[0])) if len(lines) == 1 else None
    if found is None:
        raise Refused(400, "BP1302", "content-type-malformed")
    parameters = [(name.lower(), value) for name, value in _PARAMETER.findall(found[2]) if name]
    charsets = [value for name, value in parameters if name == "charset"]
    if len({name for name, _ in parameters}) < len(parameters):
        raise Refused(400, "BP1302", "content-type-malformed")
    charset = re.sub(r"\\(.)", r"\1", charsets[0].strip('"')).lower() if charsets else None
    return found[1].lower(), charset


def _is_identity(lines: Sequence[bytes]) -> bool:
    """Say whether a body is as its media type says; a list of codings over several lines is one list."""
    for line in lines:
        if not _CODINGS.fullmatch(_text(line)):
            raise Refused(400, "BP1302", "content-encoding-malformed")
    return all(coding.strip(" \t").lower() == "identity" for line in lines for coding in _text(line).split(","))


def _text(line: bytes) -> str:
    """Return a header's line, which is ASCII where we know its meaning; a longer one than usual has none."""
    if len(line) > limits.HEADER_VALUE_BYTES_MAX or not line.isascii():
        return ""
    return line.decode("ascii")
