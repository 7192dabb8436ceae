"""Who is told of requests that were refused. The service is handed such a log; it knows nothing of its making."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from borderpost_ratelimit.charges import Source


class Refusal(NamedTuple):
    """A request that a limit refused. It holds no value of any descriptor: those may be about a person."""

    request: str
    """The request's name as the descriptor gave it: our decision id where our metadata was rendered into it. Empty
    where nobody named it. Not trusted: at most 64 printable ASCII characters, otherwise empty."""
    domain: str
    rule: str
    """Path of the rule that refused first."""
    amount: int
    window_us: int
    algorithm: str
    source: Source


class RefusalLog(Protocol):
    """Records refusals."""

    def refused(self, refusals: Sequence[Refusal], at_us: int, released: Callable[[bool], None]) -> None:
        """Record refusals of one loop turn; `released` is called once, on the loop: True as soon as they are durable
        (in a flood some may only be counted, and told together a little later), False if they cannot be, or not in
        time. The requests are refused either way. Must not block and must not raise."""
        ...
