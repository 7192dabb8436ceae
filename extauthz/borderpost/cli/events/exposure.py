"""What an event would have changed had it been known in time: `borderpost events exposure`.

Concerned is each decision from the event's first instant in law on that was made from a list without it: before it
became known, and after that on a gateway that had not heard of it. It is derived anew from the inputs that its record
names, once as it was and once with the event known from its first instant on. So every part of a scope counts, as it
does for live requests.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from borderpost.cli.events.content import event_of, read_content
from borderpost.cli.events.options import add_list
from borderpost.cli.output import CLEAN, FINDINGS, Output
from borderpost_base.errors import BorderpostError, Place

if TYPE_CHECKING:
    from borderpost.audit.inputs import InputStore
    from borderpost.policy.compile import CompiledPolicy
    from borderpost.policy.event_schema import EventsFile, LegalEvent
    from borderpost.policy.events import CompiledEvents, EventList
    from borderpost.policy.model import Facts, Law

_LISTED: Final = 1000
"""Decisions that are listed; the others are counted."""
_UNUSABLE: Final = {"BP0407", "BP0215"}
"""What is said of an input that is missing, altered, or of another version."""
_REMEMBERED: Final = 50_000
"""Laws that are kept ready."""

_HEADINGS: Final = ("decision", "time", "region", "basis", "with the event")


def configure_exposure(parser: argparse.ArgumentParser) -> None:
    """Show what was decided without an event although it held in law: before it became known, or on a gateway that had
    not heard of it. These are the requests that it would have refused, and those that rested on a basis which it took
    away. Each decision is derived anew from the audit log. Exit 1: there are some."""
    parser.add_argument("event", metavar="ID", help="the event's id")
    parser.add_argument("--log", type=Path, required=True, metavar="DIR", help="the audit directory, or a stream of it")
    add_list(parser)


def run_exposure(arguments: argparse.Namespace, output: Output) -> int:
    """Report the exposure of one event."""
    file = read_content(arguments).file
    event = event_of(file, arguments.event)
    if event.widens or event.type == "threshold_reached":
        detail = f"`{event.id}` is a {event.type}: nothing was decided too freely before it became known"
        raise BorderpostError("BP0004", detail, place=Place(key=event.id))
    report = examine(arguments.log, event, answers_to(event, file))
    if output.as_json:
        output.result(report.as_dict(event))
    else:
        _tell(report, event, output)
    return FINDINGS if report.found or report.underivable else CLEAN


@dataclass(frozen=True, slots=True)
class Exposed:
    """One decision that the event would have changed."""

    decision_id: str
    at: str
    region: str
    """The region that it was sent to, or one that a retry could have taken it to."""
    basis: str
    """The bases that allowed that region."""
    instead: str
    """What would have been: the reason against the region, or the bases that were left."""
    refused: bool
    """True if the region would have been refused; False if another basis would still have allowed it."""


@dataclass(slots=True)
class Report:
    """What was found in a log."""

    decisions: int = 0
    """Decisions without the event, since it held, that routed a request."""
    unheard: int = 0
    """Those of them that were made after the list had it."""
    refused: int = 0
    """Those that the event would have refused there."""
    rebased: int = 0
    """Those that rested on a basis that it took away, beside others."""
    underivable: int = 0
    """Those that cannot be derived anew: an input is missing, or another version decided otherwise."""
    listed: list[Exposed] = field(default_factory=list)

    @property
    def found(self) -> int:
        """Return how many decisions the event would have changed."""
        return self.refused + self.rebased

    def as_dict(self, event: LegalEvent) -> dict[str, Any]:
        """Return the report as JSON-ready data."""
        from borderpost.policy.fields import format_instant

        keys = ("decision_id", "at", "region", "basis", "instead", "refused")
        return {
            "event": event.id,
            "window": {"from": format_instant(event.effective_from), "until": format_instant(event.recorded_at)},
            "decisions": self.decisions,
            "unheard": self.unheard,
            "refused": self.refused,
            "rebased": self.rebased,
            "underivable": self.underivable,
            "listed": [{key: getattr(each, key) for key in keys} for each in self.listed],
        }


def answers_to(event: LegalEvent, file: EventsFile) -> tuple[LegalEvent, ...]:
    """Return the events of a list that end an event, or take something back of what it does."""
    counterpart = {"region_suspend": "region_restore", "sanctions_add": "sanctions_lift"}.get(event.type)
    return tuple(each for each in file.events if each.ends == event.id or each.type == counterpart)


def examine(log: Path, event: LegalEvent, answers: Sequence[LegalEvent] = ()) -> Report:
    """Look through a log for what a narrowing event would have changed where it was not known.

    `answers` are later events that end it or take something back. Raises BorderpostError BP0408 for what is no log.
    """
    from borderpost.audit.inputs import InputStore
    from borderpost.audit.segment import INPUTS_NAME
    from borderpost.policy.fields import to_us
    from borderpost.recorded_decision import facts_of
    from borderpost_base.world import World

    report = Report()
    directory = log if (log / INPUTS_NAME).is_dir() else log.absolute().parent
    hindsight = _Hindsight(event, answers, InputStore(directory, World()))
    recorded_us = to_us(event.recorded_at)
    for record, at_us in _routed(log, event):
        if at_us >= recorded_us and hindsight.knows(record):
            continue
        report.decisions += 1
        report.unheard += at_us >= recorded_us
        out = record["out"]
        both = hindsight.laws(record, facts_of(record), at_us)
        reached = (out, *out.get("then", ()))
        if both is None or not {each["r"] for each in reached} <= set(both[0].legal):
            report.underivable += 1
            continue
        was, would = both
        changed = [each for each in reached if would.bases.get(each["r"]) != was.bases[each["r"]]]
        if not changed:
            continue
        # Of the regions that the request could reach, one that the event would have refused says most.
        most = next((each for each in changed if each["r"] not in would.legal), changed[0])
        region, refused = most["r"], most["r"] not in would.legal
        report.refused += refused
        report.rebased += not refused
        if len(report.listed) < _LISTED:
            instead = would.refused.get(region, would.reason) if refused else would.bases[region]
            report.listed.append(
                Exposed(_id_of(record), record["ts"], region, most.get("basis", "-"), instead, refused)
            )  # fmt: skip
    return report


def _routed(log: Path, event: LegalEvent) -> Iterator[tuple[dict[str, Any], int]]:
    """Give the decisions since the event held that sent a request somewhere, each with its instant."""
    from borderpost.audit.kinds import parse_stamp
    from borderpost.audit.reader import read_log
    from borderpost.policy.fields import format_instant

    begin = format_instant(event.effective_from)
    for located in read_log(log):
        record = located.record
        # Stamps have one form, whose order is that of time.
        if record.get("type") != "decision" or record.get("mode") != "enforce" or record["ts"] < begin:
            continue
        if record["out"]["action"] == "route":
            yield record, parse_stamp(record["ts"])


class _Hindsight:
    """Derives decisions as they were and as they would have been, remembering what repeats."""

    def __init__(self, event: LegalEvent, answers: Sequence[LegalEvent], store: InputStore) -> None:
        self._known = event.model_copy(update={"recorded_at": event.effective_from, "mode": "enforce"})
        self._answers = answers
        self._store = store
        self._knowing: dict[str, bool] = {}
        self._compiled: dict[tuple[str, str, str], tuple[CompiledPolicy, CompiledEvents, CompiledEvents] | None] = {}
        self._laws: dict[tuple[Facts, bool, tuple[str, str, str]], tuple[int, int, Law, Law]] = {}

    def knows(self, record: Mapping[str, Any]) -> bool:
        """Return True if a decision was made from a list that has the event; False also where the list is missing."""
        digest = record["inputs"]["events"]
        if digest not in self._knowing:
            events = self._events(digest)
            known = () if events is None else events.events
            self._knowing[digest] = any(each.id == self._known.id for each in known)
        return self._knowing[digest]

    def _events(self, digest: str) -> EventList | None:
        """Return a list of events from the store; None where it is missing or altered."""
        from borderpost.policy.events import EventList

        try:
            return EventList.from_canonical(self._store.get(digest))
        except BorderpostError as error:
            if error.code in _UNUSABLE:
                return None
            raise

    def laws(self, record: Mapping[str, Any], facts: Facts, at_us: int) -> tuple[Law, Law] | None:
        """Return the law without and with the event; None where an input is missing or altered."""
        from borderpost.policy.decide import decide
        from borderpost.policy.regimes import NEVER_US

        inputs = record["inputs"]
        key = (inputs["policy"], inputs["catalog"], inputs["events"])
        if key not in self._compiled:
            self._compiled[key] = self._compile(key)
        compiled = self._compiled[key]
        if compiled is None:
            return None
        stale = record.get("stale", False)
        asked = (facts, stale, key)
        kept = self._laws.get(asked)
        if kept is None or not kept[0] <= at_us < kept[1]:
            policy, events, hindsight = compiled
            was = decide(facts, policy, events, at_us, stale=stale)
            would = decide(facts, policy, hindsight, at_us, stale=stale)
            ends = (NEVER_US if law.valid_until_us is None else law.valid_until_us for law in (was, would))
            if len(self._laws) >= _REMEMBERED:
                self._laws.clear()
            kept = self._laws[asked] = (at_us, min(ends), was, would)
        return kept[2], kept[3]

    def _compile(self, key: tuple[str, str, str]) -> tuple[CompiledPolicy, CompiledEvents, CompiledEvents] | None:
        from borderpost.catalog import Catalog
        from borderpost.policy.bundle import PolicyBundle
        from borderpost.policy.compile import compile_policy
        from borderpost.policy.events import compile_events

        events = self._events(key[2])
        try:
            bundle = PolicyBundle.from_canonical(self._store.get(key[0]))
            catalog = Catalog.from_canonical(self._store.get(key[1]))
        except BorderpostError as error:
            if error.code in _UNUSABLE:
                return None
            raise
        if events is None:
            return None
        policy = compile_policy(bundle, catalog.regions)
        return policy, compile_events(events, policy), compile_events(self._with_event(events), policy)

    def _with_event(self, events: EventList) -> EventList:
        """Return a list that has the event where it would have stood had it been known in time, and its answers."""
        from borderpost.policy.event_schema import EventsFile
        from borderpost.policy.events import EventList

        present = {each.id for each in events.events}
        answers = [each for each in self._answers if each.id not in present]
        others = [each for each in events.events if each.id != self._known.id]
        joined = sorted([self._known, *others, *answers], key=lambda each: each.recorded_at)
        return EventList(
            EventsFile(clock_error_us=events.file.clock_error_us, events=tuple(joined))
        )  # fmt: skip


def _id_of(record: Mapping[str, Any]) -> str:
    from borderpost.audit.record import decision_id

    return decision_id(record["epoch"], record["seq"])


def _tell(report: Report, event: LegalEvent, output: Output) -> None:
    from borderpost.cli.events import words

    late = event.recorded_at - event.effective_from
    begin, end = words.instant(event.effective_from), words.instant(event.recorded_at)
    when = f"{words.length(late)} later" if late > timedelta(0) else "in time"
    output.data(f"{event.id} held from {begin} and became known {end}, {when}")
    unheard = f", {report.unheard:,} of them after it was known" if report.unheard else ""
    output.data(f"  {report.decisions:,} requests were routed without it{unheard}")
    colour = "red" if report.refused else "green"
    output.data(f"  {output.paint(f'{report.refused:,}', colour, stream=output.stdout)} would have been refused there")
    output.data(f"  {report.rebased:,} rested on a basis that it took away, beside others that were left")
    if report.underivable:
        output.data(f"  {report.underivable:,} cannot be derived anew: their inputs are missing, or of another version")
    if report.listed:
        output.data("")
        rows = [
            (
                each.decision_id,
                each.at,
                each.region,
                each.basis,
                f"refused: {each.instead}" if each.refused else each.instead,
            )
            for each in report.listed
        ]
        output.table(_HEADINGS, rows)
    if report.found > len(report.listed):
        output.data(f"\nand {report.found - len(report.listed):,} more")
