"""Triggers: narrowing events that people signed in advance, for the day on which a feed says so.

    {"id": "…", "when": {"feed": "…", "equals": …} or {"feed": "…", "at_least": n}, "event": {…}, "valid_until": "…"}

Nobody has to be awake when it fires: the event is made from the template, at that instant, by the gateway that read the
feed. What fires is what was signed, with the time and an id put in; so a line of the list that a trigger fired carries
no signature of its own, and is checked against the trigger's. A template only narrows.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StrictBool, StrictInt, StringConstraints, model_validator

from borderpost.events.lines import scope_body
from borderpost.policy.event_schema import WIDENING, EventScope, EventType, LegalEvent
from borderpost.policy.fields import EPOCH, Identifier, Instant, Text, format_instant, refuse_at, told
from borderpost_base.errors import BorderpostError
from borderpost_base.strict import StrictModel

_ID_BYTES_MAX: Final = 40
"""Leaves room for the time in the ids of the events it fires."""
_LASTING_S_MAX: Final = 366 * 86_400

FeedValue = StrictBool | StrictInt | Annotated[str, StringConstraints(max_length=256)]
"""What a feed may say."""


class FeedCondition(StrictModel):
    """What a feed must say."""

    feed: Identifier
    """The feed, by its name under `events.feeds`."""
    equals: FeedValue | None = None
    """It says exactly this; a boolean is no number."""
    at_least: StrictInt | None = None
    """It says a number that is this one or greater."""

    @model_validator(mode="after")
    def _one_condition(self) -> FeedCondition:
        if (self.equals is None) == (self.at_least is None):
            raise told(BorderpostError("BP1017", "a condition is either `equals` or `at_least`"))
        return self

    def holds(self, value: object) -> bool:
        """Return True if a feed's value (of JSON) meets the condition. NaN meets none."""
        if self.at_least is not None:
            return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= self.at_least
        if isinstance(self.equals, bool) or isinstance(value, bool):
            return self.equals is value
        if isinstance(self.equals, str):
            return isinstance(value, str) and value == self.equals
        return isinstance(value, (int, float)) and value == self.equals


class EventTemplate(StrictModel):
    """A narrowing event without id and time."""

    type: EventType
    """What happens then."""
    scope: EventScope
    """What it is about."""
    source: Text
    """On whose authority, and where that is written."""
    reason: Text
    """Why, in a sentence for people."""
    mode: Literal["enforce", "drill"] = "enforce"
    """`drill` is weighed in shadow only."""
    lasting_s: Annotated[int, Field(ge=1, le=_LASTING_S_MAX)] | None = None
    """Seconds for which the event holds, at most a year; until a `lift` by default."""

    @model_validator(mode="after")
    def _only_narrows(self) -> EventTemplate:
        if self.type in WIDENING or self.type == "threshold_reached":
            error = BorderpostError("BP1017", f"a trigger cannot fire a {self.type}")
            refuse_at("EventTemplate", [(("type",), error)])
        self.event("example", EPOCH, None)  # it lacks nothing that its type needs
        return self

    def event(self, event_id: str, at: datetime, trigger: str | None) -> LegalEvent:
        """Return the event that is in force, and known, from an instant (UTC) on."""
        return LegalEvent(
            id=event_id,
            type=self.type,
            scope=self.scope,
            source=self.source,
            reason=self.reason,
            mode=self.mode,
            effective_from=at,
            effective_until=None if self.lasting_s is None else at + timedelta(seconds=self.lasting_s),
            recorded_at=at,
            trigger=trigger,
        )


class Trigger(StrictModel):
    """An event signed in advance, and what fires it."""

    id: Annotated[Identifier, StringConstraints(max_length=_ID_BYTES_MAX)]
    """Never used again; the ids of the events it fires begin with it."""
    when: FeedCondition
    """What fires it."""
    event: EventTemplate
    """What is in force then."""
    valid_until: Instant
    """It fires before this instant only."""

    def fire(self, at: datetime) -> LegalEvent:
        """Return the event that it fires at an instant (UTC), known from then on."""
        return self.event.event(fired_id(self.id, at), at, self.id)


def fired_id(trigger_id: str, at: datetime) -> str:
    """Return the id of the event that a trigger fires at an instant (UTC): its own and the time, to a microsecond."""
    return f"{trigger_id}.{at:%Y%m%dt%H%M%S}.{at.microsecond:06d}"


def fault_of_fired(event: LegalEvent, trigger: Trigger | None) -> str | None:
    """Say why an event is not what its trigger, if there is one of that name, would have fired; None if it is."""
    if trigger is None:
        return f"no trigger `{event.trigger}` stands above it"
    at = event.effective_from
    if at > event.recorded_at:
        return "it begins after it became known"
    if event.recorded_at >= trigger.valid_until:
        return f"the trigger was valid until {format_instant(trigger.valid_until)}"
    try:
        due = trigger.fire(at).model_copy(update={"recorded_at": event.recorded_at})
    except OverflowError:
        return "it ends beyond the calendar"
    return None if event == due else f"it is not the event that trigger `{trigger.id}` was signed for"


def trigger_body(trigger: Trigger) -> dict[str, Any]:
    """Return the body of a trigger's line, with defaults written out but for parts of the scope that say nothing."""
    body = trigger.model_dump(mode="json", by_alias=True, exclude_none=True)
    body["event"]["scope"] = scope_body(trigger.event.scope)
    return body
