"""The section `events`: where news of the law come from, and whose word on them counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from borderpost.config.feeds import FeedSpec
from borderpost.config.redis import EventsRedisSpec
from borderpost.events import signing
from borderpost.events.files import read_bounded
from borderpost.events.signing import SignerKey, Signers
from borderpost.policy.fields import Identifier, Instant, Label
from borderpost_base import limits
from borderpost_base.errors import NOWHERE, BadValue, BorderpostError, Place
from borderpost_base.strict import KeyPath, StrictModel, YamlDocument

PLAIN_ENDINGS = (".yaml", ".yml")
"""How the name of a plain events file ends; any other is a signed list."""


class SignerKeySpec(StrictModel):
    """One public key (Ed25519) of a signer: a PEM file, or the key itself."""

    file: Path | None = None
    """PEM file, as `borderpost events keygen` writes it; null where `key` is given."""

    key: str | None = None
    """The 32 bytes of the key, in hex or base64; null where `file` is given."""

    until: Instant | None = None
    """First instant at which it no longer counts. Leave a key listed after it was replaced: what it signed before still
    holds. null lets it count until further notice."""

    @model_validator(mode="after")
    def _one_of_two(self) -> SignerKeySpec:
        if (self.file is None) == (self.key is None):
            raise BadValue("BP1015", "a key is either a `file` or a `key`")
        if self.key is not None:
            _parsed(self.key)
        return self


def _key_specs(value: Any) -> Any:
    """Let one key stand without a list, and a text stand for a key: the key itself if it looks like one, or a path."""
    items = value if isinstance(value, list) else [value]
    return [_key_spec(item) if isinstance(item, str) else item for item in items]


def _key_spec(text: str) -> dict[str, str]:
    try:
        is_key = signing.public_key_of(text) is not None
    except ValueError:
        is_key = True
    return {"key" if is_key else "file": text}


class _ShortForms:
    """Lets the JSON Schema know the forms that `_key_specs` takes."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        listed = handler(core)
        one = {"anyOf": [{"type": "string"}, listed["items"]]}
        return {"anyOf": [*one["anyOf"], {**listed, "items": one}]}


SignerKeys = Annotated[
    tuple[SignerKeySpec, ...],
    Field(min_length=1, max_length=limits.SIGNER_KEYS_MAX),
    BeforeValidator(_key_specs),
    _ShortForms(),
]
"""The keys of one signer: a path or key as text, or a list of them, or of mappings."""


class EventsSection(StrictModel):
    """Where legal events are read from."""

    file: Path | None = None
    """The list of legal events: a signed list (`.jsonl`), or a plain YAML file (`.yaml`) where there are no `signers`.
    It is watched: an event takes effect at its own instant, without a reload. null means that there is none."""

    signers: dict[Label, SignerKeys] = Field(default={}, max_length=limits.SIGNERS_MAX)
    """Who may sign legal events: names of people and their public keys, each a PEM file's path or 32 bytes in hex or
    base64. What narrows takes one signature, what widens two of different people. Without signers, the default, only
    what narrows has effect, from a plain file."""

    redis: EventsRedisSpec | None = None
    """A stream of Redis or Valkey that the signed list is read from, instead of a file: news reach every gateway of a
    fleet at once. null where there is none."""

    max_age_s: float | None = Field(default=None, ge=1.0, le=31_622_400.0)
    """How old the newest signed heartbeat of the list may be, seconds. Past it news of the law may be withheld, and
    bases that can be revoked (`revocable` in packs) are refused until a newer one comes. null, the default, sets no
    age, since somebody has to sign heartbeats then; use it where whoever delivers the list is not trusted."""

    clock_error_ms: Literal["auto"] | Annotated[int, Field(ge=0, le=60_000)] = "auto"
    """How far this machine's clock may be wrong, milliseconds (ε): what narrows holds that much earlier and ends that
    much later, what widens the other way round. `auto` takes the kernel's own bound, rounded up, and a second where
    nobody keeps the clock. A number is for machines whose kernel is not told of its clock; 0 is for tests on one
    machine."""

    feeds: dict[Identifier, FeedSpec] = Field(default={}, max_length=limits.FEEDS_MAX)
    """What may fire the triggers of a signed list, by the names that triggers use; none by default."""

    @model_validator(mode="after")
    def _one_list(self) -> EventsSection:
        if self.file is not None and self.redis is not None:
            raise BadValue("BP0104", "the list of legal events is either a `file` or in `redis`")
        if self.redis is not None and not self.signers:
            raise BadValue("BP1014", "the list in `redis` is a signed one, and nobody may sign")
        if self.max_age_s is not None and not self.signers:
            raise BadValue("BP1014", "`max_age_s` asks for signed heartbeats, and nobody may sign")
        if self.redis is None and any(feed.stream is not None for feed in self.feeds.values()):
            raise BadValue("BP0104", "a feed that is a stream needs `redis`, the server that it is in")
        return self


