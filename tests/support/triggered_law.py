"""A signed list with triggers, held by a real book, for whoever fires them."""

from __future__ import annotations

from borderpost.events.book import read_list
from borderpost.events.triggers import Trigger
from borderpost.law_book import LawBook
from borderpost.policy.event_schema import LegalEvent
from borderpost.policy.events import EventList
from support.signed_lists import ListWriter


class TriggeredLaw:
    """What feeds ask of a steward's watch over the law."""

    def __init__(self, written: ListWriter) -> None:
        self.written = written
        self.book = LawBook()
        self.triggers: tuple[Trigger, ...] = ()
        self.read()

    def read(self) -> None:
        """Take what the list says now."""
        known = read_list(self.written.lines, self.written.signers, source="test")
        assert known.problems == ()
        self.triggers = known.triggers
        self.book.take_base(EventList(known.file))

    def add_own(self, event: LegalEvent) -> bool:
        """Add an event that was fired."""
        return self.book.add_own(event)

    @property
    def fired(self) -> list[LegalEvent]:
        """Return the events that triggers have fired."""
        return [event for event in self.book.current().events if event.trigger is not None]
