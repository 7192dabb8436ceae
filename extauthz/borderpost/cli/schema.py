"""Print the JSON Schema of one kind of file, or set up a folder for editors that check and complete by it.

    borderpost schema --of pack > pack.schema.json
    borderpost schema --install .        every schema below .schemas, and which files each is for

Editors that speak the YAML language server (VS Code, Neovim, Emacs, IntelliJ by its own means) then mark mistakes while
you type, and offer keys with their meaning. A file can also name its schema itself, in its first line:

    # yaml-language-server: $schema=.schemas/pack.schema.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

from borderpost.cli.file_kinds import KINDS
from borderpost.cli.output import CLEAN, Output
from borderpost_base.errors import BorderpostError, Place

FOLDER: Final = ".schemas"
"""Where `--install` puts schemas: beside the files that they are for, so that they are of the version in use there."""

SETTINGS: Final = Path(".vscode", "settings.json")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--of", choices=tuple(KINDS), default="config", help="which file (default: config)")
    parser.add_argument(
        "--install", type=Path, metavar="DIR",
        help=f"write every schema below DIR/{FOLDER}, and DIR/{SETTINGS} where there is none",
    )  # fmt: skip


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Print the schema, or set up a folder."""
    if arguments.install is not None:
        return _install(arguments.install, output)
    output.data(schema_text(arguments.of).rstrip())
    return CLEAN


def schema_of(kind: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one kind of file."""
    return KINDS[kind].schema()


def schema_text(kind: str) -> str:
    """Return the JSON Schema of one kind of file as a file's text."""
    return json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n"


def settings() -> dict[str, Any]:
    """Return what an editor has to know: which files each schema is for."""
    return {"yaml.schemas": {f"{FOLDER}/{kind}.schema.json": list(KINDS[kind].files) for kind in KINDS}}


def _install(folder: Path, output: Output) -> int:
    """Write the schemas; settings that are there already stay, and what they lack is printed."""
    text = json.dumps(settings(), indent=2) + "\n"
    target = folder / SETTINGS
    try:
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            (folder / FOLDER / f"{kind}.schema.json").write_text(schema_text(kind), encoding="utf-8")
        target.parent.mkdir(exist_ok=True)
        there = target.exists()
        if not there:
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BorderpostError("BP1262", f"{error.filename}: {error.strerror}", place=Place(str(folder))) from error
    output.data(f"{folder / FOLDER}: {len(KINDS)} schemas")
    if there and not _knows_all(target):
        output.note(f"{target} is there already; put this into it:")
        output.data(text.rstrip())
    else:
        output.data(f"{target}: {'already there' if there else 'which files each is for'}")
    return CLEAN


def _knows_all(file: Path) -> bool:
    """Return True if the settings name every schema; not if they cannot be read, as where comments are in them."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    schemas = found.get("yaml.schemas") if isinstance(found, dict) else None
    return isinstance(schemas, dict) and schemas.keys() >= settings()["yaml.schemas"].keys()
