"""The list of legal events as it holds here: what the list that is read says, and what this gateway made itself.

    base     the plain file, the signed file or the stream: written by people, the same on every replica
    own      made here: a threshold that a counter reached, a trigger that a feed fired

Both are one list in the order in which things became known. Nothing is forgotten: a base that is shorter than the
one before, or says something else of an event, is refused and the one before stays in force (BP0606). What was in
force when the gateway last ran is handed in at start, so that this holds across restarts, and events made here come
back: no base would bring them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from borderpost.policy.event_schema import EventsFile, LegalEvent
from borderpost.policy.events import EventList
from borderpost_base.errors import BorderpostError


def made_here(event: LegalEvent) -> bool:
    """Return True for an event that a gateway made by itself: nobody signed it, and a trigger or a counter is named."""
    return not event.approvals and (event.trigger is not None or event.type == "threshold_reached")


class LawBook:
    """The list in force. Has one owner, on the steward's loop."""

    def __init__(self, restored: EventList | None = None) -> None:
        """`restored` is the list that the log says was last in force here."""
        last = restored if restored is not None else EventList()
        self._base = EventList(
            last.file.model_copy(
                update={"events": tuple(event for event in last.events if not made_here(event)), "clock_error_us": 0}
            )
        )
        self._own = {event.id: event for event in last.events if made_here(event)}
        self._clock_error_us = last.file.clock_error_us
        self._current = last
        self._canonical = last.canonical()

    def current(self) -> EventList:
        """Return the list as it holds now."""
        return self._current

    def canonical(self) -> bytes:
        """Return its canonical bytes, kept ready: they are published with everything else that changes."""
        return self._canonical

    def take_base(self, base: EventList) -> bool:
        """Take what the list that is read says now; return True if that changes what holds here.

        Raises BorderpostError BP0606 if it leaves out or changes what was known; nothing has changed then.
        """
        self.refuse(base)
        return self._hold(base, self._own, self._clock_error_us)

    def refuse(self, base: EventList) -> None:
        """Raise BorderpostError BP0606 if `take_base` would; change nothing."""
        _refuse_forgetting(self._base, base)
        for event in base.events:
            own = self._own.get(event.id)
            if own is not None and own != event.model_copy(update={"recorded_at": own.recorded_at}):
                raise BorderpostError("BP0606", f"`{event.id}` is the id of another event, which was made here")

    def add_own(self, event: LegalEvent) -> bool:
        """Add an event that was made here; return False if there is one of its id already, which then stays."""
        if event.id in self._own or any(event.id == known.id for known in self._base.events):
            return False
        return self._hold(self._base, {**self._own, event.id: event}, self._clock_error_us)

    def set_clock_error(self, clock_error_us: int) -> bool:
        """Say by how much clocks may differ, microseconds; return True if that is new."""
        return self._hold(self._base, self._own, clock_error_us)

    def _hold(self, base: EventList, own: dict[str, LegalEvent], clock_error_us: int) -> bool:
        joined = EventList(
            EventsFile(
                clock_error_us=clock_error_us,
                head=base.file.head,
                length=base.file.length,
                events=_in_order(base.events, own),
            )
        )
        self._base, self._own, self._clock_error_us = base, own, clock_error_us
        if joined == self._current:
            return False
        self._current, self._canonical = joined, joined.canonical()
        return True


def _in_order(base: Iterable[LegalEvent], own: Mapping[str, LegalEvent]) -> tuple[LegalEvent, ...]:
    """Join two lists by when things became known, the base first where that is the same instant.

    An event that was made here and then told to all stands in both, and was known at the earlier of the two instants:
    so it still comes before what ends it, whichever clock was ahead.
    """
    joined = []
    for event in base:
        made = own.get(event.id)
        joined.append(event if made is None or event.recorded_at < made.recorded_at else made)
    told = {event.id for event in joined}
    joined += [event for event in own.values() if event.id not in told]
    return tuple(sorted(joined, key=lambda event: event.recorded_at))


def _refuse_forgetting(before: EventList, base: EventList) -> None:
    """Raise BorderpostError BP0606 unless `base` goes on from what was read before."""
    if base.file.length < before.file.length:
        detail = f"the list has {base.file.length} lines, and had {before.file.length}"
        raise BorderpostError("BP0606", detail)
    if base.file.length == before.file.length and base.file.head != before.file.head:
        raise BorderpostError("BP0606", f"line {base.file.length} of the list is another than before")
    kept = {event.id: event for event in base.events}
    for event in before.events:
        now = kept.get(event.id)
        if now is None or not _goes_on(event, now):
            raise BorderpostError("BP0606", f"event `{event.id}` is gone or changed")


def _goes_on(before: LegalEvent, now: LegalEvent) -> bool:
    """Return True if an event is the same, though more people may have signed it since."""
    if now is before or now == before:
        return True
    signed = {approval.key: approval for approval in now.approvals}
    return all(signed.get(approval.key) == approval for approval in before.approvals) and before == now.model_copy(
        update={"approvals": before.approvals}
    )
