"""Releases of packs: `borderpost policy sign` and `borderpost policy verify`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from borderpost.cli.events.options import add_key, check_own_key, given_signers, private_key
from borderpost.cli.options import add_config, add_json, config_path, overrides_of
from borderpost.cli.output import CLEAN, FINDINGS, Output, counted
from borderpost_base.errors import BorderpostError, Place

if TYPE_CHECKING:
    from borderpost.config.pack_signatures import PackSigners, SignedRelease
    from borderpost.events.signing import Signature
    from borderpost.policy.pack import PolicyPack
    from borderpost_base.strict import YamlDocument


def configure_sign(parser: argparse.ArgumentParser) -> None:
    """Sign a pack as it is: its id, its version and all that it says. The signature goes into a file beside it,
    FILE.sig. A second person's is added to the first's; where the pack was changed since, earlier ones are taken out.
    """
    parser.add_argument("file", type=Path, metavar="FILE", help="the pack, YAML")
    add_key(parser)
    _add_signers(parser)


def configure_verify(parser: argparse.ArgumentParser) -> None:
    """Check what `serve` checks where `pack_signatures` names signers: that enough of them signed each pack, as it is
    now. Exit 0: all did. 1: a pack is not signed, was changed since, or a signature does not count."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="packs, each with FILE.sig beside it")
    parser.add_argument(
        "--needed", type=int, metavar="N", help="how many must have signed (default: the configuration's)"
    )
    _add_signers(parser)


def _add_signers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--signer", action="append", default=[], metavar="NAME=KEY", dest="signers",
        help="a signer's public key, a PEM file or the key itself, instead of the configuration's; may be repeated",
    )  # fmt: skip
    add_config(parser)
    add_json(parser)


def run_sign(arguments: argparse.Namespace, output: Output) -> int:
    """Sign, and write the file beside the pack."""
    from borderpost.cli.written import replace_file
    from borderpost.config.pack_signatures import SignedRelease, read_release, release_of, signature_file
    from borderpost.events.signing import check_one_each, sign

    file: Path = arguments.file
    pack, document = _read(file)
    key = private_key(arguments)
    signers = _signers(arguments, required=False)
    if signers is not None:
        check_own_key(key, arguments.name, signers.signers)
    body = release_of(pack, document)
    target = signature_file(file)
    before = read_release(target)
    earlier = before.signatures if before is not None and before.body == body else ()
    signed = SignedRelease(body=body, signatures=(*earlier, sign(body.form(), key, arguments.name)))
    check_one_each(signed.signatures, Place(str(target)))
    replace_file(target, signed.to_json())
    if before is not None and not earlier and before.signatures:
        output.note(f"{target}: signatures of {before.body.id} {before.body.version} as it was are taken out")
    _tell_signed(signed, target, output)
    return CLEAN


def _tell_signed(signed: SignedRelease, target: Path, output: Output) -> None:
    if output.as_json:
        output.result({"file": str(target), "signed": signed.model_dump(mode="json")})
        return
    output.data(f"{target}: {signed.body.id} {signed.body.version}, signed by {_names(signed.signatures)}")
    output.data(f"  content  {signed.body.content}")


def run_verify(arguments: argparse.Namespace, output: Output) -> int:
    """Check each pack."""
    signers = _signers(arguments, required=True)
    assert signers is not None
    results = []
    errors: list[BorderpostError] = []
    for file in arguments.files:
        pack, document = _read(file)
        try:
            signatures = signers.check(file, document, pack)
        except BorderpostError as error:
            errors.append(error)
            continue
        results.append((file, pack, signatures))
    if output.as_json:
        output.result({
            "packs": [
                {"file": str(file), "id": pack.metadata.id, "version": pack.metadata.version,
                 "signed_by": [signature.by for signature in signatures]}
                for file, pack, signatures in results
            ],
            "errors": [error.as_dict() for error in errors],
        })  # fmt: skip
    else:
        output.errors(errors)
        for file, pack, signatures in results:
            output.data(f"{file}: {pack.metadata.id} {pack.metadata.version}, signed by {_names(signatures)}")
    return FINDINGS if errors else CLEAN


def _read(file: Path) -> tuple[PolicyPack, YamlDocument]:
    """Read a pack by itself: what it builds on is not looked at. Raises BorderpostError or Problems."""
    from borderpost.policy.pack import PolicyPack
    from borderpost_base.strict import validate
    from borderpost_base.yaml_source import load_yaml_file

    document = load_yaml_file(file)
    return validate(PolicyPack, document), document


def _signers(arguments: argparse.Namespace, *, required: bool) -> PackSigners | None:
    """Return the signers that the arguments name, else those of the configuration, where there is one."""
    from borderpost.config.load import read_config
    from borderpost.config.pack_signatures import PackSigners, pack_signers

    needed: int | None = getattr(arguments, "needed", None)
    given = given_signers(arguments)
    if given is not None:
        found: PackSigners | None = PackSigners(given, needed or 1)
    elif required or config_path(arguments).exists():
        config, document = read_config(config_path(arguments), overrides_of(arguments))
        found = pack_signers(config.pack_signatures, document)
        if found is not None and needed is not None:
            found = PackSigners(found.signers, needed)
    else:
        found = None
    if required and found is None:
        detail = "nobody is named whose signature counts"
        raise BorderpostError("BP0004", detail, mend="use --signer, or `pack_signatures.signers`")
    if found is not None and not 1 <= found.needed <= len(found.signers):
        detail = f"{found.needed} cannot be needed of {counted(len(found.signers), 'signer')}"
        raise BorderpostError("BP0004", detail, place=Place("--needed"))
    return found


def _names(signatures: tuple[Signature, ...]) -> str:
    return ", ".join(signature.by for signature in signatures)
