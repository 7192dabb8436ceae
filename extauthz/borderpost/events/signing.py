"""Keys and signatures: who may speak on the law, and over exactly which bytes (Ed25519, RFC 8032).

What is signed begins with a line that says what it is, so that a signature on one kind of thing is never one on
another: `borderpost legal event v1`, `borderpost trigger v1`, `borderpost heartbeat v1`, `borderpost policy pack v1`;
then its canonical JSON.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import StringConstraints

from borderpost.audit import profile
from borderpost.policy.fields import Label, format_instant
from borderpost_base.errors import NOWHERE, BorderpostError, Place
from borderpost_base.strict import StrictModel

Signed = Literal["legal event", "trigger", "heartbeat", "policy pack"]
"""Kinds of things that are signed."""

_RAW_BYTES: Final = 32
_HEX_KEY: Final = re.compile(r"[0-9a-fA-F]{64}")
_BASE64_KEY: Final = re.compile(r"[A-Za-z0-9+/]{43}=")

_SMALL_ORDER: Final = frozenset(
    bytes.fromhex(text)
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)
"""Encodings of the eight points of small order (RFC 8032, section 5.1), the sign of x left out."""

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""`sha256:` and 64 hex digits."""
SignatureText = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{86}==$")]
"""64 bytes in base64."""


class Signature(StrictModel):
    """One signature, as it stands in a line or a signed file."""

    by: Label
    """The signer's name, as the configuration has it."""
    key: Digest
    """Digest of the signer's public key."""
    sig: SignatureText
    """Ed25519 over the signed form."""


@dataclass(frozen=True, slots=True)
class SignerKey:
    """A public key of a signer."""

    digest: str
    """`sha256:<hex>` of its 32 bytes."""
    public: Ed25519PublicKey
    until: datetime | None = None
    """It counts for what was appended before; for all by default."""


Signers = Mapping[str, tuple[SignerKey, ...]]
"""Who may sign: a person's name, and that person's keys, of which there are several where one was replaced."""


def signed_form(kind: Signed, body: Mapping[str, Any]) -> bytes:
    """Return the bytes that a signature covers. Raises audit.profile.ProfileError for a body outside the profile."""
    return f"borderpost {kind} v1\n".encode() + profile.canonical(dict(body))


def form_digest(form: bytes) -> str:
    """Return `sha256:<hex>` of a signed form."""
    return "sha256:" + hashlib.sha256(form).hexdigest()


def key_digest(public: Ed25519PublicKey) -> str:
    """Return `sha256:<hex>` of a public key's 32 bytes."""
    return "sha256:" + hashlib.sha256(public.public_bytes_raw()).hexdigest()


def sign(form: bytes, key: Ed25519PrivateKey, name: str) -> Signature:
    """Sign a form under a name."""
    text = base64.b64encode(key.sign(form)).decode()
    return Signature(by=name, key=key_digest(key.public_key()), sig=text)


def check_signature(
    signature: Signature, form: bytes, signers: Signers, *, at: datetime | None = None, place: Place = NOWHERE
) -> None:
    """Raise unless a configured signer made this signature over this form.

    `at` is when it became known, for keys that counted only until an instant. Raises BorderpostError BP1005 for a
    signer or key that is not configured, BP1004 for a signature that does not fit.
    """
    key = _configured(signature, signers, at, place)
    try:
        key.public.verify(base64.b64decode(signature.sig, validate=True), form)
    except (InvalidSignature, binascii.Error) as error:
        detail = f"the signature of `{signature.by}` is not over this content"
        raise BorderpostError("BP1004", detail, place=place) from error


def check_one_each(signatures: tuple[Signature, ...], place: Place = NOWHERE) -> None:
    """Raise BorderpostError BP1006 where one person, by name or by key, signs twice."""
    names: set[str] = set()
    keys: dict[str, str] = {}
    for signature in signatures:
        if signature.by in names:
            raise BorderpostError("BP1006", f"`{signature.by}` signs twice", place=place)
        if signature.key in keys:
            detail = f"`{signature.by}` and `{keys[signature.key]}` sign with one key"
            raise BorderpostError("BP1006", detail, place=place)
        names.add(signature.by)
        keys[signature.key] = signature.by


def _configured(signature: Signature, signers: Signers, at: datetime | None, place: Place) -> SignerKey:
    keys = signers.get(signature.by)
    if keys is None:
        raise BorderpostError("BP1005", f"no signer `{signature.by}` is configured", place=place)
    key = next((key for key in keys if key.digest == signature.key), None)
    if key is None:
        detail = f"`{signature.by}` is configured with another key than {signature.key}"
        raise BorderpostError("BP1005", detail, place=place)
    if key.until is not None and (at is None or at >= key.until):
        detail = f"this key of `{signature.by}` counted until {format_instant(key.until)}"
        raise BorderpostError("BP1005", detail, place=place)
    return key


def public_key_of(text: str) -> Ed25519PublicKey | None:
    """Return the public key that a text of 64 hex digits or 44 of base64 is; None for another text.

    Raises ValueError for one that has the form and is no key.
    """
    if _HEX_KEY.fullmatch(text):
        raw = bytes.fromhex(text)
    elif _BASE64_KEY.fullmatch(text):
        raw = base64.b64decode(text)
    else:
        return None
    return _sound(Ed25519PublicKey.from_public_bytes(raw))


def public_key_of_pem(pem: bytes) -> Ed25519PublicKey:
    """Return the public key of a PEM file. Raises ValueError if it holds none, or a private key."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("is no public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("is a public key, but not of Ed25519")
    return _sound(key)


def private_key_of_pem(pem: bytes) -> Ed25519PrivateKey:
    """Return the private key of a PEM file. Raises ValueError if it holds none, or one that is encrypted."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise ValueError("is encrypted: decrypt it to a file that only you can read") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("is no private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("is a private key, but not of Ed25519")
    return key


def private_pem(key: Ed25519PrivateKey) -> bytes:
    """Return a private key in PEM (PKCS #8, not encrypted)."""
    form, coding = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    return key.private_bytes(coding, form, serialization.NoEncryption())


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Return a public key in PEM (SubjectPublicKeyInfo)."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _sound(key: Ed25519PublicKey) -> Ed25519PublicKey:
    """Refuse points of small order: under such a key anybody can make a signature that fits some messages."""
    raw = key.public_bytes_raw()
    if raw[:-1] + bytes([raw[-1] & 0x7F]) in _SMALL_ORDER:
        raise ValueError("is a key under which anybody can sign")
    return key
