"""Events and triggers in words: what a person reads before signing, and one line of it for tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from borderpost.policy.event_schema import SIGNATURES_TO_WIDEN, EventScope, LegalEvent
from borderpost.policy.fields import EPOCH

if TYPE_CHECKING:
    from borderpost.events.triggers import EventTemplate, FeedCondition, Trigger

_DESTINATIONS = {"regions": "", "countries": "regions that may be in ", "operators": "regions run by "}
_REQUESTS = {
    "subjects": "about people of",
    "data": "with data of the classes",
    "models": "to the models",
    "tenants": "of the tenants",
    "regimes": "under",
}
"""Parts of a scope, by what they say of the regions and of the requests that an event is about."""


def instant(at: datetime) -> str:
    """Write an instant for people, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def length(time: timedelta) -> str:
    """Write a length of time in its two largest units: `2 d 3 h`."""
    left = int(time.total_seconds())
    parts = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "less than 1 s"


def about(scope: EventScope) -> str:
    """Write a scope on one line: `regions eu-1, us-1; data health`."""
    told = [f"{name} {_listed(getattr(scope, name))}" for name in EventScope.model_fields if getattr(scope, name)]
    return "; ".join(told) or "-"


def what(event: LegalEvent) -> str:
    """Write on one line what an event is about."""
    if event.ends is not None:
        return f"ends {event.ends}"
    if event.basis is not None:
        return f"{about(event.scope)}; basis {event.basis}"
    return about(event.scope)


def sentences_of_event(event: LegalEvent) -> list[str]:
    """Say what an event would do, for whoever is to sign it."""
    told = [f"{event.id}: {_effect(event)}"]
    until = "until further notice" if event.effective_until is None else f"until {instant(event.effective_until)}"
    told.append(f"It holds from {instant(event.effective_from)} {until}, and never before the list has it.")
    told.append(_signatures(event.widens))
    if event.mode == "drill":
        told.append("It is a drill: what it would change is recorded, and binds nobody.")
    return [*told, *_grounds(event)]


def sentences_of_trigger(trigger: Trigger) -> list[str]:
    """Say what a trigger would do, for whoever is to sign it."""
    template = trigger.event
    event = trigger.fire(EPOCH)
    lasting = "until a `lift` ends it" if template.lasting_s is None else f"for {length(_lasting(template))}"
    told = [
        f"{trigger.id}: when the feed `{trigger.when.feed}` {condition(trigger.when)}, then at once, {lasting}:",
        f"{_effect(event)}",
        f"It fires before {instant(trigger.valid_until)} only. One signature arms it; none is needed when it fires.",
    ]
    if template.mode == "drill":
        told.append("It is a drill: what it would change is recorded, and binds nobody.")
    return [*told, *_grounds(event)]


def _lasting(template: EventTemplate) -> timedelta:
    return timedelta(seconds=template.lasting_s or 0)


def condition(when: FeedCondition) -> str:
    """Say what a feed must say."""
    if when.at_least is not None:
        return f"says {when.at_least} or more"
    return f"says {str(when.equals).lower() if isinstance(when.equals, bool) else repr(when.equals)}"


def _grounds(event: LegalEvent) -> list[str]:
    return [f"Reason: {event.reason}", f"Source: {event.source}"]


def _signatures(widens: bool) -> str:
    if widens:
        return f"It widens: it waits for the signatures of {SIGNATURES_TO_WIDEN} people."
    return "It narrows: one signature puts it in force."


def _effect(event: LegalEvent) -> str:
    scope = event.scope
    if event.type == "lift":
        return f"the event `{event.ends}` ends."
    if event.type == "region_restore":
        return f"{_listed(scope.regions)} may be used again: earlier suspensions end."
    if event.type == "adequacy_grant":
        where, regimes = _listed(scope.countries), _listed(scope.regimes)
        return f"data under {regimes} may go to {where}, on the basis `{event.basis}`."
    if event.type == "sanctions_add":
        return f"requests of people of {_listed(scope.subjects)}, and regions there, are under embargo."
    if event.type == "sanctions_lift":
        of = f" of {_listed(scope.regimes)}" if scope.regimes else ""
        return f"the embargo{of} on {_listed(scope.subjects)} ends."
    if scope.bases:
        regimes = f" of {_listed(scope.regimes)}" if scope.regimes else " of every regime"
        allowed = f"{_requests(scope)} to go to {_destinations(scope)}"
        return f"the basis {_listed(scope.bases)}{regimes} no longer allows {allowed}."
    return f"{_requests(scope)} may not go to {_destinations(scope)}."


def _destinations(scope: EventScope) -> str:
    told = [f"{word}{_listed(getattr(scope, name))}" for name, word in _DESTINATIONS.items() if getattr(scope, name)]
    return " that are also ".join(reversed(told)) or "any region"


def _requests(scope: EventScope) -> str:
    told = [
        f"{word} {_listed(getattr(scope, name))}"
        for name, word in _REQUESTS.items()
        if getattr(scope, name) and not (name == "regimes" and scope.bases)
    ]
    return f"requests {' and '.join(told)}" if told else "requests"


def _listed(names: Sequence[str]) -> str:
    return ", ".join("every place" if name == "*" else name for name in names)
