"""The order in which a body is read. What ends a reading is an `Unreadable`; nothing that a client sends raises."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from urllib.parse import unquote_to_bytes

from borderpost.facts.headers import Refused, is_identifier, is_label
from borderpost.payload.content import Form, form_of
from borderpost.payload.detectors import Detector
from borderpost.payload.digests import check_digest
from borderpost.payload.json_text import read_json
from borderpost.payload.model import HEADERS, Finding, Payload, PayloadSpec, Unreadable
from borderpost.payload.pointer import ABSENT, Absent, JsonValue, LookalikeKey, Pointer
from borderpost.payload.texts import PARTED, Text, forms_of
from borderpost_base import limits


def read_payload(headers: Iterable[tuple[str, bytes]], body: bytes, spec: PayloadSpec) -> Payload | Unreadable:
    """Read a whole body as received, after transfer codings and before content codings.

    `headers` are (lower-case name, value) in the order sent, those of `HEADERS` or more of them; a header that
    stands twice must be there twice. An empty body declares nothing, whatever its headers say of its form.
    Takes time linear in the body; microseconds a KB are in the guide.
    """
    size_bytes = len(body)
    if size_bytes > spec.body_bytes_max:
        return Unreadable(413, "BP1306", "body-too-long", size_bytes, None)
    body_hash = hmac.digest(spec.key, body, "sha256").hex()
    values: dict[str, list[bytes]] = {name: [] for name in HEADERS}
    for name, value in headers:
        if name in values:
            values[name].append(value)
    try:
        whole = not values["content-range"]
        content_digest = check_digest("content-digest", values["content-digest"], body)
        repr_digest = check_digest("repr-digest", values["repr-digest"], body, whole=whole)
        form, unread = Form.PLAIN, ""
        if body:
            form, unread = form_of(values["content-type"], values["content-encoding"], values["content-range"])
        if unread and spec.assumed is None:
            raise Refused(415, "BP1305", unread)
        model: str | None = None
        declared: tuple[str, ...] = ()
        searched = _searched_as_it_stands(body, form)
        if form is Form.JSON:
            document, searched = read_json(body)
            model = _model(document, spec.model)
            declared = _data_classes(document, spec.data_class)
    except Refused as refused:
        return Unreadable(refused.status, refused.code, refused.reason, size_bytes, body_hash)
    return Payload(
        size_bytes=size_bytes,
        body_hash=body_hash,
        model=model,
        declared=declared,
        assumed=spec.assumed or () if unread else (),
        found=_found(searched, spec.detectors),
        unread=unread or None,
        content_digest=content_digest,
        repr_digest=repr_digest,
    )


def _searched_as_it_stands(body: bytes, form: Form) -> str:
    """Return what detectors see of a body that is not JSON: its bytes as text, and form fields decoded as well."""
    if form is not Form.PLAIN:
        return ""
    searched = body.decode("utf-8", "replace")
    if b"%" in body or b"+" in body:
        searched += PARTED + unquote_to_bytes(body.replace(b"+", b" ")).decode("utf-8", "replace")
    return searched


def _at(document: JsonValue, pointer: Pointer) -> JsonValue | Absent:
    try:
        return pointer.find(document)
    except LookalikeKey as error:
        raise Refused(400, "BP1301", "json-lookalike-key") from error


def _model(document: JsonValue, pointer: Pointer | None) -> str | None:
    value = ABSENT if pointer is None else _at(document, pointer)
    if isinstance(value, Absent):
        return None
    if not isinstance(value, str) or not is_label(value):
        raise Refused(400, "BP1307", "body-model-malformed")
    return value


def _data_classes(document: JsonValue, pointer: Pointer | None) -> tuple[str, ...]:
    value = ABSENT if pointer is None else _at(document, pointer)
    if isinstance(value, Absent):
        return ()
    members = value if isinstance(value, list) else [value]
    if not members or len(members) > limits.DATA_CLASSES_MAX:
        raise Refused(400, "BP1307", "body-data-class-malformed")
    named = [member for member in members if isinstance(member, str) and is_identifier(member)]
    if len(named) < len(members):
        raise Refused(400, "BP1307", "body-data-class-malformed")
    return tuple(dict.fromkeys(named))


def _found(searched: str, detectors: Sequence[Detector]) -> tuple[Finding, ...]:
    if not searched or not detectors:
        return ()
    forms = forms_of(searched)
    asked = ((detector, _finds(detector, forms)) for detector in detectors)
    return tuple(
        Finding(detector.name, detector.data_class, failed=finds is None)
        for detector, finds in asked
        if finds is not False
    )


def _finds(detector: Detector, forms: Sequence[Text]) -> bool | None:
    """Ask a detector; None where it fails, which is as strict as a finding."""
    try:
        return any(detector.finds(form) for form in forms)
    except Exception:  # noqa: BLE001 - whatever a library raises; the finding tells of it
        return None
