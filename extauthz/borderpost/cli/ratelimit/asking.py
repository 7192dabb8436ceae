"""A running limiter is asked what is left of limits, without charging them (`POST /look`)."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from borderpost_base.errors import BorderpostError, Place
from borderpost_ratelimit.rules import Entries

_TIMEOUT_S = 5.0
_BODY_BYTES_MAX = 4 << 20


class Left(NamedTuple):
    """What is left of one limit."""

    amount: int
    used: int
    remaining: int
    over: bool
    """Whether one more hit would be."""
    reset_us: int
    """Until all is there again."""
    source: str

    @property
    def words(self) -> str:
        """Return it in a line."""
        back = f", all of it in {self.reset_us / 1_000_000:,.1f} s" if self.remaining < self.amount else ""
        doubt = "" if self.source == "store" else f" ({self.source.replace('_', ' ')}: not what the store says now)"
        return f"{self.remaining:,} of {self.amount:,}{back}{doubt}"


class Standing(NamedTuple):
    """What a limiter says of one descriptor."""

    rule: str | None
    """Path of the rule in force there; None without one."""
    left: tuple[Left, ...]
    """For each of its limits."""


class Answer(NamedTuple):
    """What a limiter says of a request."""

    digest: str
    """Of the limits files in force there."""
    descriptors: tuple[Standing, ...]


def ask_limiter(url: str, token_file: str | None, domain: str, asked: Sequence[Entries]) -> Answer:
    """Return what the limiter at an HTTP address says. Raises BorderpostError BP0003, BP0004 or BP1618."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    place = Place(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BorderpostError("BP0004", f"`{url}` is no HTTP address", place=Place("--ask"))
    body = json.dumps(
        {
            "domain": domain,
            "descriptors": [{"entries": [{"key": key, "value": value} for key, value in entries]} for entries in asked],
        }
    )
    headers = {"content-type": "application/json"}
    if token_file is not None:
        headers["authorization"] = f"Bearer {_token(token_file)}"
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", f"{parts.path.rstrip('/')}/look", body, headers)
        response = connection.getresponse()
        raw = response.read(_BODY_BYTES_MAX)
        told = json.loads(raw) if response.status == 200 else None
        if told is not None:
            return _answer(told)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise BorderpostError("BP1618", f"{type(error).__name__}: {error}", place=place) from error
    finally:
        connection.close()
    raise BorderpostError("BP1618", f"it answers {response.status}: {_detail(raw)}", place=place)


def _answer(told: dict[str, Any]) -> Answer:
    standings = []
    for each in told["descriptors"]:
        left = tuple(Left(*(limit[name] for name in Left._fields)) for limit in each["limits"])
        standings.append(Standing(each["rule"], left))
    return Answer(told["digest"], tuple(standings))


def _detail(raw: bytes) -> str:
    """Return what an error's body says, in printable ASCII."""
    try:
        said = str(json.loads(raw)["detail"])
    except (ValueError, KeyError, TypeError):
        said = raw[:200].decode("ascii", "replace")
    return "".join(character if character.isprintable() and character.isascii() else " " for character in said)[:200]


def _token(file: str) -> str:
    try:
        return Path(file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BorderpostError("BP0003", f"{file}: {error}", place=Place(file)) from error
