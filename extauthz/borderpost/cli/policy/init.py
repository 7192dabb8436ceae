"""A repository for law as code: `borderpost policy init`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from borderpost.cli.options import add_json
from borderpost.cli.output import CLEAN, Output
from borderpost.version import __version__
from borderpost_base.errors import BorderpostError, Place

_DOT: Final = "dot-"
"""What a name begins with here that begins with a dot there: tools would take such files for their own."""


def configure_init(parser: argparse.ArgumentParser) -> None:
    """Write a repository for law as code: a configuration, a pack of one's own, tests, assertions, and what each pull
    request runs. Everything in it works as it is; change it to yours. No file is overwritten."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder, new or without these files")
    add_json(parser)


def run_init(arguments: argparse.Namespace, output: Output) -> int:
    """Write all files or none. Raises BorderpostError BP1266 where one is there already, BP1262 if one cannot be."""
    folder: Path = arguments.folder
    files = dict(template_files())
    for name in files:
        if os.path.lexists(folder / name):
            raise BorderpostError("BP1266", f"{folder / name} is there already", place=Place(str(folder / name)))
    try:
        for name, source in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes().replace(b"VERSION", __version__.encode()))
            if target.read_bytes().startswith(b"#!"):
                target.chmod(0o755)
    except OSError as error:
        raise BorderpostError("BP1262", f"{error.filename}: {error.strerror}", place=Place(str(folder))) from error
    if output.as_json:
        output.result({"folder": str(folder), "files": sorted(map(str, files))})
        return CLEAN
    for name in sorted(files):
        output.data(str(folder / name))
    output.note(f"hint: cd {folder}, git init, commit; then ./check runs what each pull request will run")
    return CLEAN


def template_files() -> Iterator[tuple[Path, Traversable]]:
    """Yield each file of the template with its path in the repository."""
    yield from _files(resources.files("borderpost") / "template", Path())


def _files(folder: Traversable, path: Path) -> Iterator[tuple[Path, Traversable]]:
    for one in folder.iterdir():
        name = f".{one.name.removeprefix(_DOT)}" if one.name.startswith(_DOT) else one.name
        if one.is_dir():
            yield from _files(one, path / name)
        else:
            yield path / name, one
