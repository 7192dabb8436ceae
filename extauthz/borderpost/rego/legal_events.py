"""Legal events as Rego: one rule for each, with its window, who ordered it and why (rules 21 to 24)."""

from __future__ import annotations

from collections.abc import Iterator

from borderpost.policy.event_schema import LegalEvent
from borderpost.policy.events import CompiledEvents, window_of
from borderpost.policy.regimes import NEVER_US
from borderpost.rego.literals import comment, dated, mapping, reference, rule, set_of, text, within
from borderpost.rego.names import Names


class EventsText:
    """The events that count, in Rego."""

    def __init__(self, events: CompiledEvents, clock_error_us: int, names: Names) -> None:
        self._events = events
        self._clock_error_us = clock_error_us
        self._names = names

    def never(self) -> list[str]:
        """Return the ids of the events that are never in force, for want of approvals or because they came too late."""
        return [event.id for _, event, (start_us, end_us) in self._numbered() if start_us >= end_us]

    def rules(self) -> Iterator[str]:
        """Yield each event that is ever in force, with the comment above it."""
        for number, event, window in self._numbered():
            if window[0] < window[1]:
                head = comment(
                    f"{event.id}: {event.type}{', a drill' if event.mode == 'drill' else ''}. {event.reason}",
                    f"Source: {event.source}",
                    f"In force {_span(window)}, clock errors of {self._clock_error_us} µs and approvals reckoned in.",
                )
                fields = {"id": text(event.id), "type": text(event.type), "number": str(number), **self._fields(event)}
                value = mapping({**fields, "concerns": mapping(self._concerns(event), 1)})
                yield head + rule(f"{reference('event', f'{number} {event.id}')} := {value}", within(window))

    def _numbered(self) -> Iterator[tuple[int, LegalEvent, tuple[int, int]]]:
        for number, event in enumerate(self._events.counted, 1):
            yield number, event, window_of(event, self._clock_error_us)

    def _fields(self, event: LegalEvent) -> dict[str, str]:
        """Return what an event of its type does."""
        events, names, scope = self._events, self._names, event.scope
        regions = sorted(set(scope.regions) & set(events.policy.region_ids))
        match event.type:
            case "lift":
                return {"ends": text(event.ends or "")}
            case "threshold_reached":
                return {"counter": text(event.counter or ""), "count": str(event.count)}
            case "region_suspend":
                return {"refuses": set_of(regions, 1)}
            case "region_restore":
                return {"restores": set_of(regions, 1)}
            case "sanctions_add":
                return {"subjects": text(names.territory(scope.subjects))}
            case "sanctions_lift":
                embargoes = [regime.id for regime in events.policy.named(events.policy.embargoes)]
                lifted = [id_ for id_ in embargoes if not scope.regimes or id_ in scope.regimes]
                return {
                    "subjects": text(names.territory(scope.subjects, widens=True)),
                    "regimes": set_of(lifted, 1),
                    "everywhere": "false" if scope.regimes else "true",
                }
            case "adequacy_grant":
                given = events.catalogue.inside_cells(events.cells(scope.countries, widens=True))
                transfers = [regime.id for regime in events.policy.regimes if not regime.embargo]
                return {
                    "basis": text(event.basis or ""),
                    "regimes": set_of((id_ for id_ in transfers if id_ in scope.regimes), 1),
                    "at": set_of(names.locations(given), 1),
                }
            case _:
                return self._narrowing(event)

    def _narrowing(self, event: LegalEvent) -> dict[str, str]:
        """Return what an injunction, an order or the revocation of bases does."""
        scope, index = event.scope, self._events.policy.index
        if not scope.bases:
            return {"refuses": set_of(index.named(self._events.processors(event) & index.everyone), 1)}
        return {
            "revokes": set_of(scope.bases, 1),
            "regimes": set_of(scope.regimes or ("*",), 1),
            "at": set_of(self._names.locations(self._events.locations(event)), 1),
        }

    def _concerns(self, event: LegalEvent) -> dict[str, str]:
        """Return which requests an event concerns; nothing for all."""
        scope = event.scope
        if event.type not in ("injunction", "regulator_order"):
            return {}
        found = {}
        if scope.subjects:
            found["subjects"] = text(self._names.territory(scope.subjects))
        if scope.data:
            found["data"] = set_of(scope.data, 2)
        if scope.regimes and not scope.bases:
            found["regimes"] = set_of(scope.regimes, 2)
        for key in ("tenants", "models"):
            if getattr(scope, key):
                found[key] = set_of(getattr(scope, key), 2)
        return found


def _span(window: tuple[int, int]) -> str:
    start_us, end_us = window
    return f"from {dated(start_us)}" + (f" until {dated(end_us)}" if end_us < NEVER_US else "")
