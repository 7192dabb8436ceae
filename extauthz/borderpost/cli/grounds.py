"""What stands behind one decision, as far as its law does not say it by itself: entries, events, own places.

The law names bases and reasons by `regime/name`, with `:retention` or `:telemetry` behind where it is not the region's
own place that is meant. Here each is traced to the entry that says so, with its source and dates; and events that gave
something back, which no reason names, are found by leaving them out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.catalogue import SUFFIXES
from borderpost.policy.compile import CompiledPolicy
from borderpost.policy.decide import NO_REGIME, decide
from borderpost.policy.event_schema import LegalEvent
from borderpost.policy.events import EventList, compile_events
from borderpost.policy.fields import format_instant
from borderpost.policy.model import Facts, Law
from borderpost.policy.pack import AllowEntry, DenyEntry, PolicyPack, Regime
from borderpost.policy.reasons import UNRESTRICTED
from borderpost.policy.regimes import window

LOCATIONS = ("inference", "retention", "telemetry")
"""The three locations of a region, in the order of `SUFFIXES`."""

EVENT_PREFIX = "event/"
"""Begins a reason that an event gives."""

_WITHOUT_ENTRY = {
    NO_REGIME: "no law is known for this place and data, and `no_regime: allow` lets it pass",
    UNRESTRICTED: "no regime that applies speaks of this region",
}


class Label(NamedTuple):
    """A basis or a reason, in its parts."""

    regime: str
    """Id of the regime; `event` or `policy` for those that no regime gives."""
    name: str
    location: str
    """One of `LOCATIONS`."""


def split(label: str) -> Label:
    """Take a label of the law apart."""
    for suffix, location in zip(SUFFIXES[1:], LOCATIONS[1:], strict=True):
        if label.endswith(suffix):
            return Label(*_halves(label.removesuffix(suffix)), location)
    return Label(*_halves(label), LOCATIONS[0])


def _halves(label: str) -> tuple[str, str]:
    regime, _, name = label.partition("/")
    return regime, name


def grounds(bundle: PolicyBundle, policy: CompiledPolicy, region: str, bases: str, at_us: int) -> list[dict[str, Any]]:
    """Return the entries by which a region is allowed: for each of its bases those that hold at the instant."""
    found: list[dict[str, Any]] = []
    for text in bases.split(","):
        if text in _WITHOUT_ENTRY:
            found.append({"basis": text, "note": _WITHOUT_ENTRY[text]})
            continue
        label = split(text)
        regime = next((regime for regime in bundle.regimes if regime.id == label.regime), None)
        if regime is None:
            continue
        entries = [
            entry
            for entry in regime.allow
            if entry.basis == label.name and holds(entry, at_us) and _reaches(policy, entry, region, label.location)
        ]
        found += [_told(text, label.location, bundle, regime, entry) for entry in entries]
        if regime.basis == label.name:
            found.append(_told(text, label.location, bundle, regime, None))
    return found


def refusing_source(bundle: PolicyBundle, events: EventList, reason: str, at_us: int) -> str | None:
    """Return where the reason against a region is written: its deny entry's source, its regime's, or its event's."""
    label = split(reason)
    if reason.startswith(EVENT_PREFIX):
        return next((event.source for event in events.events if event.id == label.name), None)
    regime = next((regime for regime in bundle.regimes if regime.id == label.regime), None)
    if regime is None:
        return None
    named = (entry.source for entry in regime.deny if entry.basis == label.name and holds(entry, at_us))
    return next((source for source in named if source is not None), regime.source)


def holds(entry: AllowEntry | DenyEntry, at_us: int) -> bool:
    """Say whether an entry holds at an instant, by its dates."""
    start_us, end_us = window(entry.from_, entry.until)
    return start_us <= at_us < end_us


def _reaches(policy: CompiledPolicy, entry: AllowEntry, region: str, location: str) -> bool:
    catalogue = policy.catalogue
    reached = catalogue.inside(entry.to) & catalogue.bringing(entry.require)
    return bool(reached >> LOCATIONS.index(location) * policy.index.width & policy.index.bits[region])


