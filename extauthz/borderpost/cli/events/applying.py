"""What adds to a list: `borderpost events apply`, `approve`, `drill`, `heartbeat`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from borderpost.cli.events.content import event_of
from borderpost.cli.events.names import configured, unknown_names
from borderpost.cli.events.options import Opened, add_key, add_list, check_own_key, now_utc, open_list, private_key
from borderpost.cli.events.signing import check_names, tell, with_signature
from borderpost.cli.events.signing import event_of as event_of_document
from borderpost.cli.output import CLEAN, Output, counted, errors_of
from borderpost_base.errors import BorderpostError, Place, Problems

if TYPE_CHECKING:
    from borderpost.config.load import Loaded
    from borderpost.events.book import SignedList
    from borderpost.events.documents import SignedDocument
    from borderpost.events.signing import Signature

_TRIES = 10
"""How often a line is made anew where others append at the same time."""
_TOUCH = timedelta(microseconds=1)


def configure_apply(parser: argparse.ArgumentParser) -> None:
    """Check signed files as every gateway will, and append them to the list. Of an event that the list has already,
    signatures that are new become approvals. A whole list (.jsonl) is appended as far as it goes on from this one,
    which brings a store up to a copy."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="signed files, or a copy of the list")
    _add_new(parser)
    add_list(parser)


def run_apply(arguments: argparse.Namespace, output: Output) -> int:
    """Append every file, in order; those before a file that is refused stay appended."""
    opened = _opened(arguments)
    done: list[dict[str, Any]] = []
    warnings: list[BorderpostError] = []
    loaded = None
    try:
        loaded = configured(arguments)
    except (BorderpostError, Problems) as error:
        warnings += errors_of(error)  # an order of a court does not wait for a pack to be mended
    for file in arguments.files:
        if file.suffix == ".jsonl":
            done.append(_copied(opened, file))
        else:
            entry, found = _applied(opened, file, loaded)
            done.append(entry)
            warnings += found
        if not output.as_json:
            output.data(_told(done[-1]))
    if output.as_json:
        told = [warning.as_dict() for warning in warnings]
        output.result({"list": opened.store.source, "applied": done, "warnings": told})
    else:
        output.warnings(warnings)
    return CLEAN


def configure_approve(parser: argparse.ArgumentParser) -> None:
    """Say what an event of the list would do, sign it, and append the approval: the second signature of what widens."""
    parser.add_argument("event", metavar="ID", help="the event's id")
    add_key(parser)
    add_list(parser)


def run_approve(arguments: argparse.Namespace, output: Output) -> int:
    """Approve one event."""
    from borderpost.cli.events import words
    from borderpost.events.signing import sign

    opened = open_list(arguments)
    key = private_key(arguments)
    check_own_key(key, arguments.name, opened.signers)
    event = event_of(_read(opened).file, arguments.event)
    told = words.sentences_of_event(event)
    if not output.as_json:
        for sentence in told:
            output.note(sentence)

    def add(known: SignedList, now: datetime) -> SignedList:
        form = known.forms[event.id]
        return _with_approval(opened, known, event.id, sign(form, key, arguments.name), now)

    _, known = _appended(opened, add)
    return _report(opened, known, event.id, "approval", output, told)


