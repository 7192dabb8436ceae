"""What is charged at the end of requests, and of refused ones by mistake.

Envoy sends what `apply_on_stream_done` marks at the end of every request that was asked about, and ignores
`hits_addend` on `rate_limits` of routes and virtual hosts (1.40, tried).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from borderpost_envoy.doctor.message import Message

_OF_THE_REQUEST = re.compile(r"%(?:REQ|REQ_WITHOUT_QUERY|BYTES_RECEIVED|DURATION)\b", re.IGNORECASE)
"""Substitutions that have a value whatever became of the request."""


def bare_charges(holder: Message) -> Iterator[tuple[Message, str]]:
    """Yield each charge of a filter's or RateLimitPerRoute's `rate_limits` that refused requests pay too, and how."""
    for limit in holder.each("rate_limits"):
        if not limit.flag("apply_on_stream_done"):
            continue
        hits = limit.get("hits_addend")
        number, used = hits.number("number"), hits.text("format")
        if used is None and number is None:
            yield limit, "`apply_on_stream_done` without `hits_addend` charges refused requests 1."
        elif used is None and number:
            yield limit, f"`apply_on_stream_done` charges {number:g} for refused requests too."
        elif used is not None and _OF_THE_REQUEST.search(used):
            yield limit, f"`{used}` is charged for refused requests too."


def ignored_charges(holder: Message) -> Iterator[tuple[Message, str]]:
    """Yield each limit of a route's or virtual host's own `rate_limits` that charges otherwise than it says."""
    for limit in holder.each("rate_limits"):
        if limit.get("hits_addend").present:
            yield limit, "`hits_addend` is ignored here: each request is charged 1."
        elif limit.flag("apply_on_stream_done"):
            yield limit, "`apply_on_stream_done` charges 1 for each request, refused ones too."
