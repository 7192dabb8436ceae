"""From the names under `policy.packs` to packs in order, each after those that it builds on.

    a name       the packs that it stands for: `starter`, `eu-gdpr`
    a path       the YAML file there, relative to the configuration's folder
    builds_on    built-in packs that are not there yet come right before the pack that asks for them

A built-in pack is taken once, however often it is named or built on.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from borderpost.config.pack_signatures import PackSigners
from borderpost.policy import built_in
from borderpost.policy.bundle import check_pack
from borderpost.policy.pack import PolicyPack
from borderpost_base.errors import NOWHERE, BorderpostError, Place
from borderpost_base.strict import validate
from borderpost_base.yaml_source import YamlDocument, load_yaml, load_yaml_file

_PACK_ENDINGS = (".yaml", ".yml")


def read_packs(
    names: Sequence[str], base: Path, document: YamlDocument, signers: PackSigners | None = None
) -> list[PolicyPack]:
    """Read the packs that a configuration names; `document` is its file, `base` its folder. Where there are `signers`,
    each pack from a file must be signed by them.

    Raises BorderpostError or Problems for the first name that cannot be used, since those after it may build on it.
    """
    packs: list[PolicyPack] = []
    for index, name in enumerate(names):
        place = document.place(("policy", "packs", index))
        if name.endswith(_PACK_ENDINGS):
            _take(base / name, named_file(base / name, place), packs, signers)
        else:
            _take_built_in(_members(name, place), packs)
    return packs


def pack_files(names: Sequence[str], base: Path) -> list[Path]:
    """Return the files that these names stand for; built-in packs have none that changes."""
    return [base / name for name in names if name.endswith(_PACK_ENDINGS)]


def built_in_packs(*names: str) -> list[PolicyPack]:
    """Read built-in packs and collections, with what they build on. Raises BorderpostError BP0213."""
    packs: list[PolicyPack] = []
    for name in names:
        _take_built_in(built_in.members(name), packs)
    return packs


def introduction(name: str) -> list[str]:
    """Return the paragraphs at the head of a built-in pack's file: what it is about, and what it leaves out.

    Raises BorderpostError BP0213.
    """
    lines = built_in.pack_text(name).read_text(encoding="utf-8").splitlines()
    head = itertools.takewhile(lambda line: line.startswith("#"), lines)
    text = "\n".join(line.removeprefix("#").strip() for line in head)
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]


def named_file(file: Path, place: Place = NOWHERE) -> YamlDocument:
    """Read a file that the configuration names; that it cannot be read is shown where it is named."""
    try:
        return load_yaml_file(file)
    except BorderpostError as error:
        if error.code == "BP0003":
            raise BorderpostError(error.code, error.detail, place=place) from error
        raise


def _members(name: str, place: Place) -> tuple[str, ...]:
    try:
        return built_in.members(name)
    except BorderpostError as error:
        raise BorderpostError(error.code, error.detail, place=place, mend=error.mend) from error


def _take(file: Path, document: YamlDocument, packs: list[PolicyPack], signers: PackSigners | None) -> None:
    """Add a pack, after the built-in ones that it builds on and that are not there yet."""
    pack = validate(PolicyPack, document)
    if signers is not None:
        signers.check(file, document, pack)
    _take_built_in((name for name in pack.metadata.builds_on if name in built_in.PACKS), packs)
    check_pack(pack, packs, document)
    packs.append(pack)


def _take_built_in(names: Iterable[str], packs: list[PolicyPack]) -> None:
    for name in names:
        if all(pack.metadata.id != name for pack in packs):
            document, pack = _built_in_pack(name)
            _take_built_in(pack.metadata.builds_on, packs)
            check_pack(pack, packs, document)
            packs.append(pack)


@functools.cache
def _built_in_pack(name: str) -> tuple[YamlDocument, PolicyPack]:
    document = load_yaml(built_in.pack_text(name).read_bytes(), f"{name} (built in)")
    return document, validate(PolicyPack, document)