def configure_drill(parser: argparse.ArgumentParser) -> None:
    """Sign an event as a drill and append it at once: what it would change is recorded, and binds nobody."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the event, YAML")
    add_key(parser)
    _add_new(parser)
    add_list(parser)


def run_drill(arguments: argparse.Namespace, output: Output) -> int:
    """Sign and append one event with `mode: drill`."""
    from borderpost.events.documents import read_document

    place = Place(str(arguments.file))
    document = read_document(arguments.file)
    if document.kind != "event" or document.signatures:
        raise BorderpostError("BP0004", "a drill is an event that nobody has signed yet", place=place)
    document = document.model_copy(update={"body": {**document.body, "mode": "drill"}})
    if (loaded := configured(arguments)) is not None:
        check_names(document, loaded, place)
    opened = _opened(arguments)
    key = private_key(arguments)
    check_own_key(key, arguments.name, opened.signers)
    told = tell(document, output, place)
    signed = with_signature(document, key, arguments.name, place)
    _, known = _appended(opened, lambda known, now: _with_document(opened, known, signed, now, place))
    return _report(opened, known, str(signed.body["id"]), "event", output, told)


def configure_heartbeat(parser: argparse.ArgumentParser) -> None:
    """Check the whole list, and sign that it has its length and its last line now. Gateways with `events.max_age_s`
    take the list for withheld when the newest heartbeat is older."""
    add_key(parser)
    parser.add_argument(
        "--anew", action="store_true", help="do not hold the list against the heartbeat before, whose signer is gone"
    )
    _add_new(parser)
    add_list(parser)


def run_heartbeat(arguments: argparse.Namespace, output: Output) -> int:
    """Sign a heartbeat and put it beside the list."""
    from borderpost.events.heartbeat import read_heartbeat, sign_heartbeat

    opened = _opened(arguments)
    key = private_key(arguments)
    check_own_key(key, arguments.name, opened.signers)
    now = now_utc()
    known = _read(opened, with_heartbeat=not arguments.anew)
    before = None if arguments.anew else opened.store.heartbeat()
    if before is not None:  # one that is ahead by as much as clocks may differ is followed, never taken back
        now = max(now, read_heartbeat(before, opened.signers, Place(opened.store.source)).at + _TOUCH)
    heartbeat = sign_heartbeat(known, now, key, arguments.name)
    opened.store.put_heartbeat(heartbeat.encode())
    if output.as_json:
        output.result({"list": opened.store.source, "heartbeat": heartbeat.model_dump(mode="json")})
    else:
        output.data(f"{opened.store.source}: {counted(known.length, 'line')}, signed by {arguments.name}")
    return CLEAN


def _applied(opened: Opened, file: Path, loaded: Loaded | None) -> tuple[dict[str, Any], list[BorderpostError]]:
    """Append one signed file; return what was appended, and warnings of names that this configuration has not: the
    list may be for others too."""
    from borderpost.events.documents import read_document

    place = Place(str(file))
    document = read_document(file)
    if not document.signatures and "trigger" not in document.body:  # what a trigger fires carries the trigger's alone
        mend = f"borderpost events sign {file} --key … --as … -o {file.with_suffix('.json')}"
        raise BorderpostError("BP1006", f"{file} carries no signature", place=place, mend=mend)
    added, known = _appended(opened, lambda known, now: _with_document(opened, known, document, now, place))
    entry = {"file": str(file), "id": document.body["id"], "kind": document.kind, "added": added, "lines": known.length}
    return entry, [] if loaded is None else unknown_names([event_of_document(document, place)], loaded, place)


def _copied(opened: Opened, file: Path) -> dict[str, Any]:
    """Append what a copy of the list has beyond it; give how much that was."""
    from borderpost.events.book import continued
    from borderpost.events.store import FileStore

    lines = FileStore(file).read()
    known = _read(opened, with_heartbeat=False)  # a store that lost lines is brought back by this
    before = known.length
    # The copy must be this list, with more lines: the last line that both have is compared, and so the chain above it.
    whole = continued(known, lines[max(0, before - 1) :], opened.signers, now=now_utc())
    if whole.problems:
        raise Problems(list(whole.problems))
    for number in range(before, len(lines)):
        opened.store.append(lines[number], whole.head_at(number))
    return {"file": str(file), "id": None, "kind": "copy", "lines": whole.length, "added": whole.length - before}


def _with_document(
    opened: Opened, known: SignedList, document: SignedDocument, now: datetime, place: Place
) -> SignedList:
    """Return the list with a signed document appended, or with the signatures that it lacks of an event it has."""
    from borderpost.events.appending import append
    from borderpost.events.triggers import trigger_body

    event_id = str(document.body["id"])
    if document.kind == "event" and event_id in known.forms:
        if known.forms[event_id] != document.form():
            raise BorderpostError("BP1007", f"the list has another event `{event_id}`", place=place)
        have = {approval.signature for approval in event_of(known.file, event_id).approvals}
        for signature in document.signatures:
            if signature.sig not in have:
                known = _with_approval(opened, known, event_id, signature, now, place)
        return known
    if document.kind == "trigger" and any(trigger_body(each) == document.body for each in known.triggers):
        return known
    return append(
        opened.store, known, document.kind, document.body, document.signatures, opened.signers, now=now, place=place
    )


def _with_approval(
    opened: Opened, known: SignedList, event_id: str, signature: Signature, now: datetime, place: Place | None = None
) -> SignedList:
    from borderpost.events.appending import append
    from borderpost.events.signing import form_digest

    body = {"event": event_id, "digest": form_digest(known.forms[event_id])}
    at = Place(known.source) if place is None else place
    return append(opened.store, known, "approval", body, (signature,), opened.signers, now=now, place=at)


def _add_new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--new", action="store_true", help="begin the list: there must be none yet")


def _opened(arguments: argparse.Namespace) -> Opened:
    """Open the list that is to be added to; with --new make it. Raises BorderpostError BP1018 if it is there then."""
    from borderpost.events.store import FileStore

    opened = open_list(arguments)
    if arguments.new and isinstance(opened.store, FileStore):
        opened.store.create()
    elif arguments.new and opened.store.read():
        raise BorderpostError("BP1018", "the list is there already", place=Place(opened.store.source))
    elif isinstance(opened.store, FileStore) and not opened.store.path.exists():
        place = Place(opened.store.source)
        mend = "Correct the path; or, if this is to be a new list, say so with --new."
        raise BorderpostError("BP0003", "there is no such file", place=place, mend=mend)
    return opened


def _read(opened: Opened, *, with_heartbeat: bool = True) -> SignedList:
    """Read a list that is to be added to. Raises Problems if it has a fault."""
    from borderpost.events.book import read_list
    from borderpost.events.heartbeat import checked_list

    store, now = opened.store, now_utc()
    if with_heartbeat:
        known = checked_list(store, opened.signers, now=now)
    else:
        known = read_list(store.read(), opened.signers, source=store.source, now=now)
    if known.problems:
        raise Problems(list(known.problems))
    return known


def _appended(opened: Opened, add: Callable[[SignedList, datetime], SignedList]) -> tuple[int, SignedList]:
    """Read the list and add to it; again where somebody else was faster. Return how many lines were added, and the
    list. Raises BorderpostError or Problems."""
    for tries_left in reversed(range(_TRIES)):
        before = _read(opened)
        try:
            after = add(before, now_utc())
        except BorderpostError as error:
            if error.code != "BP1011" or not tries_left:
                raise
        else:
            return after.length - before.length, after
    raise AssertionError("the last try returns or raises")


def _report(opened: Opened, known: SignedList, event_id: str, kind: str, output: Output, told: list[str]) -> int:
    entry = {"id": event_id, "kind": kind, "added": 1, "lines": known.length}
    if output.as_json:
        output.result({"list": opened.store.source, "applied": [entry], "words": told})
    else:
        output.data(_told(entry))
    return CLEAN


def _told(entry: dict[str, Any]) -> str:
    if entry["kind"] == "copy":
        return f"{entry['file']}: {counted(entry['added'], 'line')} added, {entry['lines']:,} in all"
    if not entry["added"]:
        return f"{entry['id']}: the list has it already"
    return f"{entry['id']}: line {entry['lines']:,} of the list"