def _told(
    text: str, location: str, bundle: PolicyBundle, regime: Regime, entry: AllowEntry | None
) -> dict[str, Any]:  # fmt: skip
    """Tell an entry, or the basis on which a regime allows whatever it does not deny."""
    said = entry if entry is not None else regime
    told: dict[str, Any] = {
        "basis": text,
        "location": location,
        "to": list(entry.to) if entry is not None else ["*"],
        "source": said.source or regime.source,
        "confidence": said.confidence,
    }
    if entry is not None and entry.require is not None:
        told["require"] = entry.require.model_dump(mode="json", exclude_none=True)
    for name, date in (("from", said.from_), ("until", said.until)):
        if date is not None:
            told[name] = format_instant(date)
    pack = _pack(bundle, regime.id)
    as_of = said.as_of or regime.as_of or (pack.metadata.as_of if pack is not None else None)
    if as_of is not None:
        told["as_of"] = as_of.isoformat()
    if said.note is not None:
        told["note"] = said.note
    return told


def _pack(bundle: PolicyBundle, regime_id: str) -> PolicyPack | None:
    return next((pack for pack in bundle.packs if any(regime.id == regime_id for regime in pack.regimes)), None)


def pack_of(bundle: PolicyBundle, regime_id: str) -> str:
    """Return the pack that brings a regime, with its version, or that it is the deployment's own."""
    pack = _pack(bundle, regime_id)
    return f"{pack.metadata.id} {pack.metadata.version}" if pack is not None else "the configuration's own"


def taking_part(facts: Facts, law: Law, policy: CompiledPolicy, events: EventList, at_us: int) -> list[LegalEvent]:
    """Return the events that took part: those that the law names, and what widened it, without which it were another.

    The law names what refuses and what changes a regime; a lift or a restoration shows itself by what is not refused.
    """
    in_force = set(compile_events(events, policy).in_force(at_us))
    ended = {event.ends for event in events.events if event.id in in_force}
    weighed = [event for event in events.events if event.id in in_force or event.id in ended]

    def is_missed(event: LegalEvent) -> bool:
        others = EventList(events.file.model_copy(update={"events": tuple(e for e in weighed if e is not event)}))
        without = decide(facts, policy, compile_events(others, policy), at_us, stale=law.stale)
        return _said(without) != _said(law)

    return [
        event
        for event in weighed
        if event.id in law.events or (event.widens and event.id in in_force and is_missed(event))
    ]


def _said(law: Law) -> tuple[object, ...]:
    """Return what of a law a request meets."""
    return law.ruling, law.reason, law.legal, dict(law.bases), dict(law.refused)


def event_told(event: LegalEvent) -> dict[str, Any]:
    """Return an event as JSON-ready data: what it is, when it holds, who says so and who signed."""
    told: dict[str, Any] = {
        "id": event.id,
        "type": event.type,
        "effective_from": format_instant(event.effective_from),
        "effective_until": format_instant(event.effective_until) if event.effective_until is not None else None,
        "recorded_at": format_instant(event.recorded_at),
        "source": event.source,
        "reason": event.reason,
        "signed_by": sorted({approval.by for approval in event.approvals}),
    }
    if event.trigger is not None:
        told["trigger"] = event.trigger
    return told


def own_places(bundle: PolicyBundle, law: Law) -> Iterator[dict[str, Any]]:
    """Yield `here` and each sink: its place, and whether the law let it see the request; None if that was not asked."""
    refused, regime = None, None
    if law.reason.startswith(("here-not-allowed", "sink-not-allowed:")):
        refused = law.reason
        ending = f"/{law.reason}"
        regime = next((text.removesuffix(ending) for text in law.refused.values() if text.endswith(ending)), None)
    passed = law.reason in ("ok", "no-legal-region")
    for name, place in (("here", bundle.here.place), *((name, sink.place) for name, sink in bundle.sinks.items())):
        is_refused = refused == ("here-not-allowed" if name == "here" else f"sink-not-allowed:{name}")
        told: dict[str, Any] = {"name": name, "place": place, "allowed": False if is_refused else passed or None}
        if is_refused and regime is not None:
            told["refused_by"] = regime
        yield told
