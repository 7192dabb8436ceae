"""The configured list of legal events, read: a plain file, or a signed list held against its heartbeat."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from borderpost.config.events import EventsSection, check_form, is_plain, signers_of
from borderpost.config.packs import named_file
from borderpost.events.heartbeat import checked_list
from borderpost.events.plain import check_plain
from borderpost.events.store import FileStore
from borderpost.policy.check import Vocabulary
from borderpost.policy.events import EventList, read_events
from borderpost.policy.fields import EPOCH
from borderpost_base.errors import NOWHERE, BorderpostError
from borderpost_base.world import SystemClock
from borderpost_base.yaml_source import YamlDocument


def load_events(
    section: EventsSection,
    regions: Iterable[str],
    *,
    document: YamlDocument | None = None,
    known: Vocabulary | None = None,
    now: datetime | None = None,
) -> EventList:
    """Read the file of legal events; without one there are no events (those of a stream are read when it is followed).

    `document` is where the section stands; `known` are the policy's names, which a plain file must keep to. Nothing in
    a signed list may be dated ahead of `now`, by default the machine's clock. Raises BorderpostError or Problems.
    """
    at = NOWHERE if document is None else document.place(("events", "file"))
    check_form(section, at)
    signers = signers_of(section, document)
    if section.file is None:
        return EventList()
    if is_plain(section.file):
        plain = named_file(section.file, at)
        events = read_events(plain, regions, known)
        check_plain(plain, events.file)
        return events
    try:
        signed = checked_list(FileStore(section.file), signers, now=now or _now())
    except BorderpostError as error:
        if error.code == "BP0003":  # told where it is named
            raise BorderpostError(error.code, error.detail, place=at) from error
        raise
    return signed.event_list()


def _now() -> datetime:
    """Return the machine's time: no law is asked for by it, only whether something is dated in the future."""
    return EPOCH + timedelta(microseconds=SystemClock().wall_us())
