"""The language of legal events: what happened to the law, when it holds, when it became known, and who signed.

    narrows   injunction  regulator_order  region_suspend  sanctions_add  adequacy_revoke  threshold_reached
    widens    lift  region_restore  sanctions_lift  adequacy_grant

What narrows takes effect on one signature (or, where no signers are configured, on none); what widens waits for two.
A scope says what an event is about: where data goes (`regions`, `countries`, `operators`) and which requests it
concerns (`subjects`, `data`, `models`, `tenants`, `regimes`). Parts of a scope hold together; what is not known of a
request or a region counts as meant. Shapes only: no I/O, no cryptography.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from borderpost.policy.fields import Identifier, Instant, Label, Places, Text, refuse_at, told
from borderpost_base.errors import BorderpostError
from borderpost_base.strict import StrictModel

EventType = Literal[
    "injunction",
    "regulator_order",
    "region_suspend",
    "region_restore",
    "sanctions_add",
    "sanctions_lift",
    "adequacy_revoke",
    "adequacy_grant",
    "threshold_reached",
    "lift",
]

WIDENING: Final = frozenset({"region_restore", "sanctions_lift", "adequacy_grant", "lift"})
"""Types that can add a region; they wait for `SIGNATURES_TO_WIDEN` signatures."""

SIGNATURES_TO_WIDEN: Final = 2

_DIGEST = StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")


class EventScope(StrictModel):
    """What an event is about. Parts that are given hold together."""

    regions: tuple[Identifier, ...] = ()
    """Region ids."""
    countries: Places = ()
    """Places where data goes: regions any of whose locations may be there. Codes, groups, or `*`."""
    operators: tuple[Text, ...] = ()
    """Legal persons that run regions (`operator.entity`); a region whose operator is not named is meant too."""
    subjects: Places = ()
    """Places of data subjects."""
    data: tuple[Identifier, ...] = ()
    """Data classes, with those that imply them."""
    models: tuple[Label, ...] = ()
    """Models; a request whose model is not known by trusted means is meant too."""
    tenants: tuple[Label, ...] = ()
    """Tenants; a request whose tenant is not known is meant too."""
    regimes: tuple[Identifier, ...] = ()
    """Regimes: requests to which any of them applies."""
    bases: tuple[Label, ...] = ()
    """Bases of the regimes named, or of every regime where none is: the event takes the basis away instead of
    refusing the region, so that another basis can still allow it."""


class Approval(StrictModel):
    """One person's signature on an event, as it was checked when the event was read."""

    by: Label
    """The signer's name, as the configuration has it."""
    key: Annotated[str, _DIGEST]
    """Digest of the public key."""
    at: Instant
    """When the signature became known here."""
    signature: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{86}==$")]
    """Ed25519 over the event's signed form, base64: what anybody with the public key can check again."""


class LegalEvent(StrictModel):
    """Something that happened to the law, with the time it holds and the time at which it became known."""

    id: Identifier
    """Never used again; stands in the reason that the event gives."""
    type: EventType
    """What happened."""
    scope: EventScope = EventScope()
    """What it is about; a `lift` has none."""
    basis: Label | None = None
    """The basis that an `adequacy_grant` gives; none by default."""
    ends: Identifier | None = None
    """The earlier narrowing event that a `lift` ends; none by default."""
    counter: Identifier | None = None
    """The counter of a `threshold_reached`; none by default."""
    count: Annotated[int, Field(ge=1)] | None = None
    """The threshold that it reached; none by default."""
    effective_from: Instant
    """First instant at which it holds, in law."""
    effective_until: Instant | None = None
    """First instant at which it no longer holds (exclusive); until further notice by default."""
    recorded_at: Instant
    """When it became known here; it is never in force before."""
    source: Text
    """Who ordered it, and where that is written."""
    reason: Text
    """Why, in a sentence for people."""
    mode: Literal["enforce", "drill"] = "enforce"
    """`drill` is weighed in shadow only: what it would have changed is recorded and binds nobody."""
    trigger: Identifier | None = None
    """The trigger that fired it; none by default."""
    approvals: tuple[Approval, ...] = ()
    """Who signed; empty where no signers are configured."""

    @property
    def widens(self) -> bool:
        """Return True for an event that can add a region."""
        return self.type in WIDENING

    @model_validator(mode="after")
    def _coherent(self) -> LegalEvent:
        if self.effective_until is not None and self.effective_until <= self.effective_from:
            raise told(BorderpostError("BP0207", "`effective_until` does not come after `effective_from`"))
        refuse_at("LegalEvent", _misfits(self))
        return self


