"""Files that people write and hand on: an event or a trigger as YAML, and the same once it is signed, as JSON.

    {"kind": "event", "body": {…}, "signatures": [{"by": "…", "key": "sha256:…", "sig": "…"}]}

The signed file may be laid out as one likes: signatures cover the canonical form of the body.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from borderpost.audit.profile import ProfileError, decode
from borderpost.events.files import read_bounded
from borderpost.events.lines import event_body, event_from_document, event_of, in_one_form, told_by
from borderpost.events.signing import Signature, signed_form
from borderpost.events.triggers import Trigger, trigger_body
from borderpost.policy.event_schema import LegalEvent
from borderpost.policy.fields import EPOCH
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.strict import StrictModel, YamlDocument, validate
from borderpost_base.yaml_source import load_yaml

_BYTES_MAX: Final = 4 * limits.EVENT_LINE_BYTES_MAX
"""Room for comments and indentation."""


class SignedDocument(StrictModel):
    """What is signed, or to be signed, before the list has it."""

    kind: Literal["event", "trigger"]
    """What the body is."""
    body: dict[str, Any]
    """What is signed, as its line of the list will have it."""
    signatures: Annotated[tuple[Signature, ...], Field(max_length=limits.EVENT_SIGNATURES_MAX)] = ()
    """Who signed so far."""

    def form(self) -> bytes:
        """Return the bytes that signatures cover."""
        return signed_form("legal event" if self.kind == "event" else "trigger", self.body)

    def event(self, place: Place) -> LegalEvent:
        """Return the event; `recorded_at` is the epoch, since no list has it yet. Raises BorderpostError."""
        return event_of(self.body, EPOCH, place)

    def trigger(self, place: Place) -> Trigger:
        """Return the trigger. Raises BorderpostError."""
        return in_one_form(Trigger, self.body, place)

    def to_json(self) -> str:
        """Return the file's text."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def read_document(file: Path) -> SignedDocument:
    """Read an event or trigger, as a person wrote it (YAML) or signed (JSON).

    Raises BorderpostError or Problems, each with its line. Signatures are not checked here.
    """
    raw = read_bounded(file, _BYTES_MAX, "BP1010")
    place = Place(str(file))
    if not (raw.lstrip().startswith(b"{") and b'"signatures"' in raw):
        return _written(load_yaml(raw, str(file)))
    # JSON by its own rules: YAML would fold some line ends inside a text, which then is not what was signed.
    try:
        signed = told_by(SignedDocument, decode(raw), place)
        signed.form()
    except ProfileError as error:
        raise BorderpostError("BP1001", f"the signed file {error}", place=place) from error
    if signed.kind == "event":
        signed.event(place)
    else:
        signed.trigger(place)
    return signed


def _written(document: YamlDocument) -> SignedDocument:
    if isinstance(document.data, dict) and "when" in document.data:
        return SignedDocument(kind="trigger", body=trigger_body(validate(Trigger, document)))
    event = event_from_document(document, EPOCH)
    if event.type == "threshold_reached":
        place = document.place(("type",))
        raise BorderpostError("BP1016", "a threshold_reached is made by the gateway that counts", place=place)
    return SignedDocument(kind="event", body=event_body(event))
