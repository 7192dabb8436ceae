"""The section `payload`: whether bodies of requests are read before they are decided, and what is read of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.check import unknown_class
from borderpost.policy.fields import Identifier, Label, RouteName
from borderpost_base import limits
from borderpost_base.errors import NOWHERE, BadValue, BorderpostError, Place
from borderpost_base.strict import StrictModel
from borderpost_base.yaml_source import KeyPath

if TYPE_CHECKING:
    from borderpost.payload.detectors import Detector


class DetectorSpec(StrictModel):
    """What one detector brings about."""

    data_class: Identifier
    """The data class of a body in which it finds something. It is added to whatever else holds, and takes nothing
    away."""

    only: tuple[Label, ...] = ()
    """What it looks for, where it has a choice: numbers such as `de.idnr`, countries, entities; its default if
    empty."""


class Assume(StrictModel):
    """Data classes of bodies in a form that is not read."""

    assume: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=limits.DATA_CLASSES_MAX)]
    """Classes that such a body is taken to have, beside those of every detector: it could hold whatever they look
    for."""


Unread = Annotated[
    Annotated[Literal["refuse"], Tag("word")] | Annotated[Assume, Tag("classes")],
    Discriminator(
        lambda value: "word" if isinstance(value, str) else "classes" if isinstance(value, (dict, Assume)) else None,
        custom_error_type="unread",
        custom_error_message="`refuse`, or a mapping with assume",
    ),
]
"""What holds for a body in a form that is not read."""


class PayloadSection(StrictModel):
    """What is read of requests' bodies. Off by default: headers say model and data class, and Envoy passes bodies on as
    they come."""

    read: bool = False
    """Whether Envoy holds each request until its body is here, and the body is read before the request is decided. No
    by default: it costs CPU for every KB, memory for every open request, and the first byte goes upstream only once
    the last one has come. Envoy has to be rendered anew."""

    hash_key_file: Path | None = None
    """File with the key, 16 bytes or more, by which records name bodies: HMAC-SHA-256, since a plain hash of a short
    prompt can be guessed. A newline at its end does not count. Required where bodies are read; null otherwise."""

    bytes_max: int = Field(default=262_144, ge=1, le=limits.BODY_BYTES_MAX)
    """Longest body, bytes; Envoy refuses a longer one (413), and so do we. 256 KiB by default, a chat of some 60,000
    words; a worker reads one body at a time, so that the bound is also how long others may wait."""

    routes: tuple[RouteName, ...] = ()
    """Routes whose bodies are read, by the names under `routes`; empty reads those of all. A request whose route Envoy
    does not tell counts as one of them."""

    model: str | None = None
    """JSON pointer (RFC 6901) to the model's name, such as `/model`; null reads none. It stands where no header names a
    model, and is never one that the law may rely on (`evidence.trust_model_header`)."""

    data_class: str | None = None
    """JSON pointer to a data class or a list of them, such as `/metadata/data_class`; null reads none. They count as
    those of the class header do."""

    detectors: dict[Identifier, DetectorSpec] = Field(default={}, max_length=limits.DETECTORS_MAX)
    """Detectors by name (`cards`, `ibans`, `national-ids`, `phones`, `email`, `presidio`), each with the data class
    that it brings; none by default, since only you know which class your policy gives to what."""

    unread: Unread = "refuse"
    """What holds for a body in a form that is not read: not JSON by its `content-type`, or compressed. `refuse` by
    default. What claims to be JSON and has no single meaning is refused in any case."""

    contradiction: Literal["refuse", "strictest"] = "refuse"
    """What holds where a header names another model or other classes than the body. `refuse` by default: one of them
    was meant for somebody else to see. `strictest` joins the classes and takes the model for unknown."""

    wait_s: float = Field(default=10.0, ge=0.1, le=300.0)
    """How long a worker waits for a body after it has seen the headers, in seconds. Envoy as we render it collects the
    body first and needs milliseconds; ten seconds bound what another configuration keeps waiting."""

    @field_validator("model", "data_class")
    @classmethod
    def _is_pointer(cls, value: str | None) -> str | None:
        if value is not None:
            from borderpost.payload.pointer import parse_pointer  # only where one is configured

            try:
                parse_pointer(value)
            except BorderpostError as error:
                raise BadValue(error.code, error.detail, mend=error.mend) from error
        return value

    @model_validator(mode="after")
    def _names_bodies(self) -> PayloadSection:
        if self.read and self.hash_key_file is None:
            raise BadValue(
                "BP1320",
                "`read` needs `hash_key_file`: without a key no record could say which body was judged",
                mend="openssl rand -hex 32 > payload.key, and name the file",
            )
        return self


def hash_key_of(section: PayloadSection, place: Place = NOWHERE) -> bytes:
    """Return the key by which bodies are named. Raises BorderpostError BP1320 where there is none, or a short one."""
    file = section.hash_key_file
    if file is None:
        raise BorderpostError("BP1320", "no `hash_key_file` is named", place=place)
    try:
        with file.open("rb") as handle:
            raw = handle.read(limits.BODY_KEY_BYTES_MAX + 1)
    except OSError as error:
        raise BorderpostError("BP1320", f"{file}: {error.strerror}", place=place) from error
    key = raw.rstrip(b"\r\n")
    if len(key) < limits.BODY_KEY_BYTES_MIN or len(raw) > limits.BODY_KEY_BYTES_MAX:
        bounds = f"{limits.BODY_KEY_BYTES_MIN} to {limits.BODY_KEY_BYTES_MAX} bytes"
        raise BorderpostError("BP1320", f"{file}: a key has {bounds}", place=place)
    return key


def payload_mistakes(
    section: PayloadSection, routes: Collection[str], bundle: PolicyBundle | None
) -> Iterator[tuple[KeyPath, BorderpostError]]:
    """Find a key that cannot be used, routes and detectors that do not exist, and classes that no policy defines.

    Without a bundle, because the policy itself has mistakes, classes are left for the next run.
    """
    for index, name in enumerate(section.routes):
        if name not in routes:
            error = BorderpostError("BP1321", f"no route `{name}` is described under `routes`")
            yield ("payload", "routes", index), error
    if section.hash_key_file is not None:
        try:
            hash_key_of(section)
        except BorderpostError as error:
            yield ("payload", "hash_key_file"), error
    yield from _detector_mistakes(section)
    if bundle is None:
        return
    known = bundle.vocabulary
    named: list[tuple[KeyPath, str]] = [
        (("payload", "detectors", name, "data_class"), spec.data_class) for name, spec in section.detectors.items()
    ]
    if isinstance(section.unread, Assume):
        named += [(("payload", "unread", "assume", index), name) for index, name in enumerate(section.unread.assume)]
    for path, name in named:
        if name not in known.classes:
            yield path, unknown_class(name, known)


def make_detectors_of(section: PayloadSection) -> tuple[Detector, ...]:
    """Return the detectors, in the order of the file. Raises BorderpostError BP1309 or BP1310."""
    from borderpost.payload.detectors.known import DetectorSettings, make_detectors  # only where one is configured

    return make_detectors(
        DetectorSettings(name, spec.data_class, spec.only) for name, spec in section.detectors.items()
    )


def _detector_mistakes(section: PayloadSection) -> Iterator[tuple[KeyPath, BorderpostError]]:
    for name, spec in section.detectors.items():
        try:
            make_detectors_of(section.model_copy(update={"detectors": {name: spec}}))
        except BorderpostError as error:
            yield ("payload", "detectors", name), error
