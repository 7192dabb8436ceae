"""What triggers have fired on a gateway: `borderpost events fired`.

A gateway makes such an event by itself, and nobody's signature is on it but the trigger's. Only what the list has can
be ended by a `lift`; so this brings it from the gateway to the list, where it is checked against its trigger.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from borderpost.cli.output import CLEAN, Output
from borderpost_base.errors import BorderpostError, Place


def configure_fired(parser: argparse.ArgumentParser) -> None:
    """Show what triggers have fired on a gateway, by the list of events that its audit log names last. With --write,
    leave each as a file for `borderpost events apply`: once the list has it, a `lift` can end it."""
    parser.add_argument("--log", type=Path, required=True, metavar="DIR", help="the audit directory of the gateway")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write each as ID.json into this directory")
    parser.add_argument("--json", action="store_true", help="print one JSON document with a schema_version")


def run_fired(arguments: argparse.Namespace, output: Output) -> int:
    """Tell of every event that a trigger fired; write them if told to."""
    from borderpost.audit.inputs import InputStore
    from borderpost.events.documents import SignedDocument
    from borderpost.events.lines import event_body
    from borderpost.policy.fields import format_instant
    from borderpost.seen import SeenStore, last_inputs
    from borderpost_base.world import World

    seen = last_inputs(arguments.log).get("events")
    if seen is None:
        raise BorderpostError("BP0408", "holds no record that names events", place=Place(str(arguments.log)))
    events = SeenStore(InputStore(arguments.log, World())).events(seen).events
    fired = [event for event in events if event.trigger is not None]
    for event in fired if arguments.write is not None else ():
        file = arguments.write / f"{event.id}.json"
        try:
            file.write_text(SignedDocument(kind="event", body=event_body(event)).to_json(), encoding="utf-8")
        except OSError as error:
            raise BorderpostError("BP0003", error.strerror or str(error), place=Place(str(file))) from error
    if output.as_json:
        output.result({"fired": [event.model_dump(mode="json", exclude_none=True) for event in fired]})
    elif fired:
        rows = [(event.id, event.trigger or "", event.type, format_instant(event.recorded_at)) for event in fired]
        output.table(("event", "trigger", "type", "fired"), rows)
    else:
        output.note("no trigger has fired")
    return CLEAN
