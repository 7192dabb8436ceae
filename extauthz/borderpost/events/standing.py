"""What has become of each event of a list at an instant: pending, scheduled, in force, ended.

For people: policy itself goes by `policy.events`. Restored regions and lifted events count as ended here; sanctions
and bases that another event answers are left as they are, since only a policy knows what is left of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from borderpost.policy.event_schema import EventsFile, LegalEvent
from borderpost.policy.events import window_of
from borderpost.policy.fields import to_us
from borderpost.policy.regimes import NEVER_US

State = Literal["pending", "scheduled", "in force", "ended", "never"]


@dataclass(frozen=True, slots=True)
class Standing:
    """One event and what has become of it."""

    event: LegalEvent
    state: State
    """`pending` waits for a signature; `never` became known after it had ended."""
    ended_by: str | None
    """The event that ended it; none if none did."""

    @property
    def drill(self) -> bool:
        """Return True if it is weighed in shadow only."""
        return self.event.mode == "drill"

    @property
    def late_us(self) -> int:
        """Return how long it had held in law, microseconds, before it became known here; 0 if it came in time, or if it
        widens, since then too little was allowed meanwhile and nothing too much."""
        return 0 if self.event.widens else max(0, to_us(self.event.recorded_at) - to_us(self.event.effective_from))


def standings(file: EventsFile, now_us: int) -> list[Standing]:
    """Return what has become of each event, in the list's order."""
    windows = {event.id: window_of(event, file.clock_error_us) for event in file.events}
    active = [event for event in file.events if windows[event.id][0] <= now_us < windows[event.id][1]]
    ended_by = _endings(active)
    return [_standing(event, windows[event.id], ended_by.get(event.id), now_us) for event in file.events]


def _standing(event: LegalEvent, window: tuple[int, int], ended_by: str | None, now_us: int) -> Standing:
    start, end = window
    state: State = "in force"
    if start >= end:
        state = "pending" if _waits(event, now_us) else "never"
    elif now_us < start:
        state = "scheduled"
    elif now_us >= end or ended_by is not None:
        state = "ended"
    return Standing(event, state, ended_by if state == "ended" and now_us < end else None)


def _waits(event: LegalEvent, now_us: int) -> bool:
    """Return True for a widening event that another signature could still bring into force."""
    end = NEVER_US if event.effective_until is None else to_us(event.effective_until)
    signed_at = max((to_us(approval.at) for approval in event.approvals), default=0)
    one = len({approval.key for approval in event.approvals}) < 2
    return event.widens and one and max(signed_at, now_us) < end


def _endings(active: list[LegalEvent]) -> dict[str, str]:
    """Return, for each event in force that another has ended, which one: a `lift` of it, or the last of the
    `region_restore`s that it needs. A drill ends drills only."""
    ended: dict[str, str] = {}
    waiting: dict[str, tuple[LegalEvent, set[str]]] = {}
    """Suspensions so far, and their regions that nothing has restored since."""
    for event in active:
        if event.type == "region_suspend":
            waiting[event.id] = event, set(event.scope.regions)
        elif event.type == "region_restore":
            for suspension, left in waiting.values():
                if left and _binds(event, suspension):
                    left -= set(event.scope.regions)
                    if not left:
                        ended[suspension.id] = event.id
    known = {event.id: event for event in active}
    for event in active:
        if event.ends is not None and event.ends in known and _binds(event, known[event.ends]):
            ended[event.ends] = event.id
    return ended


def _binds(event: LegalEvent, ended: LegalEvent) -> bool:
    return event.mode == "enforce" or ended.mode == "drill"
