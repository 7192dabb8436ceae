"""A whole signed list: what it says, and the first things that are wrong with it.

Reading goes line by line, and each line is checked against all above it: chain, number, time, ids, signatures. Where
a line is wrong, what stands above it is still true and is kept; what comes after it is looked at for further faults as
far as the chain allows, and counts for nothing. So a list with a fault is as good as the part above the fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from borderpost.events.lines import GENESIS, ApprovalBody, ListLine, event_of, in_one_form, line_digest, parse_line
from borderpost.events.signing import Signature, Signers, check_one_each, check_signature, form_digest, signed_form
from borderpost.events.triggers import Trigger, fault_of_fired
from borderpost.policy.event_schema import Approval, EventsFile, LegalEvent
from borderpost.policy.events import EventList
from borderpost.policy.fields import format_instant
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place, Problems

_DIGEST_BYTES: Final = 32
AHEAD: Final = timedelta(seconds=limits.EVENT_AHEAD_S_MAX)
"""How far ahead of this machine's clock something may be dated."""
_PROBLEMS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class SignedList:
    """What a list says, up to its first fault. Immutable; `extended` gives the list with further lines."""

    source: str
    """Where it lies, for errors."""
    file: EventsFile = field(default_factory=EventsFile)
    """Its events with their approvals, its head and its length: what policy is given."""
    triggers: tuple[Trigger, ...] = ()
    """Its triggers, in order; those whose time is over too."""
    at: datetime | None = None
    """When its last line was appended."""
    digests: bytes = b""
    """SHA-256 of every line, 32 bytes each."""
    forms: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """Each event's signed form by its id: what a later signature is checked against."""
    problems: tuple[BorderpostError, ...] = ()
    """What is wrong with the lines after; empty if nothing is."""

    @property
    def length(self) -> int:
        """Return the number of lines."""
        return len(self.digests) // _DIGEST_BYTES

    @property
    def head(self) -> str:
        """Return the SHA-256 of the last line, hex; zeros for an empty list."""
        return self.head_at(self.length)

    @property
    def events(self) -> tuple[LegalEvent, ...]:
        """Return the events, in the order in which they became known."""
        return self.file.events

    def head_at(self, length: int) -> str:
        """Return the head that the list had when it had that many lines (at most `length`)."""
        if length == 0:
            return GENESIS
        return self.digests[(length - 1) * _DIGEST_BYTES : length * _DIGEST_BYTES].hex()

    def event_list(self) -> EventList:
        """Return the events as policy takes them. Raises Problems if the list has a fault."""
        if self.problems:
            raise Problems(list(self.problems))
        return EventList(self.file)

    def extended(self, lines: Iterable[bytes], signers: Signers, *, now: datetime | None = None) -> SignedList:
        """Return the list with the lines that follow those it has taken; without newlines. `problems` of the result
        tells what is wrong with them.

        `now` is this machine's clock: a line dated ahead of it, by more than clocks may differ, is a fault.
        """
        reader = _Reader(self, signers, None if now is None else now + AHEAD)
        for raw in lines:
            reader.take(raw)
        return reader.finished()


def read_list(lines: Iterable[bytes], signers: Signers, *, source: str, now: datetime | None = None) -> SignedList:
    """Read a list from its first line on; lines without newlines, `source` for errors.

    Faults are in `problems`, each with its line. `now` is this machine's clock; without one the future is not refused.
    """
    return SignedList(source).extended(lines, signers, now=now)


def continued(
    known: SignedList, lines: Sequence[bytes], signers: Signers, *, now: datetime | None = None
) -> SignedList:
    """Return a known list with what is new, of lines that begin with the last one known.

    `lines` are those from index `known.length - 1` on (from 0 for an empty list), so that a list that was exchanged
    for another of the same length is noticed. Raises BorderpostError BP1012 if the last known line is gone or other.
    """
    if not known.length:
        return known.extended(lines, signers, now=now)
    if not lines or line_digest(lines[0]) != known.head:
        detail = f"line {known.length} is {'another' if lines else 'not there any more'}"
        raise BorderpostError("BP1012", detail, place=Place(known.source, known.length))
    return known.extended(lines[1:], signers, now=now)


