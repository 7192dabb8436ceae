"""Reading a list of events again and again: what was read before is not checked again.

A list grows by an event and comes whole to each worker. To check a thousand known events anew takes a tenth of a second
in which the worker decides nothing, and by which the one new event is late.
"""

from __future__ import annotations

import orjson
from pydantic import ValidationError

from borderpost.policy.canonical import from_canonical
from borderpost.policy.event_schema import EventsFile, LegalEvent
from borderpost.policy.events import EventList
from borderpost_base.errors import BorderpostError


class EventMemory:
    """Reads canonical lists; remembers the events of the last one by their canonical bytes."""

    def __init__(self) -> None:
        self._known: dict[bytes, LegalEvent] = {}

    def read(self, raw: bytes) -> EventList:
        """Return what `EventList.from_canonical` would. Raises BorderpostError BP0215 as that does."""
        try:
            read = self._read(raw)
        except (orjson.JSONDecodeError, ValidationError, BorderpostError, KeyError, TypeError, ValueError):
            read = None
        return read if read is not None else EventList.from_canonical(raw)  # which says what is wrong

    def _read(self, raw: bytes) -> EventList | None:
        data = orjson.loads(raw)
        pieces = [orjson.dumps(event, option=orjson.OPT_SORT_KEYS) for event in data["events"]]
        known = {piece: self._known.get(piece) or from_canonical(LegalEvent, piece) for piece in pieces}
        file = EventsFile(**{**data, "events": tuple(known[piece] for piece in pieces)})
        told = file.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"events"})
        if orjson.dumps({**told, "events": data["events"]}, option=orjson.OPT_SORT_KEYS) != raw:
            return None
        self._known = known
        return EventList(file)
