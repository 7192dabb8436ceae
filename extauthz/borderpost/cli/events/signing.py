"""Signing a file: `borderpost events sign`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from borderpost.cli.events.names import configured, unknown_names
from borderpost.cli.events.options import add_key, check_own_key, given_signers, private_key
from borderpost.cli.options import add_config, add_json, config_path, overrides_of
from borderpost.cli.output import CLEAN, Output
from borderpost_base.errors import BorderpostError, Place, Problems

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from borderpost.config.load import Loaded
    from borderpost.events.documents import SignedDocument
    from borderpost.policy.event_schema import LegalEvent


def configure_sign(parser: argparse.ArgumentParser) -> None:
    """Check an event or a trigger, say in words what it would do, and sign it. A file that others have signed gets one
    more signature. Where there is a configuration, the event's names must be those of its regions, groups, classes and
    regimes."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the event or trigger, YAML, or a signed file")
    add_key(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write it (default: stdout)")
    parser.add_argument(
        "--signer", action="append", default=[], metavar="NAME=KEY", dest="signers",
        help="a signer's public key, instead of the configuration's; may be repeated",
    )  # fmt: skip
    add_config(parser)
    add_json(parser)


def run_sign(arguments: argparse.Namespace, output: Output) -> int:
    """Sign, and write the signed file."""
    from borderpost.events.documents import read_document

    document = read_document(arguments.file)
    loaded = configured(arguments)
    if loaded is not None:
        check_names(document, loaded, Place(str(arguments.file)))
    key = private_key(arguments)
    _check_signer(arguments, loaded, key)
    told = tell(document, output, Place(str(arguments.file)))
    signed = with_signature(document, key, arguments.name, Place(str(arguments.file)))
    text = signed.to_json()
    target: Path | None = arguments.output
    if target is not None:
        _write(target, text, replaces=arguments.file)
    if output.as_json:
        output.result({"signed": signed.model_dump(mode="json"), "words": told, "file": target and str(target)})
    elif target is None:
        output.data(text.rstrip())
    else:
        names = ", ".join(signature.by for signature in signed.signatures)
        output.data(f"{target}: signed by {names}")
    return CLEAN


def with_signature(document: SignedDocument, key: Ed25519PrivateKey, name: str, place: Place) -> SignedDocument:
    """Return a document with one more signature. Raises BorderpostError BP1006 where the person has signed it."""
    from borderpost.events.signing import check_one_each, sign

    signatures = (*document.signatures, sign(document.form(), key, name))
    check_one_each(signatures, place)
    return document.model_copy(update={"signatures": signatures})


def tell(document: SignedDocument, output: Output, place: Place) -> list[str]:
    """Say on stderr what a document would do; return the sentences."""
    from borderpost.cli.events import words

    if document.kind == "event":
        told = words.sentences_of_event(document.event(place))
    else:
        told = words.sentences_of_trigger(document.trigger(place))
    if not output.as_json:
        for sentence in told:
            output.note(sentence)
    return told


def check_names(document: SignedDocument, loaded: Loaded, place: Place) -> None:
    """Raise Problems for names in a scope that the configuration does not have: such an event would do nothing here."""
    if found := unknown_names([event_of(document, place)], loaded, place):
        raise Problems(found)


def event_of(document: SignedDocument, place: Place) -> LegalEvent:
    """Return a document's event, or the one that its trigger fires."""
    from borderpost.policy.fields import EPOCH

    return document.event(place) if document.kind == "event" else document.trigger(place).fire(EPOCH)


def _check_signer(arguments: argparse.Namespace, loaded: Loaded | None, key: Ed25519PrivateKey) -> None:
    from borderpost.config.events import signers_of
    from borderpost.config.load import read_config

    signers = given_signers(arguments)
    if signers is None and loaded is not None:
        config, document = read_config(config_path(arguments), overrides_of(arguments))
        signers = signers_of(config.events, document)
    if signers:
        check_own_key(key, arguments.name, signers)


def _write(target: Path, text: str, *, replaces: Path) -> None:
    """Write a new file, or the one that was read in place of itself. Raises BorderpostError BP1018."""
    try:
        if target.exists() and not target.samefile(replaces):
            raise BorderpostError("BP1018", f"{target} is there already, and is another file", place=Place(str(target)))
        made = target.with_name(f".{target.name}.{os.getpid()}")
        made.write_text(text, encoding="utf-8")
        made.replace(target)
    except OSError as error:
        raise BorderpostError("BP1018", f"{target}: {error.strerror}", place=Place(str(target))) from error