class _Reader:
    """Reads on from a list. Lines after a fault are looked at but not taken."""

    def __init__(self, start: SignedList, signers: Signers, latest: datetime | None) -> None:
        self._start = start
        self._signers = signers
        self._latest = latest
        self._events = {event.id: event for event in start.events}
        self._triggers = {trigger.id: trigger for trigger in start.triggers}
        self._forms = dict(start.forms)
        self._digests = bytearray(start.digests)
        self._at = start.at
        self._seq = start.length
        self._prev = start.head
        self._problems: list[BorderpostError] = []
        self._lost = False
        self._taken = start

    def take(self, raw: bytes) -> None:
        """Check one line and take it, unless the chain was lost before."""
        if self._lost:
            return
        place = Place(self._start.source, self._seq + 1)
        try:
            if self._seq >= limits.EVENT_LIST_LINES_MAX:
                raise BorderpostError("BP1010", f"more than {limits.EVENT_LIST_LINES_MAX} lines", place=place)
            line = parse_line(raw, place)
            self._check_chain(line, place)
        except BorderpostError as error:
            self._tell(error)
            self._lost = True  # nothing ties what follows to what came before
            return
        try:
            self._check_time(line, place)
            self._take_body(line, place)
        except BorderpostError as error:
            self._tell(error)
        self._seq += 1
        self._prev = line_digest(raw)
        self._digests += bytes.fromhex(self._prev)
        self._at = max(line.at, self._at) if self._at else line.at

    def finished(self) -> SignedList:
        """Return the list up to the first fault."""
        if self._problems:
            return replace(self._taken, problems=tuple(self._problems))
        return self._snapshot()

    def _snapshot(self) -> SignedList:
        events = tuple(self._events.values())
        # Not validated again, which would cost a long list more than the line that was added: ids, times and `ends`
        # were checked line by line.
        file = EventsFile.model_construct(head=self._prev if self._seq else None, length=self._seq, events=events)
        return SignedList(
            source=self._start.source,
            file=file,
            triggers=tuple(self._triggers.values()),
            at=self._at,
            digests=bytes(self._digests),
            forms=MappingProxyType(dict(self._forms)),
        )

    def _tell(self, error: BorderpostError) -> None:
        if not self._problems:
            self._taken = self._snapshot()  # of the lines above: this one's digest has not been added
        self._problems.append(error)
        self._lost = self._lost or len(self._problems) >= _PROBLEMS_MAX

    def _check_chain(self, line: ListLine, place: Place) -> None:
        if line.seq != self._seq:
            raise BorderpostError("BP1002", f"the line has number {line.seq}, {self._seq} is due", place=place)
        if line.prev != self._prev:
            detail = f"the line follows {line.prev[:16]}…, the line above is {self._prev[:16]}…"
            raise BorderpostError("BP1002", detail, place=place)

    def _check_time(self, line: ListLine, place: Place) -> None:
        if self._at is not None and line.at < self._at:
            detail = f"appended {format_instant(line.at)}, the line above {format_instant(self._at)}"
            raise BorderpostError("BP1003", detail, place=place)
        if self._latest is not None and line.at > self._latest:
            raise BorderpostError("BP1003", f"appended {format_instant(line.at)}, in the future", place=place)

    def _take_body(self, line: ListLine, place: Place) -> None:
        if line.kind == "event":
            self._take_event(line, place)
        elif line.kind == "approval":
            self._take_approval(line, place)
        else:
            self._take_trigger(line, place)

    def _take_event(self, line: ListLine, place: Place) -> None:
        event = event_of(line.body, line.at, place)
        if event.type == "threshold_reached":
            raise BorderpostError("BP1016", "a threshold_reached is made by the gateway that counts", place=place)
        self._check_new(event.id, place)
        ended = self._events.get(event.ends) if event.ends is not None else None
        if event.ends is not None and (ended is None or ended.widens):
            detail = f"`{event.ends}` is no narrowing event above `{event.id}`"
            mend = "Name in `ends` an earlier event that narrows; `borderpost events list` shows them."
            raise BorderpostError("BP0210", detail, place=place, mend=mend)
        form = signed_form("legal event", line.body)
        if event.trigger is not None:
            fault = fault_of_fired(event, self._triggers.get(event.trigger))
            if fault is None and line.signatures:
                fault = "what a trigger fires carries the trigger's signature alone"
            if fault is not None:
                raise BorderpostError("BP1016", f"`{event.id}` claims to be fired: {fault}", place=place)
        else:
            self._check_signatures(line, form, place)
        self._forms[event.id] = form
        approvals = tuple(_approval(signature, line.at) for signature in line.signatures)
        self._events[event.id] = event.model_copy(update={"approvals": approvals})

    def _take_approval(self, line: ListLine, place: Place) -> None:
        body = in_one_form(ApprovalBody, line.body, place)
        event = self._events.get(body.event)
        if event is None:
            raise BorderpostError("BP1008", f"no event `{body.event}` stands above its approval", place=place)
        form = self._forms[event.id]
        if body.digest != form_digest(form):
            detail = f"the approval is of another event than the `{event.id}` above"
            raise BorderpostError("BP1008", detail, place=place)
        if event.trigger is not None:
            raise BorderpostError("BP1008", f"`{event.id}` was fired by a trigger and needs no approval", place=place)
        if len(line.signatures) != 1:
            detail = f"an approval has one signature, not {len(line.signatures)}"
            raise BorderpostError("BP1006", detail, place=place)
        earlier = tuple(Signature(by=each.by, key=each.key, sig=each.signature) for each in event.approvals)
        if len(earlier) >= limits.EVENT_SIGNATURES_MAX:
            raise BorderpostError("BP1006", f"`{event.id}` has {len(earlier)} signatures already", place=place)
        check_one_each((*earlier, *line.signatures), place)
        self._check_signatures(line, form, place)
        approvals = (*event.approvals, _approval(line.signatures[0], line.at))
        self._events[event.id] = event.model_copy(update={"approvals": approvals})

    def _take_trigger(self, line: ListLine, place: Place) -> None:
        trigger = in_one_form(Trigger, line.body, place)
        self._check_new(trigger.id, place)
        if trigger.valid_until <= line.at:
            raise BorderpostError("BP1017", f"`{trigger.id}` was over when it was appended", place=place)
        self._check_signatures(line, signed_form("trigger", line.body), place)
        self._triggers[trigger.id] = trigger

    def _check_new(self, new_id: str, place: Place) -> None:
        if new_id in self._events or new_id in self._triggers:
            kind = "event" if new_id in self._events else "trigger"
            raise BorderpostError("BP1007", f"`{new_id}` is the id of an earlier {kind}", place=place)

    def _check_signatures(self, line: ListLine, form: bytes, place: Place) -> None:
        if not line.signatures:
            raise BorderpostError("BP1006", f"the {line.kind} carries no signature", place=place)
        check_one_each(line.signatures, place)
        for signature in line.signatures:
            check_signature(signature, form, self._signers, at=line.at, place=place)


def _approval(signature: Signature, at: datetime) -> Approval:
    return Approval(by=signature.by, key=signature.key, at=at, signature=signature.sig)
