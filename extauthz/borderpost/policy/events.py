"""Legal events: what happened to the law, when it holds, and when it became known.

An event is in force at `now` iff effective_from <= now < effective_until and recorded_at <= now. So a list read
once takes effect at the right microsecond by itself, and replay of an old instant sees only what was known then.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from borderpost.policy import canonical, check
from borderpost.policy.event_schema import EventsFile, LegalEvent
from borderpost.policy.fields import to_us
from borderpost.policy.reasons import Layer, RegionIndex
from borderpost.policy.regimes import NEVER_US
from borderpost_base.strict import YamlDocument, validate


@dataclass(frozen=True, slots=True)
class EventList:
    """The events of one file, as one value with one digest."""

    file: EventsFile = field(default_factory=EventsFile)
    """The file's content."""

    @property
    def events(self) -> tuple[LegalEvent, ...]:
        """Return the events, in the order in which they became known."""
        return self.file.events

    def canonical(self) -> bytes:
        """Return the list's one form in bytes (RFC 8785 profile)."""
        return canonical.canonical_bytes(self.file)

    @property
    def digest(self) -> str:
        """Return `sha256:<hex>` of the canonical bytes."""
        return canonical.digest_of(self.canonical())

    @staticmethod
    def from_canonical(raw: bytes) -> EventList:
        """Read a list back. Raises BorderpostError BP0215 if the bytes are not exactly a canonical list."""
        return EventList(canonical.from_canonical(EventsFile, raw))


class CompiledEvents:
    """The regions suspended at any instant. Immutable."""

    __slots__ = ("_boundaries", "_suspensions", "index")

    def __init__(self, events: EventList, index: RegionIndex) -> None:
        self.index = index
        """The catalogue that the masks are about."""
        dated: list[tuple[int, int, Layer]] = []
        for event in sorted(events.events, key=lambda event: event.id):
            start = max(to_us(event.effective_from), to_us(event.recorded_at))
            end = to_us(event.effective_until) if event.effective_until else NEVER_US
            if end <= start:
                continue  # it became known after it had ended
            mask = sum(index.bits[region_id] for region_id in set(event.scope.regions))
            dated.append((start, end, (mask, f"event/{event.id}")))
        self._boundaries = (*sorted({at for start, end, _ in dated for at in (start, end)} - {NEVER_US}), NEVER_US)
        self._suspensions: list[tuple[Layer, ...]] = [()]
        for at in self._boundaries[:-1]:
            in_force = (layer for start, end, layer in dated if start <= at < end)
            self._suspensions.append(tuple(in_force))

    def suspended(self, now_us: int) -> tuple[tuple[Layer, ...], int]:
        """Return what is suspended at an instant, by which event, and when that changes next (NEVER_US: never)."""
        interval = bisect_right(self._boundaries, now_us)
        return self._suspensions[interval], self._boundaries[interval]


def read_events(document: YamlDocument, regions: Iterable[str]) -> EventList:
    """Validate an events file. Raises Problems, each with its line; a region that is not configured is one."""
    events = EventList(validate(EventsFile, document))
    check.raise_found(_unknown_regions(events, regions), document)
    return events


def compile_events(events: EventList, regions: Iterable[str]) -> CompiledEvents:
    """Compile a list over the catalogue's region ids. Raises Problems for regions that are not configured."""
    index = RegionIndex(tuple(sorted(regions)))
    check.raise_found(_unknown_regions(events, index.ids))
    return CompiledEvents(events, index)


def _unknown_regions(events: EventList, regions: Iterable[str]) -> Iterable[check.Finding]:
    known = set(regions)
    for position, event in enumerate(events.events):
        for index, region_id in enumerate(event.scope.regions):
            if region_id not in known:
                yield ("events", position, "scope", "regions", index), check.unknown_region(region_id, known)
