"""The instants at which a policy's dates take effect, and what requests meet just before, at and just after each.

Law may change at these instants alone, and says so before: `Law.valid_until_us` of the law before is no later than the
first instant at which it differs. What is asked around each boundary is checked for that; written down as cases, it is
a snapshot in which a swapped date shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from borderpost.policy import codes
from borderpost.policy.compile import CompiledPolicy
from borderpost.policy.events import EventList, window_of
from borderpost.policy.fields import EPOCH, format_instant
from borderpost.policy.pack import Regime
from borderpost.policy.regimes import NEVER_US, window
from borderpost.proof.cases import CaseRequest
from borderpost.proof.hearing import Heard, Hearing, joined


class Boundary(NamedTuple):
    """An instant at which something dated begins or ends."""

    at_us: int
    """First instant of what follows, microseconds since 1970."""
    what: tuple[str, ...]
    """Everything that begins or ends then: `eu-gdpr allow[3] art45-dpf ends`."""


class Turn(NamedTuple):
    """What one request meets around one boundary."""

    title: str
    request: CaseRequest
    boundary: Boundary
    before: Heard
    """One microsecond before it."""
    at: Heard
    after: Heard
    """One microsecond after its first."""
    dates_us: frozenset[int]
    """Every boundary there is for this request."""

    @property
    def changes(self) -> bool:
        """Return True if the boundary makes a difference to the request."""
        return answer_of(self.before) != answer_of(self.at)

    def fault(self) -> str | None:
        """Return what is inconsistent about it; None if nothing is.

        Before: an answer that changes was told to end here. On both sides: no answer changes where nothing is dated,
        and none is told to end at an instant at which nothing is.
        """
        until_us = self.before.law.valid_until_us if self.before.law is not None else None
        if self.changes and until_us != self.boundary.at_us:
            return f"the answer before it was told to hold until {_told(until_us)}, and does not"
        if answer_of(self.at) != answer_of(self.after) and self.after.at_us not in self.dates_us:
            return "the answer changes one microsecond after it, where nothing is dated"
        for heard in (self.before, self.at, self.after):
            until_us = heard.law.valid_until_us if heard.law is not None else None
            if until_us is not None and until_us not in self.dates_us:
                return f"the answer is told to hold until {_told(until_us)}, where nothing is dated"
        return None


def boundaries(policy: CompiledPolicy, events: EventList) -> list[Boundary]:
    """Return every effective boundary of regimes, their entries and enforced events, ascending."""
    found: dict[int, list[str]] = {}
    for what, (start_us, end_us) in _dated(policy, events):
        for at_us, verb in ((start_us, "begins"), (end_us, "ends")):
            if abs(at_us) < NEVER_US:
                found.setdefault(at_us, []).append(f"{what} {verb}")
    return [Boundary(at_us, tuple(dict.fromkeys(found[at_us]))) for at_us in sorted(found)]


def _dated(policy: CompiledPolicy, events: EventList) -> Iterator[tuple[str, tuple[int, int]]]:
    for regime in policy.bundle.regimes:
        yield regime.id, window(regime.from_, regime.until)
        for index, allow in enumerate(regime.allow):
            yield f"{regime.id} allow[{index}] {allow.basis}", window(allow.from_, allow.until)
        for index, deny in enumerate(regime.deny):
            yield f"{regime.id} deny[{index}] {deny.basis}", window(deny.from_, deny.until)
    for event in events.events:
        start_us, end_us = window_of(event, events.file.clock_error_us)
        if start_us < end_us and event.mode == "enforce":
            yield f"event {event.id}", (start_us, end_us)


def turns(hearing: Hearing, requests: Mapping[str, CaseRequest]) -> Iterator[Turn]:
    """Yield what each request, by its title, meets around each boundary of the policy, its events and the request's.

    Raises BorderpostError BP1210 for a request that says what is not read.
    """
    common = boundaries(hearing.policy, hearing.event_list)
    for title, request in requests.items():
        own = common
        if request.events:
            own = boundaries(hearing.policy, joined(hearing.event_list, request.events))
        dates = frozenset(boundary.at_us for boundary in own)
        for boundary in own:
            before, at, after = (hearing.hear(request, boundary.at_us + step) for step in (-1, 0, 1))
            yield Turn(title, request, boundary, before, at, after, dates)


def representatives(policy: CompiledPolicy) -> dict[str, CaseRequest]:
    """Return a request for each regime that it surely applies to while in force, by `regime ID`."""
    known = sorted({*codes.COUNTRIES, *policy.mentioned}, key=lambda code: (len(code), code))
    found = {}
    for compiled, regime in zip(policy.regimes, policy.bundle.regimes, strict=True):
        code = next((code for code in known if not policy.places[code].cells & ~compiled.subjects), None)
        if code is not None:
            found[f"regime {regime.id}"] = _request(regime, code, policy.bundle.tenants)
    return found


def _request(regime: Regime, code: str, tenants: Mapping[str, object]) -> CaseRequest:
    applies = regime.applies_when
    named: dict[str, Any] = {"country": code}
    if "*" not in applies.data:
        named["classes"] = applies.data[:1]
    if applies.tenant is not None and applies.tenant[0] in tenants:
        named["tenant"] = applies.tenant[0]
    if applies.model is not None:
        named["model"] = applies.model[0]
    if applies.purpose is not None:
        named["purpose"] = applies.purpose[0]
    return CaseRequest(**named)


def answer_of(heard: Heard) -> tuple[object, ...]:
    """Return what a snapshot says of an answer: equal for answers that a caller and a lawyer could not tell apart."""
    law = heard.law
    if law is None:
        return heard.ruling, heard.reason
    return law.ruling, law.reason, law.legal, law.regimes, dict(law.bases)


def snapshot(found: Iterable[Turn]) -> dict[str, Any]:
    """Return the turns at which something changes as a file of tests that expect the present answers, in plain data."""
    groups: dict[str, dict[str, Any]] = {}
    for turn in found:
        if not turn.changes:
            continue
        group = groups.setdefault(turn.title, {"name": turn.title, "request": written(turn.request), "cases": []})
        group["cases"] += _cases(turn)
    return {"apiVersion": "residency/v1", "kind": "PolicyTests", "groups": list(groups.values())}


def _cases(turn: Turn) -> Iterator[dict[str, Any]]:
    """Yield a case for each answer around a boundary, asked at each instant at which it is the answer."""
    what = ", ".join(turn.boundary.what)
    moments: list[tuple[Heard, list[int]]] = []
    for heard in (turn.before, turn.at, turn.after):
        if moments and answer_of(moments[-1][0]) == answer_of(heard):
            moments[-1][1].append(heard.at_us)
        else:
            moments.append((heard, [heard.at_us]))
    for number, (heard, instants) in enumerate(moments):
        word = ("before: ", "", "just after: ")[number]
        yield {
            "name": f"{word}{what}"[:2000],
            "each": {"at": [_instant(at_us) for at_us in instants]},
            "expect": _expected(heard),
        }


def _expected(heard: Heard) -> dict[str, Any]:
    law = heard.law
    if law is None or not law.legal:
        return {"refused": heard.reason, **({} if law is None else {"regimes": list(law.regimes)})}
    bases = {region: why.split(",") for region, why in law.bases.items() if "/" in why}
    return {"legal": list(law.legal), "regimes": list(law.regimes), **({"basis": bases} if bases else {})}


def written(request: CaseRequest) -> dict[str, Any]:
    """Return a request as it is written in a file of tests, without its instant."""
    return request.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"at"})


def _instant(at_us: int) -> str:
    return format_instant(EPOCH + timedelta(microseconds=at_us))


def _told(at_us: int | None) -> str:
    return "for good" if at_us is None else _instant(at_us)
