"""What an engine is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Counters:
    """What an engine has done since it was made. Only the engine writes; anybody on its loop may read."""

    calls: int = 0
    """Calls begun, refused ones not counted."""
    messages: int = 0
    """Messages delivered to services."""
    batches: int = 0
    """Deliveries; `messages / batches` is the mean batch."""
    refused: int = 0
    """Calls turned away: draining, or a certificate without an allowed name."""
    gone_unanswered: int = 0
    """Calls whose peer went before it had its answer."""
    service_exceptions: int = 0
    """Exceptions that came out of services."""


class Engine(Protocol):
    """A server: made, started once, drained, stopped. Everything runs on the loop that `start` ran on."""

    @property
    def name(self) -> str:
        """Return the engine's name in configuration, never `auto`."""
        ...

    @property
    def addresses(self) -> Sequence[str]:
        """Return where the started engine listens, in the order of the options, ports filled in."""
        ...

    @property
    def counters(self) -> Counters:
        """Return the engine's counters, live."""
        ...

    @property
    def calls_in_progress(self) -> int:
        """Return how many calls are open now."""
        ...

    async def start(self) -> None:
        """Listen and serve. Raises ListenError or its child AddressInUse; nothing is left behind then."""
        ...

    async def renew(self) -> None:
        """Take the certificates anew from their files, for whoever connects from now on; calls under way go on.

        Raises ListenError for files that cannot be used, and keeps the certificates that it has.
        """
        ...

    async def retire(self, within_s: float) -> None:
        """Send every peer elsewhere: another server has the address, or is about to take it.

        Network listeners close at once. What peers still ask on the connections that they have is answered as before.
        Returns when no peer is left, after `within_s` seconds at most; `drain` and `stop` then end what there is.
        """
        ...

    async def drain(self, grace_s: float) -> None:
        """End new calls with UNAVAILABLE, wait for the answers of open ones, then end what is still open.

        Returns when no call is open, after `grace_s` seconds and a moment at most. A call without its
        answer by then ends with UNAVAILABLE; none ends with OK unanswered.
        """
        ...

    async def stop(self) -> None:
        """End every call that is still open (non-OK), close the listeners, remove the socket. Idempotent."""
        ...

    async def wait(self) -> None:
        """Return once the engine has been stopped. Raises EngineFailed if it ended by itself."""
        ...
