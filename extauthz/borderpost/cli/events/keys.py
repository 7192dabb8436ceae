"""A signer's pair of keys."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from borderpost.cli.options import add_json
from borderpost.cli.output import CLEAN, Output
from borderpost_base.errors import BorderpostError, Place


def configure_keygen(parser: argparse.ArgumentParser) -> None:
    """Make a signer's pair of keys (Ed25519): NAME.key.pem, which stays with its owner, and NAME.pub.pem for
    `events.signers`. Neither is ever overwritten."""
    parser.add_argument("name", metavar="NAME", help="the signer's name")
    parser.add_argument(
        "--directory", type=Path, default=Path(), metavar="DIR", help="where to put them (default: here)"
    )
    add_json(parser)


def run_keygen(arguments: argparse.Namespace, output: Output) -> int:
    """Write both halves, the private one readable by its owner alone."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from pydantic import TypeAdapter, ValidationError

    from borderpost.events.signing import key_digest, private_pem, public_pem
    from borderpost.policy.fields import Label

    name: str = arguments.name
    try:
        TypeAdapter(Label).validate_python(name)
    except ValidationError as error:
        raise BorderpostError("BP0004", f"`{name}` cannot be a signer's name", place=Place("keygen")) from error
    stem = name.replace("/", "-")
    private, public = arguments.directory / f"{stem}.key.pem", arguments.directory / f"{stem}.pub.pem"
    for file in (private, public):
        if file.exists() or file.is_symlink():
            detail = f"{file} is there already, and a key is never overwritten"
            mend = "Choose another name or --directory, or put the old pair away."
            raise BorderpostError("BP1015", detail, place=Place(str(file)), mend=mend)
    key = Ed25519PrivateKey.generate()
    _write_new(private, private_pem(key), 0o600)
    _write_new(public, public_pem(key.public_key()), 0o644)
    digest = key_digest(key.public_key())
    if output.as_json:
        output.result({"name": name, "private": str(private), "public": str(public), "key": digest})
        return CLEAN
    output.data(f"{private}: the private key. It signs law: keep it where nobody else reads it.")
    output.data(f"{public}: the public key, {digest[:23]}…")
    output.note(f"hint: configure it as `events: {{signers: {{{name}: {public}}}}}`")
    return CLEAN


def _write_new(file: Path, data: bytes, mode: int) -> None:
    """Write a file that must not be there yet. Raises BorderpostError BP1018."""
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(fd)
    except OSError as error:
        raise BorderpostError("BP1018", f"{file}: {error.strerror}", place=Place(str(file))) from error
