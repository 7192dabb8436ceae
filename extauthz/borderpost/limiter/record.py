"""The limiter's own part of the audit log: its refusals, and which limits were in force when it refused."""

from __future__ import annotations

from borderpost.audit.config import AuditSpec
from borderpost.audit.inputs import InputStore
from borderpost.health import Check, Outcome
from borderpost.limiter.limits_record import KEY, limits_announcement
from borderpost.limiter.refusal_log import MEANWHILE, STREAM, RecordedRefusals, counting_commits
from borderpost.record_keeper import Announcement, RecordKeeper
from borderpost_base.logs import get_logger
from borderpost_base.metrics import Metrics
from borderpost_base.world import World
from borderpost_ratelimit.files.book import Book


class LimiterRecord:
    """The record of one limiter. Made and used on its loop, but for `keep`."""

    def __init__(self, spec: AuditSpec, world: World, metrics: Metrics) -> None:
        self._inputs = InputStore(spec.directory, world)
        self._keeper = RecordKeeper(
            stream=STREAM, spec=spec, inputs=self._inputs, world=world, unavailable=metrics.limiter_audit_unavailable,
            on_commit=counting_commits(metrics), meanwhile=MEANWHILE,
        )  # fmt: skip
        self._kept: Announcement | None = None
        self._log = get_logger("record")
        self.refusals = RecordedRefusals(self._keeper, world, metrics)
        """What the service hands its refusals to."""

    def keep(self, book: Book) -> None:
        """Store what limits files say, before they come into force. Waits for the disk; may be called off the loop."""
        try:
            self._kept = limits_announcement(book, self._inputs)
        except OSError as error:
            self._kept = None
            self._log.error("the limits in force are not in the record", detail=error.strerror)

    def announce(self) -> None:
        """Say that what was kept last is in force."""
        if self._kept is not None:
            self._keeper.announce(KEY, *self._kept)

    def open_soon(self) -> None:
        """Begin to open the stream; questions are answered meanwhile."""
        self._keeper.open_soon(kernel_sync=True)

    def say(self, now_us: int) -> None:
        """Have what came into force recorded, also where no refusal follows."""
        self._keeper.say(now_us)

    def checks(self) -> list[Check]:
        """Return a warning while refusals cannot be recorded."""
        return [] if self._keeper.available else [Check("limiter/record", Outcome.WARNING, MEANWHILE)]

    async def stop(self, *, within_s: float) -> None:
        """Bring what was recorded to the disk and close the stream, in so many seconds at most."""
        self.refusals.finish()
        await self._keeper.stop(within_s=within_s)
