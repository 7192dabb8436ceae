"""Secrets that lie in files: read when they are needed, so that they can be changed, and never shown."""

from __future__ import annotations

from pathlib import Path

from borderpost_base import limits
from borderpost_base.errors import NOWHERE, BorderpostError, Place


def read_secret(path: Path, code: str, place: Place = NOWHERE) -> bytes:
    """Return what a secret's file holds, without the newline at its end.

    Raises BorderpostError of this code where there is none, or one that can be guessed.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(limits.SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise BorderpostError(code, f"{path}: {error.strerror}", place=place) from error
    secret = raw.rstrip(b"\r\n")
    if not len(secret) >= limits.SECRET_BYTES_MIN or len(raw) > limits.SECRET_BYTES_MAX:
        bounds = f"{limits.SECRET_BYTES_MIN} to {limits.SECRET_BYTES_MAX} bytes"
        raise BorderpostError(code, f"{path}: a secret has {bounds}", place=place)
    return secret


def read_token(path: Path, code: str, place: Place = NOWHERE) -> bytes:
    """Return a secret that is shown in a header: without blanks and control characters. Raises as `read_secret`."""
    token = read_secret(path, code, place)
    if not all(0x21 <= byte <= 0x7E for byte in token):
        raise BorderpostError(code, f"{path}: a token has printable ASCII characters and no blanks", place=place)
    return token
