"""What looks at a list: `borderpost events list`, `verify`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from borderpost.cli.events.content import read_content
from borderpost.cli.events.options import add_list, now_utc, open_list
from borderpost.cli.output import CLEAN, FINDINGS, Output, counted
from borderpost_base.errors import BorderpostError, Place

if TYPE_CHECKING:
    from borderpost.events.book import SignedList
    from borderpost.events.heartbeat import Heartbeat
    from borderpost.events.standing import Standing
    from borderpost.events.triggers import Trigger

WITHHELD: Final = 3
"""Exit code: the list is shorter than its heartbeat says, or another."""
STALE: Final = 4
"""Exit code: no heartbeat, or one older than asked for."""

_HEADINGS: Final = ("id", "type", "what", "effective", "recorded", "state")


def configure_list(parser: argparse.ArgumentParser) -> None:
    """Show every event of a list, and what has become of it: in force, pending a signature, scheduled, ended. A plain
    YAML file is shown too."""
    parser.add_argument(
        "--at", metavar="TIME", help="as it stood then, YYYY-MM-DD or with time and zone (default: now)"
    )
    add_list(parser)


def run_list(arguments: argparse.Namespace, output: Output) -> int:
    """Show the list."""
    from borderpost.events.standing import standings
    from borderpost.policy.fields import format_instant, parse_instant, to_us

    at = now_utc() if arguments.at is None else parse_instant(arguments.at)
    content = read_content(arguments)
    triggers = content.triggers
    found = standings(content.file, to_us(at))
    if output.as_json:
        output.result({
            "at": format_instant(at),
            "events": [_event_data(each) for each in found],
            "triggers": [_trigger_data(trigger, at) for trigger in triggers],
        })  # fmt: skip
        return CLEAN
    output.table(_HEADINGS, [_event_row(each) for each in found])
    if triggers:
        rows = [_trigger_row(trigger, at) for trigger in triggers]
        output.data("")
        output.table(("trigger", "when", "fires", "what", "valid until", "state"), rows)
    return CLEAN


def configure_verify(parser: argparse.ArgumentParser) -> None:
    """Check a list: that nothing in it was changed, moved, taken out or forged, and that it is all that its newest
    heartbeat says. Exit 0: in order. 1: faults. 3: law is withheld. 4: the heartbeat is missing or too old."""
    parser.add_argument("--max-age", type=float, metavar="SECONDS", help="how old the newest heartbeat may be")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="first remove a torn last line, which was never in force; nobody may write",
    )
    add_list(parser)


def run_verify(arguments: argparse.Namespace, output: Output) -> int:
    """Check the list and report."""
    from borderpost.events.book import read_list
    from borderpost.events.store import FileStore, whole_lines

    opened = open_list(arguments)
    store = opened.store
    now = now_utc()
    if arguments.repair:
        if not isinstance(store, FileStore):
            raise BorderpostError("BP0004", "only a file can be repaired", place=Place("--repair"))
        removed = store.repair()
        output.note(f"{store.source}: {removed} bytes of a torn line removed" if removed else "no torn line")
    raw = store.heartbeat()  # before the list: what is appended in between is no fault
    lines, torn = whole_lines(store)
    known = read_list(lines, opened.signers, source=store.source, now=now)
    if torn is not None:
        known = replace(known, problems=(*known.problems, torn))
    problems = list(known.problems)
    heartbeat, code = _checked_heartbeat(raw, known, opened.signers, problems, now, arguments.max_age)
    return _tell_verdict(known, problems, heartbeat, FINDINGS if known.problems else code, output)


def _checked_heartbeat(
    raw: bytes | None,
    known: SignedList,
    signers: Any,
    problems: list[BorderpostError],
    now: datetime,
    max_age_s: float | None,
) -> tuple[Heartbeat | None, int]:
    """Hold a list against its heartbeat, adding to the problems; return it and the exit code that it calls for."""
    from borderpost.events.heartbeat import check_against, read_heartbeat
    from borderpost.events.store import HEARTBEAT_ENDING

    place = Place(known.source + HEARTBEAT_ENDING)
    if raw is None:
        if max_age_s is None:
            return None, CLEAN
        problems.append(BorderpostError("BP0622", "the list has no heartbeat", place=place))
        return None, STALE
    heartbeat = None
    try:
        heartbeat = read_heartbeat(raw, signers, place, now=now)
        check_against(heartbeat, known)
    except BorderpostError as error:
        if known.problems and error.code == "BP1012":
            return heartbeat, FINDINGS  # what stands behind a fault was not read: it may well be there
        problems.append(error)
        return heartbeat, WITHHELD if error.code == "BP1012" else FINDINGS
    if max_age_s is not None and now - heartbeat.at > timedelta(seconds=max_age_s):
        age = (now - heartbeat.at).total_seconds()
        problems.append(BorderpostError("BP0622", f"the newest heartbeat is {age:.0f} s old", place=place))
        return heartbeat, STALE
    return heartbeat, CLEAN


def _tell_verdict(
    known: SignedList, problems: list[BorderpostError], heartbeat: Heartbeat | None, code: int, output: Output
) -> int:
    if output.as_json:
        output.result({
            "length": known.length,
            "head": known.head,
            "events": len(known.events),
            "triggers": len(known.triggers),
            "heartbeat": None if heartbeat is None else heartbeat.model_dump(mode="json"),
            "errors": [error.as_dict() for error in problems],
        })  # fmt: skip
        return code
    output.errors(problems)
    verdict = output.paint("in order", "green", stream=output.stdout)
    if problems:
        verdict = output.paint("NOT in order", "red", stream=output.stdout)
    output.data(f"{known.source}: {verdict}")
    sound = " before the first fault" if known.problems else ""
    lines, events = counted(known.length, "line"), counted(len(known.events), "event")
    output.data(f"  content    {lines}{sound}, {events}, {counted(len(known.triggers), 'trigger')}")
    output.data(f"  head       {known.head}")
    told = "none"
    if heartbeat is not None:
        told = f"{counted(heartbeat.length, 'line')}, signed by {heartbeat.signature.by} at {_instant(heartbeat.at)}"
    output.data(f"  heartbeat  {told}")
    return code


def _event_row(each: Standing) -> tuple[str, ...]:
    from borderpost.cli.events import words

    event = each.event
    return (
        event.id,
        event.type,
        words.what(event),
        _instant(event.effective_from),
        _instant(event.recorded_at),
        _state(each),
    )


def _state(each: Standing) -> str:
    from borderpost.cli.events import words

    state: str = "pending signature" if each.state == "pending" else each.state
    if each.ended_by is not None:
        state += f" by {each.ended_by}"
    if each.drill:
        state = f"drill, {state}"
    if each.late_us:
        state += f" (late by {words.length(timedelta(microseconds=each.late_us))})"
    return state


def _event_data(each: Standing) -> dict[str, Any]:
    from borderpost.events.lines import event_body
    from borderpost.policy.fields import format_instant

    event = each.event
    late = None
    if each.late_us:
        late = {"from": format_instant(event.effective_from), "until": format_instant(event.recorded_at)}
    return {
        **event_body(event),
        "recorded_at": format_instant(event.recorded_at),
        "signed_by": [approval.by for approval in event.approvals],
        "state": each.state,
        "ended_by": each.ended_by,
        "late_window": late,
    }


def _trigger_row(trigger: Trigger, at: datetime) -> tuple[str, ...]:
    from borderpost.cli.events import words

    state = "over" if trigger.valid_until <= at else "armed"
    if trigger.event.mode == "drill":
        state = f"drill, {state}"
    condition = f"{trigger.when.feed} {words.condition(trigger.when)}"
    scope = words.about(trigger.event.scope)
    return trigger.id, condition, trigger.event.type, scope, _instant(trigger.valid_until), state


def _trigger_data(trigger: Trigger, at: datetime) -> dict[str, Any]:
    from borderpost.events.triggers import trigger_body

    return {**trigger_body(trigger), "armed": trigger.valid_until > at}


def _instant(at: datetime) -> str:
    from borderpost.cli.events import words

    return words.instant(at)
