"""Until when the list of legal events counts as fresh: the newest signed heartbeat, and the age that is allowed.

Nobody has to announce that a list has gone stale. The shared page says until when it is fresh, and workers compare that
with their clock: a steward that is gone, a stream that is held back and signers who have stopped all look alike.
"""

from __future__ import annotations

from borderpost.health import Check, Outcome
from borderpost.snapshots import ALWAYS_FRESH_US, SharedPage
from borderpost_base.errors import BorderpostError
from borderpost_base.logs import get_logger
from borderpost_base.world import World


class Freshness:
    """The steward's side of the page's word. Times are microseconds since the epoch (UTC)."""

    def __init__(self, page: SharedPage, world: World, max_age_s: float | None) -> None:
        self._page = page
        self._world = world
        self._max_age_s = max_age_s
        self._vouched_us = 0
        self._was_stale = False
        self._log = get_logger("events")
        until_us = page.events_fresh_until_us
        if max_age_s is None:
            page.keep_events_fresh(ALWAYS_FRESH_US)
        elif until_us == ALWAYS_FRESH_US:
            page.keep_events_fresh(0)
        else:  # what an earlier steward heard still holds, by the age that is allowed now
            page.keep_events_fresh(min(until_us, world.now_us() + round(max_age_s * 1e6)))

    @property
    def stale(self) -> bool:
        """Return True if workers refuse revocable bases now."""
        return self._world.now_us() > self._page.events_fresh_until_us

    @property
    def age_s(self) -> float | None:
        """Return the age of the newest heartbeat, seconds; None if there was none since the start."""
        return max(0, self._world.now_us() - self._vouched_us) / 1e6 if self._vouched_us else None

    def allow(self, max_age_s: float | None) -> None:
        """Set another age, None for none."""
        self._max_age_s = max_age_s
        self._tell_workers()

    def vouch(self, at_us: int) -> None:
        """Note that a signer vouched for the list at an instant; a time still to come counts as now."""
        at_us = min(at_us, self._world.now_us())
        if at_us > self._vouched_us:
            self._vouched_us = at_us
            self._tell_workers()

    def forget(self) -> None:
        """Believe no heartbeat that was seen: others may sign from now on."""
        self._vouched_us = 0
        self._tell_workers()

    def look(self) -> None:
        """Log it when the list has gone stale, or is fresh again."""
        stale = self.stale
        if stale and not self._was_stale:
            told = BorderpostError("BP0622", self._told())
            self._log.error("legal events are stale: revocable bases are refused", **told.as_dict())
        elif self._was_stale and not stale:
            self._log.warning("legal events are fresh again")
        self._was_stale = stale

    def checks(self) -> list[Check]:
        """Return the check for people; none where no age is set."""
        if self._max_age_s is None:
            return []
        return [Check("events/fresh", Outcome.WARNING if self.stale else Outcome.PASSED, self._told())]

    def _tell_workers(self) -> None:
        if self._max_age_s is None:
            self._page.keep_events_fresh(ALWAYS_FRESH_US)
        else:
            until_us = self._vouched_us + round(self._max_age_s * 1e6) if self._vouched_us else 0
            self._page.keep_events_fresh(until_us)
        self.look()

    def _told(self) -> str:
        if self.age_s is None:
            return "no valid heartbeat has been seen since the start"
        return f"the newest valid heartbeat is {self.age_s:.0f} s old"
