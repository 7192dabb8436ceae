"""Plain YAML lists of events, for set-ups without signers: what nobody signed and no gateway made.

That nothing in one widens is checked where its events are (`policy.check`): whoever can write it can at worst stop
traffic.
"""

from __future__ import annotations

from collections.abc import Iterator

from borderpost.policy import check
from borderpost.policy.event_schema import EventsFile
from borderpost_base.errors import BorderpostError
from borderpost_base.strict import YamlDocument


def check_plain(document: YamlDocument, file: EventsFile) -> None:
    """Raise Problems, each with its line (BP1016), for what no file can say because the gateway alone makes it."""
    check.raise_found(_faults(file), document)


def _faults(file: EventsFile) -> Iterator[check.Finding]:
    for name, unset in (("head", None), ("length", 0), ("clock_error_us", 0)):
        if getattr(file, name) != unset:
            yield (name,), BorderpostError("BP1016", f"`{name}` is set by the gateway")
    for index, event in enumerate(file.events):
        if event.type == "threshold_reached":
            error = BorderpostError("BP1016", "a threshold_reached is made by the gateway that counts")
            yield ("events", index, "type"), error
        if event.trigger is not None:
            error = BorderpostError("BP1016", f"`{event.id}` claims to be fired by a trigger")
            yield ("events", index, "trigger"), error
        if event.approvals:
            error = BorderpostError("BP1016", f"`{event.id}` claims approvals, which nobody can check here")
            yield ("events", index, "approvals"), error
