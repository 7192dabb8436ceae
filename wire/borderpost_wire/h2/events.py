"""What a connection tells of what it received."""

from __future__ import annotations

import enum
from typing import Any, Final


class EventKind(enum.IntEnum):
    """What `receive` tells, as `(kind, stream, payload)`."""

    REQUEST = 0
    """A new stream; its fields are `stream.request`."""
    BODY = 1
    """Bytes of its body: the payload."""
    ENDED = 2
    """The request is complete."""
    RESET = 3
    """The peer, or we for the peer's fault, ended the stream at once: the payload is the error code."""


Told = tuple[int, Any, Any]
"""`(EventKind, stream, payload)`, a plain tuple because there are several for every request."""

REQUEST: Final = 0
BODY: Final = 1
ENDED: Final = 2
RESET: Final = 3
# The same for the fast path.
assert tuple(EventKind) == (REQUEST, BODY, ENDED, RESET)
