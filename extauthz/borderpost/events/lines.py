"""One line of the signed list: its shape, and the one form in bytes that it has.

What a body says is held to its one form too (instants in UTC to the microsecond, lists as lists), but a field that it
leaves out may be missing: a line that an older version wrote stays readable when the language has grown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from borderpost.audit import profile
from borderpost.events.signing import Digest, Signature
from borderpost.policy.event_schema import Approval, EventScope, LegalEvent
from borderpost.policy.fields import Identifier, Instant
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.strict import StrictModel, YamlDocument, validate
from borderpost_base.yaml_source import KeyPath, dotted

GENESIS: Final = "0" * 64
"""`prev` of the first line."""

_OURS: Final = ("recorded_at", "approvals")
"""Fields of an event that the list gives, not the body."""

Model = TypeVar("Model", bound=BaseModel)


class ListLine(StrictModel):
    """One line."""

    v: Literal[1] = 1
    """Version of the format."""
    seq: Annotated[int, Field(ge=0)]
    """Its number, from 0."""
    prev: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the line before, hex; zeros for the first."""
    at: Instant
    """When it was appended."""
    kind: Literal["event", "approval", "trigger"]
    """What its body is."""
    body: dict[str, Any]
    """What it says."""
    signatures: Annotated[tuple[Signature, ...], Field(max_length=limits.EVENT_SIGNATURES_MAX)] = ()
    """Who says so. Those of an approval are over the signed form of the event that it names."""


class ApprovalBody(StrictModel):
    """Body of an approval: the event that it is of."""

    event: Identifier
    """Its id."""
    digest: Digest
    """Digest of its signed form."""


def line_digest(line: bytes) -> str:
    """Return the SHA-256 of a line, hex: `prev` of the next one."""
    return hashlib.sha256(line).hexdigest()


def encode_line(line: ListLine) -> bytes:
    """Return a line's bytes, without a newline. Raises BorderpostError BP1010 if they are too many."""
    raw = profile.canonical(line.model_dump(mode="json"))
    if len(raw) > limits.EVENT_LINE_BYTES_MAX:
        raise BorderpostError("BP1010", f"the line has {len(raw)} bytes, at most {limits.EVENT_LINE_BYTES_MAX} may be")
    return raw


def parse_line(raw: bytes, place: Place) -> ListLine:
    """Read a line. Raises BorderpostError BP1001, or BP1010 if it is too long."""
    if len(raw) > limits.EVENT_LINE_BYTES_MAX:
        detail = f"the line has more than {limits.EVENT_LINE_BYTES_MAX} bytes"
        raise BorderpostError("BP1010", detail, place=place)
    return parse_canonical(ListLine, raw, place)


def parse_canonical(model: type[Model], raw: bytes, place: Place) -> Model:
    """Read a model from canonical JSON. Raises BorderpostError BP1001."""
    try:
        data = profile.decode(raw)
        profile.check_value(data)
        if profile.encode(data) != raw:
            raise profile.ProfileError("is not in canonical form")
    except profile.ProfileError as error:
        raise BorderpostError("BP1001", f"the line {_told(error)}", place=place) from error
    return in_one_form(model, data, place)


def in_one_form(model: type[Model], data: Any, place: Place) -> Model:
    """Build a model of plain data that must already say each thing in its one form. Raises BorderpostError BP1001,
    or the error that the model's own check tells."""
    read = told_by(model, data, place)
    _check_form(read, data, place)
    return read


def told_by(model: type[Model], data: Any, place: Place) -> Model:
    """Build a model of plain data; its first fault is raised as a BorderpostError at a place."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        item = error.errors(include_url=False)[0]
        where = dotted(item["loc"])
        ours = item.get("ctx", {}).get("error")
        if isinstance(ours, BorderpostError):
            raise BorderpostError(ours.code, f"`{where}`: {ours.detail}", place=place, mend=ours.mend) from error
        detail = f"`{where}`: {item['msg'][:1].lower()}{item['msg'][1:]}"
        raise BorderpostError("BP1001", detail, place=place) from error


def event_body(event: LegalEvent) -> dict[str, Any]:
    """Return the body of an event's line: all of it but what the list gives. Defaults are written out, so that a
    later change of one does not change what was signed; parts of the scope that say nothing are not."""
    body = event.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=set(_OURS))
    return {**body, "scope": scope_body(event.scope)}


def scope_body(scope: EventScope) -> dict[str, Any]:
    """Return a scope as plain data, without the parts that say nothing."""
    return {part: names for part, names in scope.model_dump(mode="json").items() if names}


def event_of(body: Mapping[str, Any], recorded_at: datetime, place: Place) -> LegalEvent:
    """Return the event of a body in its one form. Raises BorderpostError: BP1001, BP1016 for what the list gives, or
    what the event's own check tells."""
    for name in _OURS:
        if name in body:
            raise BorderpostError("BP1016", f"an event of the list has no `{name}` of its own", place=place)
    event = told_by(LegalEvent, {**body, "recorded_at": recorded_at}, place)
    _check_form(event, dict(body), place)
    return event


def event_from_document(document: YamlDocument, recorded_at: datetime) -> LegalEvent:
    """Return the event that a person wrote as YAML. Raises Problems, each with its line."""
    data = document.data if isinstance(document.data, dict) else {}
    for name in _OURS:
        if name in data:
            detail = f"`{name}` is written by the list when the event is appended"
            raise BorderpostError("BP1016", detail, place=document.place((name,)))
    whole = YamlDocument(document.file, {**data, "recorded_at": recorded_at}, document.lines)
    return validate(LegalEvent, whole)


def without_ours(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of an event as people write it: without what the list gives."""
    properties = {name: one for name, one in schema["properties"].items() if name not in _OURS}
    definitions = {name: one for name, one in schema["$defs"].items() if name != Approval.__name__}
    required = [name for name in schema["required"] if name not in _OURS]
    return {**schema, "$defs": definitions, "properties": properties, "required": required}


def _check_form(read: BaseModel, given: Any, place: Place) -> None:
    if (path := _differs(given, read.model_dump(mode="json", by_alias=True))) is not None:
        raise BorderpostError("BP1001", f"`{dotted(path)}` is not written in its one form", place=place)


def _differs(given: Any, told: Any) -> KeyPath | None:
    """Return where plain data says otherwise than its model tells it; what it leaves out does not differ."""
    if isinstance(given, dict) and isinstance(told, dict):
        for key, value in given.items():
            if key not in told:
                return (key,)
            if (path := _differs(value, told[key])) is not None:
                return (key, *path)
        return None
    return None if type(given) is type(told) and given == told else ()


def _told(error: profile.ProfileError) -> str:
    return f"{error.what}" if not error.path else f"has at `{error.path}` what {error.what}"