class EventsFile(StrictModel):
    """The events that hold here: append-only, so that what was known when can be told later."""

    apiVersion: Literal["residency/v1"] = "residency/v1"
    """The language's version; there is one."""
    kind: Literal["LegalEvents"] = "LegalEvents"
    """What the file is."""
    clock_error_us: Annotated[int, Field(ge=0, le=60_000_000)] = 0
    """How far clocks may differ, microseconds: what narrows holds that much earlier and ends that much later, what
    widens holds that much later and ends that much earlier. Set by the gateway, 0 in a file."""
    head: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the last line of the signed list that this was read from; none for a plain file."""
    length: Annotated[int, Field(ge=0)] = 0
    """Lines of that list; 0 for a plain file."""
    events: tuple[LegalEvent, ...] = ()
    """Events in the order in which they became known."""

    @model_validator(mode="after")
    def _append_only(self) -> EventsFile:
        found: list[tuple[tuple[str | int, ...], BorderpostError]] = []
        seen: dict[str, int] = {}
        for index, event in enumerate(self.events):
            if event.id in seen:
                detail = f"id `{event.id}` is already that of events[{seen[event.id]}]"
                found.append((("events", index, "id"), BorderpostError("BP0210", detail)))
            if index and event.recorded_at < self.events[index - 1].recorded_at:
                detail = f"`{event.id}` was recorded before the event above it"
                found.append((("events", index, "recorded_at"), BorderpostError("BP0210", detail)))
            if event.ends is not None and (event.ends not in seen or self.events[seen[event.ends]].widens):
                detail = f"`{event.ends}` is no narrowing event above `{event.id}`"
                found.append((("events", index, "ends"), BorderpostError("BP0210", detail)))
            seen.setdefault(event.id, index)
        refuse_at("EventsFile", found)
        return self


_NEEDED: Final = {
    "region_suspend": ("regions",),
    "region_restore": ("regions",),
    "sanctions_add": ("subjects",),
    "sanctions_lift": ("subjects",),
    "adequacy_revoke": ("bases",),
    "adequacy_grant": ("regimes", "countries"),
}
"""Parts of the scope that a type must have."""

_ALLOWED: Final = {
    "region_suspend": ("regions",),
    "region_restore": ("regions",),
    "sanctions_add": ("subjects",),
    "sanctions_lift": ("subjects", "regimes"),
    "adequacy_revoke": ("regimes", "bases", "countries", "regions", "operators"),
    "adequacy_grant": ("regimes", "countries"),
    "lift": (),
    "threshold_reached": (),
}
"""Parts of the scope that a type may have; an injunction and an order may have all."""


def _misfits(event: LegalEvent) -> list[tuple[tuple[str | int, ...], BorderpostError]]:
    """Find what an event of its type must have and lacks, or has and means nothing."""
    found: list[tuple[tuple[str | int, ...], BorderpostError]] = []
    for name in EventScope.model_fields:
        given = bool(getattr(event.scope, name))
        if not given and name in _NEEDED.get(event.type, ()):
            found.append((("scope", name), BorderpostError("BP0220", f"a {event.type} names its `{name}`")))
        if given and name not in _ALLOWED.get(event.type, tuple(EventScope.model_fields)):
            found.append((("scope", name), BorderpostError("BP0220", f"`{name}` means nothing for a {event.type}")))
    if event.type in ("injunction", "regulator_order") and event.scope == EventScope():
        detail = f"a {event.type} without scope would refuse every request"
        found.append((("scope",), BorderpostError("BP0220", detail)))
    own = {"basis": "adequacy_grant", "ends": "lift", "counter": "threshold_reached", "count": "threshold_reached"}
    for name, kind in own.items():
        if (getattr(event, name) is not None) != (event.type == kind):
            verb = "names its" if event.type == kind else "has no"
            found.append(((name,), BorderpostError("BP0220", f"a {event.type} {verb} `{name}`")))
    return found