def signers_of(section: EventsSection, document: YamlDocument | None = None) -> Signers:
    """Read the keys of `events.signers`. `document` is where the section stands. Raises as `read_signers` does."""
    return read_signers(section.signers, ("events", "signers"), document)


def read_signers(
    signers: Mapping[str, tuple[SignerKeySpec, ...]], path: KeyPath, document: YamlDocument | None = None
) -> Signers:
    """Read the keys of signers, which stand at a path of a document.

    Raises BorderpostError BP0003 where a file cannot be read, BP1015 for what is no key or the key of two names.
    """
    found: dict[str, tuple[SignerKey, ...]] = {}
    owners: dict[str, str] = {}
    for name, specs in signers.items():
        place = NOWHERE if document is None else document.place((*path, name))
        keys = tuple(_signer_key(spec, place) for spec in specs)
        for key in keys:
            if key.digest in owners:
                detail = f"`{name}` and `{owners[key.digest]}` have one key, or one has it twice"
                raise BorderpostError("BP1015", detail, place=place)
            owners[key.digest] = name
        found[name] = keys
    return found


def check_form(section: EventsSection, place: Place = NOWHERE) -> None:
    """Raise BorderpostError BP1014 where the file is not of the kind that the signers call for."""
    if section.file is None:
        return
    plain = is_plain(section.file)
    if plain and section.signers:
        detail = f"{section.file.name} is a plain file, and `events.signers` names {len(section.signers)}"
        raise BorderpostError("BP1014", detail, place=place)
    if not plain and not section.signers:
        raise BorderpostError("BP1014", f"{section.file.name} is a signed list, and nobody may sign", place=place)


def is_plain(file: Path) -> bool:
    """Return True if a file is a plain YAML list by its name."""
    return file.suffix in PLAIN_ENDINGS


def read_public_key(file: Path, place: Place = NOWHERE) -> Ed25519PublicKey:
    """Read a public key from a PEM file. Raises BorderpostError BP0003 or BP1015."""
    try:
        return signing.public_key_of_pem(read_bounded(file, limits.SIGNER_KEY_BYTES_MAX, "BP1015", place))
    except ValueError as error:
        raise BorderpostError("BP1015", f"{file} {error}", place=place) from error


def _signer_key(spec: SignerKeySpec, place: Place) -> SignerKey:
    public = read_public_key(spec.file, place) if spec.file is not None else _parsed(spec.key or "")
    return SignerKey(signing.key_digest(public), public, spec.until)


def _parsed(text: str) -> Ed25519PublicKey:
    try:
        key = signing.public_key_of(text)
    except ValueError as error:
        raise BadValue("BP1015", f"the key {error}") from error
    if key is None:
        raise BadValue("BP1015", "a public key has 64 hex digits, or 44 characters of base64")
    return key


def signers_from(keys: Mapping[str, Ed25519PublicKey]) -> Signers:
    """Return signers with one key each, which count at any time."""
    return {name: (SignerKey(signing.key_digest(public), public),) for name, public in keys.items()}
