"""What a limiter needs of who records its refusals: the seam to the audit log."""

from __future__ import annotations

from typing import Protocol

from borderpost_ratelimit.refusals import RefusalLog


class Refusals(RefusalLog, Protocol):
    """A log of refusals with a life: opened with the limiter, closed behind its last answer."""

    @property
    def available(self) -> bool:
        """Return whether what is refused now can be recorded."""
        ...

    def open_soon(self) -> None:
        """Begin to open it, on the running loop; questions are answered meanwhile."""
        ...

    async def stop(self, *, within_s: float) -> None:
        """Bring what was recorded to the disk and close it, in so many seconds at most."""
        ...
