"""Signed releases of packs: beside `house.yaml` lies `house.yaml.sig`, which says who released which content.

    {"body": {"id": "house", "version": "3", "content": "sha256:…"},
     "signatures": [{"by": "…", "key": "sha256:…", "sig": "…"}]}

`content` is the digest of all that the file says, its keys and values in canonical form as they were written, without
defaults: comments, order of keys and layout may change under a signature, nothing else, and a later version of the
product reads the same content in it. A pack that was signed once stays signed: which of its releases is in force is the
configuration's to say, and stands in every record as the policy's digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, model_validator

from borderpost.audit.profile import ProfileError, canonical, decode
from borderpost.config.events import SignerKeys, read_signers
from borderpost.events.files import read_bounded
from borderpost.events.lines import told_by
from borderpost.events.signing import (
    Digest,
    Signature,
    Signers,
    check_one_each,
    check_signature,
    form_digest,
    signed_form,
)
from borderpost.policy.fields import Identifier, Label
from borderpost.policy.pack import PolicyPack
from borderpost_base import limits
from borderpost_base.errors import BadValue, BorderpostError, Place
from borderpost_base.strict import StrictModel, YamlDocument

ENDING: Final = ".sig"


class PackSignaturesSection(StrictModel):
    """Whose word it takes before a pack that lies on this machine is law here. Packs that come with the product are
    part of it and need none."""

    signers: dict[Label, SignerKeys] = Field(default={}, max_length=limits.SIGNERS_MAX)
    """Who may release packs: names and public keys, as under `events.signers`; they may be the same people. Without
    signers, the default, packs are taken as they lie there."""

    needed: Annotated[int, Field(ge=1, le=limits.EVENT_SIGNATURES_MAX)] = 1
    """How many of them must have signed each pack; 1 by default. 2 where nobody shall widen the law alone."""

    @model_validator(mode="after")
    def _can_be_met(self) -> PackSignaturesSection:
        if self.signers and self.needed > len(self.signers):
            raise BadValue("BP0104", f"{self.needed} signatures are needed, and {len(self.signers)} may sign")
        return self


class Release(StrictModel):
    """What is signed."""

    id: Identifier
    """The pack's id."""
    version: Label
    """The pack's version."""
    content: Digest
    """Digest of all that the pack's file says."""

    def told(self) -> str:
        """Return it in a few words."""
        return f"`{self.id}` {self.version} ({self.content[:19]}…)"

    def form(self) -> bytes:
        """Return the bytes that signatures cover."""
        return signed_form("policy pack", self.model_dump(mode="json"))


class SignedRelease(StrictModel):
    """The file beside a pack."""

    body: Release
    """What is signed."""
    signatures: Annotated[tuple[Signature, ...], Field(max_length=limits.EVENT_SIGNATURES_MAX)] = ()
    """Who signed it."""

    def to_json(self) -> str:
        """Return the file's text."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"


@dataclass(frozen=True, slots=True)
class PackSigners:
    """Who may release packs, and how many of them it takes."""

    signers: Signers
    needed: int

    def check(self, file: Path, document: YamlDocument, pack: PolicyPack) -> tuple[Signature, ...]:
        """Return the signatures of a pack that was read from a file, each one checked.

        Raises BorderpostError BP1263 without enough of them, BP1264 if they are of other content, BP1004 to BP1006
        where one does not count.
        """
        signed = read_release(signature_file(file))
        if signed is None:
            detail = f"{signature_file(file).name} is not there, and {self.needed} must have signed it"
            raise BorderpostError("BP1263", detail, place=Place(str(file)))
        place = Place(str(signature_file(file)))
        here = release_of(pack, document)
        if signed.body != here:
            detail = f"signed is {signed.body.told()}; {file.name} is {here.told()}"
            raise BorderpostError("BP1264", detail, place=place)
        check_one_each(signed.signatures, place)
        for signature in signed.signatures:
            check_signature(signature, signed.body.form(), self.signers, place=place)
        if len(signed.signatures) < self.needed:
            names = ", ".join(signature.by for signature in signed.signatures) or "nobody"
            raise BorderpostError("BP1263", f"{self.needed} must have signed it; so far {names}", place=place)
        return signed.signatures


def pack_signers(section: PackSignaturesSection, document: YamlDocument | None = None) -> PackSigners | None:
    """Return who may release packs, None where nobody has to. Raises BorderpostError BP0003 or BP1015."""
    if not section.signers:
        return None
    return PackSigners(read_signers(section.signers, ("pack_signatures", "signers"), document), section.needed)


def signature_file(pack: Path) -> Path:
    """Return where the signatures of a pack lie."""
    return pack.with_name(pack.name + ENDING)


def release_of(pack: PolicyPack, document: YamlDocument) -> Release:
    """Return what is signed of a pack, which was read from this document. Raises BorderpostError BP1265."""
    try:
        content = form_digest(canonical(_data(document)))
    except ProfileError as error:
        place = Place(document.file)
        raise BorderpostError("BP1265", f"what it says has no canonical form: {error}", place=place) from error
    return Release(id=pack.metadata.id, version=pack.metadata.version, content=content)


def read_release(file: Path) -> SignedRelease | None:
    """Read the file beside a pack; None where there is none. Raises BorderpostError BP1264 for one of another form."""
    place = Place(str(file))
    try:
        raw = read_bounded(file, limits.EVENT_LINE_BYTES_MAX, "BP1264", place)
        return told_by(SignedRelease, decode(raw), place)
    except ProfileError as error:
        raise BorderpostError("BP1264", f"it cannot be read: {error}", place=place) from error
    except BorderpostError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        if error.code == "BP1001":  # an event's word for the same mistake
            raise BorderpostError("BP1264", error.detail, place=place) from error
        raise


def _data(document: YamlDocument) -> Mapping[str, Any]:
    assert isinstance(document.data, dict), "a pack is a mapping"
    return document.data


def signature_files(packs: Sequence[Path]) -> list[Path]:
    """Return where the signatures of these packs lie, so that a change of them is noticed."""
    return [signature_file(pack) for pack in packs]
