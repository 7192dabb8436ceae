"""The body of a request for `explain`: a file read as a worker reads a body, and what is told of one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from borderpost.cli.options import pairs
from borderpost_base.errors import BorderpostError, Place

if TYPE_CHECKING:
    from borderpost.config.load import Loaded
    from borderpost.requests import BodyRead

_JSON = ("content-type", b"application/json")


def read_body_file(loaded: Loaded, arguments: argparse.Namespace) -> BodyRead | None:
    """Return what `--body` says by the configuration's section `payload`; None without it.

    Headers about content are those of `--header`; the content type is JSON where none is given. Raises BorderpostError
    BP0004 where no bodies are read or the file cannot be, and what `body_mode_of` raises.
    """
    if arguments.body is None:
        return None
    section, place = loaded.config.payload, Place("--body")
    if not section.read:
        raise BorderpostError("BP0004", "`payload.read` is off, so no body is read", place=place)
    from borderpost.body_mode import body_mode_of
    from borderpost_base.metrics import local_metrics
    from borderpost_base.world import World

    try:
        body = arguments.body.read_bytes()
    except OSError as error:
        raise BorderpostError("BP0004", f"{arguments.body}: {error.strerror}", place=place) from error
    headers = [(name.lower(), value.encode()) for name, value in pairs("--header", arguments.header)]
    if all(name != _JSON[0] for name, _ in headers):
        headers.append(_JSON)
    return body_mode_of(section.model_dump(mode="json"), World(), local_metrics()).read_body(headers, body)


def body_notes(told: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield what a reader should know of a body, from the `req.body` of its record; nothing where none was read."""
    if told is None:
        return
    yield f"the body: {told['bytes']:,} bytes" + (f", HMAC-SHA-256 {told['hash']}" if "hash" in told else "")
    if "declared" in told:
        yield f"the body names: {', '.join(told['declared'])}"
    if "found" in told:
        yield f"detectors that found something: {', '.join(told['found'])}"
    if "unread" in told:
        yield f"the body was not read ({told['unread']}): the classes of such bodies were assumed"
    for name, header in (("digest", "Content-Digest"), ("repr_digest", "Repr-Digest")):
        if name in told:
            yield f"its {header}: {told[name]}"
