"""Reading a header that may change the law: bounded, of one meaning, or refused.

Several lines of one header and one line with commas are the same to HTTP (RFC 9110, section 5.3), and a proxy in front
may turn one into the other. So both are read alike, here, once. A header that we read either means exactly one
thing or the request is malformed: to skip what we do not understand would let a client choose what we see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from borderpost_base import limits

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,127}")
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Refused(Exception):
    """The request ends here. Carries HTTP status, error code and reason; never leaves the package that reads."""

    def __init__(self, status: int, code: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code
        self.reason = reason


def is_label(text: str) -> bool:
    """Say whether a text is a name from outside, as `policy.fields.Label`: visible ASCII without comma or space."""
    return _LABEL.fullmatch(text) is not None


def is_identifier(text: str) -> bool:
    """Say whether a text is a short lower-case id, as `policy.fields.Identifier`."""
    return _IDENTIFIER.fullmatch(text) is not None


def read_one(name: str, values: Iterable[bytes], valid: Callable[[str], bool]) -> str | None:
    """Return the one value of a header, None where it is absent; repeated values must agree. Raises Refused (400)."""
    members = _members(name, values, valid)
    if len(members) > 1:
        raise Refused(400, "BP0822", f"header-conflict:{name}")
    return members[0] if members else None


def read_list(name: str, values: Iterable[bytes], valid: Callable[[str], bool], members_max: int) -> tuple[str, ...]:
    """Return the distinct members of a list header, empty where it is absent. Raises Refused (400)."""
    members = _members(name, values, valid)
    if len(members) > members_max:
        raise Refused(400, "BP0821", f"header-too-long:{name}")
    return tuple(members)


def _members(name: str, values: Iterable[bytes], valid: Callable[[str], bool]) -> list[str]:
    """Return the distinct members in order; [] only for a header that is absent, never for an empty one."""
    lines = list(values)
    if not lines:
        return []
    joined = b",".join(lines)
    if len(joined) > limits.HEADER_VALUE_BYTES_MAX:
        raise Refused(400, "BP0821", f"header-too-long:{name}")
    try:
        members = [member.strip(" \t") for member in joined.decode("ascii").split(",")]
    except UnicodeDecodeError:
        members = []
    if not members or not all(map(valid, members)):
        raise Refused(400, "BP0821", f"header-malformed:{name}")
    return list(dict.fromkeys(members))
