"""What a list says, for actions that only look: a signed list, or a plain YAML file."""

from __future__ import annotations

import argparse
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from borderpost.cli.events.options import now_utc, open_list
from borderpost.cli.options import config_path, overrides_of
from borderpost_base.errors import BorderpostError, Problems

if TYPE_CHECKING:
    from borderpost.events.triggers import Trigger
    from borderpost.policy.event_schema import EventsFile, LegalEvent


@dataclass(frozen=True, slots=True)
class Content:
    """Events and triggers of a list."""

    file: EventsFile
    triggers: tuple[Trigger, ...] = ()


def read_content(arguments: argparse.Namespace) -> Content:
    """Read the list, or plain file, that the arguments name, else the configuration's.

    Raises BorderpostError or Problems if it has a fault.
    """
    from borderpost.config.events import is_plain
    from borderpost.config.load import read_config
    from borderpost.events.heartbeat import checked_list

    file: Path | None = arguments.list
    if file is None and arguments.redis is None:
        file = read_config(config_path(arguments), overrides_of(arguments))[0].events.file
    if file is not None and is_plain(file):
        return Content(_plain(file))
    opened = open_list(arguments)
    known = checked_list(opened.store, opened.signers, now=now_utc())
    if known.problems:
        raise Problems(list(known.problems))
    return Content(known.file, known.triggers)


def event_of(file: EventsFile, event_id: str) -> LegalEvent:
    """Return an event of a list. Raises BorderpostError BP1013 for an id that it does not have."""
    for event in file.events:
        if event.id == event_id:
            return event
    near = difflib.get_close_matches(event_id, [event.id for event in file.events], n=1)
    raise BorderpostError("BP1013", f"no event `{event_id}`", mend=f"did you mean `{near[0]}`?" if near else None)


def _plain(file: Path) -> EventsFile:
    from borderpost.events.plain import check_plain
    from borderpost.policy.event_schema import EventsFile
    from borderpost_base.strict import validate
    from borderpost_base.yaml_source import load_yaml_file

    document = load_yaml_file(file)
    read = validate(EventsFile, document)
    check_plain(document, read)
    return read
